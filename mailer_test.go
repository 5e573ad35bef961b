package smtp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

// mailerTo returns a Mailer to server, with its account and its certificate.
func mailerTo(t *testing.T, server *smtptest.Server) *smtp.Mailer {
	t.Helper()
	m := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Auth: smtp.Password("user", "pencil")}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMailer(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]smtp.TLSPolicy{"STARTTLS": smtp.TLSRequired, "implicit": smtp.TLSImplicit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.NewServer(t, func(s *smtptest.Server) { s.ImplicitTLS = policy == smtp.TLSImplicit })
			mailer := mailerTo(t, server)
			mailer.TLS = policy
			message := readback.Messages()["everything"]
			message.Bcc = []smtp.Address{{Address: "hidden@example.org"}}
			result, err := mailer.Send(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			if result.Message != message || result.MessageID != message.MessageID || len(result.Recipients) != 2 {
				t.Errorf("the result is %+v", result)
			}
			arrived := server.Messages()
			if len(arrived) != 1 {
				t.Fatalf("%d messages arrived", len(arrived))
			}
			got := arrived[0]
			if !got.TLS || got.Username != "user" || got.From != "ann@example.com" || !reflect.DeepEqual(got.To, []string{"bob@example.net", "hidden@example.org"}) {
				t.Errorf("it came from <%s> for %q, sent by %q, over TLS: %v", got.From, got.To, got.Username, got.TLS)
			}
			p, _ := message.Prepare()
			if want := asked(t, p); !reflect.DeepEqual(readStandard(t, got.Data), want) {
				t.Errorf("what arrived is other than what was asked for:\n%s", got.Data)
			}
			if mailer.TLSConfig.ServerName != "" || mailer.TLSConfig.MinVersion != 0 {
				t.Error("the caller's tls.Config was modified")
			}
		})
	}
}

// TestPolicies: what TLS there is, whoever made the connection, and
// that no secret goes where it must not.
func TestPolicies(t *testing.T) {
	t.Parallel()
	plain := func(s *smtptest.Server) { s.NoTLS = true }
	implicit := func(s *smtptest.Server) { s.ImplicitTLS = true }
	tests := []struct {
		name   string
		server func(*smtptest.Server)
		mailer func(*smtp.Mailer)
		dialer bool   // of the caller's own
		want   string // in the error; empty: it arrives
	}{
		{"required and offered", nil, nil, false, ""},
		{"required and offered, own dialer", nil, nil, true, ""},
		{"required, not offered", plain, nil, false, "offers no STARTTLS"},
		{"required, not offered, own dialer", plain, nil, true, "offers no STARTTLS"},
		{"required, not offered, clear allowed", plain, func(m *smtp.Mailer) { m.Options.PlaintextAuth = true }, true, "offers no STARTTLS"},
		{"implicit", implicit, func(m *smtp.Mailer) { m.TLS = smtp.TLSImplicit }, false, ""},
		{"implicit, own dialer", implicit, func(m *smtp.Mailer) { m.TLS = smtp.TLSImplicit }, true, ""},
		{"implicit, but the server is not", nil, func(m *smtp.Mailer) { m.TLS = smtp.TLSImplicit }, true, "use STARTTLS"},
		{"none, on loopback", plain, func(m *smtp.Mailer) { m.TLS = smtp.TLSNone }, false, ""},
		{"none, on loopback behind a dialer", plain, func(m *smtp.Mailer) { m.TLS = smtp.TLSNone }, true, "no TLS"},
		{"none, clear allowed", plain, func(m *smtp.Mailer) { m.TLS, m.Options.PlaintextAuth = smtp.TLSNone, true }, true, ""},
		{"no trust", nil, func(m *smtp.Mailer) { m.TLSConfig = nil }, true, "unknown authority"},
		{"another name", nil, func(m *smtp.Mailer) { m.Options.ServerName = "mx.example.net" }, true, "mx.example.net"},
		{"another name, implicit", implicit, func(m *smtp.Mailer) { m.TLS, m.Options.ServerName = smtp.TLSImplicit, "mx.example.net" }, true, "mx.example.net"},
		{"no such policy", nil, func(m *smtp.Mailer) { m.TLS = 77 }, true, "TLSPolicy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			configure := func(s *smtptest.Server) {
				if test.server != nil {
					test.server(s)
				}
			}
			server := smtptest.NewServer(t, configure)
			mailer := mailerTo(t, server)
			if test.mailer != nil {
				test.mailer(mailer)
			}
			wire := &tap{}
			if test.dialer {
				mailer.DialContext = wire.dial
			}
			result, err := mailer.Send(t.Context(), letter("bob@example.net"))
			switch {
			case test.want == "" && (err != nil || len(server.Messages()) != 1):
				t.Errorf("%d messages arrived, error %v", len(server.Messages()), err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("the error is %v, want one with %q", err, test.want)
			case test.want != "" && (len(server.Messages()) != 0 || result.Recipients[0].Outcome != smtp.NotSent || result.Recipients[0].Err == nil):
				t.Errorf("%d messages arrived, the result is %+v", len(server.Messages()), result)
			case test.want != "" && (strings.Contains(wire.sent(), "AUTH") || strings.Contains(wire.sent(), "MAIL")):
				t.Errorf("in the clear went %q", wire.sent())
			}
		})
	}
}

// tap makes connections and keeps what is written to them.
type tap struct {
	mu      sync.Mutex
	written bytes.Buffer
	dials   int
}

func (w *tap) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	return &tappedConn{conn, w}, err
}

func (w *tap) sent() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.String()
}

type tappedConn struct {
	net.Conn
	tap *tap
}

func (c *tappedConn) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.written.Write(p)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}

// TestSecrets: no log, error or formatted value shows the password.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const secret = "tr0ub4dor&3-horse"
	server := smtptest.NewServer(t)
	var shown bytes.Buffer
	for _, password := range []string{secret, secret + "-wrong"} {
		server := server
		if password == secret {
			server = smtptest.NewServer(t, func(s *smtptest.Server) { s.Users = map[string]string{"user": secret} })
		}
		mailer := mailerTo(t, server)
		mailer.Auth = smtp.Password("user", password)
		mailer.Options.Logger = slog.New(slog.NewTextHandler(&shown, &slog.HandlerOptions{Level: slog.LevelDebug}))
		result, err := mailer.Send(t.Context(), letter("bob@example.net"))
		if (err == nil) != (password == secret) {
			t.Errorf("with the password %q, the error is %v", password, err)
		}
		fmt.Fprintf(&shown, "%v %+v %#v %+v %+v %#v", err, result, mailer.Auth, mailer.Auth[0], mailer.Auth, err)
	}
	_, err := smtp.ParseURL("smtp://user:" + secret + "@host:port\x7f")
	fmt.Fprintf(&shown, "%v", err)
	for _, part := range []string{secret, "tr0ub4dor", "horse", "dHIwdWI0ZG9y", "AHVzZXIA"} {
		if strings.Contains(shown.String(), part) {
			t.Errorf("%q is shown", part)
		}
	}
	if !strings.Contains(shown.String(), "AUTH PLAIN ***") || !strings.Contains(shown.String(), "MAIL FROM") || strings.Contains(shown.String(), "Hello.") {
		t.Errorf("the log is\n%s", shown.String())
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	mailer.Auth = smtp.Password("user", "guess")
	result, err := mailer.Send(t.Context(), letter("bob@example.net"))
	var e *smtp.Error
	if !errors.As(err, &e) || e.Op != "AUTH PLAIN" || e.Reply.Code != 535 || e.Temporary() || !strings.Contains(err.Error(), "check the user name and the password") {
		t.Errorf("the error is %v", err)
	}
	if len(server.Messages()) != 0 || result.Recipients[0].Outcome != smtp.NotSent {
		t.Errorf("the result is %+v", result)
	}
}

func TestSessionsAreKept(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	wire := &tap{}
	mailer.DialContext = wire.dial
	for i := range 10 {
		to := []string{"bob@example.net"}
		if i == 4 { // A refusal does not cost the session.
			to = append(to, strings.Repeat("x", 60)+"@example.net")
		}
		if _, err := mailer.Send(t.Context(), letter(to...)); err != nil {
			t.Fatal(err)
		}
	}
	if wire.dials != 1 || len(server.Messages()) != 10 {
		t.Errorf("%d messages arrived over %d connections", len(server.Messages()), wire.dials)
	}
}

// TestOneMessageManySenders: a Message may be sent by many at once, and each
// sending is a mail of its own.
func TestOneMessageManySenders(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	message := readback.Messages()["everything"]
	message.MessageID = ""
	before := snapshot(message)
	var senders sync.WaitGroup
	ids := make([]string, 100)
	for i := range ids {
		senders.Go(func() {
			result, err := mailer.Send(t.Context(), message)
			if err != nil {
				t.Error(err)
			}
			ids[i] = "<" + result.MessageID + ">"
		})
	}
	senders.Wait()
	arrived := map[string]int{}
	for _, m := range server.Messages() {
		arrived[m.Header.Get("Message-Id")]++
	}
	for _, id := range ids {
		if arrived[id] != 1 {
			t.Errorf("%s arrived %d times", id, arrived[id])
		}
	}
	if len(arrived) != len(ids) || snapshot(message) != before {
		t.Errorf("%d identifiers arrived; the message is now %s", len(arrived), snapshot(message))
	}
}

// TestStaleSessions: a session that died while it was idle is replaced
// once, and only if its first reply shows that. The mail is not signed again.
func TestStaleSessions(t *testing.T) {
	t.Parallel()
	alive := "220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n"
	for name, test := range map[string]struct {
		then  string // what the first session says to the second mail
		dials int
		want  smtp.Outcome
	}{
		"gone":                  {"", 2, smtp.Accepted},
		"421":                   {"421 too long idle\r\n", 2, smtp.Accepted},
		"gone after a reply":    {"250 ok\r\n", 1, smtp.NotSent},
		"421 after a reply":     {"250 ok\r\n421 no\r\n", 1, smtp.Refused},
		"refused":               {"550 no\r\n", 1, smtp.Refused},
		"garbage":               {"hello\r\n", 1, smtp.NotSent},
		"gone after the dot":    {"250 ok\r\n250 ok\r\n354 go\r\n", 1, smtp.Unknown},
		"refused after the dot": {"250 ok\r\n250 ok\r\n354 go\r\n550 no\r\n", 1, smtp.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dials := 0
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials++
				ours, theirs := net.Pipe()
				go babble(theirs, alive+map[bool]string{true: test.then, false: alive}[dials == 1])
				return ours, nil
			}}
			defer mailer.Close()
			signer := &hashSigner{}
			mailer.Options.Signer = signer
			if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
				t.Fatal(err)
			}
			// Who is left out, for there is no SMTPUTF8, changes nothing for the other.
			m := letter("bob@example.net")
			m.Delivery.To = []smtp.Recipient{{Address: "bøb@example.net"}, {Address: "bob@example.net"}}
			result, err := mailer.Send(t.Context(), m)
			if signer.signed != 2 {
				t.Errorf("two mails were signed %d times", signer.signed)
			}
			if dials != test.dials || result.Recipients[1].Outcome != test.want || result.Recipients[0].Outcome != smtp.NotSent {
				t.Errorf("after %d dials: %v, %v", dials, result.Recipients[1].Outcome, err)
			}
		})
	}
}

// babble says replies one after the other, each when a line or a content is in,
// and then goes.
func babble(conn net.Conn, replies string) {
	babbleOn(conn, replies)
	conn.Close()
}

func babbleOn(conn net.Conn, replies string) {
	buffer := make([]byte, 64<<10)
	for i, reply := range strings.SplitAfter(replies, "\r\n") {
		if i > 0 {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
		if reply == "" {
			return
		}
		io.WriteString(conn, reply)
	}
}

// TestIdleSessionsEnd: a session that nobody needs says goodbye by itself, and
// Close sees to those that are left, without leaving a goroutine behind.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"closed": 29 * time.Second, "timed out": 31 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var servers []*recorder
				mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					servers = append(servers, record(theirs))
					return ours, nil
				}}
				for range 2 {
					if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(wait)
				synctest.Wait()
				select {
				case <-servers[0].done:
					if name == "closed" {
						t.Error("the session ended early")
					}
				default:
					if name != "closed" {
						t.Error("the session is still there")
					}
				}
				mailer.Close()
				<-servers[0].done
				if len(servers) != 1 || servers[0].verbs != "EHLO MAIL RCPT DATA MAIL RCPT DATA QUIT " {
					t.Errorf("%d sessions; the first was %q", len(servers), servers[0].verbs)
				}
				if _, err := mailer.Send(t.Context(), letter("bob@example.net")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("after Close, Send returned %v", err)
				}
			})
		})
	}
}

// takeOneMail accepts one mail, and then says nothing more.
func takeOneMail(conn net.Conn) {
	defer conn.Close()
	babbleOn(conn, "220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n")
	io.Copy(io.Discard, conn)
}

// TestCloseDoesNotWait: a server that does not answer QUIT costs 5 s, no more.
func TestCloseDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go takeOneMail(theirs)
			return ours, nil
		}}
		if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		mailer.Close()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	fails := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for name, test := range map[string]struct {
		mailer    *smtp.Mailer
		want      string
		temporary bool
	}{
		"no port":    {&smtp.Mailer{Addr: "mx.example.net"}, "Mailer.Addr", false},
		"no host":    {&smtp.Mailer{Addr: ":587"}, "Mailer.Addr", false},
		"nothing":    {&smtp.Mailer{}, "Mailer.Addr", false},
		"refused":    {&smtp.Mailer{Addr: "mx.example.net:25", DialContext: fails(syscall.ECONNREFUSED)}, "check the port", true},
		"no such":    {&smtp.Mailer{Addr: "mx.example.net:25", DialContext: fails(&net.DNSError{Err: "no such host", Name: "mx.example.net", IsNotFound: true})}, "check the name of the host", true},
		"no conn":    {&smtp.Mailer{Addr: "mx.example.net:25", DialContext: fails(nil)}, "no connection", true},
		"local name": {&smtp.Mailer{Addr: smtptest.NewServer(t).Addr, Options: smtp.Options{LocalName: "a\r\nRSET"}}, "Options.LocalName", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := test.mailer.Send(t.Context(), letter("bob@example.net", "carol@example.org"))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v", err)
			}
			if len(result.Recipients) != 2 || result.Recipients[1].Err != err || result.Recipients[1].Outcome != smtp.NotSent || len(result.Remaining()) == 0 == test.temporary {
				t.Errorf("the result is %+v, and %v should be tried again", result, result.Remaining())
			}
		})
	}
}

// TestContext: a context ends every wait, at once, and its error and
// its cause match.
func TestContext(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went away")
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"dial": func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"greeting": func(context.Context, string, string) (net.Conn, error) {
			ours, _ := net.Pipe()
			return ours, nil
		},
		"TLS": func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				buffer := make([]byte, 4096)
				for _, reply := range []string{"220 mx", "250-mx\r\n250 STARTTLS", "220 go"} {
					io.WriteString(theirs, reply+"\r\n")
					theirs.Read(buffer)
				}
			}()
			return ours, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mailer := &smtp.Mailer{Addr: "mx.example.net:25", DialContext: dial}
				ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, gone)
				defer cancel()
				start := time.Now()
				_, err := mailer.Send(ctx, letter("bob@example.net"))
				if took := time.Since(start); took != 20*time.Second {
					t.Errorf("it took %v", took)
				}
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, gone) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// TestConnectTimesOut: without any deadline of the caller's there is one.
func TestConnectTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mailer := &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		start := time.Now()
		_, err := mailer.Send(t.Context(), letter("bob@example.net"))
		if took := time.Since(start); took != 30*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestFailedDialsAreClosed: whoever dials closes on every error path.
func TestFailedDialsAreClosed(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string]string{
		"greeting": "554 no\r\n", "EHLO": "220 mx\r\n550 no\r\n", "STARTTLS": "220 mx\r\n250-mx\r\n250 STARTTLS\r\n454 no\r\n", "offer": "220 mx\r\n250 mx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{})
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go babble(theirs, strings.ReplaceAll(replies, "mx\r\n250 S", "mx\n250 S"))
				return closeNotifier{ours, sync.OnceFunc(func() { close(closed) })}, nil
			}}
			if _, err := mailer.Dial(t.Context()); err == nil {
				t.Error("Dial succeeded")
			}
			<-closed
		})
	}
}

type closeNotifier struct {
	net.Conn
	notify func()
}

func (c closeNotifier) Close() error {
	c.notify()
	return c.Conn.Close()
}

// TestConnWithoutDeadlines: nothing could end a wait on it, so none is begun.
func TestConnWithoutDeadlines(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := smtp.NewClient(noDeadlines{ours}, nil)
	if err := c.Hello(t.Context()); !errors.Is(err, errNoDeadlines) {
		t.Errorf("Hello returned %v", err)
	}
}

var errNoDeadlines = errors.New("deadlines are not supported")

type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return errNoDeadlines }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errNoDeadlines }

// TestAddrIsNoURL: who has set Addr to a URL sees no password of it.
func TestAddrIsNoURL(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{
		"smtp://user:pencil@mx.example.net:587", "smtp://user:pencil@mx.example.net:587\n", "smtp://user:pencil@mx.example.net",
		"smtp://mx.example.net", "user:pencil@mx.example.net:587", "smtp:user:pencil@mx.example.net:587", "user:p@pencil@mx.example.net:587",
	} {
		mailer := &smtp.Mailer{Addr: addr, DialContext: notDialled(t)}
		var field *smtp.FieldError
		if err := mailer.Verify(t.Context()); !errors.As(err, &field) || field.Field != "Mailer.Addr" || strings.Contains(err.Error(), "pencil") {
			t.Errorf("%q: %v", addr, err)
		}
		if s := mailer.String(); strings.Contains(s, "pencil") || !strings.Contains(s, "mx.example.net") {
			t.Errorf("%q: %s", addr, s)
		}
	}
	if _, err := smtp.ParseURL("smtp://[fe80::1%25a%40b]"); err == nil {
		t.Error("a zone with an @ was taken")
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"smtp://mx.example.net":                       "mx.example.net:587 required []",
		"smtp://mx.example.net:25/":                   "mx.example.net:25 required []",
		"smtps://mx.example.net":                      "mx.example.net:465 implicit []",
		"smtps://ann%40example.com:p%3Aw%2F@[::1]:99": "[::1]:99 implicit [SCRAM-SHA-512-PLUS SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN]",
	} {
		m, err := smtp.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		var names []string
		for _, mechanism := range m.Auth {
			names = append(names, mechanism.Name())
		}
		policy := map[smtp.TLSPolicy]string{smtp.TLSRequired: "required", smtp.TLSImplicit: "implicit"}[m.TLS]
		if got := fmt.Sprintf("%s %s %v", m.Addr, policy, names); got != want {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"", "mx.example.net:587", "http://mx", "smtp://", "smtp:///x", "smtp://mx/inbox", "smtp://mx#x", "unix:", "unix:run", "unix://mx/run", "lmtp://", "smtp://mx?tls=some", "smtp://mx?tls=none&tls=none", "smtp://mx?password=p%zz", "smtp://mx?colour=red", "smtp://mx?max-conns=many", "smtp://mx?max-age=10", "smtp://mx?lmtp=perhaps", "smtp://mx?max-conns=%zz", "smtp://u:12?p%zz@mx", "smtp://u:12?tls=p%zz@mx", "smtp://user@mx", "smtp://mx:0", "smtp://mx:99999", "smtp://mx:587:25", "smtps://mx?tls=none", "smtp://u:p%zz@mx", "smtp://u:p@mx:port", "smtp:mx"} {
		var field *smtp.FieldError
		if m, err := smtp.ParseURL(url); !errors.As(err, &field) || strings.Contains(err.Error(), "p%zz") {
			t.Errorf("%q became %+v, %v", url, m, err)
		}
	}
}

// TestURLs: what a URL says is what the Mailer is told, and what it shows, but for the
// credentials.
func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]struct {
		mailer *smtp.Mailer
		shown  string
	}{
		"smtp://u:p@mx":              {&smtp.Mailer{Addr: "mx:587"}, "smtp://mx:587"},
		"smtps://u:p@mx":             {&smtp.Mailer{Addr: "mx:465", TLS: smtp.TLSImplicit}, "smtp://mx:465?tls=implicit"},
		"lmtp://mx":                  {&smtp.Mailer{Addr: "mx:24", Options: smtp.Options{LMTP: true}}, "smtp://mx:24?lmtp=true"},
		"unix:/run/a b":              {&smtp.Mailer{Addr: "unix:/run/a b"}, "unix:///run/a%20b"},
		"unix:///run/lmtp?lmtp=true": {&smtp.Mailer{Addr: "unix:/run/lmtp", Options: smtp.Options{LMTP: true}}, "unix:///run/lmtp?lmtp=true"},
		"smtp://mx?tls=none&disable=PIPELINING,CHUNKING": {
			&smtp.Mailer{Addr: "mx:587", TLS: smtp.TLSNone, Options: smtp.Options{Disable: []string{"PIPELINING", "CHUNKING"}}},
			"smtp://mx:587?disable=PIPELINING%2CCHUNKING&tls=none",
		},
		"smtp://mx?max-conns=10&max-idle=-1&max-messages=50&idle-timeout=1m30s&max-age=-1s&max-recipients=7": {
			&smtp.Mailer{Addr: "mx:587", MaxConns: 10, MaxIdle: -1, MaxMessages: 50, IdleTimeout: 90 * time.Second, MaxAge: -time.Second, Options: smtp.Options{MaxRecipients: 7}},
			"smtp://mx:587?idle-timeout=1m30s&max-age=-1s&max-conns=10&max-idle=-1&max-messages=50&max-recipients=7",
		},
		"smtp://mx?chunking=true&plaintext-auth=1&local-name=a&server-name=b&tls=opportunistic": {
			&smtp.Mailer{Addr: "mx:587", TLS: smtp.TLSOpportunistic, Options: smtp.Options{Chunking: true, PlaintextAuth: true, LocalName: "a", ServerName: "b"}},
			"smtp://mx:587?chunking=true&local-name=a&plaintext-auth=true&server-name=b&tls=opportunistic",
		},
	} {
		m, err := smtp.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if shown := fmt.Sprintf("%v", m); shown != want.shown {
			t.Errorf("%s is shown as %s, want %s", url, shown, want.shown)
		}
		again, err := smtp.ParseURL(want.shown)
		m.Auth = nil
		for _, m := range []*smtp.Mailer{m, again} {
			if err != nil || !reflect.DeepEqual(m, want.mailer) {
				t.Errorf("%s is %#v, %v", url, m, err)
			}
		}
	}
}

// TestClone: the settings are the same, the sessions are not.
func TestClone(t *testing.T) {
	t.Parallel()
	m := &smtp.Mailer{
		Addr: "mx:587", TLS: smtp.TLSNone, TLSConfig: &tls.Config{}, Auth: smtp.Password("ann", "secret"),
		Options:  smtp.Options{LocalName: "a", Disable: []string{"DSN"}},
		MaxConns: 1, MaxIdle: 2, MaxMessages: 3, IdleTimeout: 4, MaxAge: 5,
		Limiter: limiterFunc(nil), DialContext: (&net.Dialer{}).DialContext,
	}
	m.Close()
	clone := m.Clone()
	from, to := reflect.ValueOf(m).Elem(), reflect.ValueOf(clone).Elem()
	for i := range from.NumField() {
		field := from.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if from.Field(i).IsZero() {
			t.Errorf("the test sets no %s", field.Name)
		}
		if field.Type.Kind() != reflect.Func && fmt.Sprintf("%#v", from.Field(i)) != fmt.Sprintf("%#v", to.Field(i)) || to.Field(i).IsZero() {
			t.Errorf("%s became %v", field.Name, to.Field(i))
		}
	}
	clone.Auth[0], clone.Options.Disable[0] = nil, "SIZE"
	if m.Auth[0] == nil || m.Options.Disable[0] != "DSN" {
		t.Error("what the clone has is what the other has")
	}
	clone.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errDisk }
	clone.Limiter = nil
	if _, err := clone.Send(t.Context(), letter("bob@example.net")); !errors.Is(err, errDisk) {
		t.Errorf("it was closed with the other: %v", err)
	}
}

// limiterFunc is a Limiter.
type limiterFunc func(context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

func TestEnvelopeIsPlainData(t *testing.T) {
	t.Parallel()
	want := smtp.Envelope{From: "<>", Accept: smtp.AcceptAll, RequireTLS: true, Params: []smtp.Param{{Keyword: "BY", Value: "60;R", Extension: "DELIVERBY"}}, Return: smtp.ReturnHeaders, EnvelopeID: "17", To: []smtp.Recipient{
		{Address: "bob@example.net", Notify: smtp.NotifyFailure | smtp.NotifyDelay, OriginalRecipient: "list@example.net"},
	}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got smtp.Envelope
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %+v, %v", data, got, err)
	}
}

// TestOldTLS: nothing below TLS 1.2 is spoken, whatever the config says (RFC 8996).
func TestOldTLS(t *testing.T) {
	t.Parallel()
	config := proxyConfig(t)
	config.MinVersion = tls.VersionTLS10
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			record(conn)
		}
	}()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true} {
		mailer := &smtp.Mailer{Addr: listener.Addr().String(), TLS: smtp.TLSImplicit, TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: version}}
		c, err := mailer.Dial(t.Context())
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}

// TestPort465: on that port TLS is there from the start (RFC 8314, section 3.3).
func TestPort465(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.ImplicitTLS = true })
	mailer := mailerTo(t, server)
	mailer.Addr = "127.0.0.1:465"
	mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != mailer.Addr {
			t.Errorf("dialled %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, server.Addr)
	}
	if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil || !server.Messages()[0].TLS {
		t.Errorf("the error is %v", err)
	}
}

// TestCancelDoesNotRedial: a context that ends is no sign of a stale session.
func TestCancelDoesNotRedial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials++
			ours, theirs := net.Pipe()
			go takeOneMail(theirs)
			return ours, nil
		}}
		defer mailer.Close()
		if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := mailer.Send(ctx, letter("bob@example.net"))
		if dials != 1 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "MAIL") {
			t.Errorf("after %d dials: %v", dials, err)
		}
		if _, err := mailer.Send(ctx, letter("bob@example.net")); dials != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that had ended, after %d dials: %v", dials, err)
		}
	})
}

// TestCertificateNames: what a certificate says is escaped before it is told.
func TestCertificateNames(t *testing.T) {
	t.Parallel()
	forged := issue(t, &x509.Certificate{DNSNames: []string{"a\r\nlevel=ERROR forged\x1b[2J"}, IsCA: true, BasicConstraintsValid: true}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(forged.Leaf)
	ours, theirs := tcpPair(t)
	go tls.Server(theirs, serving(forged)).Handshake()
	mailer := &smtp.Mailer{Addr: "mx.example.net:465", TLSConfig: &tls.Config{RootCAs: roots}, DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
	_, err := mailer.Dial(t.Context())
	var unverified *tls.CertificateVerificationError
	var e *smtp.Error
	if !errors.As(err, &unverified) || !errors.As(err, &e) || e.Temporary() || strings.ContainsAny(err.Error(), "\r\n\x1b") {
		t.Errorf("the error is %q", err)
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.NoTLS = true })
	_, err := mailerTo(t, server).Send(t.Context(), letter("bob@example.net"))
	var unsupported *smtp.UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.Extension != "STARTTLS" || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error is %v", err)
	}
}

// TestDialerTLS: TLS that a dialer of the caller's has made may be that of a
// proxy. It does not count, and TLS with the server goes on top of it.
func TestDialerTLS(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.ImplicitTLS = true })
	mailer := mailerTo(t, server)
	mailer.TLS = smtp.TLSNone
	mailer.DialContext = (&tls.Dialer{Config: server.TLSConfig}).DialContext
	_, err := mailer.Send(t.Context(), letter("bob@example.net"))
	if err == nil || !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("the error is %v", err)
	}

	inner := smtptest.NewServer(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", proxyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go proxy(listener, inner.Addr)
	mailer = mailerTo(t, inner)
	mailer.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: server.TLSConfig}).DialContext(ctx, network, listener.Addr().String())
	}
	if _, err = mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	if got := inner.Messages(); len(got) != 1 || !got[0].TLS || got[0].Username == "" {
		t.Errorf("through a proxy that speaks TLS, %+v arrived", got)
	}
}

func proxyConfig(t *testing.T) *tls.Config {
	t.Helper()
	certificate, _, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// proxy passes the octets of one connection on.
func proxy(listener net.Listener, addr string) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	onward, err := net.Dial("tcp", addr)
	if err != nil {
		conn.Close()
		return
	}
	go func() {
		io.Copy(onward, conn)
		onward.Close()
	}()
	io.Copy(conn, onward)
	conn.Close()
}

// TestUnixSocket: a local socket, in LMTP, without TLS unless that is asked for.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	directory, err := os.MkdirTemp("", "") // a short path: sockets have room for about 100 octets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "lmtp")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	servers := make(chan *recorder, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			servers <- recordAs(conn, &recorder{offers: "AUTH PLAIN", lmtp: true})
		}
	}()
	mailer := &smtp.Mailer{Addr: "unix:" + path, Auth: smtp.Password("user", "pencil")}
	mailer.Options.LMTP = true
	if _, err := mailer.Send(t.Context(), letter("bob@example.net", "carol@example.org")); err != nil {
		t.Fatal(err)
	}
	mailer.Close()
	server := <-servers
	if <-server.done; server.verbs != "LHLO AUTH MAIL RCPT RCPT DATA QUIT " {
		t.Errorf("the server was told %s", server.verbs)
	}
	mailer = &smtp.Mailer{Addr: "unix:" + path, TLS: smtp.TLSImplicit, TLSConfig: &tls.Config{ServerName: "localhost"}}
	if _, err := mailer.Dial(t.Context()); err == nil {
		t.Error("TLS that was asked for was not begun")
	}
	mailer = &smtp.Mailer{Addr: "unix:" + filepath.Join(directory, "missing")}
	if _, err := mailer.Dial(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing socket: %v", err)
	}
}

// TestWordsForBeginners: what is easily done wrong is called by its name.
func TestWordsForBeginners(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := smtptest.NewServer(t).Mailer()
	closed.Close()
	sendTo := func(ctx context.Context, m *smtp.Mailer, to string) error {
		_, err := m.Send(ctx, letter(to))
		return err
	}
	sendFile := func(m *smtp.Mailer, path string) error {
		message := letter("bob@example.net")
		message.Attachments = []smtp.File{smtp.FilePath(path)}
		_, err := m.Send(t.Context(), message)
		return err
	}
	fromURL := func(s string) error {
		_, err := smtp.ParseURL(s)
		return err
	}
	good := smtptest.NewServer(t).Mailer()
	defer good.Close()
	for want, err := range map[string]error{
		"smtp: Send: the context had ended before a session was taken: context canceled":          sendTo(ended, good, "bob@example.net"),
		"smtp: Send: the Mailer is closed: Close or Shutdown was called":                          sendTo(t.Context(), closed, "bob@example.net"),
		`smtp: Attachments[0].Name: "." is no file name; is the path empty, or that of a folder?`: sendFile(good, ""),
		"smtp: To[0]: is empty": sendTo(t.Context(), good, ""),
		`smtp: To[0]: "a@example.net, b@example.net" is not one plain address; ParseAddressList reads several; if the comma belongs to one, what stands before the @ needs quotes`: sendTo(t.Context(), good, "a@example.net, b@example.net"),
		`smtp: To[0]: "b@example.net\n" is not one plain address; there is white space around it`:                                                                                  sendTo(t.Context(), good, "b@example.net\n"),
		`smtp: To[0]: "@example.net" is not one plain address; nothing stands before the @`:                                                                                        sendTo(t.Context(), good, "@example.net"),
		`smtp: To[0]: " b@example.net" is not one plain address; there is white space around it`:                                                                                   sendTo(t.Context(), good, " b@example.net"),
		"smtp: Mailer.Addr: is a URL, which is for ParseURL, and no host and port such as smtp.example.com:587":                                                                    sendTo(t.Context(), &smtp.Mailer{Addr: "smtp://u:p@mx:587"}, "b@example.net"),
		"smtp: URL: has a host that is none; do the options come behind a question mark?":                                                                                          fromURL("smtp://mx&tls=none"),
		"smtp: URL: has white space around it":                                                      fromURL("smtp://mx\n"),
		"smtp: URL: cannot have that value as its option max-age, which is a time, as in 10s or 5m": fromURL("smtp://mx?max-age=10"),
		"smtp: URL: has an option that there is not, or has one twice; there are chunking, disable, idle-timeout, lmtp, local-name, max-age, max-conns, max-idle, max-messages, " +
			"max-recipients, plaintext-auth, server-name, tls; are reserved characters in the password percent-encoded?": fromURL("smtp://mx?timeout=5s"),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	var e *smtp.Error
	if err := sendTo(t.Context(), closed, "bob@example.net"); !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || !e.Temporary() {
		t.Errorf("a closed Mailer: %v", err)
	}
}
