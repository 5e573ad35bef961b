package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/postrider/smtp"
)

// idles tell what Postrider keeps while nothing happens.
func idles() []row {
	one := func(id, what string, secure bool, work func(*task) error) row {
		r := row{id: "idle/" + id, what: what, secure: secure, columns: []column{{name: "Postrider", work: work}}}
		if id != "message" && id != "mailer" {
			r.delay = far // No session is free before the last one is opened.
		}
		return r
	}
	return []row{
		one("message", "a `Message` with text and HTML to 1 recipient, without the strings", false, idleMessage),
		one("mailer", "a `Mailer` that was not used yet", false, idleMailer),
		one("session", "an idle session of a `Mailer`", false, idleSession),
		one("session-tls", "the same, with TLS and AUTH", true, idleSession),
	}
}

func idleMessage(t *task) error {
	l := newLetter(1, 0)
	return t.hold(10_000, func(n int) (any, error) {
		messages := make([]*smtp.Message, n)
		for i := range messages {
			messages[i] = postriderMessage(l)
		}
		return messages, nil
	})
}

func idleMailer(t *task) error {
	return t.hold(10_000, func(n int) (any, error) {
		mailers := make([]*smtp.Mailer, n)
		for i := range mailers {
			mailers[i] = mailerTo(t.server)
		}
		return mailers, nil
	})
}

func idleSession(t *task) error {
	n := t.few(100)
	mailer := mailerTo(t.server)
	mailer.MaxConns, mailer.MaxIdle = n+1, n+1
	if err := openSessions(mailer, 1); err != nil { // What the Mailer itself keeps.
		return err
	}
	t.Sent = int64(1 + n + 1)
	err := t.hold(n, func(n int) (any, error) {
		err := openSessions(mailer, n+1)
		if idle := mailer.Stats().Idle; err == nil && idle != n+1 {
			err = fmt.Errorf("%d sessions are idle, want %d", idle, n+1)
		}
		return mailer, err
	})
	return errors.Join(err, mailer.Close())
}

// hold measures what n units hold that were made.
func (t *task) hold(n int, make func(n int) (any, error)) error {
	heap, goroutines := held()
	units, err := make(n)
	heapAfter, goroutinesAfter := held()
	runtime.KeepAlive(units)
	t.Units, t.Times = int64(n), 1
	t.Held = max(0, float64(heapAfter)-float64(heap)) / float64(n)
	t.Goroutines = float64(goroutinesAfter-goroutines) / float64(n)
	return err
}

// held is the heap that is in use, without garbage, and the number of goroutines.
func held() (uint64, int) {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // What sync.Pools hold survives the first.
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc, runtime.NumGoroutine()
}
