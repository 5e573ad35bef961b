package smtp_test

import (
	"errors"
	"fmt"
	"log"
	"net/mail"
	"os"
	"path/filepath"
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

// A report is about one mail, which it calls by what that was sent with.
func ExampleReport() {
	report := exampleReport("servers/postfix-3.10-failure-failed.eml")
	sent := map[string]string{"k3j4h5@example.com": "invoice 17"} // by EnvelopeID

	if about, ok := sent[report.EnvelopeID]; ok { // Anybody can forge a report of any other mail.
		fmt.Println(about, "to", report.Recipients[0].Address(), report.Recipients[0].Verdict)
	}
	// Output: invoice 17 to refuse+one=x@relay.example failed
}

// Servers, readers and their providers report.
func ExampleReportKind() {
	for _, path := range []string{"action-delayed", "mdn-displayed", "arf-abuse"} {
		switch report := exampleReport("written/" + path + ".eml"); report.Kind {
		case smtp.DeliveryStatus:
			fmt.Println("on its way:", report.Recipients[0].Verdict)
		case smtp.DispositionNotification:
			fmt.Println("its reader:", report.Disposition.Type)
		case smtp.FeedbackReport:
			fmt.Println("a complaint:", report.Feedback.Type)
		}
	}
	// Output:
	// on its way: delayed
	// its reader: displayed
	// a complaint: abuse
}

// Whether to write again to somebody, or to strike him off the list.
func ExampleRecipientReport() {
	for _, r := range exampleReport("written/two-recipients-with-different-verdicts.eml").Recipients {
		switch {
		case r.Permanent():
			fmt.Println(r.Address(), "will not get the next mail either:", r.Status)
		case r.Temporary():
			fmt.Println(r.Address(), "may get the next mail:", r.Status)
		default:
			fmt.Println(r.Address(), r.Verdict)
		}
	}
	// Output:
	// info@example.net will not get the next mail either: 5.2.2
	// sales@example.org delivered
}

// What became of a mail: only one of the verdicts is that it failed.
func ExampleVerdict() {
	report := exampleReport("written/action-all-five-in-one-report.eml")
	for _, r := range report.Recipients {
		switch r.Verdict {
		case smtp.Delivered, smtp.Relayed, smtp.Expanded:
			fmt.Println(r.Verdict, "- it went on")
		case smtp.Delayed:
			fmt.Println(r.Verdict, "- another report may come")
		case smtp.Failed:
			fmt.Println(r.Verdict, "- he does not get it")
		}
	}
	// Output:
	// delivered - it went on
	// relayed - it went on
	// expanded - it went on
	// delayed - another report may come
	// failed - he does not get it
}

// Why, as a server said it to the one that reports.
func ExampleDiagnostic() {
	d := exampleReport("written/postfix-failed.eml").Recipients[0].Diagnostic
	fmt.Println(d.Type, d.Code, d.Status)
	fmt.Println(d)
	// Output:
	// smtp 550 5.1.1
	// 550 5.1.1 "<bob@example.net> is not one of ours"
}

// A server is named by the domain name system, an address by RFC 822, or otherwise.
func ExampleTypedName() {
	report := exampleReport("servers/postfix-3.10-failure-failed.eml")
	fmt.Println(report.ReportingMTA.Type, report.ReportingMTA.Name)
	fmt.Println(report.Recipients[0].FinalRecipient)
	// Output:
	// dns mx.test.example
	// rfc822;refuse1@relay.example
}

// A receipt: the mail was shown to its reader, who said that it may tell.
func ExampleDisposition() {
	report := exampleReport("written/mdn-displayed.eml")
	if d := report.Disposition; d != nil && d.Type == "displayed" {
		fmt.Println(report.MessageID, "was read;", d.SendingMode)
	}
	// Output: m1.2026@app.example.com was read; mdn-sent-manually
}

// Somebody has called a mail spam: he wants no more of it.
func ExampleFeedback() {
	report := exampleReport("written/arf-abuse.eml")
	if f := report.Feedback; f != nil && f.Type == "abuse" {
		fmt.Println("no more to", report.Recipients[0].Address(), "from", f.MailFrom)
	}
	// Output: no more to bob@example.net from alice@example.com
}

// exampleReport reads one of the reports that the tests read.
func exampleReport(path string) *smtp.Report {
	file, err := os.Open(filepath.Join("testdata/report", path))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	report, err := smtp.ParseReport(file)
	if err != nil {
		log.Fatal(err)
	}
	return report
}
