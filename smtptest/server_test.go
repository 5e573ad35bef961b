package smtptest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func send(t *testing.T, server *smtptest.Server, m *smtp.Message) error {
	t.Helper()
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Auth: smtp.Password(server.Username, server.Password)}
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
	if err := send(t, server, m); err != nil {
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
      text/html, 7bit, 37 bytes
      image/png "dot.png", base64, 3 bytes, inline, part1.1@example.com
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
		"DATA": `end of data: 550 5.0.0 "no"`,
	} {
		server := smtptest.NewServer(t, func(s *smtptest.Server) {
			s.Refuse = func(c, address string) *smtptest.Refusal {
				if c != command || strings.HasPrefix(address, "carol@") {
					return nil
				}
				return &smtptest.Refusal{Code: 550, Text: "no"}
			}
		})
		err := send(t, server, letter("bob@example.net"))
		if err == nil || !strings.Contains(err.Error(), want) || len(server.Messages()) != 0 {
			t.Errorf("%s: %d messages arrived, error %v", command, len(server.Messages()), err)
		}
	}
}

func TestServerLimits(t *testing.T) {
	t.Parallel()
	for want, configure := range map[string]func(*smtptest.Server){
		"552 5.3.4": func(s *smtptest.Server) { s.MaxMessageBytes = 100 },
		"452 4.5.3": func(s *smtptest.Server) { s.MaxRecipients = 1 },
		"452 4.3.1": func(s *smtptest.Server) { s.MaxMessages = 1 },
	} {
		server := smtptest.NewServer(t, configure)
		mail := letter("bob@example.net", "carol@example.org")
		first, second := send(t, server, mail), send(t, server, mail)
		if first == nil && second == nil || second != nil && !strings.Contains(second.Error(), want) {
			t.Errorf("%s: errors %v, %v", want, first, second)
		}
	}
}

func TestServerConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.MaxConnections = 1 })
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	first, err := mailer.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		c, err := mailer.Dial(t.Context())
		if err == nil {
			err = c.Quit(context.Background())
		}
		second <- err
	}()
	if err := first.Noop(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-second:
		t.Errorf("a second session went on beside the first: %v", err)
	default:
	}
	first.Quit(t.Context())
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	server := &smtptest.Server{}
	if err := server.Close(); err != nil {
		t.Error("before Start:", err)
	}
	for range 2 {
		server = &smtptest.Server{}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if conn, err := net.Dial("tcp", server.Addr); err == nil {
			conn.Close()
			t.Error("it still listens")
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
	for _, raw := range []string{"no header\r\n", "Content-Type: multipart/mixed; boundary=x\r\n\r\nno part\r\n", "Content-Transfer-Encoding: x\r\n\r\ntext\r\n"} {
		_, mailErr := c.Mail(t.Context(), smtp.Envelope{From: "<>"})
		_, rcptErr := c.Rcpt(t.Context(), smtp.Recipient{Address: "postmaster@example.net"})
		_, dataErr := c.Data(t.Context(), strings.NewReader(raw))
		if err := errors.Join(mailErr, rcptErr, dataErr); err != nil {
			t.Fatal(err)
		}
		messages := server.Messages()
		if last := messages[len(messages)-1]; string(last.Data) != raw || last.Err == nil || last.From != "" {
			t.Errorf("%q became %+v", raw, last)
		}
	}
}
