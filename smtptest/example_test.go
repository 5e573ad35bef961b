package smtptest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

var ctx = context.Background()

// welcome is what the examples send.
func welcome(to ...string) *smtp.Message {
	m := &smtp.Message{From: smtp.Address{Address: "ann@example.com"}, Subject: "Welcome", Text: "Hello."}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

// start is for examples, which have no *testing.T; tests have NewServer.
func start(server *smtptest.Server) *smtptest.Server {
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	return server
}

// What was sent can be looked at, parsed.
func ExampleServer() {
	server := start(&smtptest.Server{})
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	_, err := mailer.Send(ctx, welcome("bob@example.net"))
	got := server.Messages()[0]
	fmt.Println(err, got.From, got.To, got.Subject, got.TLS)
	// Output: <nil> ann@example.com [bob@example.net] Welcome true
}

// A Recorder needs no server, and tells the truth all the same.
func ExampleRecorder() {
	var recorder smtptest.Recorder
	recorder.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" && step.Message == 2 {
			return &smtptest.Fault{Drop: true} // The second mail is taken, and nobody is told.
		}
		return nil
	}
	for range 2 {
		result, _ := recorder.Send(ctx, welcome("bob@example.net"))
		fmt.Println(result.Recipients[0].Outcome)
	}
	fmt.Println(len(recorder.Messages()), "arrived")
	// Output:
	// accepted
	// unknown
	// 2 arrived
}

// Extensions can be taken away, and others given.
func ExampleServer_extensions() {
	server := start(&smtptest.Server{
		Withhold: []string{"DSN"},
		Offer:    []string{"SMTPUTF8", "LIMITS RCPTMAX=2"},
	})
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	if _, err := mailer.Send(ctx, welcome("太郎@example.jp", "bob@example.net", "carol@example.org")); err != nil {
		log.Fatal(err)
	}
	for _, m := range server.Messages() {
		fmt.Println(m.To)
	}
	message := welcome("bob@example.net")
	message.Delivery.Notify = smtp.NotifyFailure
	_, err := mailer.Send(ctx, message)
	fmt.Println("no reports here:", errors.Is(err, errors.ErrUnsupported))
	// Output:
	// [太郎@example.jp bob@example.net]
	// [carol@example.org]
	// no reports here: true
}

// Who may log in, and how.
func ExampleServer_users() {
	server := start(&smtptest.Server{
		Users:      map[string]string{"ann@example.com": "ya29.token"},
		Mechanisms: []string{"XOAUTH2"},
	})
	defer server.Close()
	for _, token := range []string{"ya29.token", "expired"} {
		mailer := server.Mailer()
		mailer.Auth = smtp.OAuth("ann@example.com", func(context.Context) (string, error) { return token, nil })
		fmt.Println(mailer.Verify(ctx))
		mailer.Close()
	}
	// Output:
	// <nil>
	// smtp: AUTH XOAUTH2: 535 5.7.8 "Authentication failed": the server says status "invalid_token", scope ""
}

// In LMTP, each recipient has an answer to the content.
func ExampleServer_lmtp() {
	server := start(&smtptest.Server{LMTP: true, On: func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" && step.Address == "full@example.net" {
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 452, Status: [3]int{4, 2, 2}, Text: "Mailbox full"}}
		}
		return nil
	}})
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	result, _ := mailer.Send(ctx, welcome("bob@example.net", "full@example.net"))
	for _, r := range result.Recipients {
		fmt.Println(r.Address, r.Outcome)
	}
	// Output:
	// bob@example.net accepted
	// full@example.net refused
}

// One recipient of two does not exist.
func ExampleRefusal() {
	var recorder smtptest.Recorder
	recorder.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "RCPT" && strings.HasPrefix(step.Address, "nobody@") {
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "No such user"}}
		}
		return nil
	}
	_, err := recorder.Send(ctx, welcome("bob@example.net", "nobody@example.net"))
	fmt.Println(err)
	fmt.Println(recorder.Messages()[0].To)
	// Output:
	// smtp: not everybody got the mail; smtp: RCPT <nobody@example.net>: 550 5.1.1 "No such user"
	// [bob@example.net]
}

// A server that has enough ends the session; the next mail goes over another one.
func ExampleFault_closing() {
	server := start(&smtptest.Server{On: func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "MAIL" && step.Message == 2 {
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 421, Status: [3]int{4, 3, 2}, Text: "Closing down"}}
		}
		return nil
	}})
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	for range 2 {
		_, err := mailer.Send(ctx, welcome("bob@example.net"))
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
}

// A server that is slow to answer: the sender gives up, and cannot know. Tests that are
// not to wait themselves do as TestPatience in example_test.go does.
func ExampleFault_delay() {
	server := start(&smtptest.Server{On: func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" {
			return &smtptest.Fault{Delay: time.Hour}
		}
		return nil
	}})
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()
	mailer.Options.Timeouts.DataTermination = 10 * time.Millisecond

	result, _ := mailer.Send(ctx, welcome("bob@example.net"))
	fmt.Println(result.Recipients[0].Outcome)
	// Output: unknown
}

// The link is lost in the middle of the content: half a mail is none.
func ExampleFault_drop() {
	var recorder smtptest.Recorder
	recorder.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "DATA" {
			return &smtptest.Fault{Drop: true, After: 10_000}
		}
		return nil
	}
	message := welcome("bob@example.net")
	message.Attachments = []smtp.File{smtp.FileBytes("figures.bin", make([]byte, 100_000))}
	result, _ := recorder.Send(ctx, message)
	fmt.Println(result.Recipients[0].Outcome)
	fmt.Println(len(recorder.Messages()), "arrived")
	// Output:
	// not sent
	// 0 arrived
}

// Somebody in between adds words of his own to the reply to STARTTLS, in the hope
// that they are taken for those of the server.
func ExampleFault_inject() {
	server := start(&smtptest.Server{On: func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "STARTTLS" {
			return &smtptest.Fault{Inject: "250 AUTH PLAIN\r\n"}
		}
		return nil
	}})
	defer server.Close()
	fmt.Println(server.Mailer().Verify(ctx))
	// Output: smtp: STARTTLS: 16 octets follow the reply in the clear: someone may be injecting commands
}

// TestPatience is an example, too: a server that was not started is reached in memory,
// and in a bubble of testing/synctest its delay takes no time.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &smtptest.Server{On: func(step smtptest.Step) *smtptest.Fault {
			if step.Command == "MAIL" {
				return &smtptest.Fault{Delay: 4 * time.Minute}
			}
			return nil
		}}
		defer server.Close()
		mailer := server.Mailer() // Its DialContext is that of the server.
		defer mailer.Close()

		began := time.Now()
		_, err := mailer.Send(t.Context(), welcome("bob@example.net"))
		if waited := time.Since(began); err != nil || waited != 4*time.Minute {
			t.Errorf("after %v: %v", waited, err)
		}
	})
}
