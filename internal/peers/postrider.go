package main

import (
	"io"

	"github.com/postrider/smtp"
)

func newPostrider(name string, chunking bool) *peer {
	return &peer{
		name: name,
		use:  "a `Mailer` with one session, and its `SendAll` for 100 mails",
		file: "an opener",
		open: func(s server) (session, error) {
			mailer := mailerTo(s)
			mailer.MaxConns, mailer.Options.Chunking = 1, chunking
			return postriderSession{mailer}, nil
		},
		build: func(l *letter, w io.Writer) error {
			_, err := postriderMessage(l).WriteTo(w)
			return err
		},
	}
}

func mailerTo(s server) *smtp.Mailer {
	if s.tls == nil {
		return &smtp.Mailer{Addr: s.addr, TLS: smtp.TLSNone}
	}
	return &smtp.Mailer{Addr: s.addr, TLSConfig: s.tls, Auth: smtp.Password(user, password)}
}

type postriderSession struct{ mailer *smtp.Mailer }

func (s postriderSession) send(letters ...*letter) error {
	if len(letters) == 1 {
		_, err := s.mailer.Send(ctx, postriderMessage(letters[0]))
		return err
	}
	return sendAll(s.mailer, len(letters), func(i int) *letter { return letters[i] })
}

// sendAll sends n letters by SendAll. Their messages are built when they are asked for.
func sendAll(mailer *smtp.Mailer, n int, at func(int) *letter) error {
	for _, err := range mailer.SendAll(ctx, func(yield func(*smtp.Message) bool) {
		for i := range n {
			if !yield(postriderMessage(at(i))) {
				return
			}
		}
	}) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s postriderSession) close() error { return s.mailer.Close() }

func postriderMessage(l *letter) *smtp.Message {
	m := &smtp.Message{
		From:    smtp.Address{Address: l.from},
		To:      make([]smtp.Address, len(l.to)),
		Subject: l.subject,
		Text:    l.text,
		HTML:    l.html,
	}
	for i, to := range l.to {
		m.To[i].Address = to
	}
	if l.file > 0 {
		m.Attachments = []smtp.File{{
			Name: fileName, Type: "application/octet-stream", Size: l.file,
			Open: func() (io.ReadCloser, error) { return l.open(), nil },
		}}
	}
	return m
}
