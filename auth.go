package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
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

	// Start begins one exchange. A client that also has a method Done() error is
	// asked by it, once the server is content, whether it is content too.
	Start(ctx context.Context, server ServerInfo) (sasl.Client, error)
}

// ServerInfo is what a mechanism may want to know of the server. Without TLS,
// none of it can be trusted.
type ServerInfo struct {
	Name       string               // the host, as it was dialled; may be empty
	TLS        *tls.ConnectionState // nil: the connection is in the clear
	Mechanisms []string             // those it offers
}

// Password returns the mechanisms that prove a user by his password, best first.
func Password(user, password string) []Mechanism {
	return []Mechanism{Plain(user, password)}
}

// Plain returns the mechanism PLAIN (RFC 4616), which hands the password to the
// server; it is used only under TLS, with the exceptions of [Options].
func Plain(user, password string) Mechanism {
	return mechanism{"PLAIN", func() (sasl.Client, error) {
		switch {
		case user == "" || password == "":
			return nil, errors.New("the user name or the password is empty")
		case strings.Contains(user+password, "\x00"): // RFC 4616, section 2.
			return nil, errors.New("the user name or the password holds NUL")
		}
		return sasl.NewPlainClient("", user, password), nil
	}}
}

// mechanism keeps the credentials in a closure, where no formatting verb finds them.
type mechanism struct {
	name  string
	start func() (sasl.Client, error)
}

func (m mechanism) Name() string { return m.name }

func (m mechanism) Start(context.Context, ServerInfo) (sasl.Client, error) { return m.start() }

// maxChallenges bounds an exchange; no mechanism in use needs more than three.
const maxChallenges = 16

// Auth authenticates by the first mechanism that the server offers (RFC 4954).
// It is refused where a secret would be sent in the clear. A refusal by the
// server leaves the session usable.
func (c *Client) Auth(ctx context.Context, mechanisms ...Mechanism) error {
	if err := c.ready(ctx, "AUTH"); err != nil {
		return err
	}
	mechanism, err := c.choose(mechanisms)
	if err != nil {
		return &Error{Op: "AUTH", Err: err}
	}
	op := "AUTH " + mechanism.Name()
	if c.tls == nil && !c.opts.PlaintextAuth && !c.trusted { // RFC 4954, section 9; RFC 8314, section 4.1.
		return &Error{Op: op, Err: errors.New("the connection has no TLS, and no credentials are sent in the clear")}
	}
	client, err := mechanism.Start(ctx, c.serverInfo())
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	err = c.authenticate(ctx, op, mechanism.Name(), client)
	c.opts.Trace.authenticated(ctx, mechanism.Name(), err)
	if err != nil {
		return adviseAuth(err)
	}
	if client, ok := client.(interface{ Done() error }); ok {
		if err := client.Done(); err != nil {
			return c.fail(ctx, op, err)
		}
	}
	return nil
}

// choose returns the first of the mechanisms that the server offers. Names are
// compared whole: SCRAM-SHA-1 is not SCRAM-SHA-1-PLUS.
func (c *Client) choose(mechanisms []Mechanism) (Mechanism, error) {
	offered := c.serverInfo().Mechanisms
	var names []string
	for _, mechanism := range mechanisms {
		if mechanism == nil {
			return nil, errors.New("a mechanism is nil")
		}
		for _, name := range offered {
			if strings.EqualFold(name, mechanism.Name()) {
				return mechanism, nil
			}
		}
		names = append(names, mechanism.Name())
	}
	if len(names) == 0 {
		return nil, errors.New("no mechanism is given")
	}
	advice := fmt.Sprintf("it offers %q", offered)
	if len(offered) == 0 {
		advice = "it offers no authentication at all"
		if c.tls == nil {
			advice += " without TLS"
		}
	}
	return nil, &UnsupportedError{"AUTH " + strings.Join(names, " "), advice}
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
		if failure != nil {
			return c.cancelAuth(ctx, op, failure)
		}
		reply, err = c.exchange(ctx, op, "23", wire.Response(response))
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
	return &Error{Op: op, Err: cause}
}

// adviseAuth adds what usually mends a refused login.
func adviseAuth(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Reply.Code == 535 && e.Err == nil {
		e.Err = errors.New("check the user name and the password")
	}
	return err
}
