package main

import (
	"context"
	"errors"
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
		ways: []way{{"", []delivery{deliverByGoMail}, true, learnGoMail}},
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

// deliverByGoMail keeps to the defaults: TLS is mandatory, unless it is switched off.
func deliverByGoMail(ctx context.Context, to account, p *parcel) error {
	m, err := goMailParcel(p)
	if err != nil {
		return err
	}
	options := []mail.Option{mail.WithPort(to.port()), mail.WithHELO("localhost")}
	if to.login {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(user), mail.WithPassword(password))
	}
	if to.clear {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	client, err := mail.NewClient(to.host(), options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, m)
}

// goMailParcel attaches from an fs.FS, which is read as by AttachFile.
func goMailParcel(p *parcel) (*mail.Msg, error) {
	m := mail.NewMsg()
	if err := m.FromFormat(p.name, sender); err != nil {
		return nil, err
	}
	if err := m.To(p.to...); err != nil {
		return nil, err
	}
	m.Subject(p.subject)
	m.SetGenHeader(campaign, p.header)
	m.SetBodyString(mail.TypeTextPlain, plainText)
	if p.fileName == "" {
		return m, nil
	}
	return m, m.AttachFromIOFS("file", p, mail.WithFileName(p.fileName), mail.WithFileContentType(mail.ContentType(p.fileType)))
}

// learnGoMail finds no accessor for the recipients that its error names.
func learnGoMail(err error) (l lesson) {
	var failed *mail.SendError
	if errors.As(err, &failed) {
		l.code, l.step = failed.ErrorCode(), failed.Reason.String()
	}
	return l
}
