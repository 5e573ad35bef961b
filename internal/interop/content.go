package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/postrider/smtp"
)

// contentChecks are about what gets through as it is.
func contentChecks() []check {
	return []check{
		{"lines that begin with dots", ready(dots)},
		{"no line end at the end", ready(noFinalLineEnd)},
		{"no body", ready("")},
		{"lines of 998 octets", ready(longest)},
		{"bare LF, which becomes CRLF", ready(bareLF)},
		{"all of these by BDAT", byChunks},
		{"bare CR, which is refused before MAIL", bareCR},
		{"8BITMIME", ready("Grüße\r\n")},
		{"BINARYMIME", binary},
		{"text with longer lines", longerLines},
		{"smuggling by DATA", func(t *trial) error { return t.smuggle(false) }},
		{"smuggling by BDAT", func(t *trial) error { return t.smuggle(true) }},
		{"25 MiB by DATA", func(t *trial) error { return t.big(false) }},
		{"25 MiB by BDAT", func(t *trial) error { return t.big(true) }},
		{"500 mails by SendAll", func(t *trial) error { return t.many(false) }},
		{"500 mails by SendAll and BDAT", func(t *trial) error { return t.many(true) }},
	}
}

const (
	dots           = ".\r\n..\r\n.begins with a dot\r\n...\r\nends\r\n.\r\n"
	noFinalLineEnd = "the last line has no end"
	bareLF         = "one\ntwo\n.\nthree\n"
)

var longest = strings.Repeat("x", 998) + "\r\n" + strings.Repeat("y", 998) + "\r\n"

// ready sends a ready message with such a body.
func ready(body string) func(*trial) error {
	return func(t *trial) error {
		mailer := t.mailer()
		defer mailer.Close()
		return t.deliver(mailer, t.raw(body), "alice")
	}
}

// sender sends by DATA or by BDAT; that the server must offer.
func (t *trial) sender(chunking bool) (*smtp.Mailer, error) {
	mailer := t.mailer()
	mailer.Options.Chunking = chunking
	if !chunking {
		return mailer, nil
	}
	return mailer, t.needs("CHUNKING")
}

func byChunks(t *trial) error {
	mailer, err := t.sender(true)
	if err != nil {
		return err
	}
	defer mailer.Close()
	for _, body := range []string{dots, noFinalLineEnd, "", longest, bareLF} {
		if err := t.deliver(mailer, t.raw(body), "alice"); err != nil {
			return err
		}
	}
	return nil
}

func bareCR(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	for _, body := range []string{"one\rtwo\r\n", "one\r\r\n", "\r"} {
		result, err := mailer.Send(t, t.raw(body))
		var field *smtp.FieldError
		if !errors.As(err, &field) || result.Recipients[0].Outcome != smtp.NotSent {
			return fmt.Errorf("%q: %v", body, err)
		}
	}
	return nil
}

func binary(t *trial) error {
	mailer, err := t.sender(true)
	if err != nil {
		return err
	}
	defer mailer.Close()
	return t.deliver(mailer, t.raw("\x00\x01"+strings.Repeat("\xff", 2000)+"\r\n"), "alice")
}

// longerLines: what Message builds has none that are too long (RFC 5321, section
// 4.5.3.1.6), and a ready message that has some is not sent by DATA.
func longerLines(t *trial) error {
	mailer := t.mailer()
	defer mailer.Close()
	m := t.letter("alice")
	m.Text = strings.Repeat("long ", 1000) + "\n" + strings.Repeat("ü", 999)
	err := t.deliver(mailer, t.raw(strings.Repeat("x", 999)+"\r\n"), "alice")
	if !errors.As(err, new(*smtp.FieldError)) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("a ready message with a line of 999 octets: %v", err)
	}
	return t.deliver(mailer, m, "alice")
}

// ends are what has been taken for the end of data, somewhere (the first is it, and is
// in the content only).
var ends = []string{
	"\r\n.\r\n", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n",
	"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\n\n.\n\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\r.\r\n",
}

// smuggle sends contents with a second mail behind something like the end of data. Each
// must arrive as it is, or be refused if it holds a bare CR or a NUL; that no second mail
// arrives shows at the end.
func (t *trial) smuggle(chunking bool) error {
	mailer, err := t.sender(chunking)
	if err != nil {
		return err
	}
	defer mailer.Close()
	for _, end := range ends {
		body := "Nothing to see here." + end + "RSET\r\nMAIL FROM:<ann@test.example>\r\nRCPT TO:<smuggled@test.example>\r\nDATA\r\n" +
			"From: ann@test.example\r\nMessage-ID: <" + newID() + ">\r\nSubject: smuggled\r\n\r\nThis is a second mail." + end + "QUIT\r\n"
		m := t.letter("alice")
		m.Text = body
		mayRefuse := strings.ContainsAny(strings.ReplaceAll(end, "\r\n", ""), "\r\x00")
		for _, m := range []*smtp.Message{t.raw(body), m} {
			err := t.deliver(mailer, m, "alice")
			isRefused := errors.As(err, new(*smtp.FieldError)) || errors.As(err, new(*smtp.UnsupportedError))
			if err != nil && !(isRefused && mayRefuse) {
				return fmt.Errorf("%q: %w", end, err)
			}
		}
	}
	return nil
}

// noise is 25 MiB that look like nothing, the same each time.
func noise() (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{1}), 25<<20)), nil
}

func (t *trial) big(chunking bool) error {
	mailer, err := t.sender(chunking)
	if err != nil {
		return err
	}
	defer mailer.Close()
	m := t.letter("alice")
	m.Attachments = []smtp.File{{Name: "noise.bin", Size: 25 << 20, Open: noise}}
	if m, err = m.Prepare(); err != nil {
		return err
	}
	if err := t.deliver(mailer, m, "alice"); err != nil {
		return err
	}
	return t.boxes.remove(m.MessageID)
}

// many sends 500, of which each must come once.
func (t *trial) many(chunking bool) error {
	mailer, err := t.sender(chunking)
	if err != nil {
		return err
	}
	mailer.MaxConns = 2
	defer mailer.Close()
	var sent []*smtp.Message
	messages := func(yield func(*smtp.Message) bool) {
		for i := range 500 {
			m := t.letter("alice")
			m.Text = fmt.Sprintf("This is mail %d.\n", i)
			m, err = m.Prepare()
			sent = append(sent, m)
			if err != nil || !yield(m) {
				return
			}
		}
	}
	for result, sendErr := range mailer.SendAll(t, messages) {
		if sendErr != nil {
			return fmt.Errorf("%s: %w", result.MessageID, sendErr)
		}
	}
	for _, m := range sent {
		if err := t.arrived(m, m.MessageID, "alice"); err != nil {
			return err
		}
	}
	return err
}
