package smtp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"

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
	ready := false
	defer func() {
		if !ready { // Or the signer has panicked.
			p.close()
		}
	}()
	u := &unsigned{ctx: ctx, write: p.body.WriteTo, seed: maphash.MakeSeed(), octets: -1}
	if p.raw != nil {
		u.write = p.raw.writeMended
	}
	message, err := signer.Sign(ctx, u)
	switch failed := u.failed(); {
	case failed != nil: // The signer may have ignored it.
		return failed
	case err == nil && message == nil:
		err = errors.New("no message was returned by Sign")
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", contextError(ctx), err)
	}
	if err != nil {
		return &FieldError{"Options.Signer", err}
	}
	p.draft.body = &signed{message: message, unsigned: u, envelope: p.envelope()}
	ready = true
	return nil
}

// unsigned is a message in the hands of a signer.
type unsigned struct {
	ctx   context.Context
	write func(io.Writer) (int64, error)
	seed  maphash.Seed

	mu     sync.Mutex
	err    error  // of the message itself
	octets int64  // of the message; less than none: it was not yet written to its end
	sum    uint64 // of them
}

func (u *unsigned) WriteTo(w io.Writer) (int64, error) {
	guarded := &contextWriter{ctx: u.ctx, w: w}
	var hash maphash.Hash
	hash.SetSeed(u.seed)
	n, err := u.write(io.MultiWriter(&hash, guarded))
	if guarded.err == nil { // Else it is the affair of w.
		err = u.note(n, hash.Sum64(), err)
	}
	return n, err
}

// note keeps what was written, and the first error.
func (u *unsigned) note(octets int64, sum uint64, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err != nil:
	case u.octets < 0:
		u.octets, u.sum = octets, sum
	case u.octets != octets || u.sum != sum:
		err = &FieldError{"Message", errors.New("is not what it was when it was signed; does Open return a file from its beginning each time?")}
	}
	u.err = cmp.Or(u.err, err)
	return err
}

func (u *unsigned) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// length is less than none if the message was not yet written to its end.
func (u *unsigned) length() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.octets
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
	envelope Envelope // what MAIL says of the message
	written  bool
	sum      uint64 // of its octets, if it was written
}

// Len tells that nobody knows how many octets a signature has.
func (s *signed) Len() (int64, bool) { return 0, false }

// WriteTo fails at the end of what is not the message that it should be, so that it
// is not sent to its end.
func (s *signed) WriteTo(w io.Writer) (int64, error) {
	scanner := &format.Scanner{}
	var hash maphash.Hash
	hash.SetSeed(s.unsigned.seed)
	n, err := s.message.WriteTo(io.MultiWriter(scanner, &hash, w))
	if failed := s.unsigned.failed(); failed != nil {
		return n, failed
	}
	if err == nil {
		err = s.check(scanner)
	}
	if err == nil && s.written && s.sum != hash.Sum64() {
		err = errors.New("the signed message does not write the same each time")
	}
	if err != nil {
		return n, &FieldError{"Options.Signer", err}
	}
	s.written, s.sum = true, hash.Sum64()
	return n, nil
}

func (s *signed) check(scanner *format.Scanner) error {
	traits, err := scanner.Traits()
	octets, length := scanner.Octets(), s.unsigned.length()
	allowed := format.Kind(s.envelope.Body) // the kinds are in the same order
	if s.envelope.UTF8 {
		allowed = max(allowed, format.EightBitData)
	}
	switch {
	case err != nil:
		return err
	case length < 0:
		return errors.New("the message that was to be signed was never read to its end")
	case octets < length:
		return fmt.Errorf("the signed message has %d octets, and the message itself %d", octets, length)
	case traits.Kind > allowed, traits.UTF8Header && !s.envelope.UTF8:
		return errors.New("the signed message holds other octets than the message: over 127, NULs, or longer lines")
	case traits.Kind != format.BinaryData && traits.Size != octets:
		return errors.New("the signed message has line ends that are not CRLF, which would break its signature")
	}
	return nil
}
