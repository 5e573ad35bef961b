package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

// mechanism is one whose exchanges a function makes.
type mechanism struct {
	name  string
	start func(context.Context, ServerInfo) (sasl.Client, error)
}

func (m mechanism) Name() string { return m.name }

func (m mechanism) Start(ctx context.Context, server ServerInfo) (sasl.Client, error) {
	if m.start == nil {
		return nil, errors.New("there is no function to start an exchange")
	}
	return m.start(ctx, server)
}

// SASL returns a [Mechanism] of that name whose exchanges start makes, such as GSSAPI or
// NTLM by a library of its own.
func SASL(name string, start func(ctx context.Context, server ServerInfo) (sasl.Client, error)) Mechanism {
	return mechanism{name, start}
}

// Password returns the mechanisms that prove a user by his password, best first:
// SCRAM bound to the TLS connection, SCRAM, PLAIN and LOGIN. Who can pretend to be
// the server gets the password by the last two: for the binding to keep him out,
// leave them out of a list of your own.
func Password(user, password string) []Mechanism {
	return []Mechanism{
		SCRAMSHA512Plus(user, password), SCRAMSHA256Plus(user, password), SCRAMSHA1Plus(user, password),
		SCRAMSHA512(user, password), SCRAMSHA256(user, password), SCRAMSHA1(user, password),
		Plain(user, password), Login(user, password),
	}
}

// credentials are kept in a closure, where no formatting verb finds them.
type credentials func() (user, password string)

func newCredentials(user, password string) (credentials, error) {
	switch {
	case user == "" || password == "":
		return nil, errors.New("the user name or the password is empty")
	case strings.Contains(user+password, "\x00"): // RFC 4616, section 2.
		return nil, errors.New("the user name or the password holds NUL")
	}
	return func() (string, string) { return user, password }, nil
}

// withPassword is a mechanism whose exchanges need nothing but credentials.
func withPassword(name, user, password string, start func(credentials) sasl.Client) Mechanism {
	return mechanism{name, func(context.Context, ServerInfo) (sasl.Client, error) {
		c, err := newCredentials(user, password)
		if err != nil {
			return nil, err
		}
		return start(c), nil
	}}
}

// Plain returns the mechanism PLAIN (RFC 4616), which hands the password to the
// server; it is used only under TLS, with the exceptions of [Options].
func Plain(user, password string) Mechanism {
	return withPassword("PLAIN", user, password, func(c credentials) sasl.Client {
		user, password := c()
		client := sasl.NewPlainClient("", user, password)
		return &hidden{client.Start, client.Next}
	})
}

// Login returns the mechanism LOGIN, which was never standardised and does what
// PLAIN does, for servers that offer nothing else.
func Login(user, password string) Mechanism {
	return withPassword("LOGIN", user, password, func(c credentials) sasl.Client { return &loginClient{of: c} })
}

// CRAMMD5 returns the mechanism CRAM-MD5 (RFC 2195), which is obsolete: who sees an
// exchange can try passwords on it. [Password] does not use it.
func CRAMMD5(user, password string) Mechanism {
	return withPassword("CRAM-MD5", user, password, func(c credentials) sasl.Client { return &cramMD5{c} })
}

// External returns the mechanism EXTERNAL (RFC 4422, appendix A): the server knows us by
// other means, such as the client certificate in [Mailer.TLSConfig]. The identity is
// whom to act for; empty: whoever that is.
func External(identity string) Mechanism {
	return mechanism{"EXTERNAL", func(context.Context, ServerInfo) (sasl.Client, error) {
		if identity == "" {
			return emptyResponse{sasl.NewExternalClient("")}, nil
		}
		return sasl.NewExternalClient(identity), nil
	}}
}

// Anonymous returns the mechanism ANONYMOUS (RFC 4505). The trace may tell the
// server who we are, as by a mail address.
func Anonymous(trace string) Mechanism {
	return mechanism{"ANONYMOUS", func(context.Context, ServerInfo) (sasl.Client, error) {
		if trace == "" {
			return emptyResponse{sasl.NewAnonymousClient("")}, nil
		}
		return sasl.NewAnonymousClient(trace), nil
	}}
}

// hidden keeps an exchange of go-sasl from being formatted.
type hidden struct {
	start func() (string, []byte, error)
	next  func([]byte) ([]byte, error)
}

func (h *hidden) Start() (string, []byte, error) { return h.start() }

func (h *hidden) Next(challenge []byte) ([]byte, error) { return h.next(challenge) }

// emptyResponse makes sure that an empty initial response is one, and not none. Courier
// takes it for none all the same, and asks for it by an empty challenge.
type emptyResponse struct{ sasl.Client }

func (c emptyResponse) Next(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return []byte{}, nil
	}
	return c.Client.Next(challenge)
}

func (c emptyResponse) Start() (name string, initial []byte, err error) {
	name, _, err = c.Client.Start()
	return name, []byte{}, err
}

// loginClient goes by what the server asks for, which go-sasl's LOGIN does only if that
// is "Password:" to the letter: others say "User Name\x00", or nothing.
type loginClient struct {
	of    credentials
	named bool // the user name is said
}

func (l *loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *loginClient) Next(challenge []byte) ([]byte, error) {
	user, password := l.of()
	prompt := strings.ToLower(string(challenge))
	asksPassword, asksUser := strings.Contains(prompt, "pass"), strings.Contains(prompt, "user")
	switch {
	case asksUser && !asksPassword, !l.named && !asksPassword:
		l.named = true
		return []byte(user), nil
	case !l.named:
		return nil, fmt.Errorf("the server asks for %.200q before it knows the user", challenge)
	}
	return []byte(password), nil
}

type cramMD5 struct{ of credentials }

func (c *cramMD5) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c *cramMD5) Next(challenge []byte) ([]byte, error) {
	user, password := c.of()
	digest := hmac.New(md5.New, []byte(password))
	digest.Write(challenge)
	return []byte(user + " " + hex.EncodeToString(digest.Sum(nil))), nil
}
