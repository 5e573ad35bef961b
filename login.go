package smtp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// login is how the sessions of a Mailer authenticate: one at a time until one has
// succeeded, so that a wrong password is not tried by each of them. Mailer.mu
// guards it.
type login struct {
	worked  string   // the mechanism that did, and comes first from then on
	attempt *attempt // under way; nil: none is

	refused   error     // what the last attempt came to, if that was a refusal
	refusedAt time.Time // for sessions that were begun before, that is the answer
}

type attempt struct{ over chan struct{} }

// refusal is what the server said to our credentials since some time, if it refused
// them: it would again. Mailer.mu is held.
func (l *login) refusal(begun time.Time) error {
	if l.refused == nil || begun.After(l.refusedAt) {
		return nil
	}
	return l.refused
}

const waited = "another session has not come to the end of its authentication"

// authenticate proves who we are, if that is asked for, on a session that was
// begun at some time.
func (m *Mailer) authenticate(ctx context.Context, c *Client, begun time.Time) error {
	if len(m.Auth) == 0 {
		return nil
	}
	timeout := time.NewTimer(c.opts.Timeouts.Command)
	defer timeout.Stop()
	for {
		m.mu.Lock()
		before, err := m.login.attempt, m.login.refusal(begun)
		switch {
		case err != nil:
			m.mu.Unlock()
			return err
		case before == nil:
			return m.attempt(ctx, c)
		}
		m.mu.Unlock()
		select {
		case <-before.over:
		case <-timeout.C:
			return &Error{Op: "AUTH", Err: fmt.Errorf("%s: %w", waited, os.ErrDeadlineExceeded), transient: true}
		case <-ctx.Done():
			return &Error{Op: "AUTH", Err: fmt.Errorf("%s: %w", waited, contextError(ctx)), transient: true}
		}
	}
}

// attempt authenticates; m.mu is held when it begins. As long as nothing is known
// to work, others wait for the outcome.
func (m *Mailer) attempt(ctx context.Context, c *Client) error {
	worked := m.login.worked
	a := &attempt{over: make(chan struct{})}
	if worked == "" {
		m.login.attempt = a
	}
	m.mu.Unlock()
	err := errors.New("the attempt did not return")
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.login.attempt == a {
			m.login.attempt = nil
		}
		switch {
		case err == nil:
			m.login.worked, m.login.refused = c.mechanism, nil
		case isRefusal(err):
			m.login.worked, m.login.refused, m.login.refusedAt = "", err, time.Now()
		}
		close(a.over)
	}()
	mechanisms := slices.Clone(m.Auth)
	if i := slices.IndexFunc(mechanisms, func(mechanism Mechanism) bool { return mechanism != nil && mechanism.Name() == worked }); i > 0 {
		mechanisms = slices.Insert(slices.Delete(mechanisms, i, i+1), 0, m.Auth[i])
	}
	err = c.Auth(ctx, mechanisms...)
	return err
}

// isRefusal tells whether the server has refused credentials for good.
func isRefusal(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Reply.Code/100 == 5
}
