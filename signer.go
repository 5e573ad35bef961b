package smtp

import (
	"context"
	"errors"
	"io"

	"github.com/postrider/smtp/internal/format"
)

// Signer puts a signature into messages, as by DKIM. Sign is called once per Send,
// before MAIL, by any goroutine; it reads the message by writing it to a hash, say,
// and no longer than it runs. What it returns writes the message again, with the
// signature, and the same each time.
type Signer interface {
	Sign(ctx context.Context, message io.WriterTo) (io.WriterTo, error)
}

// sign lets a signer, if there is one, take the place of the message.
func (p *prepared) sign(ctx context.Context, signer Signer) error {
	if signer == nil {
		return nil
	}
	u := &unsigned{ctx: ctx, write: p.body.WriteTo}
	allowed := format.Traits{UTF8Header: p.message.Delivery.UTF8}
	if p.raw != nil {
		u.write, allowed = p.raw.writeMended, p.raw.traits
	}
	message, err := signer.Sign(ctx, u)
	switch {
	case u.err != nil: // Its own words are better, and it may have been ignored.
		return u.err
	case err == nil && message == nil:
		err = errors.New("no message was returned by Sign")
	}
	if err != nil {
		return &FieldError{"Options.Signer", err}
	}
	p.draft.body = &signed{message: message, unsigned: u, allowed: allowed}
	return nil
}

// unsigned is a message in the hands of a signer.
type unsigned struct {
	ctx   context.Context
	write func(io.Writer) (int64, error)
	err   error // of the message itself
}

func (u *unsigned) WriteTo(w io.Writer) (int64, error) {
	guarded := &contextWriter{ctx: u.ctx, w: w}
	n, err := u.write(guarded)
	if guarded.err == nil && u.err == nil {
		u.err = err
	}
	return n, err
}

// contextWriter writes no more once the context has ended, and keeps the error.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (c *contextWriter) Write(p []byte) (n int, err error) {
	if err = c.err; err == nil && c.ctx.Err() != nil {
		err = contextError(c.ctx)
	}
	if err == nil {
		n, err = c.w.Write(p)
	}
	c.err = err
	return n, err
}

// signed is what a signer has made of a message.
type signed struct {
	message  io.WriterTo
	unsigned *unsigned
	allowed  format.Traits // but for the size, what MAIL says of the message
	octets   int64         // when it was written for the first time; zero: not yet
}

// Len tells that nobody knows how many octets a signature has.
func (s *signed) Len() (int64, bool) { return 0, false }

// WriteTo fails at the end of what is not the message that it should be, so that it
// is not sent to its end.
func (s *signed) WriteTo(w io.Writer) (int64, error) {
	scanner := &format.Scanner{}
	n, err := s.message.WriteTo(io.MultiWriter(scanner, w))
	if s.unsigned.err != nil {
		return n, s.unsigned.err
	}
	if err == nil {
		err = s.check(scanner)
	}
	if err != nil {
		err = &FieldError{"Options.Signer", err}
	}
	return n, err
}

func (s *signed) check(scanner *format.Scanner) error {
	traits, err := scanner.Traits()
	first := s.octets
	s.octets = scanner.Octets()
	switch {
	case err != nil:
		return err
	case s.octets == 0, first != 0 && first != s.octets:
		return errors.New("the signed message does not write the same each time")
	case traits.Kind > s.allowed.Kind, traits.UTF8Header && !s.allowed.UTF8Header:
		return errors.New("the signed message holds other octets than the message: over 127, NULs, or longer lines")
	case traits.Kind != format.BinaryData && traits.Size != s.octets:
		return errors.New("the signed message has line ends that are not CRLF, which would break its signature")
	}
	return nil
}
