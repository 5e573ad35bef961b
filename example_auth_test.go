package smtp_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// A source of tokens, such as the TokenSource of golang.org/x/oauth2.
func ExampleOAuth() {
	source := tokenSource{} // config.TokenSource(ctx, token)
	mailer := &smtp.Mailer{
		Addr: "smtp.gmail.com:587",
		Auth: smtp.OAuth("ann@example.com", func(context.Context) (string, error) {
			t, err := source.Token()
			return cmp.Or(t, &Token{}).AccessToken, err
		}),
	}
	fmt.Println(mailer.Auth[0].Name(), mailer.Auth[1].Name())
	// Output: OAUTHBEARER XOAUTH2
}

// tokenSource and its Token have the shape of those in golang.org/x/oauth2.
type tokenSource struct{}

func (tokenSource) Token() (*Token, error) { return &Token{AccessToken: "token"}, nil }

type Token struct{ AccessToken string }

// Any other mechanism: a library for it has steps like these, and SASL makes a
// Mechanism of them.
func ExampleSASL() {
	mailer := &smtp.Mailer{
		Addr: "exchange.example.com:587",
		Auth: []smtp.Mechanism{smtp.SASL("NTLM", func(_ context.Context, server smtp.ServerInfo) (sasl.Client, error) {
			return &ntlm{host: server.Name}, nil
		})},
	}
	fmt.Println(mailer.Auth[0].Name())
	// Output: NTLM
}

// ntlm would call a library for the messages of the mechanism.
type ntlm struct{ host string }

func (n *ntlm) Start() (name string, initial []byte, err error) {
	return "NTLM", []byte("negotiate"), nil
}

func (n *ntlm) Next(challenge []byte) (response []byte, err error) {
	return append([]byte("authenticate "), challenge...), nil
}

// Done is asked when the server is content.
func (n *ntlm) Done() error { return nil }

// A list of one's own, best first. Without PLAIN and LOGIN in it, nobody in between can
// ask for the password.
func ExampleMechanism() {
	server := &smtptest.Server{Mechanisms: []string{"PLAIN", "SCRAM-SHA-256"}}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	mailer.Auth = []smtp.Mechanism{smtp.SCRAMSHA256Plus("user", "pencil"), smtp.SCRAMSHA256("user", "pencil")}
	mailer.Options.Trace = &smtp.Trace{Authenticated: func(_ context.Context, mechanism string, err error) {
		fmt.Println(mechanism, err)
	}}
	if err := mailer.Verify(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: SCRAM-SHA-256 <nil>
}

// A mechanism of one's own can look at the server first: this one wants TLS 1.3.
func ExampleServerInfo() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	careful := smtp.SASL("PLAIN", func(_ context.Context, server smtp.ServerInfo) (sasl.Client, error) {
		if server.TLS == nil || server.TLS.Version < tls.VersionTLS13 {
			return nil, errors.ErrUnsupported // The next mechanism is tried.
		}
		return sasl.NewPlainClient("", "user", "pencil"), nil
	})
	mailer.Auth = []smtp.Mechanism{careful}
	fmt.Println(mailer.Verify(ctx))
	// Output: <nil>
}
