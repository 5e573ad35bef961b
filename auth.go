package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp/internal/wire"
)

// Mechanism is a way of proving who we are (RFC 4422). It holds the credentials
// and no state, so one may serve many sessions at once. Most users need only
// [Password]; a type of one's own brings any other mechanism.
type Mechanism interface {
	// Name is the name under which servers offer it, as in "PLAIN".
	Name() string

	// Start begins one exchange. An error that matches errors.ErrUnsupported says
	// that this connection does not do, and the next mechanism is tried. A client
	// that also has a method Done() error is asked by it, once the server is
	// content, whether it is content too.
	Start(ctx context.Context, server ServerInfo) (sasl.Client, error)
}

// ServerInfo is what a mechanism may want to know of the server. Without TLS,
// none of it can be trusted.
type ServerInfo struct {
	Name       string               // the host, as it was dialled; may be empty
	TLS        *tls.ConnectionState // nil: the connection is in the clear
	Mechanisms []string             // those it offers
}

// maxChallenges bounds an exchange; no mechanism in use needs more than three.
const maxChallenges = 16

// Auth authenticates by the first mechanism that the server offers, or by the next if it
// does not want that (RFC 4954). A wrong password is tried once more, if that was by
// SCRAM or CRAM-MD5, by PLAIN or LOGIN under TLS. Nothing secret goes in the clear, but
// for [Options.PlaintextAuth]. A refusal leaves the session usable.
func (c *Client) Auth(ctx context.Context, mechanisms ...Mechanism) error {
	if err := c.ready(ctx, "AUTH"); err != nil {
		return err
	}
	candidates, err := c.offered(mechanisms)
	if err != nil {
		return &Error{Op: "AUTH", Err: err}
	}
	var refusals []*Error
	for _, mechanism := range candidates {
		if len(refusals) > 0 && !c.mayFollow(refusals, mechanism) {
			continue
		}
		err := c.authBy(ctx, mechanism, refusals)
		if err == nil {
			c.mechanism = mechanism.Name()
			return nil
		}
		refusals = append(refusals, err)
		if c.failure != nil || err.Reply.Code == 0 && !errors.Is(err, errors.ErrUnsupported) {
			break
		}
	}
	return summary(refusals)
}

// mayFollow tells whether a mechanism may be tried after refusals. A wrong
// password is tried twice at most: more might lock the account.
func (c *Client) mayFollow(refusals []*Error, next Mechanism) bool {
	var wrong []*Error
	for _, refusal := range refusals {
		if !isUnwanted(refusal) {
			wrong = append(wrong, refusal)
		}
	}
	if len(wrong) != 1 {
		return len(wrong) == 0
	}
	hashed := strings.HasPrefix(wrong[0].Op, "AUTH SCRAM-") || wrong[0].Op == "AUTH CRAM-MD5"
	return hashed && wrong[0].Reply.Code == 535 && c.tls != nil && (next.Name() == "PLAIN" || next.Name() == "LOGIN")
}

// isUnwanted tells whether a refusal is of the mechanism (RFC 4954, sections 4 and
// 6), or of ours before anything was sent, and says nothing of the password.
func isUnwanted(refusal *Error) bool {
	return refusal.Reply.Code == 504 || refusal.Reply.Code == 534 || refusal.Reply.Code == 0
}

// summary is the last of the refusals, with what was said before. If it was said
// that the password is wrong, that is what matters: whatever came then, to try
// again will not help.
func summary(refusals []*Error) error {
	i := slices.IndexFunc(refusals, func(refusal *Error) bool { return refusal.Reply.Code == 535 })
	if last := refusals[len(refusals)-1]; i < 0 || last.Reply.Code/100 == 5 {
		i = len(refusals) - 1
	}
	main := *refusals[i]
	for k, refusal := range refusals {
		if k == i {
			continue
		}
		when := "before that"
		if k > i {
			when = "after that"
		}
		also := fmt.Errorf("%s, %s", when, strings.TrimPrefix(refusal.Error(), "smtp: "))
		if main.Err != nil {
			also = fmt.Errorf("%w; %w", main.Err, also)
		}
		main.Err = also
	}
	return &main
}

// authBy authenticates by one mechanism; with a token that is refused, and then
// replaced by another one, twice. What the server did not want before, it is not
// taken to offer: it may not be the server that said so.
func (c *Client) authBy(ctx context.Context, mechanism Mechanism, refusals []*Error) *Error {
	op := "AUTH " + mechanism.Name()
	if err := c.mayShow(mechanism.Name()); err != nil {
		return &Error{Op: op, Err: err}
	}
	info := c.serverInfo()
	info.Mechanisms = slices.DeleteFunc(info.Mechanisms, func(name string) bool {
		return slices.ContainsFunc(refusals, func(refusal *Error) bool { return strings.EqualFold(refusal.Op, "AUTH "+name) })
	})
	client, err := mechanism.Start(ctx, info)
	if err == nil && client == nil {
		err = errors.New("no exchange was returned by Start")
	}
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	failed := c.authWith(ctx, op, mechanism.Name(), client)
	refused, ok := client.(*bearer)
	if failed == nil || !ok || failed.Reply.Code != 535 || c.failure != nil {
		return failed
	}
	client, err = mechanism.Start(ctx, info)
	if again, ok := client.(*bearer); err != nil || !ok || again.token() == refused.token() {
		return failed // Sources of tokens keep them: this one is all there is.
	}
	return c.authWith(ctx, op, mechanism.Name(), client)
}

// mayShow refuses to use what is secret where others could see it: neither in
// the clear (RFC 4954, section 9; RFC 8314, section 4.1), where SCRAM and CRAM-MD5
// let who listens try passwords (RFC 5802, section 9), nor under TLS with a stranger.
func (c *Client) mayShow(mechanism string) error {
	switch {
	case c.opts.PlaintextAuth, c.trusted, mechanism == "EXTERNAL", mechanism == "ANONYMOUS":
		return nil
	case c.tls == nil:
		return errors.New("the connection has no TLS, and no credentials are sent in the clear")
	case c.opportunistic && !c.isVerified():
		return errors.New("the certificate of the server could not be verified, and no credentials are sent to a stranger")
	}
	return nil
}

// authWith runs one exchange to its end.
func (c *Client) authWith(ctx context.Context, op, name string, client sasl.Client) *Error {
	failed := c.adviseAuth(c.authenticate(ctx, op, name, client), client)
	if client, ok := client.(interface{ Done() error }); ok && failed == nil {
		if err := client.Done(); err != nil {
			failed = c.fail(ctx, op, err)
		}
	}
	if failed == nil { // A nil *Error in an error is not nil.
		c.opts.Trace.authenticated(ctx, name, nil)
		return nil
	}
	c.opts.Trace.authenticated(ctx, name, failed)
	return failed
}

// offered returns those of the mechanisms that the server offers. Names are
// compared whole: SCRAM-SHA-1 is not SCRAM-SHA-1-PLUS.
func (c *Client) offered(mechanisms []Mechanism) (candidates []Mechanism, err error) {
	offered := c.serverInfo().Mechanisms
	var names []string
	for _, mechanism := range mechanisms {
		if mechanism == nil {
			return nil, errors.New("a mechanism is nil")
		}
		name := mechanism.Name()
		if _, err := wire.NewCommand("AUTH").Keyword(name).Bytes(); err != nil {
			return nil, err
		}
		names = append(names, name)
		if slices.ContainsFunc(offered, func(theirs string) bool { return strings.EqualFold(theirs, name) }) {
			candidates = append(candidates, mechanism)
		}
	}
	switch {
	case len(candidates) > 0:
		return candidates, nil
	case len(names) == 0:
		return nil, errors.New("no mechanism is given")
	}
	advice := fmt.Sprintf("it offers %q", offered)
	if len(offered) == 0 {
		advice = "it offers no authentication at all"
		if c.tls == nil {
			advice += " without TLS"
		}
	}
	return nil, &UnsupportedError{Extension: "AUTH " + strings.Join(names, " "), Advice: advice}
}

func (c *Client) serverInfo() ServerInfo {
	info := ServerInfo{Name: c.opts.ServerName}
	if offered, ok := c.Extension("AUTH"); ok {
		info.Mechanisms = strings.Fields(offered)
	}
	if state, ok := c.TLSConnectionState(); ok {
		info.TLS = &state
	}
	return info
}

// authenticate runs one exchange (RFC 4954, section 4).
func (c *Client) authenticate(ctx context.Context, op, name string, client sasl.Client) error {
	c.inAuth = true
	defer func() { c.inAuth = false }()
	_, initial, err := client.Start()
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	command, initial := authCommand(name, initial)
	reply, err := c.exchange(ctx, op, "23", command)
	for challenges := 1; err == nil && reply.Code/100 == 3; challenges++ {
		if challenges > maxChallenges {
			return c.cancelAuth(ctx, op, fmt.Errorf("over %d challenges", maxChallenges))
		}
		response, failure := respond(client, reply, &initial)
		if errors.Is(failure, errNotProved) {
			return c.fail(ctx, op, failure)
		}
		if failure != nil {
			return c.cancelAuth(ctx, op, failure)
		}
		command := wire.Response(response)
		if _, err := command.Bytes(); err != nil { // It is too long (RFC 4954, section 4).
			return c.cancelAuth(ctx, op, err)
		}
		reply, err = c.exchange(ctx, op, "23", command)
	}
	return err
}

// authCommand spells AUTH with the initial response, or returns that for later
// where the line would grow over the 512 octets of RFC 5321, section 4.5.3.1.4.
func authCommand(name string, initial []byte) (command *wire.Command, later []byte) {
	if initial != nil {
		command = wire.NewCommand("AUTH").Keyword(name).Base64(initial)
		if line, err := command.Bytes(); err == nil && len(line) <= 512 {
			return command, nil
		}
	}
	return wire.NewCommand("AUTH").Keyword(name), initial
}

// respond returns the response to a challenge: the initial one if it had to wait.
func respond(client sasl.Client, reply Reply, initial *[]byte) ([]byte, error) {
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(reply.Lines[0]))
	if err != nil {
		return nil, errors.New("the challenge is not base64")
	}
	if first := *initial; first != nil {
		*initial = nil
		return first, nil
	}
	return client.Next(challenge)
}

// cancelAuth ends an exchange from our side; the server answers 501.
func (c *Client) cancelAuth(ctx context.Context, op string, cause error) error {
	c.exchange(ctx, op, "2", wire.NewCommand("*"))
	if text := cause.Error(); c.hide(text) != text { // It quotes a challenge that repeats a secret.
		cause = errors.New(c.hide(text))
	}
	return &Error{Op: op, Err: cause}
}

// adviseAuth adds what the mechanism knows of a refusal, or what usually mends it.
func (c *Client) adviseAuth(err error, client sasl.Client) *Error {
	e, _ := err.(*Error) // as all errors of steps are
	if e == nil || e.Reply.Code == 0 || e.Err != nil {
		return e
	}
	if client, ok := client.(interface{ refusal() error }); ok {
		if reason := client.refusal(); reason != nil {
			e.Err = errors.New(c.hide(reason.Error()))
		}
	}
	if e.Err == nil && e.Reply.Code == 535 {
		e.Err = errors.New("check the user name and the password")
	}
	return e
}
