package smtp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/textproto"
	"reflect"
	"strings"

	"github.com/postrider/smtp/internal/format"
	"github.com/postrider/smtp/internal/wire"
)

// raw is a ready message on its way.
type raw struct {
	File
	header []byte // with Bcc, which is not sent
	traits format.Traits
	once
}

// besideRaw returns an error for a field of m that has no place beside Raw.
func (m *Message) besideRaw() error {
	v := reflect.ValueOf(*m)
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		isEmpty := field.IsZero() || field.Kind() == reflect.Slice && field.Len() == 0
		if name != "Raw" && name != "Delivery" && !isEmpty {
			return &FieldError{name, errors.New("is set beside Raw, which is a whole message")}
		}
	}
	return nil
}

// checkRaw checks what can be without reading.
func (m *Message) checkRaw() error {
	switch {
	case m.Raw.Open == nil:
		return &FieldError{"Raw.Open", errors.New("is nil")}
	case m.Raw.Size < 0:
		return &FieldError{"Raw.Size", errors.New("is negative")}
	}
	return m.besideRaw()
}

// prepareRaw takes a ready message. If it is not to be written now, no more than
// its header is read, and that only for an envelope that is not given.
func (p *prepared) prepareRaw(ctx context.Context, filled *Message, open bool) error {
	if err := filled.checkRaw(); err != nil {
		return err
	}
	r := &raw{File: filled.Raw}
	given := filled.Delivery.From != "" && len(filled.Delivery.To) > 0
	if given {
		if err := filled.Delivery.check(); err != nil {
			return err
		}
	}
	var err error
	switch {
	case open:
		err = r.open(ctx)
	case !given:
		if err = r.examine(ctx, false); err != nil {
			err = &FieldError{"Raw", err}
		}
	}
	if err == nil && !given {
		err = filled.Delivery.fillFrom(r.header)
	}
	if err != nil {
		r.close()
		return err
	}
	if open {
		filled.MessageID = format.MessageID(r.header) // for the result
	}
	p.message, p.draft = filled, &draft{body: r, raw: r}
	return nil
}

// open reads the message once, for what it is, and opens it for being sent.
func (r *raw) open(ctx context.Context) error {
	err := r.examine(ctx, true)
	if err == nil {
		var file *openFile
		if file, err = r.File.open(); err == nil {
			r.put(file)
		}
	}
	if err != nil {
		return &FieldError{"Raw", err}
	}
	return nil
}

// examine learns what the message is, or no more than its header. Where it was read
// as a whole, it has the size from then on that it had.
func (r *raw) examine(ctx context.Context, whole bool) error {
	source, err := r.File.open()
	if err != nil {
		return err
	}
	defer source.Close()
	counted := &countingReader{r: contextReader{ctx, r.limit(source)}}
	content := bufio.NewReaderSize(counted, blockSize)
	if r.header, err = format.ReadHeader(content); err != nil {
		return err
	}
	if err := format.CheckHeader(r.header); err != nil || !whole {
		return err
	}
	shown := format.WithoutBcc(r.header)
	if len(bytes.TrimSpace(shown)) == 0 {
		return errors.New("the message has no header field but Bcc, which is not sent")
	}
	scanner := &format.Scanner{}
	scanner.Write(shown)
	if _, err := content.WriteTo(scanner); err != nil {
		return err
	}
	if err := r.checkSize(counted.n); err != nil {
		return err
	}
	r.Size = counted.n
	r.traits, err = scanner.Traits()
	return err
}

// fillFrom sets what the envelope lacks by the header of a ready message.
func (e *Envelope) fillFrom(header []byte) error {
	fields, err := fieldsIn(header)
	if err != nil {
		return err
	}
	if e.From == "" {
		if err := e.fillSender(fields); err != nil {
			return err
		}
	}
	if len(e.To) == 0 {
		var all []Address
		for _, name := range []string{"To", "Cc", "Bcc"} {
			list, err := addressesIn(fields, name)
			if err != nil {
				return &FieldError{"Delivery", fmt.Errorf("is needed, since in Raw %w", err)}
			}
			all = append(all, list...)
		}
		if e.To = recipientsOf(all); len(e.To) == 0 {
			return &FieldError{"Delivery.To", errors.New("is needed, since Raw has no recipient in To, Cc or Bcc")}
		}
	}
	return e.check()
}

// fieldsIn reads the header of a ready message.
func fieldsIn(header []byte) (mail.Header, error) {
	fields := mail.Header{}
	for name, field := range format.EachField(header) {
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case strings.HasPrefix(name, "Resent-"):
			return nil, &FieldError{"Delivery", fmt.Errorf("is needed, since Raw has a field %s: to whom it goes is not clear", name)}
		case name == "" && len(bytes.TrimSpace(field)) > 0:
			return nil, &FieldError{"Delivery", fmt.Errorf("is needed, since the header of Raw has %.200q in it, which is no field", field)}
		}
		fields[name] = append(fields[name], format.FieldValue(field))
	}
	return fields, nil
}

// fillSender takes Sender for the reverse-path, or else From, if that is one.
func (e *Envelope) fillSender(header mail.Header) error {
	list, name, err := firstAddresses(header, "Sender", "From")
	switch {
	case err != nil:
		return &FieldError{"Delivery.From", fmt.Errorf("is needed, since in Raw %w", err)}
	case len(list) != 1:
		return &FieldError{"Delivery.From", fmt.Errorf("is needed, since Raw has %d addresses in its %s", len(list), name)}
	}
	e.From = list[0].Address
	return nil
}

// Len returns the size of the message with its line ends mended.
func (r *raw) Len() (int64, bool) { return r.traits.Size, true }

// WriteTo writes the message as it is, but for Bcc; where it is written to, its
// line ends are mended. One that is no longer what it was when MAIL described it is
// not sent to its end.
func (r *raw) WriteTo(w io.Writer) (int64, error) {
	file, err := r.takeOrOpen(r.File)
	if err != nil {
		return 0, &FieldError{"Raw", err}
	}
	defer file.Close()
	counted := &countingReader{r: r.limit(file)}
	content := bufio.NewReaderSize(counted, blockSize)
	header, err := format.ReadHeader(content)
	if err != nil {
		return 0, &FieldError{"Raw", err}
	}
	scanner := &format.Scanner{}
	shown := bytes.NewReader(format.WithoutBcc(header))
	n, err := io.Copy(io.MultiWriter(scanner, w), io.MultiReader(shown, content))
	if traits, scanErr := scanner.Traits(); err == nil && (scanErr != nil || traits != r.traits || counted.n != r.Size) {
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
