package smtp_test

import (
	"errors"
	"fmt"
	"log"
	"net/mail"
	"os"
	"strings"

	"github.com/postrider/smtp"
)

// What a server says of a mail that it accepted, and could not deliver.
func ExampleParseReport() {
	mailbox, err := os.Open("testdata/report/servers/postfix-3.10-failure-failed.eml")
	if err != nil {
		log.Fatal(err)
	}
	defer mailbox.Close()

	report, err := smtp.ParseReport(mailbox)
	if errors.Is(err, smtp.ErrNotReport) {
		return // ParseBounce may know more.
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("mail:", report.MessageID)
	for _, r := range report.Recipients {
		if r.Permanent() {
			fmt.Println("do not write again to", r.Address(), "because", r.Diagnostic)
		}
	}
	// Output:
	// mail: failure.postfix-3.10@client.test.example
	// do not write again to refuse+one=x@relay.example because 550 5.1.1 "<refuse1@relay.example>: no such mailbox here; 550-5.1.1 this reply has 550 5.1.1 three lines"
}

// What a server says in words, in a form that is known.
func ExampleParseBounce() {
	mailbox, err := os.Open("testdata/report/bounces/qmail-two.eml")
	if err != nil {
		log.Fatal(err)
	}
	defer mailbox.Close()

	bounce, err := smtp.ParseBounce(mailbox)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range bounce.Recipients {
		fmt.Println(bounce.Rule, r.Address(), r.Verdict, r.Permanent())
	}
	// Output:
	// qmail bob@example.net failed true
	// qmail carol@example.org failed false
}

// An answer, such as that somebody is out of office, is told from a person's mail.
func ExampleParseAutoSubmitted() {
	received, err := mail.ReadMessage(strings.NewReader("From: bob@example.net\r\nAuto-Submitted: auto-replied\r\n\r\nI am away."))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(smtp.ParseAutoSubmitted(received.Header) == smtp.AutoReplied)
	// Output: true
}
