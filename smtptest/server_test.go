package smtptest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func sendTo(t *testing.T, server *smtptest.Server, m *smtp.Message) error {
	t.Helper()
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Auth: smtp.Password("user", "pencil")}
	defer mailer.Close()
	_, err := mailer.Send(t.Context(), m)
	return err
}

func letter(to ...string) *smtp.Message {
	m := &smtp.Message{From: smtp.Address{Name: "Ann", Address: "ann@example.com"}, Subject: "Grüße", Text: "Hello.\n"}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

func TestServerKeepsMessages(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	m := letter("bob@example.net")
	m.HTML, m.Inline = `<img src="cid:dot.png">`, []smtp.File{smtp.FileBytes("dot.png", []byte("dot"))}
	m.Attachments = []smtp.File{smtp.FileBytes("Übersicht.pdf", []byte("pdf"))}
	m.MessageID = "1@example.com"
	if err := sendTo(t, server, m); err != nil {
		t.Fatal(err)
	}
	messages := server.Messages()
	if len(messages) != 1 {
		t.Fatalf("%d messages arrived", len(messages))
	}
	got := messages[0]
	if got.Err != nil || got.Subject != "Grüße" || got.Header.Get("From") != "Ann <ann@example.com>" || string(got.Find("text/plain").Body) != "Hello.\r\n" {
		t.Errorf("got %+v", got)
	}
	if pdf := got.Find("application/pdf"); pdf == nil || pdf.Name != "Übersicht.pdf" || string(pdf.Body) != "pdf" || pdf.Disposition != "attachment" {
		t.Errorf("the attachment is %+v", pdf)
	}
	if got.Find("video/mp4") != nil {
		t.Error("a video was found")
	}
	want := `multipart/mixed
  multipart/alternative
    text/plain, 7bit, 8 bytes
    multipart/related
      text/html, 7bit, 60 bytes
      image/png "dot.png", base64, 3 bytes, inline, part1.4a30277a7ca42298f0e1467c@example.com
  application/pdf "Übersicht.pdf", base64, 3 bytes, attachment
`
	if got.Tree() != want {
		t.Errorf("the tree is\n%s", got.Tree())
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"MAIL": `MAIL <ann@example.com>: 550 5.0.0 "no"`,
		"RCPT": `RCPT <bob@example.net>: 550 5.0.0 "no"`,
		"DATA": `DATA: 550 5.0.0 "no"`,
		"END":  `end of data: 550 5.0.0 "no"`,
	} {
		server := smtptest.NewServer(t, func(s *smtptest.Server) {
			s.On = func(step smtptest.Step) *smtptest.Fault {
				if step.Command != command {
					return nil
				}
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Text: "no"}}
			}
		})
		err := sendTo(t, server, letter("bob@example.net"))
		if err == nil || !strings.Contains(err.Error(), want) || len(server.Messages()) != 0 {
			t.Errorf("%s: %d messages arrived, error %v", command, len(server.Messages()), err)
		}
	}
}

// TestServerLimits: the server keeps to its limits also where the client does
// not know of them.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	for want, configure := range map[string]func(*smtptest.Server){
		"552 5.3.4": func(s *smtptest.Server) { s.MaxMessageBytes = 100 },
		"452 4.5.3": func(s *smtptest.Server) { s.MaxRecipients = 1 },
		"452 4.3.1": func(s *smtptest.Server) { s.MaxMessages = 1 },
	} {
		server := smtptest.NewServer(t, configure)
		mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Options: smtp.Options{Disable: []string{"SIZE", "LIMITS"}}}
		defer mailer.Close()
		m := letter("bob@example.net", "carol@example.org")
		m.Delivery.Accept = smtp.AcceptAll
		mailer.Send(t.Context(), m)
		_, err := mailer.Send(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v", want, err)
		}
	}
}

// TestServerConnectionsAreBounded: the second session begins only when the
// first has ended.
func TestServerConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.MaxConnections = 1 })
	greeted := func(conn net.Conn, within time.Duration) bool {
		conn.SetReadDeadline(time.Now().Add(within))
		_, err := conn.Read(make([]byte, 100))
		return err == nil
	}
	var conns [2]net.Conn
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", server.Addr); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
		if first := i == 0; greeted(conns[i], map[bool]time.Duration{true: time.Minute, false: 100 * time.Millisecond}[first]) != first {
			t.Errorf("connection %d was greeted: %v", i, !first)
		}
	}
	conns[0].Close()
	if !greeted(conns[1], time.Minute) {
		t.Error("the second was not greeted after the first had gone")
	}
}

// TestRoomForMemory: a listener that waits for a connection takes no room.
func TestRoomForMemory(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.MaxConnections = 1 })
	if err := sendTo(t, server, letter("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := server.DialContext(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestFatalInOn: a test that fails in On ends that session, and does not wait for it.
func TestFatalInOn(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.MaxConnections = 1
		s.On = func(smtptest.Step) *smtptest.Fault {
			runtime.Goexit() // as t.FailNow does
			return nil
		}
	})
	for range 2 {
		if err := sendTo(t, server, letter("bob@example.net")); err == nil || !strings.Contains(err.Error(), "greeting: the server closed the connection") {
			t.Error(err)
		}
	}
}

func TestServerTimesOut(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.Timeout = 10 * time.Millisecond })
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if said, err := io.ReadAll(conn); err != nil || !strings.Contains(string(said), "421") {
		t.Errorf("a silent client was told %q, %v", said, err)
	}
}

// TestLastWords: a client that is still writing hears why the session ended.
func TestLastWords(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.On = at("DATA", smtptest.Fault{After: 1000, Refusal: &smtptest.Refusal{Code: 421, Text: "enough"}})
	})
	mailer := server.Mailer()
	defer mailer.Close()
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{smtp.FileBytes("data.bin", make([]byte, 8<<20))}
	if _, err := mailer.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "421 4.0.0 \"enough\"") {
		t.Errorf("the error is %v", err)
	}
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	server := &smtptest.Server{}
	if err := server.Close(); err != nil {
		t.Error("before Start:", err)
	}
	for _, dialled := range []bool{false, true} {
		server = &smtptest.Server{}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if server.Start() == nil {
			t.Error("it starts twice")
		}
		mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
		var c *smtp.Client
		if dialled {
			var err error
			if c, err = mailer.Dial(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if dialled && c.Noop(t.Context()) == nil {
			t.Error("a session goes on after Close")
		}
	}
}

// TestCloseUnderLoad: Close ends a server that is busy, and what it has taken by then is
// no less than what senders were told.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.MaxConnections = 3 })
	mailer := server.Mailer()
	defer mailer.Close()
	var senders sync.WaitGroup
	var accepted atomic.Int64
	enough := make(chan struct{}, 1000)
	for range 10 {
		senders.Go(func() {
			for {
				if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
					return
				}
				accepted.Add(1)
				enough <- struct{}{}
			}
		})
	}
	for range 30 {
		<-enough
	}
	server.Close()
	senders.Wait()
	if told, taken := accepted.Load(), len(server.Messages()); told < 30 || int64(taken) < told {
		t.Errorf("%d were accepted, %d arrived", told, taken)
	}
}

func TestRefusalsMustRefuse(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 250, 354, 55, 5500} {
		server := smtptest.NewServer(t, func(s *smtptest.Server) {
			s.On = func(smtptest.Step) *smtptest.Fault {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code}}
			}
		})
		if err := sendTo(t, server, letter("bob@example.net")); err == nil || !strings.Contains(err.Error(), "a Refusal cannot have the code") {
			t.Errorf("with the code %d, the error is %v", code, err)
		}
	}
}

// TestServerReadsOddMessages: what cannot be parsed is still there, with the error.
func TestServerReadsOddMessages(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	c, err := mailer.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	many := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n", 10_001) + "--x--\r\n"
	for _, raw := range []string{"no header\r\n", "Content-Type: multipart/mixed; boundary=x\r\n\r\nno part\r\n", "Content-Transfer-Encoding: x\r\n\r\ntext\r\n", many} {
		_, mailErr := c.Mail(t.Context(), smtp.Envelope{From: "<>"})
		_, rcptErr := c.Rcpt(t.Context(), smtp.Recipient{Address: "postmaster@example.net"})
		_, dataErr := c.Data(t.Context(), strings.NewReader(raw))
		if err := errors.Join(mailErr, rcptErr, dataErr); err != nil {
			t.Fatal(err)
		}
		messages := server.Messages()
		if last := messages[len(messages)-1]; string(last.Data) != raw || last.Err == nil || last.From != "" {
			t.Errorf("%.100q became %v", raw, last.Err)
		}
	}
}
