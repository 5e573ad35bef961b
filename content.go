package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/postrider/smtp/internal/wire"
)

// blockSize is how much of the content is written at once.
const blockSize = 32 << 10

// content is what is sent to those whom the server has accepted.
type content struct {
	body     io.WriterTo
	form     wire.Form
	accepted int          // recipients
	ahead    *transaction // whose envelope leaves with the end of the content; nil: none
}

// sink takes the blocks of a content, and hears what the server says to them.
type sink interface {
	write(wire.Block) (int, error)
	refused() (answer, bool) // the refusal of a block, after which the session goes on
	answer(op, want string) answer
	close()
}

// content sends a content and the end of data, and waits for the last words: one
// reply, or in LMTP one for each of those accepted (RFC 2033, section 4.2). The
// answers to the envelope behind it are nil if that was not sent.
func (c *Client) content(ctx context.Context, out content) (ends, behind []answer) {
	ends = make([]answer, 1)
	if c.opts.LMTP {
		ends = make([]answer, out.accepted)
	}
	behind, stopped := c.writeContent(ctx, out, ends)
	if stopped.err != nil {
		for i := range ends {
			ends[i] = stopped
		}
	}
	return ends, behind
}

// writeContent writes the content, and fills in the answers to its end; stopped
// says why it has not been sent to its end.
func (c *Client) writeContent(ctx context.Context, out content, ends []answer) (behind []answer, stopped answer) {
	if err := c.usable(ctx, out.form.Verb()); err != nil {
		return nil, answer{err: err}
	}
	defer c.link.watch(ctx)()
	if c.replies.Buffered() > 0 {
		return nil, c.outOfTurn(ctx, out.form.Verb())
	}
	// Until the end of data no step may write, not even one that follows a panic
	// of the body: it would become content.
	c.failure = errIncomplete
	if c.block == nil {
		c.block = make([]byte, 0, blockSize)
	}
	c.link.setContent(true)
	s := c.newSink(ctx, out)
	defer s.close()
	w := wire.NewContentWriter(out.form, c.block, s.write)
	_, err := out.body.WriteTo(w)
	switch {
	case err != nil && w.Err() == nil:
		return nil, answer{err: c.fail(ctx, out.form.Verb(), contentError{err})}
	case w.Err() != nil:
		return nil, c.stoppedBy(ctx, out, s, w.Err())
	case c.link.isStopped():
		return nil, c.interrupted(out, s)
	case ctx.Err() != nil:
		return nil, answer{err: c.fail(ctx, out.form.Verb(), os.ErrDeadlineExceeded)}
	}
	return c.endContent(ctx, out, s, w, ends)
}

func (c *Client) newSink(ctx context.Context, out content) sink {
	o := outlet{ctx: ctx, client: c, total: -1}
	if sized, ok := out.body.(interface{ Len() (int64, bool) }); ok {
		if n, known := sized.Len(); known {
			o.total = n
		}
	}
	if out.form >= wire.Chunks {
		window := 1
		if c.pipelining() { // RFC 3030, section 4.2.
			window = maxWindow
		}
		return &chunkSink{outlet: o, window: window}
	}
	return &dataSink{outlet: o}
}

// endContent writes the end of data and the envelope behind it, which goes in the
// same write where that is safe, and reads what the server says to all that.
func (c *Client) endContent(ctx context.Context, out content, s sink, w *wire.ContentWriter, ends []answer) (behind []answer, stopped answer) {
	steps := out.ahead.behind()
	blocks, err := spell(steps)
	if err != nil {
		return nil, answer{err: c.fail(ctx, out.form.Verb(), err)}
	}
	var inline []byte
	if len(blocks) == 1 && isSocket(c.link.raw) {
		inline, blocks = blocks[0].lines, nil
	}
	if left, err := wire.EndData(w, inline); err != nil {
		return nil, c.endFailed(ctx, out, s, ends, left, err)
	}
	c.link.setContent(false) // What follows is not: the last words do not stop it.
	begun := func() int { return len(steps) }
	if len(steps) > 0 {
		c.announce(ctx, steps)
		if len(blocks) > 0 {
			// The server may not read on before it has answered the content.
			count, written := c.overlap(blocks, c.opts.Timeouts.DataTermination+steps[0].timeout)
			defer func() { c.outlive(ctx, steps[0].op, <-written) }()
			begun = count
		}
	}
	c.lastWords(ctx, s, ends)
	if c.failure == nil && len(steps) > 0 {
		behind = make([]answer, len(steps))
		c.collect(ctx, steps, behind, begun)
	}
	return behind, answer{}
}

// endFailed tells what became of a content whose end could not be written, or
// was written and yet an error returned: then only the replies tell more.
func (c *Client) endFailed(ctx context.Context, out content, s sink, ends []answer, left bool, err error) (stopped answer) {
	overTLS := c.link.Conn != c.link.raw // crypto/tls may not count what it has written
	if !left && (!overTLS || errors.Is(err, wire.ErrBareCR) || errors.Is(err, errRefused)) {
		return c.stoppedBy(ctx, out, s, err)
	}
	if !c.link.isStopped() && !c.link.lost(err) {
		e := c.fail(ctx, endOfData, err)
		e.Unknown = true
		return answer{err: e}
	}
	c.lastWords(ctx, s, ends)
	if c.failure == nil {
		c.fail(ctx, endOfData, err)
	}
	for i, a := range ends {
		if a.err == nil && !left { // Was that for the whole content?
			ends[i].err = unknown(&Error{Op: endOfData, Err: fmt.Errorf("the server answered %v to what was not all written: %w", a.reply, err)})
		}
	}
	return answer{}
}

const endOfData = "end of data"

var errIncomplete = errors.New("the content is not complete")

// stoppedBy tells why the content could not be written: by the reply of the
// server, if there is one, and not by what it made of the connection.
func (c *Client) stoppedBy(ctx context.Context, out content, s sink, err error) answer {
	if errors.Is(err, wire.ErrBareCR) {
		return answer{err: c.fail(ctx, out.form.Verb(), err)}
	}
	between := errors.Is(err, errRefused) // two chunks
	answered := between || c.link.isStopped() || c.link.lost(err)
	if refusal, ok := s.refused(); ok {
		switch {
		case c.failure != errIncomplete:
		case between:
			c.failure = nil
		default: // The server would take a command for the rest of the chunk.
			c.end(refusal.err)
		}
		return refusal
	}
	if answered {
		return c.interrupted(out, s)
	}
	return answer{err: c.fail(ctx, out.form.Verb(), err)}
}

// interrupted takes the reply that came in the middle of the content, and closes
// the connection without the end of data.
func (c *Client) interrupted(out content, s sink) answer {
	a := s.answer(out.form.Verb(), "")
	c.end(a.err)
	return a
}

// lastWords reads the replies to the end of data. Whatever keeps one away leaves
// the outcome unknown for whom it was due.
func (c *Client) lastWords(ctx context.Context, s sink, ends []answer) {
	if refusal, refused := s.refused(); refused {
		c.refusedMidway(ctx, s, ends, refusal)
		return
	}
	for i := range ends {
		a := &ends[i]
		if *a = s.answer(endOfData, "2"); a.reply.Code == 0 {
			unknown(a.err)
		}
		if c.failure != errIncomplete {
			rest := a.err
			if a.reply.Code != 0 { // 421: the server has answered for one, and goes.
				rest = unknown(&Error{Op: endOfData, Err: fmt.Errorf("the session ended before this reply (%v)", a.err)})
			}
			fill(ends[i+1:], rest)
			return
		}
	}
	c.failure = nil
}

// unknown marks an error that leaves the outcome unknown.
func unknown(err error) error {
	if e, ok := err.(*Error); ok {
		e.Unknown = true
	}
	return err
}

// refusedMidway settles a content of which a chunk was refused when its end was
// already on the way: the transaction has failed (RFC 3030, section 2). A server
// that takes the end all the same may have delivered half a mail.
func (c *Client) refusedMidway(ctx context.Context, s sink, ends []answer, refusal answer) {
	if refusal.reply.Code == 0 {
		unknown(refusal.err)
	} else if c.failure == errIncomplete {
		end := s.answer(endOfData, "2")
		if end.err == nil {
			refusal.err = unknown(c.fail(ctx, endOfData, fmt.Errorf("the server answered %v, although it had refused a part of the content by %v", end.reply, refusal.reply)))
		}
		switch {
		case c.failure != errIncomplete:
		case c.opts.LMTP: // Nobody knows how many replies follow.
			c.end(refusal.err)
		default:
			c.failure = nil
		}
	}
	for i := range ends {
		ends[i] = refusal
	}
}

// outlet writes the blocks of a content, and tells of them.
type outlet struct {
	ctx            context.Context // for the hook: the sink lives as long as one call
	client         *Client
	written, total int64 // octets; a total of less than none is not known
}

func (o *outlet) put(b wire.Block) (int, error) {
	n, err := o.client.link.write(b.Octets, o.client.opts.Timeouts.DataBlock)
	if err == nil {
		o.written += int64(b.Content)
		o.client.octets += int64(b.Content)
	}
	o.client.opts.Trace.content(o.ctx, o.written, o.total)
	return n, err
}

// dataSink takes the blocks of DATA. A content of more than one, or to a connection
// without buffers, is written while the reply is awaited already: a server that says no
// in the middle is heard, and need not be sent the rest.
type dataSink struct {
	outlet
	blocks int
	heard  chan heard // nil: nobody listens yet
}

type heard struct {
	reply wire.Reply
	err   error
}

func (s *dataSink) write(b wire.Block) (int, error) {
	first := 2
	if !isSocket(s.client.link.raw) {
		first = 1
	}
	if s.blocks++; s.blocks == first {
		if err := s.client.link.readWithin(0); err != nil {
			return 0, err
		}
		s.heard = make(chan heard, 1)
		go s.listen()
	}
	return s.put(b)
}

// listen reads the reply, and stops the writing: if that is not over yet, the
// rest of the content is not wanted.
func (s *dataSink) listen() {
	r, err := s.client.replies.Read(s.client.redact)
	s.client.link.stop()
	s.heard <- heard{r, err}
}

// refused: in DATA, a refusal in the middle can only end the session.
func (s *dataSink) refused() (answer, bool) { return answer{}, false }

// answer returns the answer, once it has come.
func (s *dataSink) answer(op, want string) answer {
	timeout := s.client.opts.Timeouts.DataTermination
	if s.heard == nil {
		return s.client.receive(s.ctx, op, timeout, want)
	}
	if err := s.client.link.readWithin(timeout); err != nil {
		return answer{err: s.client.fail(s.ctx, op, err)}
	}
	h := <-s.heard
	s.heard = nil
	return s.client.judge(s.ctx, op, want, h)
}

// close waits until nobody listens any more.
func (s *dataSink) close() {
	s.afterPanic()
	if s.heard != nil {
		<-s.heard
	}
	s.client.link.setContent(false)
}

// afterPanic closes the connection if the body has panicked.
func (o *outlet) afterPanic() {
	if o.client.failure == errIncomplete {
		o.client.Close()
	}
}

// contentError is an error of the caller's own body.
type contentError struct{ error }

func (e contentError) Error() string {
	return "the content could not be read: " + e.error.Error() + "; the connection was closed and nobody got any of it"
}

func (e contentError) Unwrap() error { return e.error }
