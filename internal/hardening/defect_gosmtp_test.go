package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectSecondLMTP: each mail of a session has its own replies, also after one whose
// recipients were refused.
func defectSecondLMTP(t *testing.T) {
	for _, withhold := range [][]string{nil, {"PIPELINING"}} {
		synctest.Test(t, func(t *testing.T) {
			line, mailer := defectServe(t, func(s *smtptest.Server) {
				s.LMTP, s.Withhold = true, withhold
				s.On = func(step smtptest.Step) *smtptest.Fault {
					if (step.Command == "RCPT" || step.Command == "END") && strings.HasPrefix(step.Address, "bad-at-"+step.Command) {
						return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550}}
					}
					return nil
				}
			})
			c, start := defectDial(t, mailer), time.Now()
			for range 3 {
				result, err := c.Send(t.Context(), smallMail("a@example.net", "bad-at-RCPT@example.net", "b@example.net", "bad-at-END@example.net"))
				if got := defectOutcomes(result); got != "accepted, refused, accepted, refused" {
					t.Errorf("%s, %v", got, err)
				}
			}
			if took := time.Since(start); took != 0 || len(line.Messages()) != 3 {
				t.Errorf("after %v, %d mails arrived", took, len(line.Messages()))
			}
		})
	}
}

// defectFailingReader: content that fails, by hand, and then RSET or QUIT.
func defectFailingReader(t *testing.T) {
	for _, octets := range []int64{0, 10, 100_000} {
		for _, after := range []func(c *smtp.Client) error{
			func(c *smtp.Client) error { return c.Reset(t.Context()) },
			func(c *smtp.Client) error { return c.Quit(t.Context()) },
			func(c *smtp.Client) error { return c.Noop(t.Context()) },
			func(c *smtp.Client) error { return c.Close() },
		} {
			line, mailer := defectServe(t)
			c := defectDial(t, mailer)
			defectBegin(t, c)
			result, err := c.Data(t.Context(), defectBody(func(w io.Writer) error {
				io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("Hello.\r\n", 20_000)), octets))
				return errDefect
			}))
			after(c)
			line.Server.Close()
			if !errors.Is(err, errDefect) || defectOutcomes(result) != "not sent" || len(line.Messages()) != 0 || strings.Contains(line.text(), "\r\n.\r\n") {
				t.Errorf("%d octets: %s, %d arrived, %v", octets, defectOutcomes(result), len(line.Messages()), err)
			}
		}
	}
}

// defectBegin begins a transaction by hand.
func defectBegin(t *testing.T, c *smtp.Client) {
	t.Helper()
	if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net"}); err != nil {
		t.Fatal(err)
	}
}

// defectScript begins that of a mail to a server without extensions.
const defectScript = "C: %s\nS: 250 mx\nC: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nC: DATA\nS: 354 go\n"

// defectNoReading: a server that reads no more ends the content by a time-out.
func defectNoReading(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 3 * time.Minute, 500 * time.Millisecond: 500 * time.Millisecond} {
		opts := smtp.Options{Timeouts: smtp.Timeouts{DataBlock: given}}
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := defectStalled()
			c := smtp.NewClient(ours, &opts)
			defer theirs.Close()
			if err := c.Hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			defectBegin(t, c)
			start := time.Now()
			result, err := c.Data(t.Context(), defectBody(func(w io.Writer) error {
				_, err := io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("Hello.\r\n", 1<<17)), 1<<20))
				return err
			}))
			if took := time.Since(start); took != want || !errors.Is(err, os.ErrDeadlineExceeded) || defectOutcomes(result) != "not sent" {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

// defectReset: RSET costs its own round trip and no other.
func defectReset(t *testing.T) {
	mail := "C: MAIL FROM:<ann@example.com>\nS: 250 ok\n"
	defectPlay(t, "C: %s\nS: 250 mx\n"+mail+"C: RSET\nS: 250 ok\n"+mail+"C: RSET\nS: 250 ok\nC: NOOP\nS: 250 ok", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		for range 2 {
			if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
				t.Error(err)
			}
			if err := c.Reset(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := c.Noop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// defectBodyType: BODY is said if the content needs it, as what it needs.
func defectBodyType(t *testing.T) {
	for body, want := range map[smtp.BodyType]string{smtp.Body7Bit: "", smtp.Body8Bit: " BODY=8BITMIME", smtp.BodyBinary: " BODY=BINARYMIME"} {
		defectPlay(t, "C: %s\nS: 250-mx\nS: 250-8BITMIME\nS: 250-CHUNKING\nS: 250 BINARYMIME\nC: MAIL FROM:<ann@example.com>"+want+"\nS: 250 ok", smtp.Options{Chunking: true}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com", Body: body}); err != nil {
				t.Error(err)
			}
		})
		if body == smtp.Body7Bit {
			continue
		}
		defectPlay(t, "C: %s\nS: 250 mx\nC: (goes)", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com", Body: body}); !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		})
	}
}

// defectSmuggling: nothing in an address, or beside it, becomes a parameter or a
// command.
func defectSmuggling(t *testing.T) {
	for _, value := range []string{"b@x> NOTIFY=NEVER", "b@x>", "<b@x", "b@x NOTIFY=NEVER", "b@x\r\nRSET", "b@x>\r\nNOOP", "b@x\n", "b@x\rRSET", "b@x\x00", `"b> NOTIFY=NEVER`, "b@[x> NOTIFY=NEVER]", "@a,@b:c@x", "postmaster> X=1"} {
		defectPlay(t, "C: %s\nS: 250-mx\nS: 250 DSN\nC: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: (goes)", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			var errs []error
			try := func(_ smtp.Reply, err error) { errs = append(errs, err) }
			with := "x " + value // What is an address may be a parameter.
			try(c.Mail(t.Context(), smtp.Envelope{From: value}))
			try(c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com", Params: []smtp.Param{{Keyword: "DSN", Value: with}}}))
			try(c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com", Params: []smtp.Param{{Keyword: value, Extension: "DSN"}}}))
			try(c.Command(t.Context(), "NOOP "+value+"\r\nRSET"))
			if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
				t.Error(err)
			}
			try(c.Rcpt(t.Context(), smtp.Recipient{Address: value}))
			try(c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net", Params: []smtp.Param{{Keyword: "DSN", Value: with}}}))
			for i, err := range errs {
				if err == nil {
					t.Errorf("%q was taken in place %d", value, i)
				}
			}
		})
	}
	quoted := `"b> NOTIFY=NEVER"@example.net` // This is a mailbox, and stays one.
	if got := defectArrived(t, &smtp.Message{From: smtp.Address{Address: "ann@example.com"}, Text: "Hi.", Delivery: smtp.Envelope{To: []smtp.Recipient{{Address: quoted}}}}); !slices.Equal(got.To, []string{quoted}) || got.Recipients[0].Notify != nil {
		t.Errorf("%q arrived for %q", quoted, got.To)
	}
}

// defectPrompts: LOGIN goes by what a server asks for, in whatever words, and not
// without TLS.
func defectPrompts(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, prompts := range [][2]string{{"Username:", "Password:"}, {"User Name\x00", "Password\x00"}, {"Username", "Password"}, {"username:", "password:"}, {"", ""}, {"User", "PASS"}} {
		script := "C: %s\nS: 250-mx\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 " + encode(prompts[0]) + "\nC: " + encode("ann") + "\nS: 334 " + encode(prompts[1]) + "\nC: " + encode("secret") + "\nS: 235 welcome"
		defectPlay(t, script, smtp.Options{PlaintextAuth: true}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if err := c.Auth(t.Context(), smtp.Login("ann", "secret")); err != nil {
				t.Errorf("%q: %v", prompts, err)
			}
		})
	}
	for _, mechanisms := range [][]smtp.Mechanism{smtp.Password("ann", "secret"), {smtp.Login("ann", "secret")}} {
		defectPlay(t, "C: %s\nS: 250-mx\nS: 250 AUTH LOGIN PLAIN\nC: (goes)", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			c.Hello(t.Context())
			if err := c.Auth(t.Context(), mechanisms...); err == nil {
				t.Error("the password went in the clear")
			}
		})
	}
}

// defectDoubter is a mechanism that is never content.
type defectDoubter struct{ sasl.Client }

func (defectDoubter) Done() error { return errDefect }

// defectDone: a mechanism is asked at 235 whether it is content, too.
func defectDone(t *testing.T) {
	doubting := smtp.SASL("PLAIN", func(context.Context, smtp.ServerInfo) (sasl.Client, error) {
		return defectDoubter{sasl.NewPlainClient("", "ann", "secret")}, nil
	})
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 welcome\nC: (goes)", smtp.Options{PlaintextAuth: true}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if err := c.Auth(t.Context(), doubting); !errors.Is(err, errDefect) {
			t.Error(err)
		}
		if _, err := c.Send(t.Context(), smallMail("bob@example.net")); err == nil {
			t.Error("a mail went to a server that is doubted")
		}
	})
}

// defectEagerTLS: a bad certificate is the error of StartTLS.
func defectEagerTLS(t *testing.T) {
	line, _ := defectListen(t, defectTLS)
	conn, err := line.dial(t.Context(), "tcp", line.Server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn, &smtp.Options{ServerName: "localhost"})
	defer c.Close()
	c.Hello(t.Context())
	if err := c.StartTLS(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("StartTLS: %v", err)
	}
	line.checkClosed(t)
}

// defectLogs: neither the log nor the trace has a secret, in any form.
func defectLogs(t *testing.T) {
	const secret = "tr0ub4dor-horse"
	token := func(context.Context) (string, error) { return secret, nil }
	forms := regexp.MustCompile("tr0ub|horse|" + base64.StdEncoding.EncodeToString([]byte("tr0ub4dor")) + "|AHVzZXIA|" + base64.StdEncoding.EncodeToString([]byte(secret)))
	for _, mechanism := range append(smtp.Password("user", secret)[6:], smtp.CRAMMD5("user", secret), smtp.SCRAMSHA256("user", secret), smtp.XOAUTH2("user", token), smtp.OAuthBearer("user", token)) {
		var mu sync.Mutex
		var shown bytes.Buffer
		show := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			shown.WriteString(text)
		}
		for _, known := range []string{secret, "other"} {
			line, mailer := defectServe(t, defectTLS, func(s *smtptest.Server) {
				s.Mechanisms, s.Users = []string{mechanism.Name()}, map[string]string{"user": known}
			})
			mailer.Auth, mailer.Options.Logger = []smtp.Mechanism{mechanism}, defectLogger(show)
			mailer.Options.Trace = &smtp.Trace{Reply: func(_ context.Context, op string, r smtp.Reply) { show(op + r.String()) }}
			_, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			show(fmt.Sprintf("%v %#v", err, err))
			if (err == nil) != (known == secret) || (err == nil) != (len(line.Messages()) == 1) {
				t.Errorf("%s: %v", mechanism.Name(), err)
			}
		}
		if text := shown.String(); !strings.Contains(text, "AUTH "+mechanism.Name()) || forms.MatchString(text) {
			t.Errorf("%s shows %q in\n%s", mechanism.Name(), forms.FindString(text), text)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", smtp.Plain("user", secret), smtp.Login("user", secret), slog.AnyValue(smtp.XOAUTH2("user", token))); forms.MatchString(got) {
		t.Error(got)
	}
}

// defectData: long lines and tokens arrive as they were, what is wrong is found
// before an octet is written, and there is multipart/related.
func defectData(t *testing.T) {
	token, text := strings.Repeat("x", 3000), strings.Repeat("ü", 3000)+"\r\n"
	m := smallMail("bob@example.net")
	m.Text, m.HTML = text, `<img src="cid:a.png">`
	m.Header = smtp.Header{{Name: "X-Token", Value: token}}
	m.Inline = []smtp.File{smtp.FileBytes("a.png", []byte("a"))}
	m.Attachments = []smtp.File{smtp.FileBytes("Grüße.txt", []byte(text))}
	got := defectArrived(t, m)
	if got.Find("multipart/related") == nil || string(got.Find("text/plain").Body) != text || got.Parts[1].Name != "Grüße.txt" || string(got.Parts[1].Body) != text {
		t.Errorf("arrived:\n%s", got.Tree())
	}
	if value := defectUnworded(t, got.Header.Get("X-Token")); value != token || strings.Contains(string(got.Data), `="=?`) {
		t.Errorf("X-Token has %d octets", len(value))
	}
	raw := "From: ann@example.com\r\nTo: bob@example.net\r\n\r\n" + strings.Repeat("x", 998) + "\r\n"
	if got := defectArrived(t, &smtp.Message{Raw: smtp.FileBytes("", []byte(raw))}); string(got.Data) != raw {
		t.Error("a line of 998 octets was altered")
	}
	for _, field := range []smtp.HeaderField{{Name: "X-A", Value: "a\r\nb"}, {Name: "X A", Value: "a"}, {Name: "", Value: "a"}, {Name: "X:", Value: "a"}, {Name: "X-A", Value: "\x00"}} {
		m := smallMail("bob@example.net")
		m.Header = smtp.Header{{Name: "X-Good", Value: "1"}, field}
		line, mailer := defectServe(t)
		_, err := mailer.Send(t.Context(), m)
		if n, writeErr := m.WriteTo(io.Discard); err == nil || n != 0 || writeErr == nil || line.opened != 0 {
			t.Errorf("%q: %v, and %d octets are written: %v", field, err, n, writeErr)
		}
	}
}

// defectFewAllocations: the lines of base64 are not allocated one by one.
func defectFewAllocations(t *testing.T) {
	m := smallMail("bob@example.net")
	m.Attachments = []smtp.File{defectFile(1<<20, nil)}
	if n := testing.AllocsPerRun(5, func() { m.WriteTo(io.Discard) }); n > 1000 {
		t.Errorf("%v allocations for 1 MiB", n)
	}
}
