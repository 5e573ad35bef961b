package smtp_test

import (
	"fmt"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
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
	server, mailer := exampleServer("DELIVERBY", "MT-PRIORITY", "FUTURERELEASE", "RRVS")
	defer server.Close()
	defer mailer.Close()
	mailer.Auth = smtp.Password("user", "pencil")

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
	_, err := mailer.Send(ctx, message)
	fmt.Println(err, server.Messages()[0].MailParams["HOLDFOR"])
	// Output: <nil> 3600
}

// To everybody, or to nobody.
func ExampleAcceptPolicy() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage("bob@example.net", "nobody@example.net")
	message.Delivery.Accept = smtp.AcceptAll
	result, _ := mailer.Send(ctx, message)
	for _, r := range result.Recipients {
		fmt.Println(r.Address, r.Outcome)
	}
	fmt.Println(len(server.Messages()), "arrived")
	// Output:
	// bob@example.net not sent
	// nobody@example.net refused
	// 0 arrived
}

// Somebody with an address in his own script, and another for servers that cannot
// deliver to that.
func ExampleRecipient() {
	server, mailer := exampleServer() // It does not offer SMTPUTF8.
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage("bob@example.net")
	message.Delivery.To = []smtp.Recipient{{Address: "太郎@example.jp", Alternative: "taro@example.jp"}}
	_, err := mailer.Send(ctx, message)
	fmt.Println(server.Messages()[0].To, err)
	// Output: [taro@example.jp] <nil>
}

// Which events are reported can be said for everybody, and otherwise for one.
func ExampleNotify() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage()
	message.Delivery = smtp.Envelope{
		Notify: smtp.NotifySuccess | smtp.NotifyFailure,
		To:     []smtp.Recipient{{Address: "bob@example.net"}, {Address: "carol@example.net", Notify: smtp.NotifyNever}},
	}
	_, err := mailer.Send(ctx, message)
	for _, r := range server.Messages()[0].Recipients {
		fmt.Println(r.Address, r.Notify, err)
	}
	// Output:
	// bob@example.net [SUCCESS FAILURE] <nil>
	// carol@example.net [NEVER] <nil>
}

// A report that brings back the header alone tells enough, and is short.
func ExampleReturn() {
	server, mailer := exampleServer()
	defer server.Close()
	defer mailer.Close()

	message := exampleMessage("bob@example.net")
	message.Delivery.Return = smtp.ReturnHeaders
	_, err := mailer.Send(ctx, message)
	fmt.Println(server.Messages()[0].Return, err)
	// Output: HDRS <nil>
}

// The same reports of every mail, where the server has them.
func ExampleReports() {
	server := &smtptest.Server{Withhold: []string{"DSN"}}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()

	mailer.Options.Reports = smtp.Reports{Notify: smtp.NotifyFailure | smtp.NotifyDelay, BestEffort: true}
	result, err := mailer.Send(ctx, exampleMessage("bob@example.net"))
	fmt.Println("sent without them:", result.NoReports, err)
	// Output: sent without them: true <nil>
}
