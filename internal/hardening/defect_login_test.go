package main

import (
	"context"
	"encoding/base64"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectDialerTLS: a dialer of the caller's own changes nothing about TLS.
func defectDialerTLS(t *testing.T) {
	for policy, addr := range map[smtp.TLSPolicy]string{smtp.TLSImplicit: "localhost:587", smtp.TLSRequired: "localhost:465"} {
		line, mailer := defectListen(t)
		to := line.Server.Addr
		mailer.TLS, mailer.Addr, mailer.Auth = policy, addr, smtp.Password("user", "pencil")
		mailer.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return line.dial(ctx, network, to) }
		if _, err := mailer.Send(t.Context(), smallMail("bob@example.net")); err == nil || !strings.HasPrefix(line.text(), "\x16\x03") {
			t.Errorf("the client said %q: %v", line.text(), err)
		}
	}
}

// defectLowerCase: keywords of extensions have no letter case.
func defectLowerCase(t *testing.T) {
	for _, policy := range []smtp.TLSPolicy{smtp.TLSRequired, smtp.TLSOpportunistic} {
		synctest.Test(t, func(t *testing.T) {
			defectPlayTo(t, "C: %s\nS: 250-mx\nS: 250 starttls\nC: STARTTLS\nS: 220 go\nS: (starts TLS)\nC: %s\nS: 250 mx\nC: QUIT\nS: 221 bye", func(conn net.Conn) {
				mailer := &smtp.Mailer{Addr: "localhost:587", TLS: policy, TLSConfig: defectTrust(t), Options: smtp.Options{LocalName: "client.example.com"}}
				mailer.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
				if err := mailer.Verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// defectFakeSCRAM is a server that knows no password, and says 235 after so many lines;
// to a proof, of which it notes that it came.
func defectFakeSCRAM(iterations string, after int, proved *bool) func(line string) string {
	nonce := regexp.MustCompile(`r=(.*)`)
	return func(line string) string {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "EHLO":
			return "250-mx\r\n250 AUTH SCRAM-SHA-256"
		case "AUTH":
			initial, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "SCRAM-SHA-256 "))
			if found := nonce.FindSubmatch(initial); found != nil && after > 0 {
				return "334 " + base64.StdEncoding.EncodeToString([]byte("r="+string(found[1])+"xyz,s=QUJD,i="+iterations))
			}
		case "*":
			return "501 cancelled"
		}
		*proved = verb != "AUTH"
		return "235 welcome"
	}
}

// defectSCRAM: the server has to prove that it knows the password, and cannot ask for
// too few or too many iterations.
func defectSCRAM(t *testing.T) {
	for _, test := range []struct {
		iterations string
		after      int
	}{{"4096", 0}, {"4096", 1}, {"1", 1}, {"1000000000", 1}, {"99999999999999999999", 1}} {
		ours, theirs := net.Pipe()
		var proved bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			defectAnswer(theirs, defectFakeSCRAM(test.iterations, test.after, &proved))
		}()
		c := smtp.NewClient(ours, &smtp.Options{PlaintextAuth: true})
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(t.Context(), smtp.SCRAMSHA256("user", "pencil")); err == nil {
			t.Errorf("%v: a server that knows no password was believed", test)
		}
		c.Close()
		if <-done; proved != (test.iterations == "4096" && test.after == 1) {
			t.Errorf("%v: a proof was sent: %v", test, proved)
		}
	}
}

// defectClearSecrets: no mechanism shows anything without TLS.
func defectClearSecrets(t *testing.T) {
	token := func(context.Context) (string, error) { return "token", nil }
	for _, mechanism := range append(smtp.Password("user", "pencil"), smtp.XOAUTH2("user", token), smtp.OAuthBearer("user", token), smtp.CRAMMD5("user", "pencil")) {
		for _, policy := range []smtp.TLSPolicy{smtp.TLSNone, smtp.TLSOpportunistic} {
			line, mailer := defectServe(t, func(s *smtptest.Server) {
				s.Offer = []string{"AUTH " + mechanism.Name()}
				s.Mechanisms = []string{}
			})
			mailer.TLS, mailer.Auth = policy, []smtp.Mechanism{mechanism}
			if err := mailer.Verify(t.Context()); err == nil || strings.Contains(line.text(), "AUTH") {
				t.Errorf("%s: %v\n%s", mechanism.Name(), err, line.text())
			}
		}
	}
}

// defectRoundTrips counts how often the server is waited for, up to the 250.
func defectRoundTrips(t *testing.T) {
	for _, test := range []struct {
		set  func(*smtptest.Server)
		want int
	}{
		{func(s *smtptest.Server) { s.NoTLS = true }, 3}, // EHLO; the envelope; the content
		{defectTLS, 7}, // EHLO; STARTTLS; TLS; EHLO; AUTH; the envelope; the content
	} {
		line, mailer := defectServe(t, test.set)
		if !line.NoTLS {
			mailer.Auth = smtp.Password("user", "pencil")
		}
		if _, err := mailer.Send(t.Context(), smallMail("a@example.net", "b@example.net", "c@example.net")); err != nil {
			t.Fatal(err)
		}
		line.mu.Lock()
		first := line.flights
		line.mu.Unlock()
		if _, err := mailer.Send(t.Context(), smallMail("a@example.net", "b@example.net", "c@example.net")); err != nil {
			t.Fatal(err)
		}
		if second := line.flights - first; first != test.want || second != 2 || line.opened != 1 {
			t.Errorf("%d flights for the first mail, want %d; %d for the second", first, test.want, second)
		}
	}
}
