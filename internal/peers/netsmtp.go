package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// netSMTP is the standard library: net/smtp sends what is written with mime/multipart,
// mime/quotedprintable and encoding/base64 straight into its DATA.
var netSMTP = &peer{
	name:  "net/smtp + mime",
	use:   "one `Client`; mime/multipart, mime/quotedprintable and encoding/base64 write straight into its `Data`",
	file:  "an `io.Reader`",
	open:  dialNetSMTP,
	build: writeByHand,
}

func plainAuth(s server) smtp.Auth { return smtp.PlainAuth("", user, password, s.host()) }

func dialNetSMTP(s server) (session, error) {
	client, err := smtp.Dial(s.addr)
	if err != nil || s.tls == nil {
		return netSMTPSession{client}, err
	}
	if err := client.StartTLS(s.tls); err != nil {
		return nil, err
	}
	return netSMTPSession{client}, client.Auth(plainAuth(s))
}

type netSMTPSession struct{ client *smtp.Client }

func (s netSMTPSession) send(letters ...*letter) error { return eachOf(letters, s.sendOne) }

func (s netSMTPSession) sendOne(l *letter) error {
	if err := s.client.Mail(l.from); err != nil {
		return err
	}
	for _, to := range l.to {
		if err := s.client.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := s.client.Data()
	if err != nil {
		return err
	}
	if err := writeByHand(l, w); err != nil {
		return err
	}
	return w.Close()
}

func (s netSMTPSession) close() error { return s.client.Quit() }

// writeByHand writes what its users write by hand.
func writeByHand(l *letter, w io.Writer) error {
	outer := multipart.NewWriter(w)
	kind := "alternative"
	if l.file > 0 {
		kind = "mixed"
	}
	_, err := fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@example.com>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/%s; boundary=%s\r\n\r\n",
		l.from, strings.Join(l.to, ",\r\n "), mime.QEncoding.Encode("utf-8", l.subject),
		time.Now().Format(time.RFC1123Z), rand.Text(), kind, outer.Boundary())
	if err != nil {
		return err
	}
	if l.file > 0 {
		err = writeMixedByHand(l, outer)
	} else {
		err = writeTextsByHand(l, outer)
	}
	if err != nil {
		return err
	}
	return outer.Close()
}

func writeTextsByHand(l *letter, alternative *multipart.Writer) error {
	for _, text := range []struct{ subtype, content string }{{"plain", l.text}, {"html", l.html}} {
		part, err := alternative.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {"text/" + text.subtype + "; charset=utf-8"},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return err
		}
		if err := copyAndClose(quotedprintable.NewWriter(part), strings.NewReader(text.content)); err != nil {
			return err
		}
	}
	return nil
}

func writeMixedByHand(l *letter, mixed *multipart.Writer) error {
	boundary := rand.Text()
	part, err := mixed.CreatePart(textproto.MIMEHeader{"Content-Type": {"multipart/alternative; boundary=" + boundary}})
	if err != nil {
		return err
	}
	alternative := multipart.NewWriter(part)
	alternative.SetBoundary(boundary)
	if err := writeTextsByHand(l, alternative); err != nil {
		return err
	}
	if err := alternative.Close(); err != nil {
		return err
	}
	part, err = mixed.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {"application/octet-stream"},
		"Content-Disposition":       {"attachment; filename=" + fileName},
		"Content-Transfer-Encoding": {"base64"},
	})
	if err != nil {
		return err
	}
	return copyAndClose(base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: part}), l.open())
}

// lineBreaker breaks base64 into lines of 76: nothing in the standard library does.
type lineBreaker struct {
	w    io.Writer
	used int // of the line
}

// Write implements io.Writer.
func (b *lineBreaker) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if b.used == 76 {
			if _, err := io.WriteString(b.w, "\r\n"); err != nil {
				return n, err
			}
			b.used = 0
		}
		k, err := b.w.Write(p[n:min(len(p), n+76-b.used)])
		n, b.used = n+k, b.used+k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
