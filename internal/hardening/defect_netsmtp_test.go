package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectStuck: while one mail is stuck, whoever waits behind it leaves when his context
// ends, and the Mailer answers and closes.
func defectStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, mailer := defectServe(t, defectAt("END", smtptest.Fault{Delay: time.Hour}))
		mailer.MaxConns = 1
		stuck := make(chan error)
		go func() {
			_, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
			stuck <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		result, err := mailer.Send(ctx, smallMail("carol@example.net"))
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || defectOutcomes(result) != "not sent" || mailer.Stats().Open != 1 {
			t.Errorf("after %v: %s, %v", took, defectOutcomes(result), err)
		}
		if mailer.Close(); time.Since(start) > 6*time.Second {
			t.Errorf("Close took %v", time.Since(start))
		}
		if err := <-stuck; err == nil {
			t.Error("the mail was accepted")
		}
		line.checkClosed(t)
	})
}

// defectLateDial: a server that is silent, and a dial that ends late, leave neither a
// connection nor a goroutine: the bubble would tell.
func defectLateDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, mailer := defectServe(t, defectAt("CONNECT", smtptest.Fault{Delay: time.Hour}))
		mailer.Options.Timeouts = smtp.Timeouts{Connect: time.Second, Greeting: time.Second}
		if _, err := mailer.Send(t.Context(), smallMail("bob@example.net")); err == nil {
			t.Error("it was sent")
		}
		late := mailer.Clone()
		late.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(3 * time.Second) // It does not look at its context.
			return line.dial(context.WithoutCancel(ctx), network, addr)
		}
		if _, err := late.Send(t.Context(), smallMail("bob@example.net")); err == nil {
			t.Error("it was sent")
		}
		late.Close()
		line.checkClosed(t)
	})
}

// defectUnreachable: a server that cannot be reached is an error, for Send, SendAll and
// Failover, and the mail is worth another try.
func defectUnreachable(t *testing.T) {
	mailer := &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	}}
	m := smallMail("bob@example.net")
	check := func(result *smtp.Result, err error) {
		t.Helper()
		if !errors.Is(err, syscall.EHOSTUNREACH) || defectOutcomes(result) != "not sent" || len(result.Remaining()) != 1 {
			t.Errorf("%s, %v", defectOutcomes(result), err)
		}
	}
	check(mailer.Send(t.Context(), m))
	check(smtp.Failover{mailer, mailer.Clone()}.Send(t.Context(), m))
	yielded := 0
	for result, err := range mailer.SendAll(t.Context(), func(yield func(*smtp.Message) bool) { yield(m) }) {
		check(result, err)
		yielded++
	}
	if yielded != 1 || mailer.Verify(t.Context()) == nil {
		t.Errorf("%d results", yielded)
	}
}

// defectBuiltFirst: what cannot be built is found before MAIL.
func defectBuiltFirst(t *testing.T) {
	for i, break1 := range []func(m *smtp.Message){
		func(m *smtp.Message) { m.From = smtp.Address{} },
		func(m *smtp.Message) { m.To[0].Address = "no address" },
		func(m *smtp.Message) { m.To = nil },
		func(m *smtp.Message) { m.Header = smtp.Header{{Name: "X:", Value: "1"}} },
		func(m *smtp.Message) { m.Text = "a bare\rCR" },
		func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a.txt"}} },
		func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a.txt", Open: defectNoFile}} },
		func(m *smtp.Message) { m.MessageID = "no id" },
	} {
		line, mailer := defectServe(t)
		m := smallMail("bob@example.net")
		break1(m)
		if _, err := mailer.Send(t.Context(), m); err == nil || strings.Contains(line.text(), "MAIL") || len(line.Messages()) != 0 {
			t.Errorf("%d: %v\n%s", i, err, line.text())
		}
	}
}

func defectNoFile() (io.ReadCloser, error) { return nil, errDefect }

// defectOwnErrors: of many that fail at once, each has the error of his own mail.
func defectOwnErrors(t *testing.T) {
	_, mailer := defectListen(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command != "RCPT" {
				return nil
			}
			return &smtptest.Fault{Drop: strings.HasPrefix(step.Address, "even"), Refusal: &smtptest.Refusal{Code: 550, Text: step.Address}}
		}
	})
	defectTogether(func(i int) {
		address := fmt.Sprintf("%s%d@example.net", []string{"even", "odd"}[i%2], i)
		for range 50 {
			_, err := mailer.Send(t.Context(), smallMail(address))
			var e *smtp.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), address) && i%2 == 1 || (e.Reply.Code == 550) != (i%2 == 1) {
				t.Errorf("%s: %v", address, err)
			}
		}
	})
}

// defectAnyCase: extensions are found in any letter case, with their parameters.
func defectAnyCase(t *testing.T) {
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250-pipelining\nS: 250-dSn\nS: 250 auth plain\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 welcome\n"+
		"C: MAIL FROM:<ann@example.com> ENVID=7\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 554 no\nC: RSET\nS: 250 ok\nC: (goes)", smtp.Options{PlaintextAuth: true}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if err := c.Auth(t.Context(), smtp.Plain("ann", "secret")); err != nil {
			t.Error(err)
		}
		m := smallMail("bob@example.net")
		m.Delivery.EnvelopeID = "7"
		c.Send(t.Context(), m)
	})
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 Size 40\nC: (goes)", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if params, ok := c.Extension("siZE"); !ok || params != "40" {
			t.Errorf("SIZE is %q, %v", params, ok)
		}
		if _, err := c.Send(t.Context(), smallMail("bob@example.net")); err == nil {
			t.Error("a mail went to a server that it is too large for")
		}
	})
}

// defectNeeded: neither SMTPUTF8 nor BODY goes with a mail that does not need it,
// whatever the server offers.
func defectNeeded(t *testing.T) {
	m := defectRich()
	m.Subject, m.Text = "Grüße", "Grüße\n"
	params := defectArrived(t, m, func(s *smtptest.Server) { s.Offer = []string{"SMTPUTF8", "BINARYMIME"} }).MailParams
	for name := range params {
		if name != "SIZE" {
			t.Errorf("MAIL has %s", name)
		}
	}
}

// defectByHand: step by step, the result names each recipient with what became of
// him, and the refusal of one does not end the transaction.
func defectByHand(t *testing.T) {
	line, mailer := defectServe(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if strings.HasPrefix(step.Address, "bad") {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550}}
			}
			return nil
		}
	})
	c := defectDial(t, mailer)
	defectBegin(t, c)
	var e *smtp.Error
	if reply, err := c.Rcpt(t.Context(), smtp.Recipient{Address: "bad@example.net"}); !errors.As(err, &e) || reply.Code != 550 {
		t.Errorf("%v, %v", reply, err)
	}
	c.Rcpt(t.Context(), smtp.Recipient{Address: "carol@example.net"})
	result, err := c.Data(t.Context(), strings.NewReader("Hello.\n"))
	var failed *smtp.RecipientsError
	if !errors.As(err, &failed) || defectOutcomes(result) != "accepted, refused, accepted" || result.Recipients[2].Address != "carol@example.net" || len(line.Messages()) != 1 {
		t.Errorf("%s, %v", defectOutcomes(result), err)
	}
}

// defectEHLO: why EHLO was refused is told, and HELO does not hide it.
func defectEHLO(t *testing.T) {
	for _, code := range []int{550, 554, 504, 421, 451} {
		defectPlay(t, fmt.Sprintf("C: %%s\nS: %d go away, bad reputation", code), smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			err := c.Hello(t.Context())
			var e *smtp.Error
			if !errors.As(err, &e) || e.Op != "EHLO" || e.Reply.Code != code || !strings.Contains(err.Error(), "bad reputation") {
				t.Error(err)
			}
		})
	}
	defectPlay(t, "C: %s\nS: 502 unknown\nC: HELO client.example.com\nS: 554 bad reputation", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		if err := c.Hello(t.Context()); err == nil || !strings.Contains(err.Error(), "HELO: 554") {
			t.Error(err)
		}
	})
}
