package smtp_test

import (
	"errors"
	"fmt"

	"github.com/postrider/smtp"
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
