// Dsn follows mails to their mailboxes: it asks for a report of each event (RFC 3461),
// and matches what comes back with what was sent. Reports that follow no standard,
// and bounces that are no reports, are the matter of examples/bounces.
//
//	go run ./examples/dsn
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

// tracker knows what became of each mail for each recipient. A real one is a table.
type tracker map[string]map[string]string // by the EnvelopeID, and by the recipient

// send sends a message so that reports of it can be told from those of any other. They
// go to the reverse-path, which is From unless Delivery.From says otherwise.
func (t tracker) send(ctx context.Context, sender smtp.Sender, message *smtp.Message) error {
	m := *message
	m.Delivery.EnvelopeID = rand.Text() // Who wants to forge a report has to guess it.
	m.Delivery.Notify = smtp.NotifySuccess | smtp.NotifyFailure | smtp.NotifyDelay
	m.Delivery.Return = smtp.ReturnHeaders
	m.Delivery.BestEffort = true // Where the server cannot report, send without.
	states := map[string]string{}
	t[m.Delivery.EnvelopeID] = states
	result, err := sender.Send(ctx, &m)
	for _, r := range result.Recipients {
		state := r.Outcome.String()
		if result.NoReports {
			state += ", and nobody will tell more"
		}
		states[cmp.Or(r.OriginalRecipient, r.Address)] = state
	}
	return err
}

// receive takes a mail that came to the reverse-path.
func (t tracker) receive(mail io.Reader) error {
	report, err := smtp.ParseReport(mail)
	if err != nil {
		return err // smtp.ErrNotReport, most often
	}
	states, ok := t[report.EnvelopeID]
	if !ok {
		return errors.New("a report of a mail that was not sent")
	}
	for _, r := range report.Recipients {
		// The address is the one that the mail was meant for, even if an alias led elsewhere.
		if _, ok := states[r.Address()]; ok {
			states[r.Address()] = strings.TrimSpace(r.Verdict.String() + " " + r.Diagnostic.String())
		}
	}
	return nil
}

func main() { recipe.Main(run) }

func run(ctx context.Context, kit *recipe.Kit) error {
	to := []smtp.Recipient{{Address: kit.To.Address}}
	if kit.Server != nil {
		to = append(to, smtp.Recipient{Address: "carol@example.org"},
			smtp.Recipient{Address: "dave@example.net", OriginalRecipient: "sales@example.com"}) // An alias of ours leads to him.
	}
	t := tracker{}
	err := t.send(ctx, kit.Mailer, &smtp.Message{
		From: kit.From, To: []smtp.Address{kit.To}, Subject: "Invoice 17", Text: "It is attached.\n",
		Delivery: smtp.Envelope{To: to},
	})
	t.show("sent")
	if err != nil || kit.Server == nil {
		return err
	}
	for _, report := range reports(kit.Server.Messages()[0], kit.To.Address) {
		if err := t.receive(bytes.NewReader(report)); err != nil {
			fmt.Println("not taken:", err)
		}
	}
	t.show("reported")
	return nil
}

// reports are what servers on the way may have to say, and one that somebody made up.
func reports(sent *smtptest.Message, to string) [][]byte {
	full := &smtptest.Refusal{Code: 452, Status: [3]int{4, 2, 2}, Text: "the mailbox is full"}
	gone := &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such mailbox"}
	forged := *sent
	forged.EnvelopeID = "17"
	return [][]byte{
		sent.Report(to, nil),
		sent.Report("carol@example.org", full),
		sent.Report("dave@example.net", gone),
		forged.Report(to, gone),
	}
}

func (t tracker) show(title string) {
	for _, states := range t {
		for _, address := range slices.Sorted(maps.Keys(states)) {
			fmt.Printf("%s: %s %s\n", title, address, states[address])
		}
	}
}
