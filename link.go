package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is the connection of a session, with what ends a wait on it: a time-out
// and a context. It writes whole blocks, each with a time-out of its own.
type link struct {
	net.Conn          // TLS, once there is TLS
	raw      net.Conn // below it: deadlines are set and the connection is closed here

	mu    sync.Mutex
	ended bool // the context under which we wait has ended
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
// the connection whole if the last wait was over before.
func (l *link) watch(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
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
		if !stop() {
			<-over
			l.ended = false
		}
	}
}

// within gives the next wait its time-out (RFC 5321, section 4.5.3.2). Without
// deadlines nothing could end it; but that a connection is closed, the wait
// itself tells better.
func (l *link) within(timeout time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil // the deadline has passed already
	}
	err := l.raw.SetDeadline(time.Now().Add(timeout))
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// blockWriter writes to a link, with the same time-out for each block.
type blockWriter struct {
	*link
	timeout time.Duration
}

func (w blockWriter) Write(block []byte) (int, error) {
	if err := w.within(w.timeout); err != nil {
		return 0, err
	}
	return w.Conn.Write(block)
}
