// Dsn follows mails to their mailboxes: it asks for a report of each event (RFC 3461),
// and matches what comes back with what was sent. Reports that follow no standard,
// and bounces that are no reports, are the matter of examples/bounces.
//
//	go run ./examples/dsn
package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

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
