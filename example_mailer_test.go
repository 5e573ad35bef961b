package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// Many mails over several sessions; each has its result as soon as it is done.
func ExampleMailer_SendAll() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()
	messages := func(yield func(*smtp.Message) bool) {
		for _, address := range []string{"bob@example.net", "nobody@example.net", "carol@example.net"} {
			if !yield(exampleMessage(address)) {
				return
			}
		}
	}

	for result, err := range mailer.SendAll(ctx, messages) {
		fmt.Println(result.Message.To[0].Address, err)
	}
	// Unordered output:
	// bob@example.net <nil>
	// nobody@example.net smtp: RCPT <nobody@example.net>: 550 5.1.1 "No such user"
	// carol@example.net <nil>
}

// Are my settings right?
func ExampleMailer_Verify() {
	server, _ := exampleServer()
	defer server.Close()

	os.Setenv("SMTP_URL", "smtp://user:pencil@"+server.Addr+"?max-conns=10")

	mailer, err := smtp.ParseURL(os.Getenv("SMTP_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer mailer.Close()
	if err := mailer.Verify(ctx); err != nil {
		fmt.Println("the settings are wrong:", err)
	}
	// Output: the settings are wrong: smtp: STARTTLS: tls: failed to verify certificate: x509: certificate signed by unknown authority; the certificate is signed by itself: if it is the right one, put it into RootCAs
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

// Another server takes what the first one does not.
func ExampleFailover() {
	server, second := exampleServer()
	defer server.Close()
	defer second.Close()
	first := &smtp.Mailer{Addr: "127.0.0.1:1", TLS: smtp.TLSNone} // tcpmux, which nobody runs
	message := exampleMessage("bob@example.net")

	_, err := smtp.Failover{first, second}.Send(ctx, message)
	fmt.Println(err)
	// Output: <nil>
}

// The dialogue as debug records; credentials and content are not in it.
func ExampleOptions() {
	mailer := &smtp.Mailer{Addr: "smtp.example.com:587"}
	mailer.Options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	fmt.Println(mailer.Options.Logger.Enabled(ctx, slog.LevelDebug))
	// Output: true
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

// A server without TLS gets no mail, and no password, unless that is said by name.
func ExampleTLSPolicy() {
	server := &smtptest.Server{NoTLS: true}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()
	strict := mailer.Clone()
	defer strict.Close()

	mailer.TLS = smtp.TLSNone
	strict.TLS = smtp.TLSRequired // as is zero
	fmt.Println(mailer.Verify(ctx))
	fmt.Println(errors.Is(strict.Verify(ctx), errors.ErrUnsupported))
	// Output:
	// <nil>
	// true
}

// A rate.Limiter of golang.org/x/time/rate is a Limiter, and so is this.
func ExampleLimiter() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	mailer.Limiter = &quota{left: 1}
	for range 2 {
		_, err := mailer.Send(ctx, exampleMessage("bob@example.net"))
		fmt.Println(errors.Is(err, errQuota))
	}
	// Output:
	// false
	// true
}

// quota is a Limiter: so many mails, and no more.
type quota struct {
	mu   sync.Mutex
	left int
}

var errQuota = errors.New("that is all for today")

func (q *quota) Wait(context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left == 0 {
		return errQuota
	}
	q.left--
	return nil
}

// What a Mailer has, and what it did, as for a dashboard.
func ExampleStats() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	mailer.Send(ctx, exampleMessage("bob@example.net", "nobody@example.net"))
	mailer.Send(ctx, exampleMessage("carol@example.net"))
	stats := mailer.Stats()
	fmt.Println("sessions:", stats.Open, "of them idle:", stats.Idle)
	fmt.Println("accepted:", stats.Accepted, "refused:", stats.Refused)
	// Output:
	// sessions: 1 of them idle: 1
	// accepted: 2 refused: 1
}

// The waits of RFC 5321 are long; where somebody is looking on, they can be shorter.
func ExampleTimeouts() {
	server := &smtptest.Server{On: func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "CONNECT" {
			return &smtptest.Fault{Delay: 10 * time.Second}
		}
		return nil
	}}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	mailer.Options.Timeouts = smtp.Timeouts{Greeting: 10 * time.Millisecond, Command: 10 * time.Second}
	fmt.Println(errors.Is(mailer.Verify(ctx), os.ErrDeadlineExceeded))
	// Output: true
}
