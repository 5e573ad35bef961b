package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"time"

	"github.com/postrider/smtp/internal/wire"
)

// StartTLS turns the connection into TLS (RFC 3207). The config is cloned; its
// ServerName, if empty, is that of [Options]. [Client.Hello] must follow, since nothing
// that was said in the clear is kept. After an error the session is closed, unless the
// server refused, or does not offer it.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	const op = "STARTTLS"
	if err := c.ready(ctx, op); err != nil {
		return err
	}
	if c.tls != nil { // RFC 3207, section 4.2.
		return &Error{Op: op, Err: errors.New("the connection has TLS already")}
	}
	if _, ok := c.Extension(op); !ok {
		return &Error{Op: op, Err: &UnsupportedError{Extension: op, Advice: "is this the right port? Submission is on 587, or with TLS from the start on 465"}}
	}
	if _, err := c.exchange(ctx, op, "2", wire.NewCommand(op)); err != nil {
		return err
	}
	// Whatever follows in the clear may have been put there by another (CVE-2011-0411).
	if n := c.replies.Buffered(); n > 0 {
		return c.fail(ctx, op, fmt.Errorf("%d octets follow the reply in the clear: someone may be injecting commands", n))
	}
	return c.handshake(ctx, op, config)
}

// handshake begins TLS on the connection.
func (c *Client) handshake(ctx context.Context, op string, config *tls.Config) error {
	if config = config.Clone(); config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = c.opts.ServerName
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12) // RFC 8996.
	// A check of the caller's own comes on top of the usual one, or in its place,
	// as that of a pinned key: so that one is not taken away.
	callers := config.VerifyConnection != nil || config.VerifyPeerCertificate != nil
	pinned := callers && config.InsecureSkipVerify
	if c.unchecked = c.opportunistic && !callers; c.unchecked {
		config.InsecureSkipVerify = true
	}
	over := tls.Client(c.link.Conn, config)
	if err := c.shakeHands(ctx, op, over, now(config)); err != nil {
		c.fallBack = c.unchecked
		return err
	}
	c.verified = pinned || len(over.ConnectionState().VerifiedChains) > 0 || c.unchecked && verify(over.ConnectionState(), config) == nil
	c.tls, c.link.Conn = over, over
	c.replies = wire.NewReplyReader(c.link)
	c.extensions, c.result = nil, nil // RFC 3207, section 4.2.
	return nil
}

// shakeHands does our part of a handshake, also that of a connection which the
// caller has put TLS on and not used yet.
func (c *Client) shakeHands(ctx context.Context, op string, over *tls.Conn, at time.Time) error {
	defer c.link.watch(ctx)()
	if err := errors.Join(c.link.readWithin(c.opts.Timeouts.Command), c.link.writeWithin(c.opts.Timeouts.Command)); err != nil {
		return c.fail(ctx, op, err)
	}
	err := over.Handshake()
	c.opts.Trace.tls(ctx, over, err)
	if err == nil {
		return nil
	}
	if _, ok := alertOf(err); !ok { // fail explains alerts, which may come later as well.
		err = explainTLS(err, at)
	}
	return c.fail(ctx, op, err)
}

// verify checks a certificate that nobody asked to be checked.
func verify(state tls.ConnectionState, config *tls.Config) error {
	if config.ServerName == "" {
		return errors.New("there is no name that it could be for")
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: intermediates, DNSName: config.ServerName, CurrentTime: now(config)})
	return err
}

// now is the time by which certificates are checked; zero: that of the clock.
func now(config *tls.Config) (t time.Time) {
	if config.Time != nil {
		t = config.Time()
	}
	return t
}

// isVerified tells whether the server has proved who it is.
func (c *Client) isVerified() bool {
	return c.tls != nil && (c.verified || len(c.tls.ConnectionState().VerifiedChains) > 0)
}

// TLSConnectionState returns the state of the connection's TLS, if it has any.
func (c *Client) TLSConnectionState() (state tls.ConnectionState, ok bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return c.tls.ConnectionState(), true
}

// explainTLS adds what usually mends a failed handshake; certificates were checked by
// some time, or by the clock if that is zero.
func explainTLS(err error, at time.Time) error {
	advice := adviseTLS(err, at)
	if advice == "" {
		return escapedError{err}
	}
	return fmt.Errorf("%w; %s", escapedError{err}, escape(advice))
}

func adviseTLS(err error, at time.Time) string {
	var noTLS tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	alert, isAlert := alertOf(err)
	switch {
	case errors.As(err, &noTLS):
		return "this port does not speak TLS from the start: use STARTTLS, as on port 587"
	case errors.As(err, &unverified):
		return adviseCertificate(unverified, at)
	case isAlert:
		return adviseAlert(alert)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server broke off: does this port speak TLS?"
	}
	return ""
}

// adviseCertificate says what is wrong with a certificate, and which setting or
// which person could mend that.
func adviseCertificate(err *tls.CertificateVerificationError, at time.Time) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	if at.IsZero() {
		at = time.Now()
	}
	switch {
	case errors.As(err, &name) && len(names(name.Certificate)) == 0:
		return "the certificate names no host at all: its owner must renew it, with subject alternative names"
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate is for %s: connect by such a name, or set ServerName to it", strings.Join(names(name.Certificate), ", "))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.NotAfter.Before(at):
		return "the certificate has expired: its owner must renew it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate is not valid yet: is the clock of this host right?"
	case errors.As(err, &unknown) && unknown.Cert != nil && string(unknown.Cert.RawIssuer) == string(unknown.Cert.RawSubject):
		return "the certificate is signed by itself: if it is the right one, put it into RootCAs"
	}
	return "put the authority that signed the certificate into RootCAs, or have the server send the certificates between"
}

// names lists whom a certificate is for.
func names(certificate *x509.Certificate) (list []string) {
	list = append(list, certificate.DNSNames...)
	for _, ip := range certificate.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}

// alertOf returns the alert by which the server ended TLS. crypto/tls has no name
// for its type, which is a number.
func alertOf(err error) (alert uint64, ok bool) {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(remote.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// adviseAlert tells what a server means by an alert (RFC 8446, section 6.2).
func adviseAlert(alert uint64) string {
	const (
		handshakeFailure   = 40
		badCertificate     = 42 // and others up to
		unknownAuthority   = 48
		protocolVersion    = 70
		unrecognizedName   = 112
		certificateMissing = 116
	)
	switch {
	case alert == protocolVersion:
		return "TLS 1.2 or later is needed on both sides"
	case alert == unrecognizedName:
		return "the server does not know the host that it was asked for: check ServerName"
	case alert == certificateMissing, alert >= badCertificate && alert <= unknownAuthority:
		return "the server wants a client certificate that it trusts: set Certificates"
	case alert == handshakeFailure:
		return "the two sides have no way of TLS in common, or the server wants a client certificate"
	}
	return ""
}

// escapedError is an error whose text holds what the server has sent, such as
// the names in its certificate.
type escapedError struct{ error }

func (e escapedError) Error() string { return escape(e.error.Error()) }

func (e escapedError) Unwrap() error { return e.error }
