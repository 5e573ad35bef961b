package main

import (
	"context"
	"errors"
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
		ways: []way{{"", []delivery{deliverByPostrider}, true, learnPostrider}},
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

// deliverByPostrider keeps to the defaults: TLS is required, unless it is switched off.
func deliverByPostrider(ctx context.Context, to account, p *parcel) error {
	mailer := &smtp.Mailer{Addr: to.addr}
	if to.login {
		mailer.Auth = smtp.Password(user, password)
	}
	if to.clear {
		mailer.TLS = smtp.TLSNone
	}
	_, err := mailer.Send(ctx, postriderParcel(p))
	return errors.Join(err, mailer.Close())
}

func postriderParcel(p *parcel) *smtp.Message {
	m := &smtp.Message{
		From: smtp.Address{Name: p.name, Address: sender}, Subject: p.subject,
		Header: smtp.Header{{Name: campaign, Value: p.header}}, Text: plainText,
	}
	for _, to := range p.to {
		m.To = append(m.To, smtp.Address{Address: to})
	}
	if p.fileName != "" {
		m.Attachments = []smtp.File{{
			Name: p.fileName, Type: p.fileType,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(p.content()), nil },
		}}
	}
	return m
}

func learnPostrider(err error) (l lesson) {
	var recipients *smtp.RecipientsError
	if errors.As(err, &recipients) {
		l.who, l.code = recipients.Failed[0].Address, recipients.Failed[0].Reply.Code
	}
	var failed *smtp.Error
	if errors.As(err, &failed) {
		l.unknown, l.step = failed.Unknown, failed.Op
	}
	return l
}
