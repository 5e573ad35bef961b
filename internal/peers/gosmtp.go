package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// goSMTP is the client of github.com/emersion/go-smtp, and go-message writes into its DATA.
var goSMTP = &peer{
	name: "go-smtp + go-message", module: "github.com/emersion/go-smtp",
	use:   "one `Client`; go-message writes straight into its `Data`",
	file:  "an `io.Reader`",
	open:  dialGoSMTP,
	build: writeGoMessage,
	ways: []way{
		{"SendMail", []delivery{sendMailByGoSMTP}, false, learnGoSMTP},
		{"steps", []delivery{bySteps(true, openGoSMTPStrictly, writeGoMessageParcel), bySteps(false, openGoSMTPLeniently, writeGoMessageParcel)},
			false, learnBySteps(learnGoSMTP)},
	},
}

func dialGoSMTP(s server) (session, error) {
	if s.tls == nil {
		client, err := smtp.Dial(s.addr)
		return goSMTPSession{client}, err
	}
	client, err := smtp.DialStartTLS(s.addr, s.tls)
	if err == nil {
		err = client.Auth(sasl.NewPlainClient("", user, password))
	}
	return goSMTPSession{client}, err
}

type goSMTPSession struct{ client *smtp.Client }

func (s goSMTPSession) send(letters ...*letter) error { return eachOf(letters, s.sendOne) }

func (s goSMTPSession) sendOne(l *letter) error {
	if err := s.client.Mail(l.from, nil); err != nil {
		return err
	}
	for _, to := range l.to {
		if err := s.client.Rcpt(to, nil); err != nil {
			return err
		}
	}
	w, err := s.client.Data()
	if err != nil {
		return err
	}
	if err := writeGoMessage(l, w); err != nil {
		return err
	}
	return w.Close()
}

func (s goSMTPSession) close() error { return s.client.Quit() }

func goMessageHeader(l *letter) (h mail.Header, err error) {
	h.SetAddressList("From", []*mail.Address{{Address: l.from}})
	to := make([]*mail.Address, len(l.to))
	for i := range l.to {
		to[i] = &mail.Address{Address: l.to[i]}
	}
	h.SetAddressList("To", to)
	h.SetSubject(l.subject)
	h.SetDate(time.Now())
	return h, h.GenerateMessageID()
}

func writeGoMessage(l *letter, w io.Writer) error {
	h, err := goMessageHeader(l)
	if err != nil {
		return err
	}
	if l.file > 0 {
		return writeGoMessageWithFile(l, h, w)
	}
	inline, err := mail.CreateInlineWriter(w, h)
	if err != nil {
		return err
	}
	return writeGoMessageTexts(l, inline)
}

func writeGoMessageWithFile(l *letter, h mail.Header, w io.Writer) error {
	mixed, err := mail.CreateWriter(w, h)
	if err != nil {
		return err
	}
	inline, err := mixed.CreateInline()
	if err != nil {
		return err
	}
	if err := writeGoMessageTexts(l, inline); err != nil {
		return err
	}
	var file mail.AttachmentHeader
	file.SetContentType("application/octet-stream", nil)
	file.SetFilename(fileName)
	part, err := mixed.CreateAttachment(file)
	if err != nil {
		return err
	}
	if err := copyAndClose(part, l.open()); err != nil {
		return err
	}
	return mixed.Close()
}

func writeGoMessageTexts(l *letter, inline *mail.InlineWriter) error {
	for _, text := range []struct{ subtype, content string }{{"plain", l.text}, {"html", l.html}} {
		var h mail.InlineHeader
		h.SetContentType("text/"+text.subtype, map[string]string{"charset": "utf-8"})
		part, err := inline.CreatePart(h)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(part, text.content); err != nil {
			return err
		}
		if err := part.Close(); err != nil {
			return err
		}
	}
	return inline.Close()
}

func copyAndClose(w io.WriteCloser, r io.Reader) error {
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}

// sendMailByGoSMTP is the function. Since that wants TLS, what it does after the dial is done
// in the clear by the method of the same name.
func sendMailByGoSMTP(_ context.Context, to account, p *parcel) error {
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(writeGoMessageParcel(p, w)) }()
	if !to.clear {
		var auth sasl.Client
		if to.login {
			auth = sasl.NewPlainClient("", user, password)
		}
		return smtp.SendMail(to.addr, auth, sender, p.to, r)
	}
	client, err := smtp.Dial(to.addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.SendMail(sender, p.to, r); err != nil {
		return err
	}
	return client.Quit()
}

type goSMTPSteps struct{ *smtp.Client }

func (s goSMTPSteps) Mail(from string) error        { return s.Client.Mail(from, nil) }
func (s goSMTPSteps) Rcpt(to string) error          { return s.Client.Rcpt(to, nil) }
func (s goSMTPSteps) Data() (io.WriteCloser, error) { return s.Client.Data() }

// openGoSMTPStrictly wants what the account needs.
func openGoSMTPStrictly(to account) (steps, error) {
	if to.clear {
		return openGoSMTPLeniently(to)
	}
	client, err := smtp.DialStartTLS(to.addr, nil)
	if err == nil && to.login {
		err = client.Auth(sasl.NewPlainClient("", user, password))
	}
	return goSMTPSteps{client}, err
}

// openGoSMTPLeniently is without TLS: nothing of the package tells him who dials so.
func openGoSMTPLeniently(to account) (steps, error) {
	client, err := smtp.Dial(to.addr)
	if err != nil {
		return nil, err
	}
	if to.login && client.SupportsAuth("PLAIN") {
		err = client.Auth(sasl.NewPlainClient("", user, password))
	}
	return goSMTPSteps{client}, err
}

func learnGoSMTP(err error) (l lesson) {
	var reply *smtp.SMTPError
	if errors.As(err, &reply) {
		l.code = reply.Code
	}
	return l
}

func writeGoMessageParcel(p *parcel, w io.Writer) error {
	var h mail.Header
	h.SetAddressList("From", []*mail.Address{{Name: p.name, Address: sender}})
	to := make([]*mail.Address, len(p.to))
	for i := range p.to {
		to[i] = &mail.Address{Address: p.to[i]}
	}
	h.SetAddressList("To", to)
	h.SetSubject(p.subject)
	h.Set(campaign, p.header)
	h.SetDate(time.Now())
	mixed, err := mail.CreateWriter(w, h)
	if err != nil {
		return err
	}
	var plain mail.InlineHeader
	plain.SetContentType("text/plain", nil)
	part, err := mixed.CreateSingleInline(plain)
	if err != nil {
		return err
	}
	if err := copyAndClose(part, strings.NewReader(plainText)); err != nil {
		return err
	}
	if p.fileName != "" {
		if err := attachToGoMessage(p, mixed); err != nil {
			return err
		}
	}
	return mixed.Close()
}

func attachToGoMessage(p *parcel, mixed *mail.Writer) error {
	var file mail.AttachmentHeader
	file.SetContentType(p.fileType, nil)
	file.SetFilename(p.fileName)
	part, err := mixed.CreateAttachment(file)
	if err != nil {
		return err
	}
	return copyAndClose(part, p.content())
}
