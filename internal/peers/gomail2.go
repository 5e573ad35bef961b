package main

import (
	"context"
	"io"

	"gopkg.in/gomail.v2"
)

// gomailV2 is gopkg.in/gomail.v2: a SendCloser is kept, and Send takes many messages.
var gomailV2 = &peer{
	name: "gomail.v2", module: "gopkg.in/gomail.v2",
	use:  "one `SendCloser`, and `Send` for all 100 mails at once; it makes no Message-ID",
	file: "an `io.Reader` (`SetCopyFunc`)",
	open: dialGomail,
	build: func(l *letter, w io.Writer) error {
		_, err := gomailMessage(l).WriteTo(w)
		return err
	},
	ways: []way{{"", []delivery{deliverByGomail}, false, learnNetSMTP}},
}

func dialGomail(s server) (session, error) {
	dialer := gomail.NewDialer(s.host(), s.port(), "", "")
	if s.tls != nil {
		dialer.Username, dialer.Password, dialer.TLSConfig = user, password, s.tls
	}
	sender, err := dialer.Dial()
	return gomailSession{sender}, err
}

type gomailSession struct{ sender gomail.SendCloser }

func (s gomailSession) send(letters ...*letter) error {
	messages := make([]*gomail.Message, len(letters))
	for i, l := range letters {
		messages[i] = gomailMessage(l)
	}
	return gomail.Send(s.sender, messages...)
}

func (s gomailSession) close() error { return s.sender.Close() }

func gomailMessage(l *letter) *gomail.Message {
	m := gomail.NewMessage()
	m.SetHeader("From", l.from)
	m.SetHeader("To", l.to...)
	m.SetHeader("Subject", l.subject)
	m.SetBody("text/plain", l.text)
	m.AddAlternative("text/html", l.html)
	if l.file > 0 {
		m.Attach(fileName, gomail.SetCopyFunc(func(w io.Writer) error {
			_, err := io.Copy(w, l.open())
			return err
		}))
	}
	return m
}

// deliverByGomail keeps to the defaults: TLS where it is offered.
func deliverByGomail(_ context.Context, to account, p *parcel) error {
	dialer := gomail.NewDialer(to.host(), to.port(), "", "")
	if to.login {
		dialer.Username, dialer.Password = user, password
	}
	return dialer.DialAndSend(gomailParcel(p))
}

// gomailParcel sets To as the example of the package does.
func gomailParcel(p *parcel) *gomail.Message {
	m := gomail.NewMessage()
	m.SetAddressHeader("From", sender, p.name)
	m.SetHeader("To", p.to...)
	m.SetHeader("Subject", p.subject)
	m.SetHeader(campaign, p.header)
	m.SetBody("text/plain", plainText)
	if p.fileName != "" {
		m.Attach("file", gomail.Rename(p.fileName), gomail.SetHeader(map[string][]string{"Content-Type": {p.fileType}}),
			gomail.SetCopyFunc(func(w io.Writer) error {
				_, err := io.Copy(w, p.content())
				return err
			}))
	}
	return m
}
