package smtp

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync/atomic"
	"time"
)

// SendAll sends messages while a loop ranges over it, in one round trip each if the
// server pipelines (RFC 2920). The iterator runs ahead in a goroutine of its own, is
// waited for, and asked no more once ctx has ended. Breaking off drops what it gave
// ahead and may close the connection. The Client makes no other step in the loop.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		q := pull(ctx, messages, &c.opts)
		defer q.stop()
		var o, following *outgoing
		defer func() { c.breakOff(ctx, o, following) }()
		for o = q.next(); o != nil; o, following = following, nil {
			c.send(ctx, o, func() *outgoing {
				following = q.ready()
				return following
			})
			o.close()
			result, err := o.outcome()
			c.opts.Trace.done(ctx, result, err)
			c.inLoop = true
			if !yield(result, err) {
				return
			}
			c.inLoop = false
			if following == nil {
				following = q.next()
			}
		}
	}
}

// breakOff closes the messages that a loop has come to when it ends, and drops
// the transaction that the second may be in already.
func (c *Client) breakOff(ctx context.Context, o, following *outgoing) {
	c.inLoop = false
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
	}
}

// queue hands out the messages of an iterator, ready to be sent.
type queue struct {
	out      chan *outgoing
	quit     chan struct{}
	over     atomic.Bool // the iterator is to yield no more
	returned bool        // it has returned, and not ended in another way
	panicked any
}

// pull runs messages, and makes each ready while those before are sent. Once ctx
// has ended, it takes no more from it.
func pull(ctx context.Context, messages iter.Seq[*Message], opts *Options) *queue {
	q := &queue{out: make(chan *outgoing), quit: make(chan struct{})}
	go func() {
		defer close(q.out)
		defer func() {
			q.over.Store(true)
			q.panicked = recover()
		}()
		messages(func(m *Message) bool { return q.put(ctx, m, opts) })
		q.returned = true
	}()
	return q
}

// put hands out a message, and tells whether there may be another.
func (q *queue) put(ctx context.Context, m *Message, opts *Options) bool {
	if q.over.Load() {
		panic("smtp: the iterator of SendAll went on after its end")
	}
	o := m.outgoing(ctx, opts)
	select {
	case q.out <- o:
	case <-q.quit:
		o.close()
	}
	select {
	case <-q.quit:
		q.over.Store(true)
	default:
		q.over.Store(ctx.Err() != nil)
	}
	return !q.over.Load()
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

// stop waits until the iterator has ended, and ends in the same way if it did not
// return: by its panic, or by runtime.Goexit, as testing.T.Fatal does.
func (q *queue) stop() {
	close(q.quit)
	for o := range q.out {
		o.close()
	}
	switch {
	case q.panicked != nil:
		panic(q.panicked)
	case !q.returned:
		runtime.Goexit()
	}
}
