package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectHalfAMail: a file that fails in the middle ends its own mail, and neither is
// half of it delivered nor are the replies of the others mixed up.
func defectHalfAMail(t *testing.T) {
	for _, withhold := range [][]string{nil, {"PIPELINING"}} {
		line, mailer := defectServe(t, func(s *smtptest.Server) { s.Withhold = withhold })
		c, mails := defectDial(t, mailer), []*smtp.Message{}
		for i := range 3 {
			m := smallMail("bob@example.net")
			m.Subject = fmt.Sprint(i)
			mails = append(mails, m)
		}
		mails[1].Attachments = []smtp.File{defectFile(100_000, errDefect)}
		if result, err := c.Send(t.Context(), mails[1]); !errors.Is(err, errDefect) || defectOutcomes(result) != "not sent" {
			t.Errorf("%s, %v", defectOutcomes(result), err)
		}
		c.Reset(t.Context())
		c.Quit(t.Context())
		for result, err := range mailer.SendAll(t.Context(), slices.Values(mails)) {
			if bad := result.Message == mails[1]; bad != errors.Is(err, errDefect) || !bad && err != nil || bad && defectOutcomes(result) != "not sent" {
				t.Errorf("mail %s: %s, %v", result.Message.Subject, defectOutcomes(result), err)
			}
		}
		if got := line.Messages(); len(got) != 2 || got[0].Subject == "1" || got[1].Subject == "1" {
			t.Errorf("%d mails arrived", len(got))
		}
	}
}

// defectMissingFile: a file that is not there is an error before MAIL, and not a mail
// without it.
func defectMissingFile(t *testing.T) {
	for _, file := range []smtp.File{smtp.FilePath(filepath.Join(t.TempDir(), "gone.txt")), smtp.FileFS(fstest.MapFS{}, "gone.txt")} {
		for i, set := range []func(m *smtp.Message){
			func(m *smtp.Message) { m.Attachments = []smtp.File{file} },
			func(m *smtp.Message) { m.HTML, m.Inline = "<img src='cid:gone.txt'>", []smtp.File{file} },
			func(m *smtp.Message) { m.Alternatives = []smtp.File{file} },
			func(m *smtp.Message) { *m = smtp.Message{Raw: file} },
		} {
			line, mailer := defectServe(t)
			m := smallMail("bob@example.net")
			set(m)
			if m.Raw.Open != nil {
				m.Delivery = smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}}
			}
			_, err := mailer.Send(t.Context(), m)
			if n, writeErr := m.WriteTo(io.Discard); !errors.Is(err, fs.ErrNotExist) || strings.Contains(line.text(), "MAIL") || n != 0 || !errors.Is(writeErr, fs.ErrNotExist) {
				t.Errorf("place %d: %v, and %d octets are written: %v", i, err, n, writeErr)
			}
		}
	}
}

// defectContext: a context that ends is heard at every step, at once.
func defectContext(t *testing.T) {
	for _, command := range []string{"CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END"} {
		synctest.Test(t, func(t *testing.T) {
			line, mailer := defectServe(t, defectTLS, defectAt(command, smtptest.Fault{Delay: 5 * time.Second}))
			mailer.Auth = smtp.Password("user", "pencil")
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := mailer.Send(ctx, smallMail("bob@example.net"))
			if took := time.Since(start); took != 300*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: after %v: %v", command, took, err)
			}
			line.checkClosed(t)
		})
	}
}

// defectSlowLink is a link on which each 16 KiB take two seconds.
type defectSlowLink struct{ net.Conn }

func (l defectSlowLink) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		time.Sleep(2 * time.Second)
		var written int
		written, err = l.Conn.Write(p[n:min(n+16<<10, len(p))])
		n += written
	}
	return n, err
}

// defectWholeDeadline: a mail, or many, that go slowly and steadily never time out,
// though each takes longer than any of the time-outs.
func defectWholeDeadline(t *testing.T) {
	const each = 15 * time.Second
	synctest.Test(t, func(t *testing.T) {
		line, mailer := defectServe(t)
		mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := line.dial(ctx, network, addr)
			return defectSlowLink{conn}, err
		}
		mailer.MaxConns = 1
		mailer.Options.Timeouts = smtp.Timeouts{Command: each, DataInitiation: each, DataBlock: each, DataTermination: each}
		large := smallMail("bob@example.net")
		large.Attachments = []smtp.File{defectFile(1<<20, nil)}
		mails := append([]*smtp.Message{large}, slices.Repeat([]*smtp.Message{smallMail("bob@example.net")}, 20)...)
		start := time.Now()
		for _, err := range mailer.SendAll(t.Context(), slices.Values(mails)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 5*each || len(line.Messages()) != len(mails) || line.opened != 1 {
			t.Errorf("%d mails in %v over %d sessions", len(line.Messages()), took, line.opened)
		}
	})
}

// defectAfterSuccess: what happens after the 250 changes nothing about it, and no
// mail goes twice.
func defectAfterSuccess(t *testing.T) {
	for _, fault := range []smtptest.Fault{{Drop: true}, {Refusal: &smtptest.Refusal{Code: 451}}} {
		for _, command := range []string{"QUIT", "RSET", "NOOP"} {
			line, mailer := defectServe(t, defectAt(command, fault))
			mailer.MaxIdle = -1
			for range 2 {
				if result, err := mailer.Send(t.Context(), smallMail("bob@example.net")); err != nil || defectOutcomes(result) != "accepted" {
					t.Errorf("%s: %s, %v", command, defectOutcomes(result), err)
				}
			}
			if n := len(line.Messages()); n != 2 {
				t.Errorf("%d mails arrived", n)
			}
		}
	}
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: ...\nS: 250 queued\nS: (goes)",
		smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if result, err := c.Send(t.Context(), smallMail("bob@example.net")); err != nil || defectOutcomes(result) != "accepted" {
				t.Errorf("%s, %v", defectOutcomes(result), err)
			}
		})
}

// defectOneBad: who is refused does not sink the mail for the others, and each has his
// own reply in fields, in order.
func defectOneBad(t *testing.T) {
	line, mailer := defectServe(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			code := map[string]int{"carol@example.net": 550, "dave@example.net": 451}[step.Address]
			if step.Command != "RCPT" || code == 0 {
				return nil
			}
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code}}
		}
	})
	result, err := mailer.Send(t.Context(), smallMail("bob@example.net", "carol@example.net", "dave@example.net"))
	var failed *smtp.RecipientsError
	if !errors.As(err, &failed) || !failed.Sent || len(failed.Failed) != 2 || failed.Failed[0].Address != "carol@example.net" || failed.Failed[1].Reply.Code != 451 {
		t.Errorf("the error is %v", err)
	}
	if got := defectOutcomes(result); got != "accepted, refused, refused" || result.Recipients[1].Reply.Code != 550 {
		t.Errorf("%s", got)
	}
	if rest := result.Remaining(); len(rest) != 1 || rest[0].Address != "dave@example.net" {
		t.Errorf("remaining: %v", rest)
	}
	if got := line.Messages(); len(got) != 1 || !slices.Equal(got[0].To, []string{"bob@example.net"}) {
		t.Errorf("arrived: %v", got)
	}
}

// defectNullSender: a mail can have the null reverse-path.
func defectNullSender(t *testing.T) {
	line, mailer := defectServe(t)
	m := smallMail("bob@example.net")
	m.Delivery.From = "<>"
	if _, err := mailer.Send(t.Context(), m); err != nil || !strings.Contains(line.text(), "\r\nMAIL FROM:<> ") && !strings.Contains(line.text(), "\r\nMAIL FROM:<>\r\n") || line.Messages()[0].From != "" {
		t.Errorf("%v\n%s", err, line.text())
	}
}

// defectLeaks: a connection is closed whatever fails on it, and so is a file.
func defectLeaks(t *testing.T) {
	for _, command := range []string{"CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END", "QUIT"} {
		for _, fault := range []smtptest.Fault{{Drop: true}, {Refusal: &smtptest.Refusal{Code: 554}}, {Refusal: &smtptest.Refusal{Code: 421}}} {
			synctest.Test(t, func(t *testing.T) {
				line, mailer := defectServe(t, defectTLS, defectAt(command, fault))
				mailer.Auth = smtp.Password("user", "pencil")
				for range 5 {
					mailer.Send(t.Context(), smallMail("bob@example.net"))
				}
				mailer.Close()
				line.checkClosed(t)
			})
		}
	}
	line, mailer := defectListen(t, defectTLS)
	mailer.TLSConfig = nil // The certificate is not trusted.
	if _, err := mailer.Send(t.Context(), smallMail("bob@example.net")); err == nil {
		t.Error("the certificate was trusted")
	}
	line.checkClosed(t)
}

// defectFS counts what is open.
type defectFS struct {
	fs.FS
	open *int
}

func (f defectFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	*f.open++
	return defectFSFile{file, f.open}, err
}

type defectFSFile struct {
	fs.File
	open *int
}

func (f defectFSFile) Close() error {
	*f.open--
	return f.File.Close()
}

// defectOpenFiles: each file that was opened is closed, whether the mail went or not.
func defectOpenFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.txt"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"", "MAIL", "DATA", "END"} {
		open := 0
		m := smallMail("bob@example.net")
		file := smtp.FileFS(defectFS{os.DirFS(folder), &open}, "a.txt")
		m.Attachments, m.Alternatives = []smtp.File{file, file}, []smtp.File{file}
		_, mailer := defectServe(t, defectAt(command, smtptest.Fault{Drop: true}))
		mailer.Send(t.Context(), m)
		m.Prepare()
		m.WriteTo(io.Discard)
		m.Attachments = append(m.Attachments, defectFile(0, errDefect), smtp.FilePath(filepath.Join(folder, "gone")))
		m.WriteTo(io.Discard)
		if open != 0 {
			t.Errorf("with %q, %d files are left open", command, open)
		}
	}
}
