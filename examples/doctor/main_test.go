package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

var update = flag.Bool("update", false, "rewrite what the files in testdata expect")

// at is the time of all examinations.
var at = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newDoctor() *doctor {
	return &doctor{resolver: demoZone(), now: func() time.Time { return at }}
}

// TestDemonstration: what is shown without arguments, to the letter.
func TestDemonstration(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	healthy, err := newDoctor().run(t.Context(), nil, &out, false)
	if err != nil || !healthy {
		t.Errorf("healthy: %v, %v", healthy, err)
	}
	const path = "testdata/demonstration.txt"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != out.String() {
		t.Errorf("%v; got\n%s", err, out.String())
	}
}

// TestTimeLeft: in days as long as they matter.
func TestTimeLeft(t *testing.T) {
	t.Parallel()
	for days, want := range map[int]string{14: "14 days", 90: "90 days", 730: "730 days", 731: "2 years", 59574: "163 years"} {
		if got := timeLeft(days); got != want {
			t.Errorf("%d: %s, want %s", days, got, want)
		}
	}
}

// lines tells the findings in short, one a line.
func (r report) lines() string {
	var b strings.Builder
	for _, f := range r {
		fmt.Fprintf(&b, "%s %s: %s\n", marks[f.mark].name, f.what, f.text)
	}
	return b.String()
}

const mx, spf, dkim, dmarc = "MX", "SPF", "DKIM", "DMARC"

const domain, key, policy = "example.com", "s1._domainkey.example.com", "_dmarc.example.com"

// txt changes the records of a name.
func txt(name string, records ...string) func(*zone) {
	return func(z *zone) { z.txt[name] = records }
}

// mxs changes the mail exchangers of the domain.
func mxs(hosts ...string) func(*zone) {
	return func(z *zone) {
		z.mx[domain] = nil
		for _, host := range hosts {
			z.mx[domain] = append(z.mx[domain], &net.MX{Host: host, Pref: 10})
		}
	}
}

// domains are each kind of record, right and wrong in each way that is known.
var domains = map[string]struct {
	check  string
	change func(*zone)
	want   string
}{
	"mx":               {mx, mxs("mx2.example.com."), "ok MX: 10 mx2.example.com, 192.0.2.2\n"},
	"mx without host":  {mx, mxs("mx2.example.com.", "gone.example.com."), "ok MX: 10 mx2.example.com, 192.0.2.2\nfail MX: gone.example.com has no address\n"},
	"mx an address":    {mx, mxs("192.0.2.1."), "fail MX: 192.0.2.1 is an address\n"},
	"null mx":          {mx, mxs("."), "fail MX: null MX: the domain takes no mail\n"},
	"null mx and more": {mx, mxs("mx1.example.com.", "."), "fail MX: a null MX stands beside others\n"},
	"no mx":            {mx, mxs(), "fail MX: no MX, and no address\n"},
	"implicit mx":      {mx, func(z *zone) { mxs()(z); z.host[domain] = []string{"192.0.2.9"} }, "warn MX: no MX: mail goes to 192.0.2.9\n"},
	"mx unknown": {mx, func(z *zone) {
		z.fails = map[string]error{domain: &net.DNSError{Err: "server misbehaving", Name: domain, IsTemporary: true}}
	},
		"fail MX: lookup example.com: server misbehaving\n"},

	"spf": {spf, func(*zone) {}, "ok SPF: v=spf1 mx include:_spf.example.net ~all\nok SPF terms: 2 of at most 10 ask the DNS\nok SPF end: ~all: other hosts are suspect\n"},
	"spf in capitals": {spf, txt(domain, "V=SPF1 IP4:192.0.2.0/24 -ALL"),
		"ok SPF: V=SPF1 IP4:192.0.2.0/24 -ALL\nok SPF terms: 0 of at most 10 ask the DNS\nok SPF end: -all: other hosts are refused\n"},
	"spf +all":        {spf, txt(domain, "v=spf1 all"), "ok SPF: v=spf1 all\nok SPF terms: 0 of at most 10 ask the DNS\nfail SPF end: +all: anybody may send in the name of the domain\n"},
	"spf ?all":        {spf, txt(domain, "v=spf1 a ?all"), "ok SPF: v=spf1 a ?all\nok SPF terms: 1 of at most 10 ask the DNS\nwarn SPF end: ?all: of other hosts, nothing is said\n"},
	"spf without all": {spf, txt(domain, "v=spf1"), "ok SPF: v=spf1\nok SPF terms: 0 of at most 10 ask the DNS\nwarn SPF end: no all: of other hosts, nothing is said\n"},
	"no spf":          {spf, txt(domain, "v=spf10 -all", "v=spf1-all"), "fail SPF: no record at example.com\n"},
	"two of spf":      {spf, txt(domain, "v=spf1 -all", "v=spf1 a -all"), "fail SPF: 2 records at example.com\n"},
	"spf unknown": {spf, func(z *zone) { z.fails = map[string]error{"_spf.example.net": errors.New("no answer")} },
		"ok SPF: v=spf1 mx include:_spf.example.net ~all\nfail SPF terms: no answer\n"},
	"spf with ten": {spf, txt(domain, "v=spf1"+strings.Repeat(" a:mx1.example.com", 9)+" include:_spf.example.net -all"),
		"ok SPF: v=spf1" + strings.Repeat(" a:mx1.example.com", 9) + " include:_spf.example.net -all\nok SPF terms: 10 of at most 10 ask the DNS\nok SPF end: -all: other hosts are refused\n"},
	"spf with too many": {spf, func(z *zone) {
		z.txt[domain] = []string{"v=spf1 mx a exists:a.example.com include:_spf.example.net -all"}
		z.txt["_spf.example.net"] = []string{"v=spf1" + strings.Repeat(" ptr", 6) + " mx/24 -all"}
	}, "ok SPF: v=spf1 mx a exists:a.example.com include:_spf.example.net -all\nfail SPF terms: more than 10 terms ask the DNS, from mx/24 at example.com > _spf.example.net on\n"},
	"spf in a loop": {spf, txt("_spf.example.net", "v=spf1 include:Example.COM. -all"),
		"ok SPF: v=spf1 mx include:_spf.example.net ~all\nfail SPF terms: a loop: example.com > _spf.example.net > example.com\n"},
	"spf twice is no loop": {spf, txt(domain, "v=spf1 include:_spf.example.net include:_spf.example.net -all"),
		"ok SPF: v=spf1 include:_spf.example.net include:_spf.example.net -all\nok SPF terms: 2 of at most 10 ask the DNS\nok SPF end: -all: other hosts are refused\n"},
	"spf elsewhere": {spf, txt(domain, "v=spf1 redirect=_spf.example.net exp=why.example.com"),
		"ok SPF: v=spf1 redirect=_spf.example.net exp=why.example.com\nok SPF terms: 1 of at most 10 ask the DNS\nok SPF end: -all: other hosts are refused\n"},
	"spf nowhere": {spf, txt(domain, "v=spf1 include:gone.example.net -all"),
		"ok SPF: v=spf1 include:gone.example.net -all\nfail SPF terms: gone.example.net has no record, and is referred to\n"},
	"spf misspelt": {spf, txt(domain, "v=spf1 ipv4:192.0.2.1 -all"), "ok SPF: v=spf1 ipv4:192.0.2.1 -all\nfail SPF terms: \"ipv4:192.0.2.1\" is no term\n"},
	"spf by macro": {spf, txt(domain, "v=spf1 include:%{i}.example.net -all"),
		"ok SPF: v=spf1 include:%{i}.example.net -all\nok SPF terms: 1 of at most 10 ask the DNS\n- SPF terms: not followed: include:%{i}.example.net depends on the mail\nok SPF end: -all: other hosts are refused\n"},

	"dkim":             {dkim, txt(key, "v=DKIM1; p="+demoKey(2048)), "ok DKIM: RSA key of 2048 bits\n"},
	"dkim in pieces":   {dkim, txt(key, "p = "+demoKey(2048)[:50]+" \t"+demoKey(2048)[50:]+" ;"), "ok DKIM: RSA key of 2048 bits\n"},
	"dkim by ed25519":  {dkim, txt(key, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), "ok DKIM: Ed25519 key of 256 bits\n"},
	"dkim 1024":        {dkim, func(*zone) {}, "warn DKIM: RSA key of 1024 bits, which is weak\n"},
	"dkim 512":         {dkim, txt(key, "v=DKIM1; p="+demoKey(512)), "fail DKIM: RSA key of 512 bits, which nobody accepts\n"},
	"dkim testing":     {dkim, txt(key, "v=DKIM1; t=s:y; p="+demoKey(2048)), "warn DKIM: t=y: the domain only tests DKIM\nok DKIM: RSA key of 2048 bits\n"},
	"dkim revoked":     {dkim, txt(key, "v=DKIM1; p="), "fail DKIM: the key is revoked: p= is empty\n"},
	"dkim without key": {dkim, txt(key, "v=DKIM1; k=rsa"), "fail DKIM: the record has no key\n"},
	"dkim damaged":     {dkim, txt(key, "v=DKIM1; p="+demoKey(2048)[1:]), "fail DKIM: the key cannot be read\n"},
	"dkim of an odd k": {dkim, txt(key, "v=DKIM1; k=ed25519; p="+demoKey(2048)), "fail DKIM: the key cannot be read\n"},
	"no dkim":          {dkim, txt(key), "fail DKIM: no record at s1._domainkey.example.com\n"},
	"two of dkim":      {dkim, txt(key, "v=DKIM1; p=", "v=DKIM1; p="), "fail DKIM: 2 records at s1._domainkey.example.com\n"},
	"dkim wildcard":    {dkim, txt(key, "v=spf1 -all"), "fail DKIM: the version is spf1 -all\n"},

	"dmarc":             {dmarc, txt(policy, "v=DMARC1; p=reject; rua=mailto:a@example.com"), "ok DMARC: p=reject at _dmarc.example.com\nok DMARC reports: mailto:a@example.com\n"},
	"dmarc none":        {dmarc, txt(policy, "v=DMARC1; p=none"), "warn DMARC: p=none at _dmarc.example.com: mail that fails is let through\nwarn DMARC reports: nobody gets them: there is no rua=\n"},
	"dmarc without p":   {dmarc, txt(policy, "v=DMARC1; rua=mailto:a@example.com"), "fail DMARC: \"\" is no policy\nok DMARC reports: mailto:a@example.com\n"},
	"no dmarc":          {dmarc, txt(policy, "DMARC1; p=none", " v=DMARC1; p=none"), "warn DMARC: no record at _dmarc.example.com\n"},
	"two of dmarc":      {dmarc, txt(policy, "v=DMARC1; p=none", "v=DMARC1; p=reject"), "fail DMARC: 2 records at _dmarc.example.com\n"},
	"dmarc not a TXT":   {dmarc, func(z *zone) { z.fails = map[string]error{policy: errors.New("refused")} }, "fail DMARC: refused\n"},
	"dmarc none at all": {dmarc, txt(policy), "warn DMARC: no record at _dmarc.example.com\n"},
}

// TestDomains: what is said of each of them, and no problem without advice.
func TestDomains(t *testing.T) {
	t.Parallel()
	for name, test := range domains {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := demoZone()
			test.change(z)
			d := &doctor{resolver: z}
			switch test.check {
			case mx:
				d.checkMX(t.Context(), domain)
			case spf:
				d.checkSPF(t.Context(), domain)
			case dkim:
				d.checkDKIM(t.Context(), domain, "s1")
			case dmarc:
				d.checkDMARC(t.Context(), domain)
			}
			if got := d.lines(); got != test.want {
				t.Errorf("got:\n%swant:\n%s", got, test.want)
			}
			for _, f := range d.report {
				if f.mark >= warn && z.fails == nil && !strings.Contains(f.advice, "RFC ") {
					t.Errorf("no advice on %q", f.text)
				}
			}
		})
	}
}

// TestSubdomain: the policy of the registered domain holds for those below it.
func TestSubdomain(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"v=DMARC1; p=reject; rua=mailto:a@example.com":          "ok DMARC: p=reject at _dmarc.example.co.uk\nok DMARC reports: mailto:a@example.com\n",
		"v=DMARC1; p=reject; sp=none; rua=mailto:a@example.com": "warn DMARC: sp=none at _dmarc.example.co.uk: mail that fails is let through\nok DMARC reports: mailto:a@example.com\n",
	} {
		d := &doctor{resolver: &zone{txt: map[string][]string{"_dmarc.example.co.uk": {record}}}}
		d.checkDMARC(t.Context(), "news.example.co.uk")
		if got := d.lines(); got != want {
			t.Errorf("%s: got:\n%swant:\n%s", record, got, want)
		}
	}
}

// certificate is for mx.example.com, and has expired.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	made, err := testcert.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "old"}, DNSNames: []string{"mx.example.com"},
		NotAfter: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made.Leaf)
	return made, roots
}

// behindTLS puts TLS from the start before a server that has none, and returns its address.
func behindTLS(t *testing.T, server *smtptest.Server, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			inner, err := server.DialContext(t.Context(), "", "")
			if err != nil {
				conn.Close()
				return
			}
			go func() {
				defer inner.Close()
				io.Copy(inner, conn)
			}()
			go func() {
				defer conn.Close()
				io.Copy(conn, inner)
			}()
		}
	}()
	return listener.Addr().String()
}

// lacks tells which of some lines a text lacks.
func lacks(text string, lines ...string) (missing []string) {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(text, line+"\n") })
}

// servers are those that are well, and those that are not.
var servers = map[string]struct {
	configure func(*smtptest.Server)
	change    func(*doctor, *smtp.Mailer)
	front     func(*tls.Config) // TLS before the server
	want      []string
}{
	"good": {want: []string{"ok chain: is verified, for localhost", "ok credentials: are accepted, by PLAIN", "ok TLS versions: 1.2, 1.3 accepted; not 1.0, 1.1",
		"ok SIZE: 33554432: mails of up to 32.0 MiB are taken, in which files grow by a third (RFC 1870)"}},
	"without credentials": {change: func(_ *doctor, m *smtp.Mailer) { m.Auth = nil },
		want: []string{"- credentials: not checked: there are none in the URL"}},
	"no STARTTLS": {configure: func(s *smtptest.Server) { s.NoTLS = true },
		want: []string{"warn AUTH: is offered without TLS: PLAIN", "fail STARTTLS: the server offers no STARTTLS; is this the right port? Submission is on 587, or with TLS from the start on 465",
			"- credentials: not tried: none are sent without TLS"}},
	"in the clear": {configure: func(s *smtptest.Server) { s.NoTLS = true }, change: func(_ *doctor, m *smtp.Mailer) { m.TLS = smtp.TLSNone },
		want: []string{"warn STARTTLS: is not offered", "fail AUTH: the connection has no TLS, and no credentials are sent in the clear"}},
	"TLS from the start": {configure: func(s *smtptest.Server) { s.ImplicitTLS = true }, change: func(_ *doctor, m *smtp.Mailer) { m.Addr = "localhost:465" },
		want: []string{"ok AUTH: under TLS: PLAIN", "ok credentials: are accepted, by PLAIN", "ok TLS versions: 1.2, 1.3 accepted; not 1.0, 1.1"}},
	"wrong name": {change: func(_ *doctor, m *smtp.Mailer) { m.Addr = "mx1.example.com:587" },
		want: []string{"ok certificate: for localhost, 127.0.0.1, ::1, by CN=smtptest",
			"fail STARTTLS: tls: failed to verify certificate: x509: certificate is valid for localhost, not mx1.example.com; the certificate is for localhost, 127.0.0.1, ::1: connect by such a name, or set ServerName to it"}},
	"expired": {configure: func(s *smtptest.Server) { s.NoTLS = true }, front: func(*tls.Config) {},
		change: func(d *doctor, m *smtp.Mailer) {
			m.Addr, m.TLSConfig.ServerName = "mx1.example.com:465", "mx.example.com"
		},
		want: []string{"fail expiry: was at 2020-01-02T03:04:05Z",
			"fail TLS: tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-21T12:00:00Z is after 2020-01-02T03:04:05Z; the certificate has expired: its owner must renew it"}},
	"soon expired": {configure: func(s *smtptest.Server) { s.NoTLS = true }, front: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS12 },
		change: func(d *doctor, m *smtp.Mailer) {
			m.Addr, m.TLSConfig.ServerName = "mx1.example.com:465", "mx.example.com"
			d.now = func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }
		},
		want: []string{"warn expiry: in 1 days", "warn TLS versions: 1.0, 1.1, 1.2 accepted; not 1.3"}},
	"old": {configure: func(s *smtptest.Server) { s.NoTLS = true }, front: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		change: func(d *doctor, m *smtp.Mailer) { m.Addr = "mx1.example.com:465" },
		want: []string{"warn TLS versions: 1.0, 1.1 accepted; not 1.2, 1.3",
			"fail TLS: remote error: tls: protocol version not supported; TLS 1.2 or later is needed on both sides"}},
	"too accepting": {configure: func(s *smtptest.Server) { s.NoTLS = true }, front: func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 },
		change: func(d *doctor, m *smtp.Mailer) { m.Addr = "mx1.example.com:465" },
		want:   []string{"warn TLS versions: 1.0, 1.1, 1.2, 1.3 accepted; not one refused", "fail expiry: was at 2020-01-02T03:04:05Z"}},
	"wrong password": {change: func(_ *doctor, m *smtp.Mailer) { m.Auth = smtp.Password("user", "tin-whistle") },
		want: []string{`ok greeting: 220 "localhost smtptest"`, `fail AUTH: 535 5.7.8 "Authentication failed": check the user name and the password`}},
	"refusing": {configure: func(s *smtptest.Server) { s.On = fault("CONNECT", 554, "no SMTP service here") },
		want: []string{`fail greeting: 554 5.0.0 "no SMTP service here"`}},
	"refusing names": {configure: func(s *smtptest.Server) { s.On = fault("EHLO", 550, "who are you?") },
		want: []string{`ok greeting: 220 "localhost smtptest"`, `fail EHLO: 550 5.0.0 "who are you?"`}},
	"unreachable": {change: func(d *doctor, m *smtp.Mailer) {
		d.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
	}, want: []string{"fail connect: no route"}},
	"half reachable": {change: func(d *doctor, m *smtp.Mailer) {
		dial := d.dial
		d.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "[::1]:587" {
				return nil, errors.New("no route")
			}
			return dial(ctx, network, addr)
		}
	}, want: []string{"ok connect: 127.0.0.1 in 0 ms", "warn connect: no route", "ok credentials: are accepted, by PLAIN"}},
	"unknown":      {change: func(_ *doctor, m *smtp.Mailer) { m.Addr = "gone.example.com:587" }, want: []string{"fail DNS: lookup gone.example.com: no such host"}},
	"local socket": {change: func(_ *doctor, m *smtp.Mailer) { m.Addr = "unix:/run/smtp" }, want: []string{"fail address: only servers with a host and a port are checked"}},
}

// TestServers: what is said of each of them, and never the password.
func TestServers(t *testing.T) {
	t.Parallel()
	expired, trusted := certificate(t)
	for name, test := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &smtptest.Server{}
			if test.configure != nil {
				test.configure(server)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			addr, config := server.Addr, server.TLSConfig
			if test.front != nil {
				front := &tls.Config{Certificates: []tls.Certificate{expired}}
				test.front(front)
				addr, config = behindTLS(t, server, front), &tls.Config{RootCAs: trusted}
			}
			d := newDoctor()
			d.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			mailer := &smtp.Mailer{Addr: "localhost:587", TLSConfig: config, Auth: smtp.Password("user", "pencil")}
			if test.change != nil {
				test.change(d, mailer)
			}
			d.checkServer(t.Context(), mailer)
			got := d.lines()
			if missing := lacks(got, test.want...); len(missing) > 0 {
				t.Errorf("there is no\n%sin\n%s", strings.Join(missing, "\n"), got)
			}
			isWell := !slices.ContainsFunc(test.want, func(line string) bool { return strings.HasPrefix(line, "fail") })
			if (d.count(fail) == 0) != isWell {
				t.Errorf("well: %v, in\n%s", !isWell, got)
			}
			if strings.Contains(got, "pencil") || strings.Contains(got, "tin-whistle") {
				t.Errorf("the password is shown:\n%s", got)
			}
		})
	}
}

func fault(command string, code int, text string) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if step.Command != command {
			return nil
		}
		return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code, Text: text}}
	}
}

// TestHostile: whatever strangers write, a terminal gets printable lines of ours.
func TestHostile(t *testing.T) {
	t.Parallel()
	const attack = "\x1b[2J\x9b31m\r\nok \u202efdp\x07\x00\xff"
	d := newDoctor()
	z := demoZone()
	z.txt["example.com"] = []string{"v=spf1 " + attack + " -all"}
	z.txt["s1._domainkey.example.com"] = []string{"v=" + attack}
	z.txt["_dmarc.example.com"] = []string{"v=DMARC1; p=" + attack + "; rua=" + strings.Repeat(attack, 1000)}
	z.mx["example.com"] = []*net.MX{{Host: attack}}
	z.host["localhost"] = []string{attack}
	server := &smtptest.Server{Offer: []string{"X" + strings.ReplaceAll(attack, "\n", "") + " \x1b[2J"}}
	server.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "AUTH" {
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 535, Text: attack}}
		}
		return nil
	}
	d.resolver, d.dial = z, server.DialContext
	d.examine(t.Context(), &patient{server.Mailer(), "example.com", "s1"})
	d.title(attack)
	d.ok(attack, "%s", attack)
	var out strings.Builder
	d.draw(&out, false)
	for line := range strings.SplitSeq(out.String(), "\n") {
		if escape(line) != line && len(line) <= maxText || strings.ContainsAny(line, "\x1b\r\u202e") || strings.Contains(line, "\x9b") {
			t.Errorf("%q", line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n > 4+3*len(d.report) {
		t.Errorf("%d lines of %d findings", n, len(d.report))
	}
	if out.Len() > 40*maxText || !strings.Contains(out.String(), `ok    \x1b[2J\x9b31m\r\nok \u202efdp\a\x00\xff`) {
		t.Errorf("%d octets:\n%s", out.Len(), out.String())
	}
}

// TestColour: marks have it if it is wanted, and nothing else has.
func TestColour(t *testing.T) {
	t.Parallel()
	var r report
	r.ok("a", "b")
	r.none("a", "b")
	r.warn("a", errors.New("b"))
	r.fail("a", errors.New("b"))
	var plain, coloured strings.Builder
	r.draw(&plain, false)
	r.draw(&coloured, true)
	const want = "  \x1b[32mok  \x1b[0m  a  b\n  -     a  b\n  \x1b[33mwarn\x1b[0m  a  b\n  \x1b[31mfail\x1b[0m  a  b\n\n1 ok, 1 to look at, 1 failed\n"
	if coloured.String() != want {
		t.Errorf("%q", coloured.String())
	}
	if strings.Contains(plain.String(), "\x1b") {
		t.Errorf("%q", plain.String())
	}
}

// TestArguments: what cannot be is an error that shows no password; a failure is none.
func TestArguments(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"selector alone": {"-selector", "s1"},
		"behind":         {"-domain", "example.com", "smtp://user:pencil@mx.example.com"},
		"url":            {"-url", "smtp://user:pen/cil@mx.example.com"},
		"domain":         {"-domain", "exa mple"},
	} {
		_, err := newDoctor().run(t.Context(), args, io.Discard, false)
		if err == nil || strings.Contains(err.Error(), "cil") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out strings.Builder
	healthy, err := newDoctor().run(t.Context(), []string{"-domain", "bücher.example"}, &out, false)
	if healthy || err != nil || !strings.HasPrefix(out.String(), "Domain xn--bcher-kva.example\n") || !strings.Contains(out.String(), "  -     DKIM") {
		t.Errorf("healthy: %v, %v\n%s", healthy, err, out.String())
	}
}

// TestNetwork: a server that is named is reached by the network, and one whose certificate
// nobody vouches for gets no password.
func TestNetwork(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == "AUTH" {
				t.Error("the password was sent")
			}
			return nil
		}
	})
	d := &doctor{resolver: net.DefaultResolver, now: time.Now}
	var out strings.Builder
	healthy, err := d.run(t.Context(), []string{"-url", "smtp://user:pencil@" + server.Addr}, &out, false)
	if healthy || err != nil {
		t.Errorf("healthy: %v, %v", healthy, err)
	}
	want := []string{"ok certificate: for localhost, 127.0.0.1, ::1, by CN=smtptest",
		"fail STARTTLS: tls: failed to verify certificate: x509: certificate signed by unknown authority; the certificate is signed by itself: if it is the right one, put it into RootCAs"}
	if missing := lacks(d.lines(), want...); len(missing) > 0 || strings.Contains(out.String(), "pencil") {
		t.Errorf("there is no\n%s\nin\n%s", strings.Join(missing, "\n"), out.String())
	}
}
