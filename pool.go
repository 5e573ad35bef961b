package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The time in which a pool opens no further session after the server has said that it
// has enough of them. It doubles each time.
const (
	minBackOff = time.Second
	maxBackOff = time.Minute
)

const quitTimeout = 5 * time.Second

// pool is the sessions of a Mailer. Whoever takes one out owns it until he gives it
// back. Those who wait for one are served in their order.
type pool struct {
	mu       sync.Mutex
	settings poolSettings
	idle     []*idleSession // the one that was used last is the last
	open     int            // sessions, with those that are being opened or ended
	leaving  int            // those that are being ended
	waiting  []*waiter

	backOff time.Duration // how long the last pause was; zero: as many sessions as the settings allow
	pause   time.Time     // until then, no more than most, and then one more
	most    int
	cause   error       // of the pause
	wake    *time.Timer // at the end of the pause

	using   int           // calls that may take sessions
	unused  chan struct{} // closed once using is zero; nil: nobody wants to know
	closing bool          // there are to be no more calls
	closed  bool          // and those under way get no session any more
	ending  sync.WaitGroup
	stats   Stats
	self    atomic.Pointer[pool] // where it was used first
}

// poolSettings are those of a Mailer, with their defaults.
type poolSettings struct {
	conns, idle, messages int
	idleTimeout, age      time.Duration
}

// idleSession is a session that waits for the next mail.
type idleSession struct {
	client *Client
	timer  *time.Timer
	ends   bool // there are others, and the timer is short
}

// waiter waits for a session, or for room to open one.
type waiter struct {
	granted chan grant
	fresh   bool // a session that was used before does not do
	since   time.Time
}

// grant is what a waiter gets: a session, or room if there is neither that nor an error.
type grant struct {
	client *Client
	err    error
}

func closedError(op string) error {
	return &Error{Op: op, Err: mailerClosed{}, transient: true}
}

// mailerClosed is net.ErrClosed, which would say that of a connection.
type mailerClosed struct{}

func (mailerClosed) Error() string        { return "the Mailer is closed: Close or Shutdown was called" }
func (mailerClosed) Is(target error) bool { return target == net.ErrClosed }

// errCopied: two Mailers would use, and end, the same sessions.
var errCopied = &FieldError{"Mailer", errors.New("was copied after it had been used; hand on a pointer, or a Clone")}

// isCopy tells whether the pool is a copy of one that was in use, and may be locked.
func (p *pool) isCopy() bool { return !p.self.CompareAndSwap(nil, p) && p.self.Load() != p }

// enter begins a call that may take sessions.
func (p *pool) enter(op string, settings poolSettings) error {
	if p.isCopy() {
		return errCopied
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return closedError(op)
	}
	p.settings = settings
	p.using++
	return nil
}

// leave ends such a call.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.using--; p.using == 0 && p.unused != nil {
		close(p.unused)
		p.unused = nil
	}
}

// take returns a session, or nil for room to open one, of which opened or failed then
// tells what came. A session that was idle does not do if it must be fresh. Whoever has
// waited before comes first.
func (p *pool) take(ctx context.Context, fresh, waited bool) (*Client, error) {
	if ctx.Err() != nil {
		return nil, &Error{Op: "Send", Err: fmt.Errorf("the context had ended before a session was taken: %w", contextError(ctx)), transient: true}
	}
	c, w, err := p.takeOrWait(fresh, waited)
	if w == nil {
		return c, err
	}
	return p.await(ctx, w)
}

// takeOrWait takes what is there, or returns who waits for it.
func (p *pool) takeOrWait(fresh, waited bool) (*Client, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, closedError("Send")
	}
	if waited || len(p.waiting) == 0 {
		if c, ok := p.takeNow(fresh); ok {
			return c, nil, nil
		}
	}
	w, at := &waiter{make(chan grant, 1), fresh, time.Now()}, len(p.waiting)
	if waited {
		at = 0
	}
	p.waiting = slices.Insert(p.waiting, at, w)
	return nil, w, nil
}

// takeNow takes what is there, if anything is. The pool is locked.
func (p *pool) takeNow(fresh bool) (c *Client, ok bool) {
	for !fresh && len(p.idle) > 0 {
		session := p.idle[len(p.idle)-1]
		if !p.isSpent(session.client) {
			p.remove(session)
			return session.client, true
		}
		p.endIdle(session)
	}
	if p.open < p.room() {
		p.open++
		return nil, true
	}
	if len(p.idle) > 0 && p.leaving == 0 { // It makes room for a fresh one.
		p.endIdle(p.idle[0])
	}
	return nil, false
}

// await waits until it is w's turn, or ctx ends.
func (p *pool) await(ctx context.Context, w *waiter) (*Client, error) {
	select {
	case g := <-w.granted:
		return g.client, g.err
	case <-ctx.Done():
	}
	if !p.withdraw(w) { // It was served at the same moment.
		switch g := <-w.granted; {
		case g.client != nil:
			p.giveBack(ctx, g.client)
		case g.err == nil:
			p.failed(nil)
		}
	}
	return nil, p.gaveUp(ctx)
}

// withdraw lets a waiter wait no more, if he still does.
func (p *pool) withdraw(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, w)
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	p.serve()
	return true
}

// gaveUp says why there was no session for so long.
func (p *pool) gaveUp(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	why := fmt.Sprintf("no session came free (MaxConns is %d)", p.settings.conns)
	if p.backOff > 0 && time.Now().Before(p.pause) {
		why += fmt.Sprintf(", since the server has enough of us (%v)", p.cause)
	}
	return &Error{Op: "Send", Err: fmt.Errorf("%s: %w", why, contextError(ctx)), transient: true}
}

// serve gives those who wait longest what there is. The pool is locked.
func (p *pool) serve() {
	for len(p.waiting) > 0 {
		c, ok := p.takeNow(p.waiting[0].fresh)
		if !ok {
			return
		}
		p.grant(0, grant{client: c})
	}
}

// grant gives something to a waiter, by his index. The pool is locked.
func (p *pool) grant(i int, g grant) {
	p.waiting[i].granted <- g
	p.waiting = slices.Delete(p.waiting, i, i+1)
}

// room is how many sessions there may be now. The pool is locked.
func (p *pool) room() int {
	switch {
	case p.backOff == 0:
		return p.settings.conns
	case time.Now().Before(p.pause):
		return min(p.most, p.settings.conns)
	}
	return min(p.most+1, p.settings.conns) // Perhaps it takes one more by now.
}

// opened says that there was room indeed.
func (p *pool) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open > p.most {
		p.most = p.open
	}
	if p.most >= p.settings.conns {
		p.backOff = 0
	}
	p.serve()
}

// failed says that no session was opened, and tells whether there are others.
func (p *pool) failed(err error) (others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if isBusy(err) {
		if p.open == 0 { // Whoever has waited for this attempt has his answer.
			p.refuse(err)
		}
		p.slow(err)
	}
	p.serve()
	return p.open > 0
}

// refuse tells those who have waited since before the last pause. The pool is locked.
func (p *pool) refuse(err error) {
	begun := p.pause.Add(-p.backOff)
	for p.backOff > 0 && len(p.waiting) > 0 && !p.waiting[0].since.After(begun) {
		p.grant(0, grant{err: err})
	}
}

// isBusy tells whether a server has enough of us for now (RFC 5321, section 3.8; RFC
// 3463, section 3.4; 432 is what Exchange says to AUTH).
func isBusy(err error) bool {
	e := asError(err)
	return e != nil && (e.Reply.Code == 421 || e.Reply.Code == 432 || e.Reply.Status == EnhancedStatus{4, 3, 2})
}

// slow makes a pause, in which there are no more sessions than now. The pool is locked.
func (p *pool) slow(cause error) {
	p.most = p.open
	switch over := time.Since(p.pause); {
	case p.backOff > 0 && over < 0:
		return // It was begun by another session.
	case over > p.backOff: // All went well for long enough.
		p.backOff = 0
	}
	p.cause = cause
	p.backOff = min(max(2*p.backOff, minBackOff), maxBackOff)
	p.pause = time.Now().Add(p.backOff)
	if p.wake != nil {
		p.wake.Stop()
	}
	if !p.closed {
		p.wake = time.AfterFunc(p.backOff, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.serve()
		})
	}
}

// giveBack takes a session back, for whoever waits for one or for the next mail.
func (p *pool) giveBack(ctx context.Context, c *Client) {
	// A transaction is left only after a panic of the caller's own code, a reply only by
	// a server that would confuse the next mail.
	isGood := c.failure == nil && c.result == nil && c.replies.Buffered() == 0
	if !isGood {
		c.Close()
	}
	if p.put(c, isGood) {
		quit(ctx, c)
	}
}

// put takes a session back, or tells that it is to be ended, since all are.
func (p *pool) put(c *Client, isGood bool) (isOver bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countOctets(c)
	switch {
	case !isGood:
		p.open--
		// It had not just been idle for too long, or had its share of mails.
		if c.answered && c.mails <= 1 && isBusy(c.failure) {
			p.slow(c.failure)
		}
		p.serve()
	case p.closed:
		p.open--
		return true
	case p.isSpent(c), len(p.waiting) > 0 && p.waiting[0].fresh && p.leaving == 0:
		p.end(c)
	default:
		if i := slices.IndexFunc(p.waiting, func(w *waiter) bool { return !w.fresh }); i >= 0 {
			p.grant(i, grant{client: c})
			break
		}
		p.keep(c)
	}
	return false
}

// isSpent tells whether a session has had its time, or its mails.
func (p *pool) isSpent(c *Client) bool {
	return c.noMore || p.settings.messages > 0 && c.mails >= p.settings.messages || p.leftOf(c) <= 0 ||
		c.limits.domains > 0 || c.limits.mails > 0 && c.mails >= c.limits.mails
}

// countOctets adds what a session has sent since the last time. The pool is locked.
func (p *pool) countOctets(c *Client) {
	p.stats.Bytes += c.octets
	c.octets = 0
}

// isYours tells whether a session may go on with further messages after n of them, or is
// spent, or wanted by others.
func (p *pool) isYours(c *Client, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countOctets(c)
	return c.failure == nil && !p.closed && !p.isSpent(c) && (n < mailsInTurn || len(p.waiting) == 0)
}

// leftOf is how long a session may still be used.
func (p *pool) leftOf(c *Client) time.Duration {
	if p.settings.age <= 0 {
		return forever
	}
	return time.Until(c.begun.Add(p.settings.age))
}

const forever = time.Duration(1<<63 - 1)

// keep puts a session aside until the next mail, but not for long. The pool is locked.
func (p *pool) keep(c *Client) {
	session := &idleSession{client: c}
	p.idle = append(p.idle, session)
	session.timer = time.AfterFunc(min(p.settings.idleTimeout, p.leftOf(c)), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if slices.Contains(p.idle, session) {
			p.endIdle(session)
		}
	})
	switch {
	case p.settings.idle == 0:
		p.endIdle(session)
	case len(p.idle) > p.settings.idle:
		surplus := p.idle[len(p.idle)-1-p.settings.idle]
		if !surplus.ends {
			surplus.ends = true
			surplus.timer.Reset(min(p.settings.idleTimeout, surplusTimeout, max(p.leftOf(surplus.client), 0)))
		}
	}
}

// surplusTimeout is how long a session is kept that is one too many: who sends many
// mails may want it again in a moment.
const surplusTimeout = time.Second

// remove takes a session that is idle. The pool is locked.
func (p *pool) remove(session *idleSession) {
	session.timer.Stop()
	p.idle = slices.DeleteFunc(p.idle, func(s *idleSession) bool { return s == session })
}

// endIdle ends a session that is idle. The pool is locked.
func (p *pool) endIdle(session *idleSession) {
	p.remove(session)
	p.end(session.client)
}

// end says goodbye to a session, which takes up its place until then. The pool is locked.
func (p *pool) end(c *Client) {
	p.leaving++
	p.ending.Go(func() {
		quit(context.Background(), c)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.leaving--
		p.open--
		p.serve()
	})
}

// quit ends a session politely; what the server says to that changes nothing.
func quit(ctx context.Context, c *Client) {
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	c.Quit(ctx)
}

// drain lets no more calls begin, and waits for those under way.
func (p *pool) drain(ctx context.Context) error {
	if p.isCopy() {
		return errCopied
	}
	p.mu.Lock()
	p.closing = true
	var unused chan struct{}
	if p.using > 0 {
		if p.unused == nil {
			p.unused = make(chan struct{})
		}
		unused = p.unused
	}
	p.mu.Unlock()
	if unused == nil {
		return nil
	}
	select {
	case <-unused:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("smtp: Shutdown: there are still mails under way: %w", contextError(ctx))
	}
}

// close ends all that is idle, and waits for that.
func (p *pool) close() error {
	if p.isCopy() {
		return errCopied
	}
	p.endAll()
	p.ending.Wait()
	return nil
}

// endAll begins to end what is idle, and lets nobody wait any longer.
func (p *pool) endAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing, p.closed = true, true
	if p.wake != nil {
		p.wake.Stop()
	}
	for len(p.waiting) > 0 {
		p.grant(0, grant{err: closedError("Send")})
	}
	for len(p.idle) > 0 {
		p.endIdle(p.idle[0])
	}
}

// count adds what became of a mail.
func (p *pool) count(result *Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range result.Recipients {
		switch r.Outcome {
		case Accepted:
			p.stats.Accepted++
		case Refused:
			p.stats.Refused++
		case Unknown:
			p.stats.Unknown++
		default:
			p.stats.NotSent++
		}
	}
}

// Stats are what a [Mailer] has, and what it did so far.
type Stats struct {
	Open    int // sessions, in use or idle, or being opened or ended
	Idle    int // of these
	Waiting int // mails, for a session

	Accepted, Refused, Unknown, NotSent int64 // recipients of Send and SendAll, by their Outcome
	Bytes                               int64 // of content that was handed to servers
}

// snapshot returns the numbers of now.
func (p *pool) snapshot() Stats {
	if p.isCopy() {
		return Stats{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	stats.Open, stats.Idle, stats.Waiting = p.open, len(p.idle), len(p.waiting)
	return stats
}
