package smtp

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

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
		{"Header", len(m.Header) > 0},
		{"Text", m.Text != ""},
		{"HTML", m.HTML != ""},
		{"Alternatives", len(m.Alternatives) > 0},
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
func (r *raw) open(ctx context.Context) error {
	err := r.examine(ctx)
	if err == nil {
		r.source, err = r.File.open()
	}
	if err != nil {
		return &FieldError{"Raw", err}
	}
	return nil
}

// headerSize is how much of a message is looked into for its Message-ID.
const headerSize = 64 << 10

// examine learns what the message is. From then on it has the size that it had.
func (r *raw) examine(ctx context.Context) error {
	source, err := r.File.open()
	if err != nil {
		return err
	}
	defer source.Close()
	content := bufio.NewReaderSize(contextReader{ctx, r.limit(source)}, headerSize)
	head, err := content.Peek(headerSize)
	if err != nil && err != io.EOF {
		return err
	}
	if r.messageID, err = format.MessageID(head); err != nil {
		return err
	}
	scanner := &format.Scanner{}
	if _, err := content.WriteTo(scanner); err != nil {
		return err
	}
	if err := r.checkSize(scanner); err != nil {
		return err
	}
	r.Size = scanner.Octets()
	r.traits, err = scanner.Traits()
	return err
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
	if traits, scanErr := scanner.Traits(); err == nil && (scanErr != nil || traits != r.traits || scanner.Octets() != r.Size) {
		err = errors.New("is not what it was when it was examined; does Open return it from its beginning each time?")
	}
	if err != nil {
		err = &FieldError{"Raw", err}
	}
	return n, err
}

// writeMended writes the message as it is sent, with its line ends mended. An
// error of w is returned as it is.
func (r *raw) writeMended(w io.Writer) (n int64, err error) {
	form := wire.Lines
	if r.traits.Kind == format.BinaryData {
		form = wire.Verbatim
	}
	content := wire.NewContentWriter(form, make([]byte, 0, blockSize), func(b wire.Block) (int, error) {
		written, err := w.Write(b.Octets)
		n += int64(written)
		return written, err
	})
	if _, err := r.WriteTo(content); err != nil {
		return n, cmp.Or(content.Err(), err)
	}
	_, err = wire.EndData(content, nil)
	return n, err
}

func (r *raw) close() {
	if r.source != nil {
		r.source.Close()
		r.source = nil
	}
}
