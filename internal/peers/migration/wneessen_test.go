package migration

import (
	"errors"
	"html/template"
	"io/fs"

	"github.com/wneessen/go-mail"
)

func goMailText() error {
	client, err := mail.NewClient("smtp.example.com", mail.WithPort(587), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
		mail.WithUsername("ann@example.com"), mail.WithPassword(password))
	if err != nil {
		return err
	}
	m := mail.NewMsg()
	if err := errors.Join(m.From("ann@example.com"), m.To("bob@example.net")); err != nil {
		return err
	}
	m.Subject("Hello")
	m.SetBodyString(mail.TypeTextPlain, "Hello, Bob.")
	return client.DialAndSendWithContext(ctx, m)
}

func goMailTemplate(m *mail.Msg, page *template.Template, data any, files fs.FS) error {
	err := errors.Join(m.AddAlternativeHTMLTemplate(page, data), m.AttachFromIOFS("terms.pdf", files))
	return err
}

func goMailRetry(client *mail.Client, m *mail.Msg) error {
	err := client.DialAndSendWithContext(ctx, m)
	var e *mail.SendError
	if errors.As(err, &e) && e.IsTemp() {
		later()
		err = client.DialAndSendWithContext(ctx, m)
	}

	return err
}
