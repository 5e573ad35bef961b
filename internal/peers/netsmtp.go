package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
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
	ways: []way{
		{"SendMail", []delivery{sendMail(writeCarefully), sendMail(writeAsItComes)}, false, learnNetSMTP},
		{"steps", []delivery{bySteps(true, openStrictly, writeCarefully), bySteps(false, openLeniently, writeAsItComes)}, false,
			learnBySteps(learnNetSMTP)},
	},
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

// sendMail is the function, which takes the whole mail as octets.
func sendMail(write func(*parcel, io.Writer) error) delivery {
	return func(_ context.Context, to account, p *parcel) error {
		var b bytes.Buffer
		if err := write(p, &b); err != nil {
			return err
		}
		var auth smtp.Auth
		if to.login {
			auth = plainAuth(to.server)
		}
		return smtp.SendMail(to.addr, auth, sender, p.to, b.Bytes())
	}
}

type netSMTPSteps struct{ *smtp.Client }

// openStrictly wants what the account needs.
func openStrictly(to account) (steps, error) {
	client, err := smtp.Dial(to.addr)
	if err != nil {
		return nil, err
	}
	if !to.clear {
		err = client.StartTLS(&tls.Config{ServerName: to.host()})
	}
	if to.login && err == nil {
		err = client.Auth(plainAuth(to.server))
	}
	return netSMTPSteps{client}, err
}

// openLeniently takes what is offered.
func openLeniently(to account) (steps, error) {
	client, err := smtp.Dial(to.addr)
	if err != nil {
		return nil, err
	}
	if ok, _ := client.Extension("STARTTLS"); ok && !to.clear {
		err = client.StartTLS(&tls.Config{ServerName: to.host()})
	}
	if ok, _ := client.Extension("AUTH"); ok && to.login && err == nil {
		err = client.Auth(plainAuth(to.server))
	}
	return netSMTPSteps{client}, err
}

func learnNetSMTP(err error) (l lesson) {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		l.code = reply.Code
	}
	return l
}

// writeCarefully encodes by what the standard library has for each place.
func writeCarefully(p *parcel, w io.Writer) error {
	to := make([]string, len(p.to))
	for i := range p.to {
		to[i] = (&mail.Address{Address: p.to[i]}).String()
	}
	kind, params, err := mime.ParseMediaType(cmp.Or(p.fileType, "text/plain"))
	if err != nil {
		return err
	}
	return writeParcel(p, w, (&mail.Address{Name: p.name, Address: sender}).String(), strings.Join(to, ", "),
		mime.QEncoding.Encode("utf-8", p.subject), mime.QEncoding.Encode("utf-8", p.header),
		mime.FormatMediaType(kind, params), mime.FormatMediaType("attachment", map[string]string{"filename": p.fileName}))
}

// writeAsItComes puts strings together, as the examples do.
func writeAsItComes(p *parcel, w io.Writer) error {
	return writeParcel(p, w, p.name+" <"+sender+">", strings.Join(p.to, ", "), p.subject, p.header,
		p.fileType, `attachment; filename="`+p.fileName+`"`)
}

// writeParcel writes values into the places that they have.
func writeParcel(p *parcel, w io.Writer, from, to, subject, header, fileType, disposition string) error {
	mixed := multipart.NewWriter(w)
	_, err := fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\n%s: %s\r\nDate: %s\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n",
		from, to, subject, campaign, header, time.Now().Format(time.RFC1123Z), mixed.Boundary())
	if err != nil {
		return err
	}
	part, err := mixed.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain"}})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(part, plainText); err != nil {
		return err
	}
	if p.fileName != "" {
		part, err := mixed.CreatePart(textproto.MIMEHeader{
			"Content-Type": {fileType}, "Content-Disposition": {disposition}, "Content-Transfer-Encoding": {"base64"},
		})
		if err != nil {
			return err
		}
		if err := copyAndClose(base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: part}), p.content()); err != nil {
			return err
		}
	}
	return mixed.Close()
}
