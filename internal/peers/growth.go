package main

import (
	"errors"
	"strings"
	"sync"

	"github.com/postrider/smtp"
)

// growths tell how time and memory of Postrider grow with what there is to do.
func growths() []row {
	return []row{
		{id: "growth/size", what: "A file, in KiB, sent with a mail", unit: "KiB",
			columns: points(growSize, 1, 32, 1<<10, 32<<10, 1<<20)},
		{id: "growth/recipients", what: "Recipients of one Send", unit: "recipient",
			columns: points(growRecipients, 1, 10, 100, 1000, 10_000, 100_000)},
		{id: "growth/messages", what: "Messages of one SendAll", unit: "message",
			columns: points(growMessages, 1, 10, 100, 1000, 10_000, 100_000)},
		{id: "growth/connections", what: "Connections, 25 mails over each, by Send, a round trip of 20 ms", unit: "connection", delay: far,
			columns: points(growConnections, 1, 4, 16, 64)},
		{id: "growth/header", what: "Octets of a header field", unit: "octet",
			columns: points(growHeader, 100, 1000, 10_000, 100_000, 1_000_000)},
	}
}

func points(work func(t *task, n int) error, sizes ...int64) []column {
	var columns []column
	for _, n := range sizes {
		columns = append(columns, column{name: thousands(n), n: n, work: func(t *task) error {
			return work(t, int(n))
		}})
	}
	return columns
}

// grow sends a message as often as makes about enough units of work, after a small one.
func (t *task) grow(mailer *smtp.Mailer, n, enough int, m *smtp.Message) error {
	if _, err := mailer.Send(ctx, postriderMessage(newLetter(1, 0))); err != nil {
		return err
	}
	times := t.often(min(max(enough/n, 1), 200))
	t.Sent = int64(1 + times)
	err := t.measure(times, times*n, func() error {
		_, err := mailer.Send(ctx, m)
		return err
	})
	return errors.Join(err, mailer.Close())
}

func growSize(t *task, n int) error {
	return t.grow(mailerTo(t.server), n, 64<<10, postriderMessage(newLetter(1, t.small(int64(n)<<10))))
}

func growRecipients(t *task, n int) error {
	mailer := mailerTo(t.server)
	mailer.Options.MaxRecipients = n
	return t.grow(mailer, n, 20_000, postriderMessage(newLetter(n, 0)))
}

func growHeader(t *task, n int) error {
	m := postriderMessage(newLetter(1, 0))
	m.Header = smtp.Header{{Name: "X-Data", Value: strings.Repeat("nine char ", n/10)}}
	m.Header[0].Value = strings.TrimSpace(m.Header[0].Value)
	return t.grow(mailerTo(t.server), n, 1_000_000, m)
}

func growMessages(t *task, n int) error {
	mailer := mailerTo(t.server)
	mailer.MaxConns = 1
	l := newLetter(1, 0)
	send := func(n int) error { return sendAll(mailer, n, func(int) *letter { return l }) }
	if err := send(1); err != nil {
		return err
	}
	n = min(n, t.few(n)*10)
	times := t.often(min(max(1000/n, 1), 100))
	t.Sent = int64(1 + times*n)
	err := t.measure(times, times*n, func() error { return send(n) })
	return errors.Join(err, mailer.Close())
}

func growConnections(t *task, n int) error {
	mailer := mailerTo(t.server)
	mailer.MaxConns, mailer.MaxIdle = n, n
	each := t.often(25)
	if err := openSessions(mailer, n); err != nil {
		return err
	}
	t.Sent = int64(n + n*each)
	err := t.measure(1, n, func() error { return sendBeside(mailer, n, each) })
	return errors.Join(err, mailer.Close())
}

// sendBeside sends mails by n goroutines, so many by each.
func sendBeside(mailer *smtp.Mailer, n, each int) error {
	var running sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		running.Go(func() {
			m := postriderMessage(newLetter(1, 0))
			for range each {
				if _, err := mailer.Send(ctx, m); err != nil {
					errs[i] = err
				}
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// openSessions makes n goroutines send a mail each. Over a link with a delay none is done
// before the last has opened its own session.
func openSessions(mailer *smtp.Mailer, n int) error { return sendBeside(mailer, n, 1) }
