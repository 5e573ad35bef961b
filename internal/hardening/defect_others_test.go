package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectSlowEnd: a server has ten minutes to take a mail on, and after that the
// outcome is unknown.
func defectSlowEnd(t *testing.T) {
	for delay, want := range map[time.Duration]string{10*time.Minute - time.Second: "accepted", 11 * time.Minute: "unknown"} {
		synctest.Test(t, func(t *testing.T) {
			_, mailer := defectServe(t, defectAt("END", smtptest.Fault{Delay: delay}))
			start := time.Now()
			result, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			if took := time.Since(start); defectOutcomes(result) != want || (err == nil) != (want == "accepted") || took != min(delay, 10*time.Minute) {
				t.Errorf("after %v: %s, %v", took, defectOutcomes(result), err)
			}
		})
	}
}

// defectSessionContext: the context ends the steps of a session at once, with its cause,
// and the middle of a content.
func defectSessionContext(t *testing.T) {
	gone := errors.New("the user went away")
	for _, command := range []string{"MAIL", "RCPT", "DATA", "content", "END"} {
		synctest.Test(t, func(t *testing.T) {
			_, mailer := defectServe(t, defectAt(command, smtptest.Fault{Delay: time.Minute}))
			c := defectDial(t, mailer)
			if command == "content" {
				conn, server := defectStalled()
				defer server.Close()
				c = smtp.NewClient(conn, nil)
				c.Hello(t.Context())
			}
			m := smallMail("bob@example.net")
			m.Attachments = []smtp.File{defectFile(1<<20, nil)}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(300*time.Millisecond, func() { cancel(gone) })
			start := time.Now()
			result, err := c.Send(ctx, m)
			want := map[bool]string{true: "unknown", false: "not sent"}[command == "END"]
			if took := time.Since(start); took != 300*time.Millisecond || !errors.Is(err, context.Canceled) || !errors.Is(err, gone) || defectOutcomes(result) != want {
				t.Errorf("%s: after %v: %s, %v", command, took, defectOutcomes(result), err)
			}
			c.Close()
		})
	}
}

// defectForgets: what was offered before TLS counts no more.
func defectForgets(t *testing.T) {
	script := "C: %s\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE 10\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250-LIMITS RCPTMAX=1\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\n" +
		"C: STARTTLS\nS: 220 go\nS: (starts TLS)\n" + strings.Replace(defectScript, "C: DATA", "C: RCPT TO:<carol@example.net>\nS: 250 ok\nC: DATA", 1) + "C: ...\nS: 250 queued\nC: QUIT\nS: 221 bye"
	defectPlay(t, script, smtp.Options{Chunking: true}, func(t *testing.T, c *smtp.Client) {
		if err := errors.Join(c.Hello(t.Context()), c.StartTLS(t.Context(), defectTrust(t))); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Extension("AUTH"); ok {
			t.Error("AUTH is still offered before EHLO")
		}
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "LIMITS", "AUTH", "STARTTLS"} {
			if _, ok := c.Extension(name); ok {
				t.Errorf("%s is still offered", name)
			}
		}
		if err := c.Auth(t.Context(), smtp.Plain("ann", "secret")); err == nil {
			t.Error("AUTH is still offered")
		}
		if _, err := c.Send(t.Context(), smallMail("bob@example.net", "carol@example.net")); err != nil { // No RCPTMAX holds one of them back.
			t.Error(err)
		}
		c.Quit(t.Context())
	})
}

// defectEnvelopes: what is no address is found before the server is dialled, by
// whatever way it came.
func defectEnvelopes(t *testing.T) {
	for _, value := range []string{"b@x>", "b@x> NOTIFY=NEVER", "b@x\r\nRSET", "b@x\nNOOP", "b@x\r", "b@x\x00", "<b@x>", "b", "b@x, c@x"} {
		for i, set := range []func(m *smtp.Message){
			func(m *smtp.Message) { m.Delivery.From = value },
			func(m *smtp.Message) {
				m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net"}, {Address: value}}
			},
			func(m *smtp.Message) {
				m.Delivery.To = []smtp.Recipient{{Address: "bøb@example.net", Alternative: value}}
			},
			func(m *smtp.Message) { m.Bcc = []smtp.Address{{Address: value}} },
			func(m *smtp.Message) { m.Sender = &smtp.Address{Address: value} },
		} {
			line, mailer := defectServe(t)
			m := smallMail("bob@example.net")
			set(m)
			var field *smtp.FieldError
			for result, err := range mailer.SendAll(t.Context(), slices.Values([]*smtp.Message{m})) {
				if !errors.As(err, &field) || strings.Contains(defectOutcomes(result), "accepted") {
					t.Errorf("%q in place %d: %v", value, i, err)
				}
			}
			if _, err := mailer.Send(t.Context(), m); !errors.As(err, &field) || line.opened != 0 {
				t.Errorf("%q in place %d: %v", value, i, err)
			}
		}
	}
}

// defectForwards: 251 and 252 are acceptance.
func defectForwards(t *testing.T) {
	for _, code := range []string{"251 will forward", "252 cannot verify"} {
		defectPlay(t, strings.Replace(defectScript, "RCPT TO:<bob@example.net>\nS: 250 ok", "RCPT TO:<bob@example.net>\nS: "+code, 1)+"C: ...\nS: 250 queued", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if result, err := c.Send(t.Context(), smallMail("bob@example.net")); err != nil || defectOutcomes(result) != "accepted" {
				t.Errorf("%s, %v", defectOutcomes(result), err)
			}
		})
	}
}

// defectBareLF: a bare LF is mended, a bare CR is found before MAIL, and the session
// goes on.
func defectBareLF(t *testing.T) {
	line, mailer := defectServe(t)
	c := defectDial(t, mailer)
	for _, ends := range []string{"\n", "\r\n", "\r"} {
		raw := "From: ann@example.com\nTo: bob@example.net\n\n" + strings.ReplaceAll("Hello.\n.\n\nBye.", "\n", ends)
		for _, m := range []*smtp.Message{{Raw: smtp.FileBytes("", []byte(raw))}, {From: smtp.Address{Address: "ann@example.com"}, Text: raw}} {
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net"}}
			if _, err := c.Send(t.Context(), m); (err == nil) != (ends != "\r") {
				t.Errorf("%q: %v", ends, err)
			}
		}
	}
	if err := c.Noop(t.Context()); err != nil || len(line.Messages()) != 4 {
		t.Errorf("%d mails arrived, %v", len(line.Messages()), err)
	}
	for _, got := range line.Messages() {
		if text := string(got.Data); !strings.HasSuffix(text, "\r\n\r\nHello.\r\n.\r\n\r\nBye.\r\n") || strings.Count(text, "\n") != strings.Count(text, "\r\n") {
			t.Errorf("%q arrived", text)
		}
	}
}

// defectStatusByHand: DSN can be asked for step by step, too.
func defectStatusByHand(t *testing.T) {
	script := "C: %s\nS: 250-mx\nS: 250 DSN\nC: MAIL FROM:<ann@example.com> RET=FULL ENVID=a+2Bb\nS: 250 ok\nC: RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2B1@example.net\nS: 250 ok"
	defectPlay(t, script, smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		_, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com", Return: smtp.ReturnFull, EnvelopeID: "a+b"})
		_, rcptErr := c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net", Notify: smtp.NotifySuccess | smtp.NotifyDelay, OriginalRecipient: "b+1@example.net"})
		if err := errors.Join(err, rcptErr); err != nil {
			t.Error(err)
		}
	})
}

// defectImports: what the package brings along is a short list.
func defectImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "github.com/postrider/smtp").Output()
	if err != nil || len(out) == 0 {
		t.Fatal(err)
	}
	known := []string{"github.com/postrider/smtp", "github.com/emersion/go-message", "github.com/emersion/go-sasl", "github.com/xdg-go/", "golang.org/x/"}
	for path := range strings.FieldsSeq(string(out)) {
		if !slices.ContainsFunc(known, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			t.Errorf("it imports %s", path)
		}
	}
}

// defectBuilder: a message can have all that readers show.
func defectBuilder(t *testing.T) {
	m := defectRich()
	m.Calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nMETHOD:PUBLISH\r\nEND:VCALENDAR\r\n"
	got := defectArrived(t, m)
	for _, mediaType := range []string{"multipart/mixed", "multipart/alternative", "multipart/related", "text/plain", "text/html", "text/calendar", "image/png"} {
		if got.Find(mediaType) == nil {
			t.Errorf("there is no %s in\n%s", mediaType, got.Tree())
		}
	}
}

// defectFailsFirst: a content that fails, or panics, at its first octet, at the next, which
// is read behind DATA, or far on, in a session that pipelines, or by chunks, leaves nothing
// behind.
func defectFailsFirst(t *testing.T) {
	for _, chunking := range []bool{false, true} {
		for _, before := range []int64{0, 1, 50_000} {
			for _, read := range []func([]byte) (int, error){
				func([]byte) (int, error) { return 0, errDefect },
				func(p []byte) (int, error) { return copy(p, "half"), errDefect },
				func([]byte) (int, error) { panic(errDefect) },
			} {
				defectFails(t, chunking, smtp.File{Name: "a.bin", Type: "application/octet-stream", Open: func() (io.ReadCloser, error) {
					return io.NopCloser(io.MultiReader(io.LimitReader(defectOctets{}, before), defectReader(read))), nil
				}})
			}
		}
	}
}

func defectFails(t *testing.T, chunking bool, file smtp.File) {
	line, mailer := defectServe(t)
	mailer.Options.Chunking = chunking
	m := smallMail("bob@example.net")
	m.Attachments = []smtp.File{file}
	c := defectDial(t, mailer)
	func() {
		defer func() { recover() }()
		if result, err := c.Send(t.Context(), m); !errors.Is(err, errDefect) || defectOutcomes(result) != "not sent" {
			t.Errorf("%s, %v", defectOutcomes(result), err)
		}
	}()
	c.Noop(t.Context())
	c.Quit(t.Context())
	line.Server.Close()
	if len(line.Messages()) != 0 || line.opened != line.closed {
		t.Errorf("%d mails arrived, %d of %d connections were closed", len(line.Messages()), line.closed, line.opened)
	}
}

type defectReader func([]byte) (int, error)

func (r defectReader) Read(p []byte) (int, error) { return r(p) }

// defectStripped: where STARTTLS is not offered, or refused, nothing goes, under the
// policy that holds without a word.
func defectStripped(t *testing.T) {
	for _, set := range []func(*smtptest.Server){
		func(s *smtptest.Server) {},
		func(s *smtptest.Server) { s.NoTLS, s.Withhold = false, []string{"STARTTLS"} },
		func(s *smtptest.Server) { s.NoTLS, s.On = false, defectRefusing("STARTTLS", 454) },
		func(s *smtptest.Server) { s.NoTLS, s.On = false, defectRefusing("STARTTLS", 502) },
	} {
		for _, auth := range [][]smtp.Mechanism{nil, smtp.Password("user", "pencil")} { // Without any, nothing else holds the mail back.
			line, mailer := defectServe(t, set)
			mailer.TLS, mailer.Auth = smtp.TLSRequired, auth
			result, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			if said := line.text(); err == nil || defectOutcomes(result) != "not sent" || strings.Contains(said, "MAIL") || strings.Contains(said, "AUTH") {
				t.Errorf("%v\n%s", err, said)
			}
		}
	}
}

func defectRefusing(command string, code int) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if step.Command == command {
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code}}
		}
		return nil
	}
}

// defectLoginInClear: what a server without TLS offers does not bring it the password.
func defectLoginInClear(t *testing.T) {
	for _, mechanisms := range [][]string{{"LOGIN"}, {"PLAIN"}, {"PLAIN", "LOGIN", "CRAM-MD5"}} {
		for _, policy := range []smtp.TLSPolicy{smtp.TLSRequired, smtp.TLSOpportunistic, smtp.TLSNone} {
			line, mailer := defectServe(t, func(s *smtptest.Server) { s.Mechanisms = mechanisms })
			mailer.TLS, mailer.Auth = policy, append(smtp.Password("user", "pencil"), smtp.CRAMMD5("user", "pencil"))
			_, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			if said := line.text(); err == nil || strings.Contains(said, "AUTH") || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte("pencil"))) || len(line.Messages()) != 0 {
				t.Errorf("%v, %v: %v\n%s", mechanisms, policy, err, said)
			}
		}
	}
}

// defectDeadlines: neither what is read nor what is written is waited for without end.
func defectDeadlines(t *testing.T) {
	defectSilence(t)
	defectNoReading(t)
}

// defectSilence: a server that falls silent at any step is left by a time-out, though
// the caller gave none.
func defectSilence(t *testing.T) {
	for command, want := range map[string]time.Duration{"CONNECT": 5 * time.Minute, "EHLO": 5 * time.Minute, "MAIL": 5 * time.Minute, "RCPT": 5 * time.Minute, "DATA": 2 * time.Minute, "END": 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			line, mailer := defectServe(t, defectAt(command, smtptest.Fault{Delay: 24 * time.Hour}), func(s *smtptest.Server) { s.Withhold = []string{"PIPELINING"} })
			start := time.Now()
			_, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			var timeout net.Error
			if took := time.Since(start); took != want || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s: after %v: %v", command, took, err)
			}
			line.checkClosed(t)
		})
	}
}
