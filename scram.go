package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// SCRAMSHA1 returns the mechanism SCRAM-SHA-1 (RFC 5802): the password is proved
// without being sent, and the server proves that it knows it.
func SCRAMSHA1(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-1", scram.SHA1, user, password, nil)
}

// SCRAMSHA256 returns the mechanism SCRAM-SHA-256 (RFC 7677).
func SCRAMSHA256(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-256", scram.SHA256, user, password, nil)
}

// SCRAMSHA512 returns the mechanism SCRAM-SHA-512.
func SCRAMSHA512(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-512", scram.SHA512, user, password, nil)
}

// SCRAMSHA1Plus returns the mechanism SCRAM-SHA-1-PLUS, bound to the connection (RFC
// 9266): nobody in between gains by it. It needs TLS 1.3.
func SCRAMSHA1Plus(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-1"+plus, scram.SHA1, user, password, nil)
}

// SCRAMSHA256Plus returns the mechanism SCRAM-SHA-256-PLUS; see [SCRAMSHA1Plus].
func SCRAMSHA256Plus(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-256"+plus, scram.SHA256, user, password, nil)
}

// SCRAMSHA512Plus returns the mechanism SCRAM-SHA-512-PLUS; see [SCRAMSHA1Plus].
func SCRAMSHA512Plus(user, password string) Mechanism {
	return newSCRAM("SCRAM-SHA-512"+plus, scram.SHA512, user, password, nil)
}

const plus = "-PLUS"

// The server says how much work a proof is: less than RFC 5802, section 5.1 has
// gives the password away, more than this would only keep us busy.
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

// newSCRAM keeps what costs most, the salted password, for later exchanges: not
// for ever, since it is kept for each salt that a server names. A nil nonce is a
// random one each time.
func newSCRAM(name string, hash scram.HashGeneratorFcn, user, password string, nonce scram.NonceGeneratorFcn) Mechanism {
	const exchanges = 64
	var mu sync.Mutex
	var client *scram.Client
	used := 0
	prepared := func() (*scram.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		if used%exchanges == 0 {
			var err error
			if client, err = prepareSCRAM(hash, user, password, nonce); err != nil {
				return nil, err
			}
		}
		used++
		return client, nil
	}
	return mechanism{name, func(_ context.Context, server ServerInfo) (sasl.Client, error) {
		client, err := prepared()
		if err != nil {
			return nil, err
		}
		s := &scramClient{name: name, couldBind: couldBind(name, server)}
		if s.conversation, err = converse(client, s, server); err != nil {
			return nil, err
		}
		return s, nil
	}}
}

func prepareSCRAM(hash scram.HashGeneratorFcn, user, password string, nonce scram.NonceGeneratorFcn) (*scram.Client, error) {
	if _, err := newCredentials(user, password); err != nil {
		return nil, err
	}
	client, err := hash.NewClient(user, password, "")
	if err != nil { // Its text may quote what cannot be prepared.
		return nil, fmt.Errorf("the user name or the password holds characters that SASLprep forbids (RFC 4013): %w", errors.ErrUnsupported)
	}
	if nonce != nil {
		client.WithNonceGenerator(nonce)
	}
	return client.WithMinIterations(minIterations), nil
}

// converse begins a conversation that is bound to the TLS connection, if it is to
// be. If it only could be, and the server offers nothing of the kind, it says so:
// a server that did offer it sees that somebody took the offer away (RFC 5802,
// section 6).
func converse(client *scram.Client, s *scramClient, server ServerInfo) (*scram.ClientConversation, error) {
	switch {
	case isPlus(s.name) && !canBind(server):
		return nil, fmt.Errorf("there is no TLS 1.3 to bind to: %w", errors.ErrUnsupported)
	case isPlus(s.name):
		binding, err := scram.NewTLSExporterBinding(server.TLS)
		if err != nil {
			return nil, fmt.Errorf("TLS has nothing to bind to (%v): %w", err, errors.ErrUnsupported)
		}
		return client.NewConversationWithChannelBinding(binding), nil
	case s.couldBind:
		return client.NewConversationAdvertisingChannelBinding(), nil
	}
	return client.NewConversation(), nil
}

func isPlus(name string) bool { return strings.HasSuffix(strings.ToUpper(name), plus) }

// canBind: RFC 9266, section 2 is for TLS 1.3; what older servers mean is another.
func canBind(server ServerInfo) bool {
	return server.TLS != nil && server.TLS.Version >= tls.VersionTLS13
}

func couldBind(name string, server ServerInfo) bool {
	return !isPlus(name) && canBind(server) && !slices.ContainsFunc(server.Mechanisms, func(offered string) bool {
		return strings.EqualFold(offered, name+plus)
	})
}

// scramClient is one exchange.
type scramClient struct {
	name         string
	conversation *scram.ClientConversation
	nonce        string // of ours
	couldBind    bool   // and the server did not offer to
	steps        int
	failed       error // what the server said instead of a proof
}

func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.conversation.Step("")
	_, s.nonce, _ = strings.Cut(first, ",r=")
	return s.name, []byte(first), err
}

func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	s.steps++
	switch {
	case s.steps == 1:
		if err := s.check(string(challenge)); err != nil {
			return nil, err
		}
	case s.steps > 2:
		return nil, errors.New("the server goes on asking")
	case strings.HasPrefix(string(challenge), "e="): // RFC 5802, section 7. The refusal follows.
		s.failed = fmt.Errorf("the server says %q", challenge)
		return []byte{}, nil
	}
	response, err := s.conversation.Step(string(challenge))
	switch {
	case err != nil && s.steps == 1:
		return nil, escapedError{err}
	case err != nil:
		return nil, errNotProved
	}
	return []byte(response), nil
}

// check looks at the server's first message for what the conversation does not
// (RFC 5802, section 5.1).
func (s *scramClient) check(message string) error {
	for attribute := range strings.SplitSeq(message, ",") {
		value := attribute[min(2, len(attribute)):]
		switch {
		case strings.HasPrefix(attribute, "r=") && (value == s.nonce || !strings.HasPrefix(value, s.nonce)):
			return errors.New("the server did not add to our nonce")
		case strings.HasPrefix(attribute, "i="):
			if n, err := strconv.Atoi(value); err != nil || n > maxIterations {
				return fmt.Errorf("the server asks for %.20q iterations, and %d is the most", value, maxIterations)
			}
		}
	}
	return nil
}

var errNotProved = errors.New("the server has not proved that it knows the password: it may be another")

// Done says whether the server has proved that it knows the password, also where
// it claims to be content before it has.
func (s *scramClient) Done() error {
	if !s.conversation.Valid() {
		return errNotProved
	}
	return nil
}

// refusal is what the server said. One that could bind, and hears that we could as
// well, takes us for the victim of a downgrade; it may do so where a relay in front
// of it has not passed the offer on, as Postfix does not for Dovecot 2.4.
func (s *scramClient) refusal() error {
	if s.failed == nil && s.couldBind {
		return errors.New("check the user name and the password; or the server can bind to TLS, and somebody has kept that offer from us")
	}
	return s.failed
}
