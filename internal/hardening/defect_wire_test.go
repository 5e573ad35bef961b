package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectUTF8: SMTPUTF8 is asked for if it is needed, and where it is not offered,
// nothing that needs it goes.
func defectUTF8(t *testing.T) {
	offered := func(s *smtptest.Server) { s.Offer = []string{"SMTPUTF8"} }
	m := smallMail("bob@example.net")
	m.Subject, m.Text = "Grüße", "Grüße"
	m.From.Name = "Änn"
	got := defectArrived(t, m, offered)
	if _, asked := got.MailParams["SMTPUTF8"]; asked || strings.ContainsFunc(string(got.Data), func(r rune) bool { return r > '~' }) {
		t.Errorf("a mail in ASCII was sent with %v", got.MailParams)
	}
	if _, asked := defectArrived(t, smallMail("bøb@example.net"), offered).MailParams["SMTPUTF8"]; !asked {
		t.Error("SMTPUTF8 was not asked for")
	}
	line, mailer := defectServe(t)
	result, err := mailer.Send(t.Context(), smallMail("bob@bücher.example", "bøb@example.net"))
	if !errors.Is(err, errors.ErrUnsupported) || defectOutcomes(result) != "accepted, not sent" || strings.ContainsFunc(line.text(), func(r rune) bool { return r > '~' }) || !strings.Contains(line.text(), "RCPT TO:<bob@xn--bcher-kva.example>") {
		t.Errorf("%s, %v\n%s", defectOutcomes(result), err, line.text())
	}
}

// defectBlindCopies: they get the mail and are not shown, and the sender of the
// envelope is the one that is given; also for who hands a prepared message on.
func defectBlindCopies(t *testing.T) {
	m := smallMail("bob@example.net")
	m.Bcc = []smtp.Address{{Address: "archive@example.net"}}
	m.Delivery.From = "bounces@example.com"
	prepared, err := m.Prepare()
	if err != nil || prepared.Delivery.From != "bounces@example.com" || len(prepared.Delivery.To) != 2 || prepared.Delivery.To[1].Address != "archive@example.net" {
		t.Errorf("prepared: %+v, %v", prepared.Delivery, err)
	}
	raw := "Bcc: archive@example.net\r\n" + defectWritten(t, smallMail("bob@example.net"))
	for _, m := range []*smtp.Message{m, prepared, {Raw: smtp.FileBytes("", []byte(raw)), Delivery: smtp.Envelope{From: "bounces@example.com"}}} {
		got := defectArrived(t, m)
		if slices.Sort(got.To); !slices.Equal(got.To, []string{"archive@example.net", "bob@example.net"}) || got.From != "bounces@example.com" || strings.Contains(string(got.Data), "archive@") {
			t.Errorf("from %s to %v:\n%s", got.From, got.To, got.Data)
		}
	}
}

// defectEmptyErrors: an error of any sort can be asked whether it is temporary.
func defectEmptyErrors(t *testing.T) {
	for want, list := range map[bool][]*smtp.Error{
		false: {{}, {Err: errors.New("")}, {Reply: smtp.Reply{Code: 550}}, {Reply: smtp.Reply{Code: 550, Lines: []string{"4.0.0 4"}}}, {Reply: smtp.Reply{Code: 421}, Unknown: true}},
		true:  {{Reply: smtp.Reply{Code: 421}}, {Reply: smtp.Reply{Code: 451, Lines: []string{""}}}},
	} {
		for _, e := range list {
			if e.Temporary() != want || e.Error() == "" {
				t.Errorf("%#v: temporary %v", e, !want)
			}
		}
	}
	for _, fault := range []smtptest.Fault{{Drop: true}, {Delay: time.Hour}} {
		for _, command := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA"} {
			synctest.Test(t, func(t *testing.T) {
				_, mailer := defectServe(t, defectAt(command, fault))
				defectTemporary(t, mailer, command)
			})
		}
	}
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for place, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"the dial":     func(context.Context, string, string) (net.Conn, error) { return nil, reset },
		"the greeting": func(context.Context, string, string) (net.Conn, error) { return defectResetConn{reset: reset}, nil },
	} {
		_, mailer := defectServe(t)
		mailer.DialContext = dial
		defectTemporary(t, mailer, place)
	}
}

// defectTemporary tells whether the failure of a link is a reason to try again.
func defectTemporary(t *testing.T, mailer *smtp.Mailer, place string) {
	t.Helper()
	result, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
	var e *smtp.Error
	if !errors.As(err, &e) || !e.Temporary() || len(result.Remaining()) != 1 {
		t.Errorf("link lost at %s: %v is not temporary", place, err)
	}
}

// defectResetConn is a connection that was reset.
type defectResetConn struct {
	net.Conn
	reset error
}

func (c defectResetConn) Read([]byte) (int, error)       { return 0, c.reset }
func (defectResetConn) LocalAddr() net.Addr              { return nil }
func (defectResetConn) RemoteAddr() net.Addr             { return nil }
func (defectResetConn) SetDeadline(time.Time) error      { return nil }
func (defectResetConn) SetReadDeadline(time.Time) error  { return nil }
func (defectResetConn) SetWriteDeadline(time.Time) error { return nil }
func (defectResetConn) Close() error                     { return nil }

// defectRaces: one Message is written and sent by many at once, over one Mailer that
// authenticates for the first time.
func defectRaces(t *testing.T) {
	line, mailer := defectListen(t, defectTLS, func(s *smtptest.Server) { s.Mechanisms = []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} })
	mailer.Auth = smtp.Password("user", "pencil")
	m := defectRich()
	want := defectWritten(t, m)
	defectTogether(func(int) {
		var b strings.Builder
		if _, err := m.WriteTo(&b); err != nil || b.String() != want {
			t.Errorf("one wrote something else: %v", err)
		}
		if _, err := mailer.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
		if _, err := m.Prepare(); err != nil {
			t.Error(err)
		}
	})
	for _, got := range line.Messages() {
		if string(got.Data) != want || got.Username != "user" {
			t.Error("something else arrived")
		}
	}
	if n := len(line.Messages()); n != 8 {
		t.Errorf("%d mails arrived", n)
	}
}

// defectServerName: a tls.Config needs no ServerName, and is not changed.
func defectServerName(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		_, mailer := defectListen(t, func(s *smtptest.Server) { s.NoTLS, s.ImplicitTLS = false, implicit })
		if err := mailer.Verify(t.Context()); err != nil || mailer.TLSConfig.ServerName != "" {
			t.Errorf("implicit %v: %q, %v", implicit, mailer.TLSConfig.ServerName, err)
		}
		mailer.TLSConfig.RootCAs = nil // So it is checked, and not left out.
		if err := mailer.Clone().Verify(t.Context()); err == nil {
			t.Errorf("implicit %v: any certificate will do", implicit)
		}
	}
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: (starts TLS)\nC: %s\nS: 250 mx", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		if err := errors.Join(c.Hello(t.Context()), c.StartTLS(t.Context(), defectTrust(t)), c.Hello(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// defectWholeWords: a mechanism whose name is a part of another's is not offered, and
// of those that are, the best is taken.
func defectWholeWords(t *testing.T) {
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 AUTH SCRAM-SHA-1-PLUS XPLAIN PLAIN-CLIENTTOKEN LOGIN2\nC: (goes)", smtp.Options{PlaintextAuth: true}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if err := c.Auth(t.Context(), smtp.SCRAMSHA1("user", "pencil"), smtp.Plain("user", "pencil"), smtp.Login("user", "pencil")); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
	line, mailer := defectServe(t, defectTLS, func(s *smtptest.Server) { s.Mechanisms = []string{"LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-256"} })
	var used atomic.Value
	mailer.Auth = smtp.Password("user", "pencil")
	mailer.Options.Logger = defectLogger(func(text string) {
		if strings.Contains(text, "AUTH SCRAM-SHA-256") {
			used.Store(true)
		}
	})
	if err := mailer.Verify(t.Context()); err != nil || used.Load() == nil {
		t.Errorf("SCRAM was not taken first: %v\n%q", err, line.text()[:40])
	}
}

// defectUnknown: a link that is lost behind the final dot leaves the outcome unknown,
// which is neither a failure to repeat nor a success.
func defectUnknown(t *testing.T) {
	line, mailer := defectServe(t, defectAt("END", smtptest.Fault{Drop: true}))
	result, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
	var e *smtp.Error
	if !errors.As(err, &e) || !e.Unknown || e.Temporary() || defectOutcomes(result) != "unknown" || len(result.Remaining()) != 0 || len(line.Messages()) != 1 {
		t.Errorf("%s, %d remaining, %d arrived, %v", defectOutcomes(result), len(result.Remaining()), len(line.Messages()), err)
	}
}

// defectReports: what is asked about reports is of each mail and each recipient, and
// nobody gets a mail twice.
func defectReports(t *testing.T) {
	line, mailer := defectServe(t)
	for i := range 2 {
		m := smallMail("bob@example.net", "BOB@EXAMPLE.NET", "bob@example.net")
		m.Cc = m.To
		if i == 0 {
			m.Delivery = smtp.Envelope{EnvelopeID: "id+1=x y", Return: smtp.ReturnHeaders, To: []smtp.Recipient{
				{Address: "a@example.net", Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: "a+b@example.net"},
				{Address: "b@example.net", Notify: smtp.NotifyNever, OriginalRecipient: "b=c@example.net"},
				{Address: "a@example.net", Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: "a+b@example.net"},
			}}
		}
		if result, err := mailer.Send(t.Context(), m); err != nil || i == 0 && len(result.Recipients) != 3 {
			t.Errorf("%v, %v", defectOutcomes(result), err)
		}
	}
	got := line.Messages()
	if m := got[0]; m.EnvelopeID != "id+1=x y" || m.Return != "HDRS" || fmt.Sprint(m.Recipients) != "[{a@example.net [SUCCESS FAILURE] a+b@example.net} {b@example.net [NEVER] b=c@example.net}]" {
		t.Errorf("%s %s %v", m.EnvelopeID, m.Return, m.Recipients)
	}
	if m := got[1]; m.EnvelopeID != "" || m.Return != "" || !strings.EqualFold(strings.Join(m.To, " "), "bob@example.net BOB@EXAMPLE.NET") && len(m.To) != 1 {
		t.Errorf("%s %s %v", m.EnvelopeID, m.Return, m.To)
	}
}

// defectMemory: a file is streamed from the disk to the server.
func defectMemory(t *testing.T) {
	const size, limit = 25 << 20, 4 << 20
	path := filepath.Join(t.TempDir(), "data.bin")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]smtp.File{"file": smtp.FilePath(path), "reader": defectFile(size, nil)} {
		m := smallMail("bob@example.net")
		m.Attachments = []smtp.File{file}
		if n := defectAllocated(func() {
			if _, err := m.WriteTo(io.Discard); err != nil {
				t.Error(err)
			}
		}); n > limit {
			t.Errorf("%s: writing it allocates %d octets", name, n)
		}
		ours, theirs := net.Pipe()
		go defectSwallow(theirs)
		c := smtp.NewClient(ours, nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := defectAllocated(func() {
			if _, err := c.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		}); n > limit {
			t.Errorf("%s: sending it allocates %d octets", name, n)
		}
		c.Close()
	}
}

// defectWrites counts the calls of Write and what they hold.
type defectWrites struct {
	net.Conn
	calls, octets int
}

func (w *defectWrites) Write(p []byte) (int, error) {
	w.calls++
	w.octets += len(p)
	return w.Conn.Write(p)
}

// defectDots: lines that begin with a dot go in large blocks, with nothing allocated
// for each.
func defectDots(t *testing.T) {
	const lines = 1 << 20
	block := []byte(strings.Repeat(".dotted line\r\n.\r\n", 1<<10))
	ours, theirs := net.Pipe()
	go defectSwallow(theirs)
	conn := &defectWrites{Conn: ours}
	c := smtp.NewClient(conn, nil)
	defer c.Close()
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"})
	c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net"})
	before := *conn
	allocated := defectAllocated(func() {
		_, err := c.Data(t.Context(), defectBody(func(w io.Writer) (err error) {
			for range lines >> 10 {
				if _, err = w.Write(block); err != nil {
					return err
				}
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	})
	calls, octets := conn.calls-before.calls, conn.octets-before.octets
	if want := lines>>10*len(block) + 2*lines + len("DATA\r\n.\r\n"); octets != want || calls > octets/(8<<10) || allocated > 4<<20 {
		t.Errorf("%d octets, want %d, in %d writes, with %d allocated", octets, want, calls, allocated)
	}
}

// defectSmall: a small mail costs few allocations, fewer than with any of the others.
func defectSmall(t *testing.T) {
	m := smallMail("bob@example.net")
	m.HTML = "<p>Hello.</p>"
	if n := testing.AllocsPerRun(200, func() { m.WriteTo(io.Discard) }); n >= 59 {
		t.Errorf("%v allocations", n)
	}
}
