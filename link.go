package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// link is the connection of a session, with what ends a wait on it: time-outs,
// of which reading and writing have each their own, and a context.
type link struct {
	net.Conn          // TLS, once there is TLS
	raw      net.Conn // below it: deadlines are set and the connection is closed here

	watched <-chan struct{} // the end of the context under which we wait; nil: there is none

	mu      sync.Mutex
	ended   bool      // the context under which we wait has ended
	content bool      // content is being written, which a reply stops
	stopped bool      // it was: nothing more is to be written
	reading time.Time // the deadline of reading; zero: none
	broken  error     // what writing failed of
	limit   time.Time // of all reading after that; zero: none
}

// newLink looks below a tls.Conn, whose Close may wait 5 s to say goodbye.
func newLink(conn net.Conn) *link {
	l := &link{Conn: conn, raw: conn}
	if over, ok := conn.(*tls.Conn); ok {
		l.raw = over.NetConn()
	}
	return l
}

// longAgo is a deadline that ends every wait at once.
var longAgo = time.Unix(1, 0)

// watch makes the end of ctx end every wait on l, at once, until release is
// called. A context ends reading and writing by their deadline, which leaves
// the connection whole if the last wait was over before. Within a call that watches
// already, another does nothing.
func (l *link) watch(ctx context.Context) (release func()) {
	if ctx.Done() == nil || ctx.Done() == l.watched {
		return func() {}
	}
	l.watched = ctx.Done()
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = true
		if l.raw.SetDeadline(longAgo) != nil {
			l.raw.Close()
		}
	})
	return func() {
		l.watched = nil
		if !stop() {
			<-over
			l.ended = false
		}
	}
}

// readWithin gives the next wait for a reply its time-out (RFC 5321, section
// 4.5.3.2); zero leaves it without one.
func (l *link) readWithin(timeout time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = time.Time{}
	if timeout > 0 {
		l.reading = time.Now().Add(timeout)
	}
	return l.setReading()
}

// setReading sets the deadline of reading, or the limit if that is earlier.
func (l *link) setReading() error {
	if !l.limit.IsZero() && (l.reading.IsZero() || l.limit.Before(l.reading)) {
		l.reading = l.limit
	}
	return l.set(l.raw.SetReadDeadline, l.reading)
}

// write writes a block within its time-out.
func (l *link) write(block []byte, timeout time.Duration) (int, error) {
	if err := l.writeWithin(timeout); err != nil {
		return 0, err
	}
	n, err := l.Conn.Write(block)
	if err == nil && n < len(block) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (l *link) writeWithin(timeout time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return os.ErrDeadlineExceeded
	}
	return l.set(l.raw.SetWriteDeadline, time.Now().Add(timeout))
}

// set sets a deadline, unless the context has set one that passed long ago.
// Without deadlines nothing could end a wait; but that a connection is closed,
// the wait itself tells better.
func (l *link) set(set func(time.Time) error, deadline time.Time) error {
	if l.ended {
		return nil
	}
	err := set(deadline)
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// setContent says whether what is written is content.
func (l *link) setContent(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.content, l.stopped = is, false
}

// stop ends the writing of content, from another goroutine.
func (l *link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.content {
		l.stopped = true
		l.raw.SetWriteDeadline(longAgo)
	}
}

func (l *link) isStopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// lastWords is the time for the server to say why it takes nothing more.
const lastWords = 5 * time.Second

// lost notes that writing has failed of err, and tells whether what can still be
// read may say why: a server that closes often gives its reason first.
func (l *link) lost(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken, l.limit = err, time.Now().Add(lastWords)
	l.setReading()
	return true
}

// cause returns what is behind an error of reading: where writing had failed
// before, and no context has ended, a time-out is not what matters.
func (l *link) cause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil && !l.ended && errors.Is(err, os.ErrDeadlineExceeded) {
		return l.broken
	}
	return err
}
