package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

// secret is a password and a token that nothing but the server may see.
const secret = "Tr0ub4dor&3-pencil"

// credentials are all ways to prove oneself by the secret.
func credentials() map[string][]smtp.Mechanism {
	token := func(context.Context) (string, error) { return secret, nil }
	return map[string][]smtp.Mechanism{
		"Password": smtp.Password("user", secret), "OAuth": smtp.OAuth("user", token), "PLAIN": {smtp.Plain("user", secret)}, "LOGIN": {smtp.Login("user", secret)},
		"SASL":     {smtp.SASL("PLAIN", func(context.Context, smtp.ServerInfo) (sasl.Client, error) { return talkative{}, nil })},
		"CRAM-MD5": {smtp.CRAMMD5("user", secret)}, "SCRAM-SHA-256": {smtp.SCRAMSHA256("user", secret)}, "XOAUTH2": {smtp.XOAUTH2("user", token)}, "OAUTHBEARER": {smtp.OAuthBearer("user", token)},
	}
}

// talkative is a mechanism of somebody else's, which shows what it is asked.
type talkative struct{}

func (talkative) Start() (string, []byte, error) {
	return "PLAIN", []byte("\x00user\x00" + secret), nil
}

func (talkative) Next(challenge []byte) ([]byte, error) {
	return nil, fmt.Errorf("what is %q", challenge)
}

// overTLS lists the ways to come to TLS, each of which tries to send a mail over a conn,
// mostly with credentials, and wants a certificate for a host.
var overTLS = map[string]func(ctx context.Context, conn net.Conn, host string, roots *x509.CertPool) error{
	"STARTTLS":                mailerOver(smtp.TLSRequired, ":587", smtp.Plain("user", secret)),
	"STARTTLS, without AUTH":  mailerOver(smtp.TLSRequired, ":587"), // which would find out, too
	"implicit":                mailerOver(smtp.TLSImplicit, ":587", smtp.Plain("user", secret)),
	"implicit by its port":    mailerOver(smtp.TLSRequired, ":465", smtp.Plain("user", secret)),
	"STARTTLS by hand":        byHand(func(host string) (string, string) { return host, "" }),
	"STARTTLS and ServerName": byHand(func(host string) (string, string) { return "", host }),
}

func mailerOver(policy smtp.TLSPolicy, port string, auth ...smtp.Mechanism) func(context.Context, net.Conn, string, *x509.CertPool) error {
	return func(ctx context.Context, conn net.Conn, host string, roots *x509.CertPool) error {
		m := &smtp.Mailer{Addr: host + port, TLS: policy, TLSConfig: &tls.Config{RootCAs: roots}, Auth: auth}
		m.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
		defer m.Close()
		_, err := m.Send(ctx, smallMail("bob@example.net"))
		return err
	}
}

func byHand(names func(host string) (config, option string)) func(context.Context, net.Conn, string, *x509.CertPool) error {
	return func(ctx context.Context, conn net.Conn, host string, roots *x509.CertPool) error {
		inConfig, inOptions := names(host)
		c := smtp.NewClient(conn, &smtp.Options{ServerName: inOptions})
		defer c.Close()
		if err := c.Hello(ctx); err != nil {
			return err
		}
		// Whoever goes on after an error must not be worse off.
		err := errors.Join(c.StartTLS(ctx, &tls.Config{RootCAs: roots, ServerName: inConfig}), c.Hello(ctx), c.Auth(ctx, smtp.Plain("user", secret)))
		_, sent := c.Send(ctx, smallMail("bob@example.net"))
		return errors.Join(err, sent)
	}
}

// certificate makes one, signed by a parent or by itself.
func certificate(t *testing.T, template *x509.Certificate, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	made, err := testcert.Issue(template, parent)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// eavesdropper is a server with a certificate of its own, and what it heard under TLS.
type eavesdropper struct {
	config *tls.Config
	mu     sync.Mutex
	heard  string
}

// serve speaks as any server does, from the start or after STARTTLS under TLS.
func (s *eavesdropper) serve(conn net.Conn, implicit bool) {
	defer conn.Close()
	raw, secure := conn, false
	if implicit {
		conn, secure = tls.Server(raw, s.config), true
	}
	buffer := make([]byte, 64<<10)
	for reply := "220 mx\r\n"; ; {
		if _, err := io.WriteString(conn, reply); err != nil {
			io.Copy(io.Discard, raw)
			return
		}
		n, err := conn.Read(buffer)
		if err != nil {
			io.Copy(io.Discard, raw)
			return
		}
		line := string(buffer[:n])
		if secure {
			s.mu.Lock()
			s.heard += line
			s.mu.Unlock()
		}
		switch {
		case strings.HasPrefix(line, "EHLO"):
			reply = "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"
		case strings.HasPrefix(line, "STARTTLS") && !secure:
			io.WriteString(conn, "220 go\r\n")
			conn, secure, reply = tls.Server(raw, s.config), true, ""
		case strings.HasPrefix(line, "AUTH"):
			reply = "235 ok\r\n"
		case strings.HasPrefix(line, "DATA"):
			reply = "354 go\r\n"
		default:
			reply = "250 ok\r\n"
		}
	}
}

// pair returns the two ends of a connection. TLS needs one that buffers: both sides may
// write at once.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err == nil {
		theirs, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// dial starts a server, and connects to it.
func dial(t *testing.T, server *smtptest.Server) net.Conn {
	t.Helper()
	err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// certificates: a wrong one is an error in each way to TLS, and its server hears nothing; the
// right one is taken.
func certificates(t *testing.T) {
	authority := certificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "authority"}}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	host := []string{"mx.example.com"}
	for kind, made := range map[string]tls.Certificate{
		"good":                   certificate(t, &x509.Certificate{DNSNames: host}, &authority),
		"self-signed":            certificate(t, &x509.Certificate{DNSNames: host}, nil),
		"expired":                certificate(t, &x509.Certificate{DNSNames: host, NotAfter: time.Now().Add(-time.Hour)}, &authority),
		"not yet valid":          certificate(t, &x509.Certificate{DNSNames: host, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}, &authority),
		"for another host":       certificate(t, &x509.Certificate{DNSNames: []string{"evil.example.com", "example.com", "mx.example.com.evil.example"}}, &authority),
		"for a wide wildcard":    certificate(t, &x509.Certificate{DNSNames: []string{"*.com", "*"}}, &authority),
		"with the name as CN":    certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "mx.example.com"}}, &authority),
		"for an address":         certificate(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &authority),
		"of another authority":   certificate(t, &x509.Certificate{DNSNames: host}, ptr(certificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "authority"}}, nil))),
		"for clients only":       certificate(t, &x509.Certificate{DNSNames: host, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, &authority),
		"signed by no authority": certificate(t, &x509.Certificate{DNSNames: host}, ptr(certificate(t, &x509.Certificate{DNSNames: host}, &authority))),
	} {
		for way, send := range overTLS {
			ours, theirs := pair(t)
			server := &eavesdropper{config: &tls.Config{Certificates: []tls.Certificate{made}}}
			done := make(chan struct{})
			go func() {
				defer close(done)
				server.serve(theirs, strings.HasPrefix(way, "implicit"))
			}()
			wire := &tap{Conn: ours}
			err := send(t.Context(), wire, "mx.example.com", roots)
			ours.Close()
			<-done
			if kind == "good" {
				if err != nil || !strings.Contains(server.heard, "MAIL FROM") {
					t.Errorf("%s: %v", way, err)
				}
			} else if err == nil || server.heard != "" {
				t.Errorf("a certificate %s, %s: %v, and the server heard %q", kind, way, err, server.heard)
			}
			checkSecrets(t, way, wire.String())
		}
	}
}

func ptr[T any](v T) *T { return &v }

// injected: what stands behind the reply to STARTTLS, in the clear, ends the session.
func injected(t *testing.T) {
	for _, inject := range []string{
		"250-evil\r\n250 AUTH PLAIN\r\n", "2", "\r\n", "\x00", "250 ok\r\n235 welcome\r\n354 go\r\n", "\x15\x03\x01\x00\x02\x02\x28", "\x16\x03\x03", strings.Repeat("250-evil\r\n", 1000) + "250 AUTH PLAIN\r\n",
		strings.Repeat("x", 2048), strings.Repeat("250 evil\r\n", 205), "220 again\r\n",
	} {
		for way, send := range overTLS {
			if strings.HasPrefix(way, "implicit") {
				continue
			}
			server := &smtptest.Server{Users: map[string]string{"user": secret}, Timeout: 5 * time.Second, On: func(s smtptest.Step) *smtptest.Fault {
				if s.Command == "STARTTLS" {
					return &smtptest.Fault{Inject: inject}
				}
				return nil
			}}
			conn := dial(t, server)
			wire := &tap{Conn: conn}
			err := send(t.Context(), wire, "localhost", server.TLSConfig.RootCAs)
			server.Close()
			var e *smtp.Error
			_, behind, ok := strings.Cut(wire.String(), "STARTTLS\r\n")
			if !errors.As(err, &e) || !ok || len(inject) <= 100 && behind != "" || len(server.Messages()) > 0 {
				t.Fatalf("%s with %d octets behind it: %v, %d mails, and the client wrote %q behind it", way, len(inject), err, len(server.Messages()), beginning(behind))
			}
			checkSecrets(t, way, wire.String())
		}
	}
}

// stripped: a server that refuses STARTTLS, or does not offer it, gets no mail and no secret.
func stripped(t *testing.T) {
	refusal := func(code int) func(s *smtptest.Server) {
		return func(s *smtptest.Server) {
			s.On = func(step smtptest.Step) *smtptest.Fault {
				if step.Command != "STARTTLS" {
					return nil
				}
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code, Text: "no"}}
			}
		}
	}
	for how, set := range map[string]func(*smtptest.Server){
		"454": refusal(454), "502": refusal(502), "554": refusal(554), "421": refusal(421), "500": refusal(500), "503": refusal(503),
		"withheld": func(s *smtptest.Server) { s.Withhold = []string{"STARTTLS"} },
		"NoTLS":    func(s *smtptest.Server) { s.NoTLS = true },
		"no EHLO": func(s *smtptest.Server) {
			s.On = func(step smtptest.Step) *smtptest.Fault {
				if step.Command == "EHLO" {
					return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 502, Text: "no"}}
				}
				return nil
			}
		},
	} {
		for way, send := range overTLS {
			if strings.HasPrefix(way, "implicit") {
				continue
			}
			server := &smtptest.Server{Users: map[string]string{"user": secret}}
			set(server)
			conn := dial(t, server)
			wire := &tap{Conn: conn}
			err := send(t.Context(), wire, "localhost", server.TLSConfig.RootCAs)
			server.Close()
			isByHand := strings.HasPrefix(way, "STARTTLS ")
			var e *smtp.Error // the first of them: what comes after STARTTLS does not make up for it
			if !errors.As(err, &e) || e.Op != "STARTTLS" || strings.Contains(wire.String(), "AUTH") || !isByHand && strings.Contains(wire.String(), "MAIL") {
				t.Errorf("%s, %s: %v, and the client wrote %q", how, way, err, beginning(wire.String()))
			}
			checkSecrets(t, way, wire.String())
		}
	}
}

// inTheClear: a server that offers AUTH without TLS gets no secret, whatever it calls
// itself, and whatever the address is.
func inTheClear(t *testing.T) {
	for name, mechanisms := range credentials() {
		for _, addr := range []string{"localhost:25", "127.0.0.1:25", "[::1]:25", "mx.example.com:25", "localhost.evil.example:25"} {
			for _, policy := range []smtp.TLSPolicy{smtp.TLSRequired, smtp.TLSNone, smtp.TLSOpportunistic} {
				server := &smtptest.Server{NoTLS: true, Users: map[string]string{"user": secret}, Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"}}
				conn := dial(t, server)
				wire := &tap{Conn: conn}
				m := &smtp.Mailer{Addr: addr, TLS: policy, Auth: mechanisms, DialContext: func(context.Context, string, string) (net.Conn, error) { return wire, nil }}
				_, err := m.Send(t.Context(), smallMail("bob@example.net"))
				m.Close()
				server.Close()
				// Who answers a challenge gives away what passwords can be tried on.
				if err == nil || strings.Contains(wire.String(), "AUTH") || len(server.Messages()) > 0 {
					t.Errorf("%s, %s, policy %d: %v, and the client wrote %q", name, addr, policy, err, wire.String())
				}
				checkSecrets(t, name, wire.String())
			}
		}
	}
}

// suppliedConn: TLS is spoken on a conn of the caller's as on any other.
func suppliedConn(t *testing.T) {
	for way, send := range overTLS {
		server := &smtptest.Server{ImplicitTLS: strings.HasPrefix(way, "implicit"), Users: map[string]string{"user": secret}, Timeout: 5 * time.Second}
		conn := dial(t, server)
		wire := &tap{Conn: conn}
		err := send(t.Context(), wire, "localhost", server.TLSConfig.RootCAs)
		if err != nil {
			t.Errorf("%s: %v", way, err)
		}
		server.Close()
		octets := wire.String()
		if !server.ImplicitTLS {
			_, octets, _ = strings.Cut(octets, "STARTTLS\r\n")
		}
		if !strings.HasPrefix(octets, "\x16\x03") || strings.Contains(octets, "MAIL") || strings.Contains(octets, "EHLO") {
			t.Errorf("%s: the client wrote %q", way, beginning(octets))
		}
		clear := smtptest.NewServer(t, func(s *smtptest.Server) { s.NoTLS = true }) // One that has none hears a handshake, and nothing else.
		if conn, err = net.Dial("tcp", clear.Addr); err != nil {
			t.Fatal(err)
		}
		wire = &tap{Conn: conn}
		err = send(t.Context(), wire, "localhost", nil)
		clear.Close()
		if isByHand := strings.HasPrefix(way, "STARTTLS "); err == nil || !isByHand && strings.Contains(wire.String(), "MAIL") {
			t.Errorf("%s, to a server without TLS: %v, and the client wrote %q", way, err, wire.String())
		}
		checkSecrets(t, fmt.Sprint(way, " in the clear"), wire.String())
	}
}
