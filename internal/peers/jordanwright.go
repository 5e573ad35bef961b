package main

import (
	"context"
	"io"
	"net/smtp"
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
	ways: []way{
		{"Send", []delivery{sendEmail}, false, learnNetSMTP},
		{"Pool", []delivery{sendEmailByPool}, false, learnNetSMTP},
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

func sendEmail(_ context.Context, to account, p *parcel) error {
	e, err := emailParcel(p)
	if err != nil {
		return err
	}
	return e.Send(to.addr, emailAuth(to))
}

// sendEmailByPool waits for a session no longer than it has to: a Pool that cannot have one
// dials again and again until then.
func sendEmailByPool(_ context.Context, to account, p *parcel) error {
	e, err := emailParcel(p)
	if err != nil {
		return err
	}
	pool, err := email.NewPool(to.addr, 1, emailAuth(to))
	if err != nil {
		return err
	}
	defer closePool(pool)
	return pool.Send(e, 300*time.Millisecond)
}

// closePool does not wait for ever: Close does, if it is called during a dial that fails.
func closePool(pool *email.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}

func emailAuth(to account) smtp.Auth {
	if !to.login {
		return nil
	}
	return plainAuth(to.server)
}

// emailParcel puts the name before the address, as its README does: there is no other way.
func emailParcel(p *parcel) (*email.Email, error) {
	e := email.NewEmail()
	e.From, e.To, e.Subject, e.Text = p.name+" <"+sender+">", p.to, p.subject, []byte(plainText)
	e.Headers.Set(campaign, p.header)
	if p.fileName == "" {
		return e, nil
	}
	_, err := e.Attach(p.content(), p.fileName, p.fileType)
	return e, err
}
