package smtp

import (
	"context"
	"errors"
	"iter"
	"time"
)

// SendAll sends messages one after another, and yields what became of each, in
// their order. Where the server takes commands in groups (RFC 2920), that is one
// round trip a mail: the content of one goes with the envelope of the next.
//
// The iterator runs in a goroutine of its own, ahead by one message or two, and
// is waited for: if it can block, let it end with ctx. Once ctx has ended or the
// session is over, messages are still pulled and not sent; breaking off the loop
// pulls no more, and may have to close the connection.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		q := pull(ctx, messages)
		defer q.stop()
		var o, following *outgoing
		defer func() { c.abandon(ctx, o, following) }()
		for o = q.next(); o != nil; o, following = following, nil {
			c.send(ctx, o, func() *outgoing {
				following = q.ready()
				return following
			})
			o.close()
			result, err := o.outcome()
			c.opts.Trace.done(ctx, result, err)
			if !yield(result, err) {
				return
			}
			if following == nil {
				following = q.next()
			}
		}
	}
}

// abandon closes the messages that SendAll has broken off at, and drops the
// transaction that the second may have been in already.
func (c *Client) abandon(ctx context.Context, o, following *outgoing) {
	if o != nil {
		o.close()
	}
	if following == nil {
		return
	}
	following.close()
	switch t := following.ahead; {
	case t != nil && t.invited():
		c.end(errors.New("the loop over SendAll was broken off"))
	case t != nil:
		c.tidy(ctx)
		c.result = nil
	}
}

// queue hands out the messages of an iterator, ready to be sent.
type queue struct {
	out      chan *outgoing
	quit     chan struct{}
	panicked any
}

// pull runs messages, and makes each ready while those before are sent. Once ctx
// has ended, it takes no more from it.
func pull(ctx context.Context, messages iter.Seq[*Message]) *queue {
	q := &queue{out: make(chan *outgoing), quit: make(chan struct{})}
	go func() {
		defer close(q.out)
		defer func() { q.panicked = recover() }()
		messages(func(m *Message) bool {
			o := m.outgoing()
			select {
			case q.out <- o:
				return ctx.Err() == nil
			case <-q.quit:
				o.close()
				return false
			}
		})
	}()
	return q
}

// next waits for the next message; nil: there is none.
func (q *queue) next() *outgoing { return <-q.out }

// grace is how long the next message may take to be ready, when the content of
// the one before could already go.
const grace = time.Millisecond

// ready returns the next message if it need not be waited for.
func (q *queue) ready() *outgoing {
	select {
	case o := <-q.out:
		return o
	case <-time.After(grace):
		return nil
	}
}

// stop waits until the iterator has ended, and panics if it did.
func (q *queue) stop() {
	close(q.quit)
	for o := range q.out {
		o.close()
	}
	if q.panicked != nil {
		panic(q.panicked)
	}
}
