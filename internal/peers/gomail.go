package main

import (
	"io"

	"github.com/wneessen/go-mail"
)

// newGoMail is github.com/wneessen/go-mail: dial once, and Send all messages with one call.
// Bare means without the commands that it sends around each mail unless told otherwise.
func newGoMail(name string, bare bool) *peer {
	return &peer{
		name: name, module: "github.com/wneessen/go-mail",
		use:  "one `Client`, dialled once; `Send` for all 100 mails at once",
		file: "an `io.ReadSeeker` (`AttachReadSeeker`), which it reads into memory while it builds", slurps: true,
		open: func(s server) (session, error) { return dialGoMail(s, bare) },
		build: func(l *letter, w io.Writer) error {
			m, err := goMailMessage(l)
			if err == nil {
				_, err = m.WriteTo(w)
			}
			return err
		},
	}
}

func dialGoMail(s server, bare bool) (session, error) {
	options := []mail.Option{mail.WithPort(s.port()), mail.WithHELO("localhost")}
	if s.tls == nil {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	} else {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(s.tls),
			mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(user), mail.WithPassword(password))
	}
	if bare {
		options = append(options, mail.WithoutNoop(), mail.WithoutRset())
	}
	client, err := mail.NewClient(s.host(), options...)
	if err != nil {
		return nil, err
	}
	return goMailSession{client}, client.DialWithContext(ctx)
}

type goMailSession struct{ client *mail.Client }

func (s goMailSession) send(letters ...*letter) error {
	messages := make([]*mail.Msg, len(letters))
	for i, l := range letters {
		var err error
		if messages[i], err = goMailMessage(l); err != nil {
			return err
		}
	}
	return s.client.Send(messages...)
}

func (s goMailSession) close() error { return s.client.Close() }

func goMailMessage(l *letter) (*mail.Msg, error) {
	m := mail.NewMsg()
	if err := m.From(l.from); err != nil {
		return nil, err
	}
	if err := m.To(l.to...); err != nil {
		return nil, err
	}
	m.Subject(l.subject)
	m.SetBodyString(mail.TypeTextPlain, l.text)
	m.AddAlternativeString(mail.TypeTextHTML, l.html)
	if l.file > 0 {
		m.AttachReadSeeker(fileName, l.open())
	}
	return m, nil
}
