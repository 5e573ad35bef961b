package smtp

import (
	"context"
	"errors"
	"slices"
)

// login is how the sessions of a Mailer authenticate: one at a time until one has
// succeeded, so that a wrong password is not tried by each of them. Mailer.mu
// guards it.
type login struct {
	worked  string   // the mechanism that did, and comes first from then on
	attempt *attempt // under way; nil: none is
}

type attempt struct {
	over chan struct{}
	err  error
}

// authenticate proves who we are, if that is asked for.
func (m *Mailer) authenticate(ctx context.Context, c *Client) error {
	for len(m.Auth) > 0 {
		m.mu.Lock()
		before := m.login.attempt
		if before == nil {
			return m.attempt(ctx, c)
		}
		m.mu.Unlock()
		select {
		case <-before.over:
		case <-ctx.Done():
			return &Error{Op: "AUTH", Err: contextError(ctx), transient: true}
		}
		if isRefusal(before.err) {
			return before.err // and would be again
		}
	}
	return nil
}

// attempt authenticates; m.mu is held when it begins. As long as nothing is known
// to work, others wait for the outcome.
func (m *Mailer) attempt(ctx context.Context, c *Client) error {
	mechanisms := slices.Clone(m.Auth)
	if i := slices.IndexFunc(mechanisms, func(mechanism Mechanism) bool { return mechanism != nil && mechanism.Name() == m.login.worked }); i > 0 {
		mechanisms = slices.Insert(slices.Delete(mechanisms, i, i+1), 0, m.Auth[i])
	}
	a := &attempt{over: make(chan struct{}), err: errors.New("the attempt did not return")}
	if m.login.worked == "" {
		m.login.attempt = a
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.login.attempt == a {
			m.login.attempt = nil
		}
		switch {
		case a.err == nil:
			m.login.worked = c.mechanism
		case isRefusal(a.err):
			m.login.worked = ""
		}
		close(a.over)
	}()
	a.err = c.Auth(ctx, mechanisms...)
	return a.err
}

// isRefusal tells whether the server has refused credentials for good.
func isRefusal(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Reply.Code/100 == 5
}
