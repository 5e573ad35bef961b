package main

import (
	"io"
	"time"

	"github.com/jordan-wright/email"
)

// jordanWright is github.com/jordan-wright/email. What keeps its sessions is its Pool.
var jordanWright = &peer{
	name: "jordan-wright/email", module: "github.com/jordan-wright/email",
	use:  "a `Pool` of one session",
	file: "an `io.Reader` (`Attach`), which it reads into memory at once", slurps: true,
	open: func(s server) (session, error) { return newEmailPool(s, 1) },
	build: func(l *letter, w io.Writer) error {
		e, err := emailOf(l)
		if err != nil {
			return err
		}
		b, err := e.Bytes()
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	},
}

type emailPool struct{ pool *email.Pool }

func newEmailPool(s server, sessions int) (emailPool, error) {
	if s.tls == nil {
		pool, err := email.NewPool(s.addr, sessions, nil)
		return emailPool{pool}, err
	}
	pool, err := email.NewPool(s.addr, sessions, plainAuth(s), s.tls)
	return emailPool{pool}, err
}

func (p emailPool) send(letters ...*letter) error { return eachOf(letters, p.sendOne) }

func (p emailPool) sendOne(l *letter) error {
	e, err := emailOf(l)
	if err != nil {
		return err
	}
	return p.pool.Send(e, time.Minute)
}

func (p emailPool) close() error {
	p.pool.Close()
	return nil
}

func emailOf(l *letter) (*email.Email, error) {
	e := &email.Email{From: l.from, To: l.to, Subject: l.subject, Text: []byte(l.text), HTML: []byte(l.html)}
	if l.file == 0 {
		return e, nil
	}
	_, err := e.Attach(l.open(), fileName, "application/octet-stream")
	return e, err
}
