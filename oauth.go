package smtp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
)

// OAuth returns the mechanisms that prove a user by an OAuth 2 token, best first.
// The function is asked for one at each authentication, for all sessions that wait
// at the same time once; if that token is refused, once more. It may keep tokens.
func OAuth(user string, token func(context.Context) (string, error)) []Mechanism {
	shared := (&tokens{source: token}).get
	if token == nil {
		shared = nil
	}
	return []Mechanism{OAuthBearer(user, shared), XOAUTH2(user, shared)}
}

// OAuthBearer returns the mechanism OAUTHBEARER (RFC 7628); see [OAuth].
func OAuthBearer(user string, token func(context.Context) (string, error)) Mechanism {
	return newBearer("OAUTHBEARER", user, token, "\x01", func(server ServerInfo, token string) string {
		host := ""
		if server.Name != "" {
			host = "host=" + server.Name + "\x01"
		}
		name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) // RFC 5801, section 4.
		return "n,a=" + name + ",\x01" + host + "auth=Bearer " + token + "\x01\x01"
	})
}

// XOAUTH2 returns the mechanism XOAUTH2 of Google and Microsoft; see [OAuth].
func XOAUTH2(user string, token func(context.Context) (string, error)) Mechanism {
	return newBearer("XOAUTH2", user, token, "", func(_ ServerInfo, token string) string {
		return "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
	})
}

// newBearer is a mechanism that spells a token, and answers the reason of a refusal.
func newBearer(name, user string, source func(context.Context) (string, error), answer string, spell func(server ServerInfo, token string) string) Mechanism {
	return mechanism{name, func(ctx context.Context, server ServerInfo) (sasl.Client, error) {
		if source == nil {
			return nil, errors.New("there is no function that returns a token")
		}
		token, err := source(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("there is no token: %w", err)
		case token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }): // RFC 6750, section 2.1.
			return nil, errors.New("the token is empty, or holds what no token can")
		case user == "" || strings.ContainsFunc(user, func(r rune) bool { return r < ' ' }):
			return nil, errors.New("the user name is empty, or holds a control character")
		}
		return &bearer{name: name, secret: func() (string, string) { return token, spell(server, token) }, answer: answer}, nil
	}}
}

// bearer is one exchange. What go-sasl has for OAUTHBEARER breaks it off where the
// server says why it refuses, and leaves no way to answer (RFC 7628, section 3.2.3).
type bearer struct {
	name   string
	secret func() (token, initial string) // as credentials are
	answer string                         // to the reason of a refusal
	reason error
}

func (b *bearer) Start() (string, []byte, error) {
	_, initial := b.secret()
	return b.name, []byte(initial), nil
}

func (b *bearer) token() string {
	token, _ := b.secret()
	return token
}

// Next answers the reason for which the server is going to refuse the token.
func (b *bearer) Next(challenge []byte) ([]byte, error) {
	if b.reason != nil {
		return nil, errors.New("the server goes on asking")
	}
	var said struct{ Status, Scope, Schemes string }
	if err := json.Unmarshal(challenge, &said); err != nil {
		b.reason = fmt.Errorf("the server says %.200q", challenge)
	} else {
		b.reason = fmt.Errorf("the server says status %q, scope %q", said.Status, said.Scope)
	}
	return []byte(b.answer), nil
}

// refusal is what the server said; without that, the token is to blame.
func (b *bearer) refusal() error {
	if b.reason != nil {
		return b.reason
	}
	return errors.New("check the user name, and whether the token is for sending mail")
}

// tokens shares one request for a token among those who need one at the same time.
type tokens struct {
	source func(context.Context) (string, error)

	mu      sync.Mutex
	request *tokenRequest // under way; nil: none is
}

type tokenRequest struct {
	done  chan struct{}
	token string
	err   error

	abandoned bool // the context of the one who asked has ended, and not that of others
}

func (t *tokens) get(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		r := t.request
		if r == nil {
			return t.ask(ctx)
		}
		t.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return "", contextError(ctx)
		}
		if !r.abandoned {
			return r.token, r.err
		}
	}
}

// ask makes the request; t.mu is held when it begins.
func (t *tokens) ask(ctx context.Context) (string, error) {
	r := &tokenRequest{done: make(chan struct{}), err: errors.New("the request for a token did not return")}
	t.request = r
	t.mu.Unlock()
	defer func() {
		r.abandoned = r.err != nil && ctx.Err() != nil
		t.mu.Lock()
		t.request = nil
		t.mu.Unlock()
		close(r.done)
	}()
	r.token, r.err = t.source(ctx)
	return r.token, r.err
}
