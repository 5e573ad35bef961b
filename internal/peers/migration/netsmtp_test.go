package migration

import (
	"errors"
	"mime"
	"net/smtp"
	"net/textproto"
)

func netSMTPText() error {
	auth := smtp.PlainAuth("", "ann@example.com", password, "smtp.example.com")
	message := "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\n" +
		"Subject: " + mime.QEncoding.Encode("utf-8", "Grüße") + "\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello, Bob.\r\n"
	err := smtp.SendMail("smtp.example.com:587", auth, "ann@example.com", []string{"bob@example.net"}, []byte(message))
	return err
}

func netSMTPReady(auth smtp.Auth, ready []byte) error {
	err := smtp.SendMail("smtp.example.com:587", auth, "ann@example.com", []string{"bob@example.net"}, ready)
	return err
}

func netSMTPErrors(addr string, auth smtp.Auth, from string, to []string, ready []byte) {
	err := smtp.SendMail(addr, auth, from, to, ready)
	var e *textproto.Error
	if errors.As(err, &e) { // for which of them?
		tell(to, e.Code, e.Code/100 == 4)
	}
}
