package smtp

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"
	"time"
)

// SendAll sends messages while a loop ranges over it, in one round trip each if the
// server pipelines (RFC 2920). The iterator runs ahead in a goroutine of its own, is
// waited for, and asked no more once ctx has ended. Breaking off drops what it gave
// ahead and may close the connection. In the loop, the Client makes no other step.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		q := pull(ctx, messages, &c.opts)
		defer q.stop()
		var o, following *outgoing
		defer func() { c.breakOff(ctx, o, following) }()
		for o = q.next(nil); o != nil; o, following = following, nil {
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
				following = q.next(nil)
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
// yields each as it is done: [Result.Message] says which. The iterator runs in a
// goroutine of its own, as far ahead as messages can be sent, and is asked no more once ctx
// has ended. One that certainly was not taken when a session ended is sent once more.
// Breaking off lets those end that are under way.
func (m *Mailer) SendAll(ctx context.Context, messages iter.Seq[*Message]) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		settings := m.settings()
		unusable := m.pool.enter("SendAll", settings)
		if unusable == nil {
			defer m.pool.leave()
		}
		b := &bulk{
			mailer: m, begun: time.Now(), unusable: unusable, queue: pull(ctx, messages, &m.Options),
			most: settings.conns, done: make(chan *outgoing, 2*min(settings.conns, 100)), over: make(chan struct{}),
		}
		defer b.queue.stop()
		defer b.start(ctx)()
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
	mailer   *Mailer
	begun    time.Time
	unusable error // why the Mailer is; nil: it is not
	queue    *queue
	done     chan *outgoing // nil: there was a panic
	over     chan struct{}  // nobody wants to know of any more
	asking   sync.WaitGroup // the limiter

	mu       sync.Mutex
	most     int  // workers that may still be started
	panicked any  // with which a hook, or a file, has ended a worker
	exited   bool // one of them did so by runtime.Goexit
	workers  sync.WaitGroup
}

// start starts the first worker. What it returns ends all, and waits for that.
func (b *bulk) start(ctx context.Context) (stop func()) {
	waiting, cancel := context.WithCancel(ctx)
	b.hire(ctx, waiting)
	go func() {
		b.workers.Wait()
		close(b.done)
	}()
	return func() {
		close(b.over)
		cancel()
		for range b.done {
		}
		b.asking.Wait()
		switch {
		case b.panicked != nil:
			panic(b.panicked)
		case b.exited:
			runtime.Goexit()
		}
	}
}

// hire starts one more worker, if there may be more.
func (b *bulk) hire(ctx, waiting context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most--; b.most < 0 {
		return
	}
	b.workers.Go(func() {
		returned := false
		defer func() {
			if b.record(returned, recover()); !returned {
				b.tell(nil)
			}
		}()
		b.work(ctx, waiting)
		returned = true
	})
}

// record remembers how a goroutine ended, if it did not return: the loop will end so.
func (b *bulk) record(returned bool, panicked any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !returned && b.panicked == nil {
		b.panicked, b.exited = panicked, panicked == nil
	}
}

// work sends messages over one session after the other. The limiter is asked, and a
// session is waited for, under a context that ends with the loop.
func (b *bulk) work(ctx, waiting context.Context) {
	w := &worker{bulk: b, waiting: waiting}
	defer func() { closeAll(w.pending) }()
	for !b.isOver() {
		for _, o := range w.untold {
			b.tell(o)
		}
		w.untold = nil
		if len(w.pending) == 0 {
			o := b.queue.next(b.over)
			if o == nil {
				return
			}
			w.pending = append(w.pending, o)
			b.hire(ctx, waiting) // For the message that comes next.
		}
		w.send(ctx)
	}
}

// worker is one of those who send.
type worker struct {
	*bulk
	waiting context.Context // while it does not send
	pending []*outgoing     // messages in hand: no more than two
	untold  []*outgoing     // messages that are done, which the loop was too slow to be told of
}

// send sends what is pending, as far as one session goes.
func (w *worker) send(ctx context.Context) {
	o := w.pending[0]
	if o.err == nil && w.unusable != nil {
		o.err = w.unusable
		o.result.settle(NotSent, Reply{}, o.err)
	}
	if o.err == nil {
		c, _, err := w.mailer.session(w.waiting, w.patience(), o.again)
		if err == nil {
			w.sendOver(ctx, c)
			return
		}
		o.result.settle(NotSent, Reply{}, err)
	}
	w.finish()
}

// patience is since when credentials must not have been refused: an iterator may take
// its time, but every message is not another try.
func (w *worker) patience() time.Time {
	if recently := time.Now().Add(-time.Minute); recently.After(w.begun) {
		return recently
	}
	return w.begun
}

// mailsInTurn is how many messages go over a session before others who wait have it.
const mailsInTurn = 20

// sendOver sends what is pending, and what comes, over a session. It does not hold the
// session while the loop takes its time.
func (w *worker) sendOver(ctx context.Context, c *Client) {
	defer w.mailer.pool.giveBack(ctx, c)
	c.answered = false
	for n := 1; len(w.pending) > 0; n++ {
		o := w.pending[0]
		if w.isOver() {
			c.breakOff(ctx, nil, o)
			return
		}
		if o.err == nil && w.admit(o) {
			c.send(ctx, o, func() *outgoing {
				if w.fetch(c, n); len(w.pending) > 1 && w.isAdmitted(w.pending[1]) {
					return w.pending[1]
				}
				return nil
			})
		}
		if o.isForAnother(ctx, c) {
			restart(w.pending[1:])
			return
		}
		w.finish()
		if c.failure != nil {
			restart(w.pending)
			return
		}
		w.fetch(c, n)
	}
}

// fetch takes one more message in hand, if there is one that can go over the session.
func (w *worker) fetch(c *Client, n int) {
	if len(w.pending) > 1 || len(w.untold) > 0 || w.isOver() || !w.mailer.pool.isYours(c, n) {
		return
	}
	if o := w.queue.ready(); o != nil {
		w.pending = append(w.pending, o)
	}
}

// admit waits until the limiter admits a message, and tells whether it did.
func (w *worker) admit(o *outgoing) bool {
	limiter := w.mailer.Limiter
	if limiter == nil || o.admitted {
		return true
	}
	var err error
	if o.asked != nil {
		err = <-o.asked
	} else {
		err = askLimiter(w.waiting, limiter)
	}
	if o.admitted = err == nil; !o.admitted {
		o.err = err
		o.result.settle(NotSent, Reply{}, err)
	}
	return o.admitted
}

// isAdmitted asks the limiter for the message that comes next. It is not waited for,
// since a content is under way: later on it is asked for the answer.
func (w *worker) isAdmitted(o *outgoing) bool {
	limiter := w.mailer.Limiter
	if limiter == nil || o.admitted || o.err != nil {
		return o.err == nil
	}
	if o.asked == nil {
		o.asked = make(chan error, 1)
		w.asking.Go(func() {
			err := errors.New("the Limiter did not return")
			returned := false
			defer func() {
				w.record(returned, recover())
				o.asked <- err
			}()
			err = askLimiter(w.waiting, limiter)
			returned = true
		})
	}
	select {
	case err := <-o.asked:
		o.asked <- err
		return w.admit(o)
	case <-time.After(grace):
		return false
	}
}

// finish hands the first message on to the loop, now if it can.
func (w *worker) finish() {
	o := w.pending[0]
	w.pending = w.pending[1:]
	o.close()
	if len(w.untold) == 0 {
		select {
		case w.done <- o:
			return
		default:
		}
	}
	w.untold = append(w.untold, o)
}

// restart makes messages ready for another session, of which nothing but the envelope can
// have gone over the last one.
func restart(messages []*outgoing) {
	for _, o := range messages {
		if o.err == nil {
			o.again = o.again || o.ahead != nil
			o.ahead = nil
			o.renew()
		}
	}
}

// isForAnother tells whether a message is to go over another session than c, and takes
// back that c kept it from its recipients: because it takes no more, or once because it
// ended.
func (o *outgoing) isForAnother(ctx context.Context, c *Client) bool {
	switch {
	case o.err != nil || ctx.Err() != nil:
		return false
	case (c.failure != nil || c.isFull(o)) && !o.again:
		o.again = true
		o.takeBack()
	case c.mails > 0:
		o.reopen()
	default: // Another session would be no better.
		return false
	}
	return len(o.left) > 0
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
