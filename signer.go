package smtp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"

	"github.com/postrider/smtp/internal/format"
)

// Signer signs messages, as by DKIM (examples/dkim). Sign is called once per Send, before
// MAIL, by any goroutine; it reads the message as it leaves, by writing it to a hash. What
// it returns may keep the message: it writes the signature and that, the same each time
// that it is sent. Prepare and WriteTo do not sign.
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
	if p.inUTF8 != nil { // Only one of the two can be signed, and the other shows less.
		p.draft.body, p.inUTF8, p.message.Delivery.UTF8 = p.inUTF8, nil, true
	}
	u := &unsigned{ctx: ctx, message: *p.draft, seed: maphash.MakeSeed(), reading: reading{octets: -1}}
	message, err := signer.Sign(ctx, u)
	switch state := u.state(); {
	case state.err != nil: // The signer may have ignored it.
		return state.err
	case err == nil && message == nil:
		err = errors.New("no message was returned by Sign")
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", contextError(ctx), err)
	}
	if err != nil {
		return &FieldError{"Options.Signer", err}
	}
	p.draft.body = &signed{message: message, unsigned: u, envelope: p.envelope(false)}
	ready = true
	return nil
}

// unsigned is a message in the hands of a signer.
type unsigned struct {
	ctx     context.Context
	message draft
	seed    maphash.Seed

	mu sync.Mutex
	reading
}

// reading is what is known of a message from the times that it was written.
type reading struct {
	err    error  // of the message itself
	octets int64  // less than none: it was not yet written to its end
	sum    uint64 // of them
	cut    int    // how often it was not written to its end, because the writer failed
}

// WriteTo writes the message as it leaves.
func (u *unsigned) WriteTo(w io.Writer) (int64, error) {
	guarded := &contextWriter{ctx: u.ctx, w: w}
	var hash maphash.Hash
	hash.SetSeed(u.seed)
	n, err := u.message.writeFinal(io.MultiWriter(&hash, guarded))
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case guarded.err != nil:
		u.cut++
	case err != nil:
		u.err = cmp.Or(u.err, err)
	case u.octets < 0:
		u.octets, u.sum = n, hash.Sum64()
	case u.octets != n || u.sum != hash.Sum64():
		err = &FieldError{"Message", errors.New("is not what it was when it was signed; does Open return a file from its beginning each time?")}
		u.err = cmp.Or(u.err, err)
	}
	return n, err
}

func (u *unsigned) state() reading {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reading
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
	scanner, start := &format.Scanner{}, &beginning{}
	var hash maphash.Hash
	hash.SetSeed(s.unsigned.seed)
	before := s.unsigned.state()
	n, err := s.message.WriteTo(io.MultiWriter(scanner, start, &hash, w))
	after := s.unsigned.state()
	if after.err != nil {
		return n, after.err
	}
	if err == nil {
		err = s.check(scanner, after)
	}
	switch {
	case err != nil:
	case after.cut != before.cut:
		err = errors.New("the message was not written to its end")
	case s.written && s.sum != hash.Sum64():
		err = errors.New("the signed message does not write the same each time")
	default:
		err = start.checkHeader()
	}
	if err != nil {
		return n, &FieldError{"Options.Signer", err}
	}
	s.written, s.sum = true, hash.Sum64()
	return n, nil
}

// beginning keeps the first octets that are written to it, and never fails.
type beginning struct{ octets []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.octets = append(b.octets, p[:min(len(p), blockSize-len(b.octets))]...)
	return len(p), nil
}

func (b *beginning) checkHeader() error {
	header, err := format.ReadHeader(bufio.NewReader(bytes.NewReader(b.octets)))
	if err != nil {
		return err
	}
	return format.CheckHeader(header)
}

func (s *signed) check(scanner *format.Scanner, message reading) error {
	traits, err := scanner.Traits()
	octets := scanner.Octets()
	allowed := format.Kind(s.envelope.Body)
	if s.envelope.UTF8 {
		allowed = max(allowed, format.EightBitData)
	}
	switch {
	case err != nil:
		return err
	case message.octets < 0:
		return errors.New("the message that was to be signed was never read to its end")
	case octets < message.octets:
		return fmt.Errorf("the signed message has %d octets, and the message itself %d", octets, message.octets)
	case traits.Kind > allowed, traits.UTF8Header && !s.envelope.UTF8:
		return errors.New("the signed message holds other octets than the message: over 127, NULs, or longer lines")
	case traits.Kind != format.BinaryData && traits.Size != octets:
		return errors.New("the signed message has line ends that are not CRLF, which would break its signature")
	}
	return nil
}
