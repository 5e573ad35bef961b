package smtp_test

import (
	"errors"
	"fmt"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

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

// Four words say what became of a mail, and each asks for something else.
func ExampleOutcome() {
	var recorder smtptest.Recorder
	recorder.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" {
			return &smtptest.Fault{Drop: true} // The mail is taken, but its sender is not told.
		}
		return nil
	}
	result, _ := recorder.Send(ctx, exampleMessage("bob@example.net"))
	switch result.Recipients[0].Outcome {
	case smtp.Accepted:
		fmt.Println("he has it, as far as this server is concerned")
	case smtp.Refused, smtp.NotSent:
		fmt.Println("he does not have it; a second try may help:", len(result.Remaining()) > 0)
	case smtp.Unknown:
		fmt.Println("he may have it: a second try may be a second mail")
	}
	// Output: he may have it: a second try may be a second mail
}

// Each recipient has the words of the server that decided.
func ExampleRecipientResult() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	result, _ := mailer.Send(ctx, exampleMessage("bob@example.net", "nobody@example.net"))
	for _, r := range result.Recipients {
		fmt.Println(r.Address, r.Outcome, r.Reply.Code)
	}
	// Output:
	// bob@example.net accepted 250
	// nobody@example.net refused 550
}

// The mail went, but not to everybody.
func ExampleRecipientsError() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	_, err := mailer.Send(ctx, exampleMessage("bob@example.net", "nobody@example.net", "full@example.net"))
	var e *smtp.RecipientsError
	if errors.As(err, &e) {
		fmt.Println("the others got it:", e.Sent)
		for _, r := range e.Failed {
			fmt.Println(r.Address, r.Reply)
		}
	}
	// Output:
	// the others got it: true
	// nobody@example.net 550 5.1.1 "No such user"
	// full@example.net 452 4.2.2 "Mailbox full"
}

// What the server cannot do is no failure of the network, and nothing was sent: it can
// be left out.
func ExampleUnsupportedError() {
	server := &smtptest.Server{Withhold: []string{"DSN"}}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()
	message := exampleMessage("bob@example.net")
	message.Delivery.Notify = smtp.NotifySuccess

	_, err := mailer.Send(ctx, message)
	var e *smtp.UnsupportedError
	if errors.As(err, &e) && e.Extension == "DSN" { // as errors.Is(err, errors.ErrUnsupported), for one of them
		message.Delivery.Notify = 0
		_, err = mailer.Send(ctx, message)
	}
	fmt.Println(errors.Is(err, errors.ErrUnsupported), err)
	// Output: false <nil>
}

// The three numbers say why, in whatever language the text is.
func ExampleEnhancedStatus() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	_, err := mailer.Send(ctx, exampleMessage("nobody@example.net"))
	var e *smtp.Error
	if errors.As(err, &e) && e.Reply.Status == (smtp.EnhancedStatus{Class: 5, Subject: 1, Detail: 1}) {
		fmt.Println("there is no such mailbox:", e.Reply.Status)
	}
	// Output: there is no such mailbox: 5.1.1
}
