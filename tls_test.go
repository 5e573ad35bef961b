package smtp_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

// issue makes a certificate, signed by parent or by itself.
func issue(t *testing.T, template *x509.Certificate, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	made, err := testcert.Issue(template, parent)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestCertificates: each error says what is wrong, and what would mend it. The
// texts are in testdata/tls.
func TestCertificates(t *testing.T) {
	t.Parallel()
	authority := issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "Example Authority"}}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	host := []string{"mx.example.net", "mail.example.net"}
	good := issue(t, &x509.Certificate{DNSNames: host}, &authority)
	for name, test := range map[string]struct{ server, client *tls.Config }{
		"expired":          {server: serving(issue(t, &x509.Certificate{DNSNames: host, NotAfter: time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC)}, &authority))},
		"expired-by-then":  {server: serving(good), client: &tls.Config{Time: func() time.Time { return sentAt.AddDate(300, 0, 0) }}},
		"not-yet-valid":    {server: serving(issue(t, &x509.Certificate{DNSNames: host, NotBefore: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}, &authority))},
		"self-signed":      {server: serving(issue(t, &x509.Certificate{DNSNames: host, Subject: pkix.Name{CommonName: "mx"}}, nil))},
		"unknown-root":     {server: serving(good), client: &tls.Config{RootCAs: x509.NewCertPool()}},
		"wrong-name":       {server: serving(good), client: &tls.Config{ServerName: "smtp.example.com"}},
		"name-for-address": {server: serving(good), client: &tls.Config{ServerName: "192.0.2.1"}},
		"address-for-name": {server: serving(issue(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, &authority))},
		"no-names":         {server: serving(issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "mx.example.net"}}, &authority))},
		"client-needed":    {server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert}},
		"client-needed-12": {server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}},
		"client-unknown": {server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
			client: &tls.Config{Certificates: []tls.Certificate{issue(t, &x509.Certificate{DNSNames: host}, nil)}}},
		"old-server": {server: &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := test.client
			if config == nil {
				config = &tls.Config{}
			}
			if config.RootCAs == nil {
				config.RootCAs = roots
			}
			if config.ServerName == "" {
				config.ServerName = "mx.example.net"
			}
			if config.Time == nil {
				config.Time = func() time.Time { return sentAt }
			}
			ours, theirs := tcpPair(t)
			go speakTLS(theirs, test.server)
			c := smtp.NewClient(ours, nil)
			err := c.Hello(t.Context())
			if err == nil {
				err = c.StartTLS(t.Context(), config)
			}
			if err == nil {
				err = c.Hello(t.Context())
			}
			c.Close()
			var e *smtp.Error
			if !errors.As(err, &e) || e.Temporary() {
				t.Fatalf("the error is %v", err)
			}
			golden(t, filepath.Join("testdata", "tls", name+".txt"), err.Error()+"\n")
		})
	}
}

// speakTLS is a server up to its first words under TLS.
func speakTLS(conn net.Conn, config *tls.Config) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	for _, reply := range []string{"220 mx", "250-mx\r\n250 STARTTLS", "220 go"} {
		io.WriteString(conn, reply+"\r\n")
		if reply != "220 go" {
			conn.Read(buffer)
		}
	}
	over := tls.Server(conn, config)
	if over.Handshake() == nil {
		over.Read(buffer)
		io.WriteString(over, "250 mx\r\n")
	}
	io.Copy(io.Discard, conn) // lest a reset overtake the alert
}

func serving(certificate tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// golden compares with what a file holds.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s holds %q, %v; got %q", path, want, err, got)
	}
}

// TestResumption: a Mailer's later connections take up the TLS of the first.
func TestResumption(t *testing.T) {
	t.Parallel()
	mailer := mailerTo(t, smtptest.NewServer(t, func(s *smtptest.Server) { s.ImplicitTLS = true }))
	mailer.TLS = smtp.TLSImplicit
	for i := range 3 {
		c, err := mailer.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), letter("bob@example.net")); err != nil {
			t.Fatal(err)
		}
		state, _ := c.TLSConnectionState()
		if state.DidResume != (i > 0) || len(state.VerifiedChains) == 0 {
			t.Errorf("connection %d: resumed: %v", i, state.DidResume)
		}
		c.Quit(t.Context())
	}
	if mailer.TLSConfig.ClientSessionCache != nil {
		t.Error("the config of the caller was changed")
	}
}

// mxServer is a server that a policy of TLS meets.
type mxServer struct {
	ehlo, starttls string // what it says to them; empty: nothing
	tls            bool   // it does its part of the handshake
	implicit       bool   // at once
	under          string // what it says to EHLO under TLS; empty: it offers PLAIN
	wantsClient    bool   // with a certificate

	mu    sync.Mutex
	clear bytes.Buffer // what it heard in the clear
	mails int
	dials int
}

func (s *mxServer) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	go func() {
		defer theirs.Close()
		s.serve(theirs)
	}()
	return ours, nil
}

func (s *mxServer) serve(raw net.Conn) {
	certificate, _, _ := testcert.Loopback()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true}
	if s.wantsClient {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	conn, secure := raw, false
	if s.implicit {
		conn, secure = tls.Server(raw, config), true
	}
	reply := "220 mx\r\n"
	buffer := make([]byte, 4096)
	for {
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		line := string(buffer[:n])
		if !secure {
			s.mu.Lock()
			s.clear.WriteString(line)
			s.mu.Unlock()
		}
		reply = "250 ok\r\n"
		switch {
		case strings.HasPrefix(line, "EHLO") && secure:
			reply = "250-mx\r\n250 AUTH PLAIN\r\n"
		case strings.HasPrefix(line, "EHLO"):
			reply = s.ehlo
		case strings.HasPrefix(line, "STARTTLS"):
			reply = s.starttls
			if s.tls {
				io.WriteString(conn, reply)
				conn, secure, reply = tls.Server(raw, config), true, ""
				if _, err := conn.Read(buffer); err != nil {
					io.Copy(io.Discard, raw) // lest a reset overtake the alert
					return
				}
				reply = cmp.Or(s.under, "250-mx\r\n250 AUTH PLAIN\r\n")
			}
		case strings.HasPrefix(line, "AUTH"):
			reply = "235 ok\r\n"
		case strings.HasPrefix(line, "DATA"):
			reply = "354 go\r\n"
		case strings.HasSuffix(line, "\r\n.\r\n"):
			s.mu.Lock()
			s.mails++
			s.mu.Unlock()
		}
	}
}

// TestPolicyMatrix: each policy meets each kind of server, by our dialer, by one of
// the caller's, and on a ready connection. What was sent in the clear is told by the
// server: never a secret, and a mail only where that was allowed.
func TestPolicyMatrix(t *testing.T) {
	t.Parallel()
	const offers, plain = "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n", "250-mx\r\n250 AUTH PLAIN\r\n"
	servers := map[string]*mxServer{
		"offers":         {ehlo: offers, starttls: "220 go\r\n", tls: true},
		"lacks":          {ehlo: plain},
		"refuses":        {ehlo: offers, starttls: "454 4.7.0 not now\r\n"},
		"injects":        {ehlo: offers, starttls: "220 go\r\n250 injected\r\n", tls: false},
		"lies":           {ehlo: offers, starttls: "220 go\r\n"}, // and speaks no TLS
		"speaks at once": {implicit: true},
		"is silent":      {ehlo: ""},
	}
	const mail, clear, nothing = "mail under TLS", "mail in the clear", "no mail"
	want := map[string]map[smtp.TLSPolicy]string{
		"offers":         {smtp.TLSRequired: mail, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: mail, smtp.TLSNone: clear},
		"lacks":          {smtp.TLSRequired: nothing, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: clear, smtp.TLSNone: clear},
		"refuses":        {smtp.TLSRequired: nothing, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: clear, smtp.TLSNone: clear},
		"injects":        {smtp.TLSRequired: nothing, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: nothing, smtp.TLSNone: clear},
		"lies":           {smtp.TLSRequired: nothing, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: clear, smtp.TLSNone: clear},
		"speaks at once": {smtp.TLSRequired: nothing, smtp.TLSImplicit: mail, smtp.TLSOpportunistic: nothing, smtp.TLSNone: nothing},
		"is silent":      {smtp.TLSRequired: nothing, smtp.TLSImplicit: nothing, smtp.TLSOpportunistic: nothing, smtp.TLSNone: nothing},
	}
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	for kind, byPolicy := range want {
		for policy, want := range byPolicy {
			for _, auth := range []bool{false, true} {
				for _, verified := range []bool{true, false} {
					for how, meet := range meetings {
						name := fmt.Sprintf("%s, policy %d, auth %v, verified %v, %s", kind, policy, auth, verified, how)
						like := servers[kind]
						server := &mxServer{ehlo: like.ehlo, starttls: like.starttls, tls: like.tls, implicit: like.implicit}
						mailer := &smtp.Mailer{TLS: policy, TLSConfig: &tls.Config{ServerName: "localhost"}}
						if verified {
							mailer.TLSConfig.RootCAs = roots
						}
						if auth {
							mailer.Auth = []smtp.Mechanism{smtp.Plain("ann", "secret")}
						}
						want, ours := want, how == "our dialer" && policy == smtp.TLSNone // on loopback, credentials may go
						switch {
						case how == "ready connection" && policy == smtp.TLSOpportunistic:
							continue // That is a matter of the Mailer.
						case want == clear && auth && !ours, want == mail && !verified && (policy != smtp.TLSOpportunistic || auth):
							want = nothing
						}
						err := meet(t, server, mailer)
						heard, got := server.clear.String(), nothing
						if server.mails > 0 {
							got = mail
							if strings.Contains(heard, "DATA") {
								got = clear
							}
						}
						if got != want || (err == nil) != (want != nothing) || server.mails > 1 {
							t.Errorf("%s: %s, want %s: %v", name, got, want, err)
						}
						if strings.Contains(heard, "AUTH") && !ours || want != clear && strings.Contains(heard, "MAIL") {
							t.Errorf("%s: in the clear went %q", name, heard)
						}
						if server.dials > 1 && !(kind == "lies" && policy == smtp.TLSOpportunistic) {
							t.Errorf("%s: %d connections", name, server.dials)
						}
					}
				}
			}
		}
	}
}

// meetings are the ways in which a client comes to its connection.
var meetings = map[string]func(*testing.T, *mxServer, *smtp.Mailer) error{
	"custom dialer": func(t *testing.T, server *mxServer, mailer *smtp.Mailer) (err error) {
		synctest.Test(t, func(t *testing.T) {
			mailer.Addr, mailer.DialContext = "mx.example.net:25", server.dial
			_, err = mailer.Send(t.Context(), letter("bob@example.net"))
			mailer.Close()
		})
		return err
	},
	"our dialer": func(t *testing.T, server *mxServer, mailer *smtp.Mailer) error {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				server.dials++
				serving.Go(func() {
					defer conn.Close()
					server.serve(conn)
				})
			}
		})
		mailer.Addr = listener.Addr().String()
		if server.implicit || server.ehlo == "" { // Somebody waits in vain.
			mailer.Options.Timeouts = smtp.Timeouts{Greeting: 50 * time.Millisecond, Command: 50 * time.Millisecond}
			if mailer.TLS == smtp.TLSImplicit && server.implicit {
				mailer.Options.Timeouts = smtp.Timeouts{}
			}
		}
		_, err = mailer.Send(t.Context(), letter("bob@example.net"))
		mailer.Close()
		listener.Close()
		serving.Wait()
		return err
	},
	"ready connection": func(t *testing.T, server *mxServer, mailer *smtp.Mailer) (err error) {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			conn, _ := server.dial(ctx, "", "")
			if mailer.TLS == smtp.TLSImplicit {
				conn = tls.Client(conn, mailer.TLSConfig)
			}
			c := smtp.NewClient(conn, nil)
			defer c.Close()
			steps := []func() error{func() error { return c.Hello(ctx) }}
			if mailer.TLS == smtp.TLSRequired {
				steps = append(steps, func() error { return c.StartTLS(ctx, mailer.TLSConfig) }, steps[0])
			}
			if mailer.Auth != nil {
				steps = append(steps, func() error { return c.Auth(ctx, mailer.Auth...) })
			}
			steps = append(steps, func() error { _, err := c.Send(ctx, letter("bob@example.net")); return err })
			for _, step := range steps {
				if err = step(); err != nil {
					return
				}
			}
		})
		return err
	},
}

// TestReadyConnections: the same servers met step by step on a connection that is
// ready: nothing secret goes in the clear there either.
func TestReadyConnections(t *testing.T) {
	t.Parallel()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	for starttls, works := range map[string]bool{"220 go\r\n": true, "454 no\r\n": false, "220 go\r\n250 injected\r\n": false, "220 go\r\n220 mx\r\n": false} {
		synctest.Test(t, func(t *testing.T) {
			server := &mxServer{ehlo: "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n", starttls: starttls, tls: works}
			conn, _ := server.dial(t.Context(), "", "")
			c := smtp.NewClient(conn, &smtp.Options{ServerName: "localhost"})
			defer c.Close()
			c.Hello(t.Context())
			c.StartTLS(t.Context(), &tls.Config{RootCAs: roots})
			c.Hello(t.Context())
			if err := c.Auth(t.Context(), smtp.Password("ann", "secret")...); (err == nil) != works {
				t.Errorf("after %q, AUTH returned %v", starttls, err)
			}
			c.Close()
			synctest.Wait()
			if strings.Contains(server.clear.String(), "AUTH") {
				t.Errorf("in the clear went %q", server.clear.String())
			}
		})
	}
}

// TestOwnVerification: what the caller checks of a certificate decides, also under
// TLSOpportunistic, and counts as verification.
func TestOwnVerification(t *testing.T) {
	t.Parallel()
	pinned := errors.New("not the certificate that is pinned")
	for _, policy := range []smtp.TLSPolicy{smtp.TLSRequired, smtp.TLSOpportunistic} {
		for _, verdict := range []error{nil, pinned} {
			synctest.Test(t, func(t *testing.T) {
				server := &mxServer{ehlo: "250-mx\r\n250 STARTTLS\r\n", starttls: "220 go\r\n", tls: true}
				mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: policy, DialContext: server.dial, Auth: []smtp.Mechanism{smtp.Plain("ann", "secret")}}
				mailer.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return verdict }}
				_, err := mailer.Send(t.Context(), letter("bob@example.net"))
				mailer.Close()
				if !errors.Is(err, verdict) || server.dials != 1 || (server.mails == 1) != (verdict == nil) {
					t.Errorf("policy %d: %d connections, %d mails: %v", policy, server.dials, server.mails, err)
				}
			})
		}
	}
}

// TestClientCertificate: a relay that knows its clients by their certificates.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	ours, theirs := tcpPair(t)
	server := recordAs(tls.Server(theirs, config), &recorder{offers: "AUTH EXTERNAL"})
	mailer := &smtp.Mailer{Addr: "localhost:465", Auth: []smtp.Mechanism{smtp.External("")}, TLSConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, &certificate)}}}
	mailer.DialContext = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
		t.Error(err)
	}
	mailer.Close()
	<-server.done
	if !server.ended || !strings.Contains(server.verbs, "AUTH") {
		t.Errorf("the server heard %s", server.verbs)
	}
}

// TestOpportunisticFailures: what goes wrong under TLSOpportunistic, and where it
// leads to.
func TestOpportunisticFailures(t *testing.T) {
	t.Parallel()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	checks := func(config *tls.Config) *tls.Config {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			_ = state.VerifiedChains[0][0]
			return nil
		}
		return config
	}
	offers := "250-mx\r\n250 STARTTLS\r\n"
	for name, test := range map[string]struct {
		server        *mxServer
		config        *tls.Config
		addr          string
		auth          bool
		want          string
		mails, dialed int
	}{
		"EHLO refused under TLS":           {server: &mxServer{ehlo: offers, starttls: "220 go\r\n", tls: true, under: "451 4.3.0 later\r\n"}, want: "451", dialed: 1},
		"a check on top of the usual":      {server: &mxServer{ehlo: offers, starttls: "220 go\r\n", tls: true}, config: checks(&tls.Config{ServerName: "localhost"}), auth: true, want: "unknown authority", dialed: 1},
		"a check on top, which is content": {server: &mxServer{ehlo: offers, starttls: "220 go\r\n", tls: true}, config: checks(&tls.Config{ServerName: "localhost", RootCAs: roots}), auth: true, mails: 1, dialed: 1},
		"no name to check":                 {server: &mxServer{ehlo: offers, starttls: "220 go\r\n", tls: true}, config: &tls.Config{RootCAs: roots}, addr: "unix:/run/tunnel", auth: true, want: "could not be verified", dialed: 1},
		"client certificate needed":        {server: &mxServer{ehlo: offers, starttls: "220 go\r\n", tls: true, wantsClient: true}, mails: 1, dialed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mailer := &smtp.Mailer{Addr: cmp.Or(test.addr, "mx.example.net:25"), TLS: smtp.TLSOpportunistic, TLSConfig: test.config}
			mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := tcpPair(t)
				test.server.dials++
				go func() {
					defer theirs.Close()
					test.server.serve(theirs)
				}()
				return ours, nil
			}
			if test.auth {
				mailer.Auth = []smtp.Mechanism{smtp.Plain("ann", "secret")}
			}
			_, err := mailer.Send(t.Context(), letter("bob@example.net"))
			mailer.Close()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || test.server.dials != test.dialed {
				t.Errorf("after %d connections: %v", test.server.dials, err)
			}
		})
	}
}
