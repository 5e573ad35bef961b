package smtp_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

// TestTroubleshooting: the errors that docs/troubleshooting.md quotes are those that
// are met, to the letter, and it quotes all that are provoked here.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```\n(.*?)\n```$").FindAllStringSubmatch(string(page), -1)
	if marks := strings.Count(string(page), "```"); marks != 2*len(blocks) {
		t.Errorf("%d blocks, and %d marks of blocks", len(blocks), marks)
	}
	quoted := map[string]bool{}
	for _, block := range blocks {
		if quoted[block[1]] {
			t.Errorf("twice on the page: %s", block[1])
		}
		quoted[block[1]] = true
	}
	met := map[string]bool{}
	for name, text := range provoked(t) {
		met[text] = true
		if !quoted[text] {
			t.Errorf("%s is not on the page:\n%s", name, text)
		}
	}
	for text := range quoted {
		if !met[text] {
			t.Errorf("nothing provokes what is on the page:\n%s", text)
		}
	}
}

// provoked are the errors, by what provokes them.
func provoked(t *testing.T) map[string]string {
	texts := map[string]string{}
	for name, provoke := range troubles {
		synctest.Test(t, func(t *testing.T) {
			texts[name] = provoke.text(t, func(*smtptest.Server) error { return nil })
		})
	}
	for name, provoke := range troublesOfTCP {
		texts[name] = provoke.text(t, (*smtptest.Server).Start)
	}
	// TestCertificates meets these, and keeps the files true.
	for _, name := range []string{"unknown-root", "self-signed", "wrong-name", "name-for-address", "expired", "not-yet-valid", "old-server", "client-needed"} {
		text, err := os.ReadFile(filepath.Join("testdata", "tls", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = strings.TrimSuffix(string(text), "\n")
	}
	return texts
}

// scene is a server, who writes to it, and what; a trouble spoils it.
type scene struct {
	server  *smtptest.Server
	mailer  *smtp.Mailer
	message *smtp.Message
	within  time.Duration // of the context; zero: any

	// in place of sending the message
	call func(context.Context) error
}

type trouble func(*scene)

// text returns what Send says.
func (spoil trouble) text(t *testing.T, start func(*smtptest.Server) error) string {
	t.Helper()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{server: &smtptest.Server{}, message: letter("bob@example.net")}
	s.mailer = &smtp.Mailer{Addr: "mx.example.com:587", TLSConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	s.mailer.DialContext = s.dial
	s.call = s.send
	spoil(s)
	if err := start(s.server); err != nil {
		t.Fatal(err)
	}
	defer s.server.Close()
	defer s.mailer.Close()
	ctx := t.Context()
	if s.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.within)
		defer cancel()
	}
	if err = s.call(ctx); err == nil {
		return "no error"
	}
	return asMostSee.Replace(err.Error())
}

// asMostSee replaces what is not so in memory, where there are no addresses, and on all systems.
var asMostSee = strings.NewReplacer(
	"read pipe:", "read tcp 192.0.2.1:50000->192.0.2.25:587:",
	syscall.ENOENT.Error(), "no such file or directory",
)

func (s *scene) send(ctx context.Context) error {
	_, err := s.mailer.Send(ctx, s.message)
	return err
}

// dial connects by the network only to a server that was started.
func (s *scene) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.server.Addr == "" {
		return s.server.DialContext(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, s.server.Addr)
}

// refuses is a server that says no at a step.
func refuses(command string, code, subject, detail int, text string) trouble {
	return func(s *scene) {
		s.server.On = atStep(command, &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code, Status: [3]int{code / 100, subject, detail}, Text: text}})
	}
}

// fails is a server that does something else at a step.
func fails(command string, fault *smtptest.Fault) trouble {
	return func(s *scene) { s.server.On = atStep(command, fault) }
}

func atStep(command string, fault *smtptest.Fault) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if step.Command != command || step.Address == "carol@example.org" {
			return nil
		}
		return fault
	}
}

// unreachable is a network that says so.
func unreachable(err error) trouble {
	return func(s *scene) {
		s.mailer.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
}

var troubles = map[string]trouble{
	"no such host": unreachable(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "mx.example.com", IsNotFound: true}}),
	"refused": unreachable(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 587},
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
	"no answer":        func(s *scene) { s.mailer.DialContext = dialNobody },
	"no answer so far": func(s *scene) { s.mailer.DialContext, s.within = dialNobody, 10*time.Second },
	"no greeting":      fails("CONNECT", &smtptest.Fault{Delay: time.Hour}),
	"closed":           fails("CONNECT", &smtptest.Fault{Drop: true}),
	"closed later":     fails("EHLO", &smtptest.Fault{Drop: true}),
	"another":          func(s *scene) { s.mailer.DialContext = dialSSH },
	"busy greeting":    refuses("CONNECT", 421, 7, 0, "too many connections from your address"),
	"deadline": func(s *scene) {
		fails("END", &smtptest.Fault{Delay: time.Hour})(s)
		s.within = 30 * time.Second
	},

	"no STARTTLS": func(s *scene) { s.server.NoTLS = true },
	"no TLS":      func(s *scene) { s.mailer.TLS, s.mailer.DialContext = smtp.TLSImplicit, dialMute },

	"no password":    func(s *scene) { s.mailer.Auth = smtp.Password("ann@example.com", "") },
	"wrong password": func(s *scene) { s.mailer.Auth = smtp.Password("user", "secret") },
	"app password":   withPassword(refuses("AUTH", 534, 7, 9, "Application-specific password required")),
	"no AUTH":        withPassword(func(s *scene) { s.server.Mechanisms = []string{} }),
	"other AUTH":     withPassword(func(s *scene) { s.server.Mechanisms = []string{"OAUTHBEARER", "XOAUTH2"} }),
	"AUTH in clear":  withPassword(func(s *scene) { s.server.NoTLS, s.mailer.TLS = true, smtp.TLSNone }),
	"AUTH later":     withPassword(func(s *scene) { s.mailer.TLS = smtp.TLSNone }),
	"AUTH stranger":  withPassword(func(s *scene) { s.mailer.TLS, s.mailer.TLSConfig.RootCAs = smtp.TLSOpportunistic, nil }),
	"AUTH needed":    refuses("MAIL", 530, 7, 0, "Authentication required"),
	"STARTTLS needed": func(s *scene) {
		refuses("MAIL", 530, 7, 0, "Must issue a STARTTLS command first")(s)
		s.mailer.TLS = smtp.TLSNone
	},

	"not your sender": refuses("MAIL", 550, 7, 1, "you may not send as this sender"),
	"relaying":        refuses("RCPT", 554, 7, 1, "Relay access denied"),
	"unknown user":    refuses("RCPT", 550, 1, 1, "no such user"),
	"unknown user of 2": func(s *scene) {
		refuses("RCPT", 550, 1, 1, "no such user")(s)
		s.message.To = mailboxes("bob@example.net", "carol@example.org")
	},
	"greylisted":      refuses("RCPT", 450, 7, 1, "greylisted, try again in 5 minutes"),
	"rate":            refuses("MAIL", 451, 7, 1, "too many mails, slow down"),
	"full":            refuses("RCPT", 452, 2, 2, "mailbox full"),
	"spam":            refuses("END", 554, 7, 1, "message rejected as spam"),
	"unauthenticated": refuses("END", 550, 7, 26, "neither SPF nor DKIM passes"),
	"too big":         refuses("END", 552, 3, 4, "message too big"),
	"bigger than SIZE": func(s *scene) {
		s.server.MaxMessageBytes = 10 << 20
		s.message.Attachments = []smtp.File{{Name: "film.mp4", Size: 20 << 20, Open: empty}}
	},
	"no SMTPUTF8":        func(s *scene) { s.message.To = mailboxes("jörg@example.net") },
	"no DSN":             func(s *scene) { s.server.Withhold = []string{"DSN"}; s.message.Delivery.Notify = smtp.NotifyFailure },
	"bad address":        func(s *scene) { s.message.To = mailboxes("bob@example.net", "carol") },
	"name as an address": func(s *scene) { s.message.To = mailboxes("Bob <bob@example.net>") },
	"line break":         func(s *scene) { s.message.Subject = "Hello\r\nBcc: eve@example.org" },
	"no recipient":       func(s *scene) { s.message.To = nil },
	"no file":            func(s *scene) { s.message.Attachments = []smtp.File{smtp.FilePath("q3.pdf")} },
	"another file": func(s *scene) {
		s.call = func(context.Context) error {
			upload := strings.NewReader("figures")
			s.message.Attachments = []smtp.File{{Name: "q3.pdf", Open: func() (io.ReadCloser, error) { return io.NopCloser(upload), nil }}}
			m, err := s.message.Prepare()
			if err == nil {
				_, err = m.WriteTo(io.Discard)
			}
			if err == nil {
				_, err = m.WriteTo(io.Discard)
			}
			return err
		}
	},
	"no sender":       func(s *scene) { s.message.From = smtp.Address{} },
	"empty recipient": func(s *scene) { s.message.To = mailboxes("") },
	"empty message":   func(s *scene) { s.message.Subject, s.message.Text = "", "" },
	"unknown outcome": fails("END", &smtptest.Fault{Drop: true}),

	"no Addr":          func(s *scene) { s.mailer.Addr = "" },
	"no port":          func(s *scene) { s.mailer.Addr = "smtp.example.com" },
	"URL: empty":       parses(""),
	"URL: no scheme":   parses("smtp.example.com:587"),
	"URL: a slash":     parses("smtp://ann:a/b@smtp.example.com"),
	"URL: no password": parses("smtp://ann@smtp.example.com"),
	"URL: no option":   parses("smtp://smtp.example.com?timeout=30s"),
	"URL: no value":    parses("smtp://smtp.example.com?tls=off"),

	"closed Mailer": func(s *scene) { s.mailer.Close() },
	"ended context": func(s *scene) {
		s.call = func(ctx context.Context) error {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			return s.send(ended)
		}
	},
}

// parses asks for the Mailer of a URL, in place of sending.
func parses(url string) trouble {
	return func(s *scene) {
		s.call = func(context.Context) error {
			_, err := smtp.ParseURL(url)
			return err
		}
	}
}

// troublesOfTCP need connections that take what nobody reads yet.
var troublesOfTCP = map[string]trouble{
	"TLS from the start": func(s *scene) { s.mailer.TLS = smtp.TLSImplicit },
}

func withPassword(spoil trouble) trouble {
	return func(s *scene) {
		s.mailer.Auth = smtp.Password("user", "pencil")
		spoil(s)
	}
}

func dialNobody(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// dialMute reaches what takes all, and says nothing.
func dialMute(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		io.Copy(io.Discard, theirs)
	}()
	return ours, nil
}

func dialSSH(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		io.WriteString(theirs, "SSH-2.0-OpenSSH_9.2\r\n")
	}()
	return ours, nil
}

func empty() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }

func mailboxes(list ...string) (to []smtp.Address) {
	for _, address := range list {
		to = append(to, smtp.Address{Address: address})
	}
	return to
}
