package smtp

import (
	"context"
	"crypto/tls"
	"maps"
)

// Trace has hooks for what happens on the way of a mail, as [net/http/httptrace] has.
// Those that are nil are not called. They run in the goroutine of the step, with its
// context, and hold it up; several sessions of a Mailer may call them at once. No secret
// is passed.
type Trace struct {
	Connected     func(ctx context.Context, addr string, err error)                  // by a Mailer, or not, if err is not nil
	TLS           func(ctx context.Context, state tls.ConnectionState, err error)    // the handshake is over
	Hello         func(ctx context.Context, extensions map[string]string, err error) // EHLO was answered; the map is the hook's to keep
	Authenticated func(ctx context.Context, mechanism string, err error)             // or not, if err is not nil
	Transaction   func(ctx context.Context, from string, recipients int)             // MAIL goes; by hand, its recipients are not known yet: 0
	Content       func(ctx context.Context, written, total int64)                    // octets handed over so far, of how many; less than none: not known
	Reply         func(ctx context.Context, op string, reply Reply)                  // to that step
	Done          func(ctx context.Context, result *Result, err error)               // a Send is over
}

func (t *Trace) connected(ctx context.Context, addr string, err error) {
	if t != nil && t.Connected != nil {
		t.Connected(ctx, addr, err)
	}
}

func (t *Trace) tls(ctx context.Context, conn *tls.Conn, err error) {
	if t != nil && t.TLS != nil {
		t.TLS(ctx, conn.ConnectionState(), err)
	}
}

func (t *Trace) hello(ctx context.Context, extensions map[string]string, err error) {
	if t != nil && t.Hello != nil {
		t.Hello(ctx, maps.Clone(extensions), err)
	}
}

func (t *Trace) authenticated(ctx context.Context, mechanism string, err error) {
	if t != nil && t.Authenticated != nil {
		t.Authenticated(ctx, mechanism, err)
	}
}

func (t *Trace) transaction(ctx context.Context, from string, recipients int) {
	if t != nil && t.Transaction != nil {
		t.Transaction(ctx, from, recipients)
	}
}

func (t *Trace) content(ctx context.Context, written, total int64) {
	if t != nil && t.Content != nil {
		if total >= 0 { // The dots that were added and the one at the end are not of the message.
			written = min(written, total)
		}
		t.Content(ctx, written, total)
	}
}

func (t *Trace) reply(ctx context.Context, op string, reply Reply) {
	if t != nil && t.Reply != nil {
		if reply.Code == 334 { // A challenge is not for everybody.
			reply.Lines = nil
		}
		t.Reply(ctx, op, reply)
	}
}

func (t *Trace) done(ctx context.Context, result *Result, err error) {
	if t != nil && t.Done != nil {
		t.Done(ctx, result, err)
	}
}
