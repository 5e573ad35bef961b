package smtp

import (
	"context"
	"iter"
	"runtime"
	"sync/atomic"
	"time"
)

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

// next waits for the next message; nil: there is none, or it is over before. A nil
// channel is never over.
func (q *queue) next(over <-chan struct{}) *outgoing {
	select {
	case o := <-q.out:
		return o
	case <-over:
		return nil
	}
}

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
