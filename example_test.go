package smtp_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

var ctx = context.Background()

func Example() {
	mailer := &smtp.Mailer{Addr: "smtp.example.com:587", Auth: smtp.Password("ann@example.com", os.Getenv("PASSWORD"))}
	defer mailer.Close()
	_, err := mailer.Send(ctx, &smtp.Message{
		From:        smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:          []smtp.Address{{Address: "bob@example.net"}},
		Subject:     "Quarterly figures",
		Text:        "See the attachment.",
		HTML:        "<p>See the attachment.</p>",
		Attachments: []smtp.File{smtp.FilePath("q3.pdf")},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// What to do next depends on the outcome, recipient by recipient.
func ExampleResult() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()
	message := exampleMessage("bob@example.net", "nobody@example.net", "full@example.net")

	result, err := mailer.Send(ctx, message)
	fmt.Println("everybody got it:", err == nil)
	for _, r := range result.Recipients {
		switch r.Outcome {
		case smtp.Accepted:
			fmt.Println(r.Address, "got it")
		case smtp.Unknown:
			fmt.Println(r.Address, "may have got it: a second try may be a second mail")
		default: // NotSent, Refused
			fmt.Println(r.Address, "did not get it:", r.Err)
		}
	}
	for _, r := range result.Remaining() {
		fmt.Println("try again later:", r.Address)
	}
	// Output:
	// everybody got it: false
	// bob@example.net got it
	// nobody@example.net did not get it: smtp: RCPT <nobody@example.net>: 550 5.1.1 "No such user"
	// full@example.net did not get it: smtp: RCPT <full@example.net>: 452 4.2.2 "Mailbox full"
	// try again later: full@example.net
}

// The steps of a session, on a connection of one's own.
func ExampleClient() {
	server, _ := exampleServer()
	defer server.Close()

	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	c := smtp.NewClient(conn, &smtp.Options{ServerName: "localhost"})
	defer c.Close()

	steps := []func() error{
		func() error { return c.Hello(ctx) },
		func() error { return c.StartTLS(ctx, server.TLSConfig) },
		func() error { return c.Hello(ctx) }, // what was said in the clear is forgotten
		func() error { return c.Auth(ctx, smtp.Password("user", "pencil")...) },
		func() error { _, err := c.Mail(ctx, smtp.Envelope{From: "ann@example.com"}); return err },
		func() error { _, err := c.Rcpt(ctx, smtp.Recipient{Address: "bob@example.net"}); return err },
		func() error { _, err := c.Data(ctx, strings.NewReader("Subject: Hi\n\nHello.\n")); return err },
		func() error { return c.Quit(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Messages()[0].Subject)
	// Output: Hi
}

// An error tells the step, the server's words, and whether to try again.
func ExampleError() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	_, err := mailer.Send(ctx, exampleMessage("full@example.net"))
	var e *smtp.Error
	if errors.As(err, &e) {
		fmt.Println(e.Op, e.Reply.Code, e.Reply.Status, e.Temporary(), e.Unknown)
	}
	// Output: RCPT <full@example.net> 452 4.2.2 true false
}

// Bad input is an error that names the field, before anything is sent.
func ExampleFieldError() {
	message := exampleMessage("bob@example.net")
	message.Subject = "Hello\r\nBcc: everybody@example.org"

	_, err := message.Prepare()
	fmt.Println(err)
	// Output: smtp: Subject: "Hello\r\nBcc: everybody@example.org" holds the control character U+000D
}

// HTML that shows an image which comes with it, and a file from an fs.FS.
func ExampleMessage() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()
	files := fstest.MapFS{"static/logo.png": {Data: []byte("…")}, "terms.pdf": {Data: []byte("…")}}

	_, err := mailer.Send(ctx, &smtp.Message{
		From:        smtp.Address{Address: "ann@example.com"},
		To:          []smtp.Address{{Name: "Bob", Address: "bob@example.net"}},
		Bcc:         []smtp.Address{{Address: "archive@example.com"}},
		Subject:     "Grüße",
		Text:        "Hello, Bob.",
		HTML:        `<p><img src="cid:logo.png"> Hello, Bob.</p>`,
		Inline:      []smtp.File{smtp.FileFS(files, "static/logo.png")},
		Attachments: []smtp.File{smtp.FileFS(files, "terms.pdf")},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, part := range server.Messages()[0].Parts {
		fmt.Printf("%s %q\n", part.Type, part.Name)
	}
	// Output:
	// multipart/alternative ""
	// application/pdf "terms.pdf"
}

// Reports of what became of a mail (RFC 3461), where the server offers DSN.
func ExampleEnvelope() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage("bob@example.net")
	message.Delivery = smtp.Envelope{
		From:       "bounces@example.com",
		EnvelopeID: "invoice-17",
		Return:     smtp.ReturnHeaders,
		To:         []smtp.Recipient{{Address: "bob@example.net", Notify: smtp.NotifyFailure | smtp.NotifyDelay}},
	}
	_, err := mailer.Send(ctx, message)
	fmt.Println(err, server.Messages()[0].From)
	// Output: <nil> bounces@example.com
}

// Parameters of extensions that have no field of their own. A server that does
// not offer the extension is not sent the mail.
func ExampleParam() {
	message := exampleMessage("bob@example.net")
	message.Delivery.Params = []smtp.Param{
		{Keyword: "BY", Value: "120;R", Extension: "DELIVERBY"},         // return it if not delivered in 2 minutes (RFC 2852)
		{Keyword: "MT-PRIORITY", Value: "3"},                            // before others (RFC 6710)
		{Keyword: "HOLDFOR", Value: "3600", Extension: "FUTURERELEASE"}, // not before an hour from now (RFC 4865)
		{Keyword: "AUTH", Value: "ann@example.com"},                     // who had submitted it (RFC 4954, section 5)
	}
	message.Delivery.To = []smtp.Recipient{{
		Address: "bob@example.net",
		Params:  []smtp.Param{{Keyword: "RRVS", Value: "2026-04-03T23:01:00Z"}}, // only if the mailbox has been his since (RFC 7293)
	}}
}

// The dialogue as debug records; credentials and content are not in it.
func ExampleOptions() {
	mailer := &smtp.Mailer{Addr: "smtp.example.com:587"}
	mailer.Options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A progress bar for a long content.
func ExampleTrace() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	mailer.Options.Trace = &smtp.Trace{
		Content: func(_ context.Context, written, total int64) {
			if total > 0 {
				fmt.Printf("%3d %%\n", 100*written/total)
			}
		},
	}
	message := exampleMessage("bob@example.net")
	message.Attachments = []smtp.File{smtp.FileBytes("photo.jpg", make([]byte, 100_000))}
	if _, err := mailer.Send(ctx, message); err != nil {
		log.Fatal(err)
	}
	// Output:
	//  23 %
	//  47 %
	//  71 %
	//  95 %
	// 100 %
}

// An extension with a command of its own, such as XCLIENT, by which Postfix is told
// for whom a proxy speaks. The server begins anew, and so does the Client.
func ExampleClient_Command() {
	asProxy := func(c *smtp.Client) error {
		if _, ok := c.Extension("XCLIENT"); !ok {
			return errors.ErrUnsupported
		}
		if _, err := c.Command(ctx, "XCLIENT ADDR=192.0.2.1 NAME=client.example.com"); err != nil {
			return err
		}
		return c.Hello(ctx)
	}
	_ = asProxy
}

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

// Many mails over one session: one round trip each. What became of one does not
// stop the others.
func ExampleClient_SendAll() {
	server, mailer := exampleServer()
	defer server.Close()
	addresses := []string{"bob@example.net", "nobody@example.net", "carol@example.net"}

	messages := func(yield func(*smtp.Message) bool) {
		for _, address := range addresses {
			if !yield(exampleMessage(address)) {
				return
			}
		}
	}
	client, err := mailer.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit(ctx)
	for result, err := range client.SendAll(ctx, messages) {
		fmt.Println(result.Recipients[0].Address, err)
	}
	// Output:
	// bob@example.net <nil>
	// nobody@example.net smtp: RCPT <nobody@example.net>: 550 5.1.1 "No such user"
	// carol@example.net <nil>
}

// A ready message, such as one that another program has made, with an envelope.
func ExampleMessage_raw() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	_, err := mailer.Send(ctx, &smtp.Message{
		Raw: smtp.FilePath("testdata/message/text.eml"),
		Delivery: smtp.Envelope{
			From: "ann@example.com",
			To:   []smtp.Recipient{{Address: "bob@example.net"}},
		},
	})
	fmt.Println(server.Messages()[0].Subject, err)
	// Output: Hi <nil>
}

// A server in a URL, as configurations have it.
func ExampleParseURL() {
	mailer, err := smtp.ParseURL("smtps://ann%40example.com:secret@smtp.example.com")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(mailer.Addr, mailer.TLS == smtp.TLSImplicit, len(mailer.Auth) > 0)
	// Output: smtp.example.com:465 true true
}

// A Sender is all that code needs which sends mail; a test hands it another.
func ExampleSender() {
	var sender smtp.Sender = forgetful{}
	result, err := sender.Send(ctx, exampleMessage("bob@example.net"))
	fmt.Println(len(result.Recipients), err)
	// Output: 0 <nil>
}

type forgetful struct{}

func (forgetful) Send(_ context.Context, m *smtp.Message) (*smtp.Result, error) {
	return &smtp.Result{Message: m}, nil
}

func exampleMessage(to ...string) *smtp.Message {
	m := &smtp.Message{From: smtp.Address{Address: "ann@example.com"}, Subject: "Hi", Text: "Hello."}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

// exampleServer knows bob, and a mailbox that is full.
func exampleServer() (*smtptest.Server, *smtp.Mailer) {
	server := &smtptest.Server{Refuse: func(command, address string) *smtptest.Refusal {
		switch {
		case command == "RCPT" && strings.HasPrefix(address, "nobody@"):
			return &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "No such user"}
		case command == "RCPT" && strings.HasPrefix(address, "full@"):
			return &smtptest.Refusal{Code: 452, Status: [3]int{4, 2, 2}, Text: "Mailbox full"}
		}
		return nil
	}}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	return server, &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
}

// TestSignUp is a recipe: a test of code that sends mail.
func TestSignUp(t *testing.T) {
	server := smtptest.NewServer(t)
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	defer mailer.Close()

	if err := signUp(t.Context(), mailer, "bob@example.net"); err != nil {
		t.Fatal(err)
	}
	if got := server.Messages(); len(got) != 1 || got[0].To[0] != "bob@example.net" || got[0].Subject != "Welcome" {
		t.Errorf("what arrived: %+v", got)
	}
}

func signUp(ctx context.Context, sender smtp.Sender, address string) error {
	message := exampleMessage(address)
	message.Subject = "Welcome"
	_, err := sender.Send(ctx, message)
	return err
}

// TestReadme: every block of Go in the README is code that these tests compile.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	for blocks := 1; ; blocks++ {
		block, after, ok := strings.Cut(rest, "```\n")
		if !ok {
			t.Fatal("a block without an end")
		}
		if !strings.Contains(unindent(string(source)), unindent(block)) {
			t.Errorf("not compiled anywhere:\n%s", block)
		}
		if blocks == 1 && strings.Count(block, "\n") > 12 {
			t.Error("the first example is too long")
		}
		if _, rest, ok = strings.Cut(after, "```go\n"); !ok {
			break
		}
	}
}

// unindent removes the tabs at the start of lines.
func unindent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}
