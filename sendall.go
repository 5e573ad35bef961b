package smtp

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// SendAll sends messages while a loop ranges over it, in one round trip each if the
// server pipelines (RFC 2920). The iterator runs ahead in a goroutine of its own, is
// waited for, and asked no more once ctx has ended. Breaking off drops what it gave
// ahead and may close the connection. The Client makes no other step in the loop.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		q := pull(ctx, messages, &c.opts, nil)
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

// SendAll sends messages while a loop ranges over it, over up to MaxConns sessions, and
// yields each as it is done: Result.Message says which. The iterator runs in a goroutine of
// its own, as far ahead as messages can be sent. One that certainly was not taken when a
// session ended is sent once more. Breaking off lets those end that are under way.
func (m *Mailer) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		closed := m.pool.enter(m.settings())
		if closed == nil {
			defer m.pool.leave()
		}
		b := &bulk{
			mailer: m, begun: time.Now(), closed: closed,
			queue: pull(ctx, messages, &m.Options, m.Limiter),
			done:  make(chan *outgoing), over: make(chan struct{}),
		}
		defer b.queue.stop()
		var workers sync.WaitGroup
		for range m.settings().conns {
			workers.Go(func() {
				defer b.rescue()
				b.work(ctx)
			})
		}
		go func() {
			workers.Wait()
			close(b.done)
		}()
		defer func() {
			close(b.over)
			for range b.done { // Until all have ended.
			}
			if b.panicked != nil {
				panic(b.panicked)
			}
		}()
		for o := range b.done {
			if o == nil {
				return
			}
			result, err := o.outcome()
			m.pool.count(result)
			m.Options.Trace.done(ctx, result, err)
			if !yield(result, err) {
				return
			}
		}
	}
}

// bulk is a SendAll under way.
type bulk struct {
	mailer *Mailer
	begun  time.Time
	closed error // the Mailer is; nil: it is not
	queue  *queue
	done   chan *outgoing // nil: there was a panic
	over   chan struct{}  // nobody wants to know of any more

	once     sync.Once
	panicked any // with which a hook, or a file, has ended a worker
}

// rescue hands a panic on to the loop.
func (b *bulk) rescue() {
	if r := recover(); r != nil {
		b.once.Do(func() { b.panicked = r })
		select {
		case b.done <- nil:
		case <-b.over:
		}
	}
}

// work sends messages over one session after the other.
func (b *bulk) work(ctx context.Context) {
	var pending []*outgoing
	defer func() { closeAll(pending) }()
	for {
		if len(pending) == 0 {
			o := b.queue.nextUnless(b.over)
			if o == nil {
				return
			}
			pending = append(pending, o)
		}
		o := pending[0]
		if b.isOver() {
			return
		}
		if o.err == nil && b.closed != nil {
			o.err = b.closed
			o.result.settle(NotSent, Reply{}, o.err)
		}
		if o.err == nil {
			c, _, err := b.mailer.session(ctx, b.begun, nil, false)
			if err == nil {
				pending = b.sendOver(ctx, c, pending)
				continue
			}
			o.result.settle(NotSent, Reply{}, err)
		}
		b.tell(o)
		pending = pending[1:]
	}
}

// turn is how many messages go over a session before others who wait have it.
const turn = 20

// sendOver sends messages over a session, those that are pending and those that come, and
// returns those that are to go over another one.
func (b *bulk) sendOver(ctx context.Context, c *Client, pending []*outgoing) []*outgoing {
	p := &b.mailer.pool
	defer p.giveBack(ctx, c)
	c.answered = false
	for n := 1; len(pending) > 0; n++ {
		o := pending[0]
		if b.isOver() {
			c.breakOff(ctx, nil, o)
			return nil
		}
		if o.err == nil {
			c.send(ctx, o, func() *outgoing {
				if len(pending) == 1 && !b.isOver() && p.isYours(c, n) {
					if following := b.queue.ready(); following != nil {
						pending = append(pending, following)
					}
				}
				if len(pending) > 1 {
					return pending[1]
				}
				return nil
			})
		}
		if o.isForAnother(ctx, c) {
			return restart(pending)
		}
		b.tell(o)
		pending = pending[1:]
		if c.failure != nil {
			return restart(pending)
		}
		if len(pending) == 0 && !b.isOver() && p.isYours(c, n) {
			if o := b.queue.ready(); o != nil {
				pending = append(pending, o)
			}
		}
	}
	return nil
}

// isForAnother tells whether a message is to go over another session than c, and takes
// back that c kept it from its recipients: because it takes no more, or once because it
// ended.
func (o *outgoing) isForAnother(ctx context.Context, c *Client) bool {
	switch {
	case o.err != nil || ctx.Err() != nil:
		return false
	case c.failure != nil && !o.again:
		o.again = true
		o.takeBack()
	case c.mails > 0: // Or another session would be no better.
		o.reopen()
	}
	return len(o.left) > 0
}

// restart makes messages ready for another session, of which only the envelope may have
// gone over the last one.
func restart(messages []*outgoing) []*outgoing {
	for _, o := range messages {
		if o.ahead != nil {
			o.ahead, o.again = nil, true
			o.renew()
		}
	}
	return messages
}

func (b *bulk) isOver() bool {
	select {
	case <-b.over:
		return true
	default:
		return false
	}
}

// tell hands on what became of a message.
func (b *bulk) tell(o *outgoing) {
	o.close()
	select {
	case b.done <- o:
	case <-b.over:
	}
}

func closeAll(messages []*outgoing) {
	for _, o := range messages {
		o.close()
	}
}
