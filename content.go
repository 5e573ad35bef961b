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

// content writes the body and the end of data, and waits for the last words: one
// reply, or in LMTP one for each of those accepted (RFC 2033, section 4.2).
func (c *Client) content(ctx context.Context, body io.WriterTo, accepted int) []answer {
	answers := make([]answer, 1)
	if c.opts.LMTP {
		answers = make([]answer, accepted)
	}
	if reply, err := c.writeContent(ctx, body, answers); err != nil {
		for i := range answers {
			answers[i] = answer{reply, err}
		}
	}
	return answers
}

// writeContent writes the content, and fills in the answers to its end; an error
// says that it has not been sent to its end.
func (c *Client) writeContent(ctx context.Context, body io.WriterTo, answers []answer) (Reply, error) {
	defer c.link.watch(ctx)()
	if c.replies.Buffered() > 0 {
		return c.outOfTurn(ctx, "DATA")
	}
	// Until the end of data no step may write, not even one that follows a panic
	// of the body: it would become content.
	c.failure = errIncomplete
	w := &contentWriter{ctx: ctx, client: c, total: -1}
	if sized, ok := body.(interface{ Len() (int64, bool) }); ok {
		if n, known := sized.Len(); known {
			w.total = n
		}
	}
	defer w.finish()
	if c.block == nil {
		c.block = make([]byte, 0, blockSize)
	}
	dots := wire.NewDotWriter(w, c.block)
	_, err := body.WriteTo(dots)
	switch {
	case err != nil && dots.Err() == nil:
		return Reply{}, c.fail(ctx, "DATA", contentError{err})
	case dots.Err() != nil:
		return c.stoppedBy(ctx, w, dots.Err())
	case c.link.isStopped():
		return c.interrupted(ctx, w)
	case ctx.Err() != nil:
		return Reply{}, c.fail(ctx, "DATA", os.ErrDeadlineExceeded)
	}
	if left, err := wire.EndData(dots); err != nil {
		return c.endFailed(ctx, w, answers, left, err)
	}
	c.lastWords(ctx, w, answers)
	return Reply{}, nil
}

// endFailed tells what became of a content whose end could not be written, or
// was written and yet an error returned: then only the replies tell more.
func (c *Client) endFailed(ctx context.Context, w *contentWriter, answers []answer, left bool, err error) (Reply, error) {
	overTLS := c.link.Conn != c.link.raw // crypto/tls may not count what it has written
	if !left && (!overTLS || errors.Is(err, wire.ErrBareCR)) {
		return c.stoppedBy(ctx, w, err)
	}
	if !c.link.isStopped() && !c.link.lost(err) {
		e := c.fail(ctx, "end of data", err)
		e.Unknown = true
		return Reply{}, e
	}
	c.lastWords(ctx, w, answers)
	if c.failure == nil {
		c.fail(ctx, "end of data", err)
	}
	return Reply{}, nil
}

var errIncomplete = errors.New("the content is not complete")

// stoppedBy tells why the content could not be written: by the reply of the
// server, if there is one, and not by what it made of the connection.
func (c *Client) stoppedBy(ctx context.Context, w *contentWriter, err error) (Reply, error) {
	if c.link.isStopped() || !errors.Is(err, wire.ErrBareCR) && c.link.lost(err) {
		return c.interrupted(ctx, w)
	}
	return Reply{}, c.fail(ctx, "DATA", err)
}

// interrupted takes the reply that came in the middle of the content, and closes
// the connection without the end of data.
func (c *Client) interrupted(ctx context.Context, w *contentWriter) (Reply, error) {
	r, err := w.reply()
	reply, err := c.judge(ctx, "DATA", "", r, err)
	c.end(err)
	return reply, err
}

// lastWords reads the replies to the end of data. Whatever keeps one away leaves
// the outcome unknown for whom it was due.
func (c *Client) lastWords(ctx context.Context, w *contentWriter, answers []answer) {
	const op = "end of data"
	for i := range answers {
		r, err := wire.Reply{}, c.link.readWithin(c.opts.Timeouts.DataTermination)
		if err == nil {
			r, err = w.reply()
		}
		a := &answers[i]
		a.reply, a.err = c.judge(ctx, op, "2", r, err)
		if e, ok := a.err.(*Error); ok && e.Reply.Code == 0 {
			e.Unknown = true
		}
		if c.failure != errIncomplete {
			unknown := a.err
			if a.reply.Code != 0 { // 421: the server has answered for one, and goes.
				unknown = &Error{Op: op, Err: fmt.Errorf("the session ended before this reply (%v)", a.err), Unknown: true}
			}
			fill(answers[i+1:], unknown)
			return
		}
	}
	c.failure = nil
}

// contentWriter writes the blocks of the content. A content of more than one is
// written while the reply is awaited already: a server that says no in the
// middle is heard, and need not be sent the rest.
type contentWriter struct {
	ctx            context.Context // for the hook: the writer lives as long as one call
	client         *Client
	blocks         int
	written, total int64      // octets; a total of less than none is not known
	heard          chan heard // nil: nobody listens yet
}

type heard struct {
	reply wire.Reply
	err   error
}

// Write implements io.Writer for wire.DotWriter.
func (w *contentWriter) Write(block []byte) (int, error) {
	if w.blocks++; w.blocks == 2 {
		if err := w.client.link.readWithin(0); err != nil {
			return 0, err
		}
		w.heard = make(chan heard, 1)
		go w.listen()
	}
	n, err := w.client.link.write(block, w.client.opts.Timeouts.DataBlock)
	w.written += int64(n)
	w.client.opts.Trace.content(w.ctx, w.written, w.total)
	return n, err
}

// listen reads the reply, and stops the writing: if that is not over yet, the
// rest of the content is not wanted.
func (w *contentWriter) listen() {
	r, err := w.client.replies.Read(w.client.redact)
	w.client.link.stop()
	w.heard <- heard{r, err}
}

// reply returns the reply, once it has come.
func (w *contentWriter) reply() (wire.Reply, error) {
	if w.heard == nil {
		return w.client.replies.Read(w.client.redact)
	}
	h := <-w.heard
	w.heard = nil
	return h.reply, h.err
}

// finish waits until nobody listens any more.
func (w *contentWriter) finish() {
	if w.client.failure == errIncomplete { // The body has panicked.
		w.client.Close()
	}
	if w.heard != nil {
		<-w.heard
	}
	w.client.link.resume()
}

// contentError is an error of the caller's own body.
type contentError struct{ error }

func (e contentError) Error() string {
	return "the content could not be read: " + e.error.Error() + "; the connection was closed and nobody got any of it"
}

func (e contentError) Unwrap() error { return e.error }
