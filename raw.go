package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/postrider/smtp/internal/format"
	"github.com/postrider/smtp/internal/wire"
)

// raw is a ready message on its way.
type raw struct {
	File
	traits    format.Traits
	messageID string
	source    io.ReadCloser // nil: not open
}

// besideRaw returns an error for a field of m that has no place beside Raw.
func (m *Message) besideRaw() error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"From", m.From != Address{}},
		{"Sender", m.Sender != nil},
		{"To", len(m.To) > 0},
		{"Cc", len(m.Cc) > 0},
		{"Bcc", len(m.Bcc) > 0},
		{"ReplyTo", len(m.ReplyTo) > 0},
		{"Subject", m.Subject != ""},
		{"Date", !m.Date.IsZero()},
		{"MessageID", m.MessageID != ""},
		{"InReplyTo", len(m.InReplyTo) > 0},
		{"References", len(m.References) > 0},
		{"Text", m.Text != ""},
		{"HTML", m.HTML != ""},
		{"Inline", len(m.Inline) > 0},
		{"Attachments", len(m.Attachments) > 0},
	} {
		if field.set {
			return &FieldError{field.name, errors.New("is set beside Raw, which is a whole message")}
		}
	}
	return nil
}

// checkRaw refuses what cannot stand beside a ready message, and what must.
func (m *Message) checkRaw() error {
	if m.Raw.Open == nil {
		return &FieldError{"Raw.Open", errors.New("is nil")}
	}
	if m.Raw.Size < 0 {
		return &FieldError{"Raw.Size", errors.New("is negative")}
	}
	if err := m.besideRaw(); err != nil {
		return err
	}
	if m.Delivery.From == "" {
		return &FieldError{"Delivery.From", errors.New("is needed for a Raw message")}
	}
	if len(m.Delivery.To) == 0 {
		return &FieldError{"Delivery.To", errors.New("is needed for a Raw message")}
	}
	return m.Delivery.check()
}

// open reads the message once, for what it is, and opens it for being sent.
func (r *raw) open() error {
	err := r.examine()
	if err == nil {
		r.source, err = r.File.open()
	}
	if err != nil {
		return &FieldError{"Raw", err}
	}
	return nil
}

// headerSize is how much of a header is looked into.
const headerSize = 64 << 10

func (r *raw) examine() error {
	source, err := r.File.open()
	if err != nil {
		return err
	}
	defer source.Close()
	content := bufio.NewReaderSize(r.limit(source), headerSize)
	head, err := content.Peek(headerSize)
	if err != nil && err != io.EOF {
		return err
	}
	if err := r.examineHeader(head); err != nil {
		return err
	}
	scanner := &format.Scanner{}
	if _, err := content.WriteTo(scanner); err != nil {
		return err
	}
	if r.traits, err = scanner.Traits(); err != nil {
		return err
	}
	return r.checkSize(scanner)
}

// limit ends the reading of a file as soon as it is seen not to have its size.
func (r *raw) limit(source io.Reader) io.Reader {
	if r.Size > 0 {
		return io.LimitReader(source, r.Size+1)
	}
	return source
}

func (r *raw) checkSize(scanner *format.Scanner) error {
	switch n := scanner.Octets(); {
	case r.Size > 0 && n > r.Size:
		return fmt.Errorf("has more octets than the %d of its Size", r.Size)
	case n < r.Size:
		return fmt.Errorf("has %d octets, and not the %d of its Size", n, r.Size)
	}
	return nil
}

// examineHeader looks into the beginning of a message.
func (r *raw) examineHeader(head []byte) error {
	name, _, ok := bytes.Cut(head, []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsFunc(bytes.TrimRight(name, " \t"), func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the message does not begin with a header field")
	}
	for _, end := range []string{"\n\r\n", "\n\n"} {
		if header, _, found := bytes.Cut(head, []byte(end)); found {
			head = header
		}
	}
	if len(head) < headerSize && !utf8.Valid(head) { // RFC 6532, section 3.2.
		return errors.New("the header holds octets that are not UTF-8")
	}
	m, err := mail.ReadMessage(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n")))
	if err == nil {
		r.messageID = strings.Trim(m.Header.Get("Message-ID"), "<> \t")
	}
	return nil
}

// Len returns the size of the message with its line ends mended.
func (r *raw) Len() (int64, bool) { return r.traits.Size, true }

// WriteTo writes the message as it is; its line ends are mended below. One that
// is no longer what it was when MAIL described it is not sent to its end.
func (r *raw) WriteTo(w io.Writer) (int64, error) {
	if r.source == nil {
		source, err := r.File.open()
		if err != nil {
			return 0, &FieldError{"Raw", err}
		}
		r.source = source
	}
	defer r.close()
	scanner := &format.Scanner{}
	n, err := io.Copy(io.MultiWriter(scanner, w), r.limit(r.source))
	if err == nil {
		err = r.checkSize(scanner)
	}
	if traits, scanErr := scanner.Traits(); err == nil && (scanErr != nil || traits != r.traits) {
		err = errors.New("has changed since it was examined")
	}
	if err != nil {
		err = &FieldError{"Raw", err}
	}
	return n, err
}

// writeMended writes the message with its line ends mended.
func (r *raw) writeMended(w io.Writer) (n int64, err error) {
	if r.traits.Kind == format.BinaryData {
		return r.WriteTo(w)
	}
	lines := wire.NewContentWriter(wire.Lines, make([]byte, 0, blockSize), func(b wire.Block) (int, error) {
		written, err := w.Write(b.Octets)
		n += int64(written)
		return written, err
	})
	if _, err := r.WriteTo(lines); err != nil {
		return n, err
	}
	_, err = wire.EndData(lines, nil)
	return n, err
}

func (r *raw) close() {
	if r.source != nil {
		r.source.Close()
		r.source = nil
	}
}
