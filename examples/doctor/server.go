package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/smtp"
)

// checkServer goes all the way to a session over which mail could be sent.
func (d *doctor) checkServer(ctx context.Context, mailer *smtp.Mailer) {
	host, port, err := net.SplitHostPort(mailer.Addr)
	if err != nil || strings.HasPrefix(mailer.Addr, "unix:") {
		d.fail("address", errors.New("only servers with a host and a port are checked"))
		return
	}
	if !d.checkAddresses(ctx, host, port) {
		return
	}
	mailer = mailer.Clone()
	mailer.Options.Timeouts = smtp.Timeouts{Connect: patience, Greeting: patience, Command: patience}
	h, err := d.meet(ctx, mailer)
	if isImplicit(mailer) {
		d.tellTLS(ctx, mailer, h, err)
		d.tellHello(h)
	} else {
		d.tellHello(h)
		d.tellTLS(ctx, mailer, h, err)
	}
	d.tellAuth(mailer, h)
	if err != nil {
		d.fail(explain(err))
	}
	d.tellExtensions(h)
}

// patience is how long each wait may be. A sender should have more.
const patience = 30 * time.Second

// checkAddresses tells whether any address of a host can be connected to.
func (d *doctor) checkAddresses(ctx context.Context, host, port string) (any bool) {
	addresses, err := d.resolver.LookupHost(ctx, host)
	if err != nil {
		d.fail("DNS", err)
		return false
	}
	d.ok("DNS", "%s", strings.Join(addresses, ", "))
	failures := map[string]error{}
	for _, address := range addresses {
		took, err := d.connect(ctx, net.JoinHostPort(address, port))
		if err == nil {
			d.ok("connect", "%s in %d ms", address, took.Milliseconds())
			any = true
			continue
		}
		failures[address] = err
	}
	for _, address := range slices.Sorted(maps.Keys(failures)) {
		if any {
			d.warn("connect", &problem{failures[address].Error(), "clients may wait for this address first: have it answer, or remove it, unless this host has no such network"})
		} else {
			d.fail("connect", &problem{failures[address].Error(), "check the port, and the firewalls between"})
		}
	}
	return any
}

// dialer is that of the doctor, or the usual one.
func (d *doctor) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.dial == nil {
		return new(net.Dialer).DialContext
	}
	return d.dial
}

func (d *doctor) connect(ctx context.Context, addr string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := d.now()
	conn, err := d.dialer()(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	return d.now().Sub(start), conn.Close()
}

// heard is what a server said on the way to a session.
type heard struct {
	greeting  smtp.Reply
	clear     map[string]string    // what it offers without TLS; nil: it was not asked
	tls       *tls.ConnectionState // nil: there is no TLS, or it failed
	secure    map[string]string    // what it offers under TLS
	mechanism string               // that has authenticated us
}

// last is what the server offers in the end.
func (h *heard) last() map[string]string {
	if h.secure != nil {
		return h.secure
	}
	return h.clear
}

// meet opens a session as any program would, looks on, and ends it.
func (d *doctor) meet(ctx context.Context, mailer *smtp.Mailer) (*heard, error) {
	h := &heard{}
	mailer = mailer.Clone()
	mailer.DialContext = d.dial
	mailer.TLSConfig = d.tlsConfig(mailer)
	mailer.Options.Trace = h.trace()
	client, err := mailer.Dial(ctx)
	if err == nil {
		client.Quit(ctx)
	}
	return h, err
}

// trace notes what the steps of Dial say, also of those that went well before one failed.
func (h *heard) trace() *smtp.Trace {
	return &smtp.Trace{
		Reply: func(_ context.Context, op string, reply smtp.Reply) {
			if op == "greeting" {
				h.greeting = reply
			}
		},
		Hello: func(_ context.Context, extensions map[string]string, err error) {
			switch {
			case err != nil:
			case h.tls != nil:
				h.secure = extensions
			default:
				h.clear = extensions
			}
		},
		TLS: func(_ context.Context, state tls.ConnectionState, err error) {
			if err == nil {
				h.tls = &state
			}
		},
		Authenticated: func(_ context.Context, mechanism string, err error) {
			if err == nil {
				h.mechanism = mechanism
			}
		},
	}
}

func (d *doctor) tlsConfig(mailer *smtp.Mailer) *tls.Config {
	config := mailer.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	config.Time = d.now
	return config
}

// explain names the step that an error ended, and why.
func explain(err error) (step string, why error) {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return "settings", err
	}
	step, _, _ = strings.Cut(e.Op, " ")
	return step, errors.New(strings.TrimPrefix(err.Error(), "smtp: "+e.Op+": "))
}

// tellHello tells how the server introduces itself. Where it does not, that is the error.
func (d *doctor) tellHello(h *heard) {
	if h.greeting.Code/100 == 2 {
		d.ok("greeting", "%v", h.greeting)
	}
	if offered := h.last(); offered != nil {
		d.ok("EHLO", "is answered, with %d extensions", len(offered))
	}
}

// tellTLS tells how the connection is protected, and what is wrong with that.
func (d *doctor) tellTLS(ctx context.Context, mailer *smtp.Mailer, h *heard, err error) {
	if _, offered := h.clear["STARTTLS"]; offered {
		d.ok("STARTTLS", "is offered")
	} else if h.clear != nil && mailer.TLS != smtp.TLSRequired { // Else it is the error.
		d.warn("STARTTLS", &problem{"is not offered", "have the server offer it: whoever is between reads the mail (RFC 8314, section 4)"})
	}
	if h.tls != nil {
		d.ok("TLS", "%s, %s", tls.VersionName(h.tls.Version), tls.CipherSuiteName(h.tls.CipherSuite))
	}
	if certificate := certificateOf(h, err); certificate != nil {
		d.tellCertificate(mailer, certificate, h)
	}
	if h.tls != nil || isHandshake(err) {
		d.tellVersions(ctx, mailer)
	}
}

// isHandshake tells whether it is TLS itself that failed.
func isHandshake(err error) bool {
	var e *smtp.Error
	return errors.As(err, &e) && (e.Op == "STARTTLS" || e.Op == "TLS") && e.Reply.Code == 0 && !errors.Is(err, errors.ErrUnsupported)
}

func isImplicit(mailer *smtp.Mailer) bool {
	_, port, _ := net.SplitHostPort(mailer.Addr)
	return mailer.TLS == smtp.TLSImplicit || mailer.TLS == smtp.TLSRequired && port == "465"
}

// certificateOf is that of the server, even if it was not accepted; nil: none came.
func certificateOf(h *heard, err error) *x509.Certificate {
	var rejected *tls.CertificateVerificationError
	switch {
	case h.tls != nil:
		return h.tls.PeerCertificates[0]
	case errors.As(err, &rejected) && len(rejected.UnverifiedCertificates) > 0:
		return rejected.UnverifiedCertificates[0]
	}
	return nil
}

func (d *doctor) tellCertificate(mailer *smtp.Mailer, certificate *x509.Certificate, h *heard) {
	names := slices.Clone(certificate.DNSNames)
	for _, ip := range certificate.IPAddresses {
		names = append(names, ip.String())
	}
	d.ok("certificate", "for %s, by %s", cmp.Or(strings.Join(names, ", "), "nobody"), certificate.Issuer)
	if h.tls != nil && len(h.tls.VerifiedChains) > 0 {
		host, _, _ := net.SplitHostPort(mailer.Addr)
		d.ok("chain", "is verified, for %s", cmp.Or(mailer.Options.ServerName, host))
	} else if h.tls != nil {
		d.warn("chain", &problem{"is not verified", "that is what tls=opportunistic means: leave it out"})
	}
	const renew = "renew it, and let that be done by a program from then on"
	switch days := int(certificate.NotAfter.Sub(d.now()).Hours() / 24); {
	case d.now().After(certificate.NotAfter):
		d.fail("expiry", &problem{"was at " + certificate.NotAfter.Format(time.RFC3339), renew})
	case days < 14:
		d.warn("expiry", &problem{fmt.Sprintf("in %d days", days), renew})
	default:
		d.ok("expiry", "in %s", timeLeft(days))
	}
}

// timeLeft is in years where nobody cares for the days.
func timeLeft(days int) string {
	if days <= 2*365 {
		return fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("%d years", days/365)
}

// tellVersions tries each version of TLS on a connection of its own.
func (d *doctor) tellVersions(ctx context.Context, mailer *smtp.Mailer) {
	var accepted, refused []string
	isOld := false
	for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
		name := strings.TrimPrefix(tls.VersionName(version), "TLS ")
		switch isAccepted, err := d.tryVersion(ctx, mailer, version); {
		case err != nil:
			d.none("TLS versions", "not checked: "+err.Error())
			return
		case isAccepted:
			accepted = append(accepted, name)
			isOld = isOld || version < tls.VersionTLS12
		default:
			refused = append(refused, name)
		}
	}
	text := fmt.Sprintf("%s accepted; not %s", strings.Join(accepted, ", "), cmp.Or(strings.Join(refused, ", "), "one refused"))
	switch {
	case len(accepted) == 0: // It is no TLS at all, which is the error.
	case isOld:
		d.warn("TLS versions", &problem{text, "switch off TLS 1.0 and 1.1 (RFC 8996)"})
	case !slices.Contains(accepted, "1.3"):
		d.warn("TLS versions", &problem{text, "switch on TLS 1.3 (RFC 9325, section 3.1.1)"})
	default:
		d.ok("TLS versions", "%s", text)
	}
}

// tryVersion shakes hands in one version. The package takes none before 1.2, so that the
// last steps are made by hand; nothing but the handshake goes over the connection.
func (d *doctor) tryVersion(ctx context.Context, mailer *smtp.Mailer, version uint16) (isAccepted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := d.dialer()(ctx, "tcp", mailer.Addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if !isImplicit(mailer) {
		if err := askForTLS(ctx, conn, mailer.Options); err != nil {
			return false, err
		}
	}
	host, _, _ := net.SplitHostPort(mailer.Addr)
	config := &tls.Config{MinVersion: version, MaxVersion: version, ServerName: host, InsecureSkipVerify: true}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) { // Old servers know no others.
		config.CipherSuites = append(config.CipherSuites, suite.ID)
	}
	return tls.Client(conn, config).HandshakeContext(ctx) == nil, nil
}

// askForTLS brings a connection to where the handshake begins.
func askForTLS(ctx context.Context, conn net.Conn, opts smtp.Options) error {
	if err := smtp.NewClient(conn, &opts).Hello(ctx); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, "STARTTLS\r\n"); err != nil {
		return err
	}
	_, _, err := textproto.NewReader(bufio.NewReader(io.LimitReader(conn, 4096))).ReadResponse(220)
	return err
}

// tellAuth tells how the server lets clients prove who they are.
func (d *doctor) tellAuth(mailer *smtp.Mailer, h *heard) {
	if h.last() == nil {
		return
	}
	if inTheClear, offered := h.clear["AUTH"]; offered {
		d.warn("AUTH", &problem{"is offered without TLS: " + inTheClear, "have the server offer it only under TLS (RFC 4954, section 9)"})
	}
	if mechanisms, offered := h.secure["AUTH"]; offered {
		d.ok("AUTH", "under TLS: %s", mechanisms)
	} else if h.secure != nil {
		d.none("AUTH", "is not offered under TLS")
	}
	switch {
	case h.mechanism != "":
		d.ok("credentials", "are accepted, by %s", h.mechanism)
	case len(mailer.Auth) == 0:
		d.none("credentials", "not checked: there are none in the URL")
	case h.secure == nil && mailer.TLS != smtp.TLSNone:
		d.none("credentials", "not tried: none are sent without TLS")
	}
}

// meanings are the extensions that servers offer, and what each is good for.
var meanings = map[string]string{
	"PIPELINING":          "commands go in groups, which saves round trips (RFC 2920)",
	"8BITMIME":            "content may hold octets over 127 (RFC 6152)",
	"BINARYMIME":          "content may hold anything, by BDAT (RFC 3030)",
	"CHUNKING":            "content may go in chunks of a stated size (RFC 3030)",
	"SMTPUTF8":            "addresses may be in any script (RFC 6531)",
	"DSN":                 "reports about delivery can be asked for (RFC 3461)",
	"ENHANCEDSTATUSCODES": "replies have a code that says more (RFC 2034)",
	"LIMITS":              "the server says how much it takes at once (RFC 9422)",
	"REQUIRETLS":          "TLS can be asked for on the whole way (RFC 8689)",
	"DELIVERBY":           "a time can be set for delivery (RFC 2852)",
	"FUTURERELEASE":       "mail can be held until later (RFC 4865)",
	"MT-PRIORITY":         "mails can have priorities (RFC 6710)",
	"BURL":                "content can be fetched from an IMAP server (RFC 4468)",
	"ETRN":                "a queue can be asked for (RFC 1985)",
	"VRFY":                "addresses can be asked about (RFC 5321)",
	"EXPN":                "lists can be asked about (RFC 5321)",
	"HELP":                "the server explains its commands (RFC 5321)",
	"XCLIENT":             "proxies can say for whom they speak",
	"RRVS":                "mail goes only to whom an address belonged at a time (RFC 7293)",
}

// tellExtensions tells what else the server can do.
func (d *doctor) tellExtensions(h *heard) {
	offered := h.last()
	for _, name := range slices.Sorted(maps.Keys(offered)) {
		switch params := offered[name]; name {
		case "STARTTLS", "AUTH": // are told already
		case "SIZE":
			d.tellSize(params)
		default:
			meaning := cmp.Or(meanings[name], "not known to this program")
			if params != "" {
				meaning = params + ": " + meaning
			}
			d.ok(name, "%s", meaning)
		}
	}
}

func (d *doctor) tellSize(params string) {
	if n, err := strconv.ParseInt(params, 10, 64); err == nil && n > 0 {
		d.ok("SIZE", "%d: mails of up to %.1f MiB are taken, in which files grow by a third (RFC 1870)", n, float64(n)/(1<<20))
		return
	}
	d.ok("SIZE", "the size of a mail can be told beforehand, and has no stated limit (RFC 1870)")
}
