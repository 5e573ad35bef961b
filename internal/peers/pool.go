package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// sessions are what each pool may have, and senders how many goroutines send at once.
const sessions, senders = 5, 50

// pools are ways to send many mails over several sessions. Of the peers, as far as they
// are compared here, one has a pool.
func pools() []row {
	var rows []row
	for _, c := range []struct {
		delay time.Duration
		mails int
	}{{0, 5000}, {time.Millisecond, 1000}, {far, 250}} {
		r := row{
			id: fmt.Sprintf("pool/%v", c.delay), what: fmt.Sprintf("a round trip of %d ms", c.delay.Milliseconds()),
			delay: c.delay, tables: []*table{poolTimes},
			columns: []column{
				{name: "Postrider Send", work: poolOfMailer(c.mails)},
				{name: "Postrider SendAll", work: poolOfSendAll(c.mails)},
				{name: "jordan-wright/email Pool", work: poolOfEmail(c.mails)},
			},
		}
		if c.delay == 0 {
			r.what, r.repetitions = "loopback", 3
		}
		rows = append(rows, r)
	}
	return rows
}

func poolOfMailer(mails int) func(*task) error {
	return func(t *task) error {
		mailer := mailerTo(t.server)
		mailer.MaxConns, mailer.MaxIdle = sessions, sessions
		return t.pooled(mails, postriderSession{mailer}, concurrently)
	}
}

func poolOfSendAll(mails int) func(*task) error {
	return func(t *task) error {
		mailer := mailerTo(t.server)
		mailer.MaxConns, mailer.MaxIdle = sessions, sessions
		return t.pooled(mails, postriderSession{mailer}, func(_ session, n int) error {
			l := newLetter(1, 0)
			return sendAll(mailer, n, func(int) *letter { return l })
		})
	}
}

func poolOfEmail(mails int) func(*task) error {
	return func(t *task) error {
		pool, err := newEmailPool(t.server, sessions)
		if err != nil {
			return err
		}
		return t.pooled(mails, pool, concurrently)
	}
}

// pooled sends some mails, so that all sessions are there, and then measures.
func (t *task) pooled(mails int, s session, send func(session, int) error) error {
	n := t.few(mails)
	if err := send(s, senders); err != nil {
		return err
	}
	t.Sent = int64(n + senders)
	err := t.measure(1, n, func() error { return send(s, n) })
	return errors.Join(err, s.close())
}

// concurrently sends n mails, by many goroutines, and returns the first error of each.
func concurrently(s session, n int) error {
	var running sync.WaitGroup
	calls, errs := make(chan struct{}), make([]error, senders)
	for i := range senders {
		running.Go(func() {
			l := newLetter(1, 0)
			for range calls {
				if err := s.send(l); err != nil && errs[i] == nil {
					errs[i] = err
				}
			}
		})
	}
	for range n {
		calls <- struct{}{}
	}
	close(calls)
	running.Wait()
	return errors.Join(errs...)
}
