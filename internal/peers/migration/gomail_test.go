package migration

import (
	"crypto/tls"
	"io"

	"gopkg.in/gomail.v2"
)

func gomailHTML(dir string) error {
	m := gomail.NewMessage()
	m.SetHeader("From", m.FormatAddress("ann@example.com", "Ann"))
	m.SetHeader("To", "bob@example.net")
	m.SetHeader("Bcc", "archive@example.com")
	m.SetHeader("Subject", "Figures")
	m.SetHeader("X-Campaign", "q3")
	m.SetBody("text/plain", "See the attachment.")
	m.AddAlternative("text/html", `<p><img src="cid:logo.png"> See the attachment.</p>`)
	m.Embed(dir + "/logo.png")
	m.Attach(dir + "/q3.pdf")
	d := gomail.NewDialer("smtp.example.com", 587, "ann@example.com", password)
	err := d.DialAndSend(m)
	return err
}

func gomailMany(d *gomail.Dialer, messages []*gomail.Message) error {
	s, err := d.Dial()
	if err != nil {
		return err
	}
	defer s.Close()
	for _, m := range messages {
		if err := gomail.Send(s, m); err != nil {
			logf("%v: %v", m.GetHeader("To"), err)
		}
	}
	return nil
}

func gomailWriter(m *gomail.Message, writeFigures func(io.Writer) error) {
	m.Attach("q3.csv", gomail.SetCopyFunc(writeFigures))
}

func gomailAuthority(d *gomail.Dialer) {
	d.TLSConfig = &tls.Config{InsecureSkipVerify: true}
}

func gomailTest(m *gomail.Message) error {
	var sent []string
	s := gomail.SendFunc(func(from string, to []string, m io.WriterTo) error {
		sent = append(sent, to...) // what is in it is yours to parse
		return nil
	})
	err := gomail.Send(s, m)
	return err
}
