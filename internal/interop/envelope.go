package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"

	"github.com/postrider/smtp"
)

// envelopeChecks are about who gets a mail, and what becomes of it.
func envelopeChecks() []check {
	return []check{
		{"one recipient", oneRecipient},
		{"100 recipients, some refused, pipelined", func(t *trial) error { return t.hundred() }},
		{"the same, command by command", func(t *trial) error { return t.hundred("PIPELINING") }},
		{"all or nobody", allOrNobody},
		{"a sender who is refused, and the next mail", badSender},
		{"the null reverse-path", nullReversePath},
		{"an answer for each recipient after the content", eachRecipient},
		{"SMTPUTF8, with such a recipient", utf8Recipient},
		{"REQUIRETLS", requireTLS},
		{"DSN asked for, the report read", report},
		{"a mail over SIZE, stopped before MAIL", tooBigBefore},
		{"a mail over SIZE, refused on its way", tooBigDuring},
	}
}

func oneRecipient(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	return t.deliver(mailer, t.letter("alice"), "alice")
}

// hundred sends a mail to a hundred, of whom each tenth is refused.
func (t *trial) hundred(disabled ...string) error {
	mailer := t.mailer()
	mailer.Options.Disable = disabled
	var writes atomic.Int64
	mailer.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return countingConn{conn, &writes}, err
	}
	defer mailer.Close()
	if len(disabled) == 0 {
		if err := t.needs("PIPELINING"); err != nil {
			return err
		}
	}
	all, known := t.hundredBoxes()
	p, err := t.letter(all...).Prepare()
	if err != nil {
		return err
	}
	result, err := mailer.Send(t, p)
	if some := new(smtp.RecipientsError); !errors.As(err, &some) || !some.Sent {
		return fmt.Errorf("the error is %v", err)
	}
	if n := writes.Load(); (n < 100) != (len(disabled) == 0) {
		return fmt.Errorf("the commands took %d writes", n)
	}
	for i, r := range result.Recipients {
		want, temporary := smtp.Accepted, false
		if strings.HasPrefix(all[i], "nosuch") || strings.HasPrefix(all[i], "grey") {
			want, temporary = smtp.Refused, all[i][0] == 'g'
		}
		var refused *smtp.Error
		isTemporary := errors.As(r.Err, &refused) && refused.Temporary()
		if r.Outcome != want || isTemporary != temporary {
			return fmt.Errorf("%s: %v, temporary: %v", r.Address, r.Outcome, isTemporary)
		}
	}
	return t.arrived(p, p.MessageID, known...)
}

// hundredBoxes are a hundred recipients, and those of them whom the server knows.
func (t *trial) hundredBoxes() (all, known []string) {
	for i := range 100 {
		box := fmt.Sprintf("reader%02d", i)
		switch {
		case i%20 == 0:
			box = fmt.Sprintf("nosuch%d", i/20)
		case i%20 == 10 && t.defers:
			box = fmt.Sprintf("grey%d", i/20)
		default:
			known = append(known, box)
		}
		all = append(all, box)
	}
	return all, known
}

// countingConn counts what is written at once, as a group of commands is.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// allOrNobody is refused for one recipient; nobody must get it, nor an empty mail.
func allOrNobody(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	m := t.letter("alice", "nosuch0", "bob")
	m.Delivery.Accept = smtp.AcceptAll
	result, err := mailer.Send(t, m)
	if err == nil || result.Recipients[0].Outcome == smtp.Accepted || result.Recipients[1].Outcome != smtp.Refused {
		return fmt.Errorf("%v, %v", result.Recipients[0].Outcome, err)
	}
	return t.deliver(mailer, t.letter("bob"), "bob")
}

// badSender is refused; the mail behind it, in the same session, must have its own.
func badSender(t *trial) error {
	if t.takesAnySender() {
		return notOffered("it refuses no sender")
	}
	mailer := t.mailer()
	mailer.MaxConns = 1
	defer mailer.Close()
	bad, good := t.letter("alice"), t.letter("alice")
	bad.From.Address = "badsender@test.example"
	good, err := good.Prepare()
	if err != nil {
		return err
	}
	for result, err := range mailer.SendAll(t, func(yield func(*smtp.Message) bool) { _ = yield(bad) && yield(good) }) {
		want := map[*smtp.Message]smtp.Outcome{bad: smtp.Refused, good: smtp.Accepted}[result.Message]
		if result.Recipients[0].Outcome != want {
			return fmt.Errorf("from %s: %v", result.Message.From.Address, err)
		}
	}
	return t.arrived(good, good.MessageID, "alice")
}

func nullReversePath(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	m := t.letter("alice")
	m.Delivery.From = "<>"
	return t.deliver(mailer, m, "alice")
}

// eachRecipient has a mailbox that fails only when the mail is put into it.
func eachRecipient(t *trial) error {
	if !t.lmtp {
		return notOffered("it does not speak LMTP")
	}
	mailer := t.mailer()
	defer mailer.Close()
	p, err := t.letter("alice", "broken", "bob").Prepare()
	if err != nil {
		return err
	}
	result, err := mailer.Send(t, p)
	for i, want := range []smtp.Outcome{smtp.Accepted, smtp.Refused, smtp.Accepted} {
		if result.Recipients[i].Outcome != want {
			return fmt.Errorf("%s: %v (%v)", result.Recipients[i].Address, result.Recipients[i].Outcome, err)
		}
	}
	return t.arrived(p, p.MessageID, "alice", "bob")
}

func utf8Recipient(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	m := t.letter("jörg")
	m.To[0].Name, m.Subject, m.Delivery.UTF8 = "Jörg", "Grüße", true
	return t.deliver(mailer, m, "jörg")
}

func requireTLS(t *trial) error {
	if t.socket != "" {
		return notOffered("a local socket has no TLS")
	}
	mailer := t.mailer()
	mailer.TLS = smtp.TLSRequired
	defer mailer.Close()
	m := t.letter("alice")
	m.Delivery.RequireTLS = true
	return t.deliver(mailer, m, "alice")
}

// report asks for one about success, and reads the mail by which it comes.
func report(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	m := t.letter("alice")
	m.Delivery.Notify, m.Delivery.Return, m.Delivery.EnvelopeID = smtp.NotifySuccess, smtp.ReturnHeaders, newID()+" + ="
	m.Delivery.To = []smtp.Recipient{{Address: "alice@test.example", OriginalRecipient: "alice+list@test.example"}}
	p, err := m.Prepare()
	if err != nil {
		return err
	}
	if err := t.deliver(mailer, p, "alice"); err != nil {
		return err
	}
	if !t.reports {
		return notOffered("it offers DSN, keeps what it gets, and so has nothing to report")
	}
	r, err := t.boxes.awaitReport(t, "ann", p.MessageID)
	if err != nil {
		return err
	}
	if len(r.Recipients) != 1 || r.Recipients[0].FinalRecipient.Name != "alice@test.example" || r.Recipients[0].Verdict != smtp.Delivered {
		return fmt.Errorf("the report says %+v", r.Recipients)
	}
	original := r.Recipients[0].OriginalRecipient.Name
	if t.host != "opensmtpd" && (r.EnvelopeID != p.Delivery.EnvelopeID || original != p.Delivery.To[0].OriginalRecipient) { // It forgets them.
		return fmt.Errorf("the report is about %q, which went to %q", r.EnvelopeID, original)
	}
	return nil
}

// tooBig is a message over the limit of every server here.
func (t *trial) tooBig() *smtp.Message {
	m := t.letter("alice")
	const size = 45 << 20
	m.Attachments = []smtp.File{{Name: "big.bin", Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, size)), nil
	}}}
	return m
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func tooBigBefore(t *trial) error {
	if err := t.needs("SIZE"); err != nil {
		return err
	}
	mailer := t.mailer()
	defer mailer.Close()
	limit := t.needs("SIZE 41943040")
	result, err := mailer.Send(t, t.tooBig())
	switch r := result.Recipients[0]; {
	case limit == nil && r.Outcome == smtp.NotSent && err != nil && strings.Contains(err.Error(), "the server takes"):
	case limit != nil && r.Outcome == smtp.Refused && r.Reply.Code == 534: // Courier does not say what it takes.
	default:
		return fmt.Errorf("%v: %v", r.Outcome, err)
	}
	return cmp.Or(t.deliver(mailer, t.letter("alice"), "alice"), limit)
}

func tooBigDuring(t *trial) error {
	if err := t.needs("SIZE"); err != nil {
		return err
	}
	mailer := t.mailer()
	mailer.Options.Disable = []string{"SIZE"}
	defer mailer.Close()
	result, err := mailer.Send(t, t.tooBig())
	switch r := result.Recipients[0]; {
	case r.Outcome == smtp.Refused && (r.Reply.Code == 552 || r.Reply.Status.Subject == 3):
	case r.Outcome == smtp.Refused && r.Reply.Code == 523 && t.host == "courier":
	case r.Outcome == smtp.NotSent && r.Reply.Code == 0 && t.host == "dovecot": // It hangs up.
	default:
		return fmt.Errorf("%v: %v", r.Outcome, err)
	}
	return t.deliver(mailer, t.letter("alice"), "alice")
}
