package smtp_test

import (
	"fmt"

	"github.com/postrider/smtp"
)

// Reports of what became of a mail (RFC 3461), where the server offers DSN.
func ExampleEnvelope() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage("bob@example.net")
	message.Delivery = smtp.Envelope{
		From:   "bounces@example.com",
		Notify: smtp.NotifyFailure | smtp.NotifyDelay,
		Return: smtp.ReturnHeaders,
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
