// Lmtp delivers a mail to the mailboxes of a local mail store, such as Dovecot or Cyrus,
// which answers for each of them whether it has the mail (RFC 2033).
//
//	go run ./examples/lmtp
//
// Stores listen on a socket, or on a port, mostly without TLS:
//
//	go run ./examples/lmtp -url 'unix:/run/dovecot/lmtp?lmtp=true' -to bob@example.net
//	go run ./examples/lmtp -url 'lmtp://localhost:24?tls=none' -to bob@example.net
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

// deliver hands a mail over, and tells for which mailboxes it is to be kept and tried
// again, and of which its sender is to be told that they do not get it. The store is
//
//	&smtp.Mailer{Addr: "unix:/run/dovecot/lmtp", Options: smtp.Options{LMTP: true}}
//
// or has a host and a port as its Addr and, where it has no TLS, TLS: smtp.TLSNone.
func deliver(ctx context.Context, store smtp.Sender, message *smtp.Message) (later []smtp.Recipient, never []smtp.RecipientResult, err error) {
	result, err := store.Send(ctx, message)
	if len(result.Recipients) == 0 {
		return nil, nil, err // There is nobody to tell of.
	}
	for _, r := range result.Recipients {
		var failed *smtp.Error
		switch {
		case r.Outcome == smtp.Accepted:
		case errors.As(r.Err, &failed) && (failed.Temporary() || failed.Unknown): // Rather twice than not at all.
			later = append(later, r.Recipient)
		default:
			never = append(never, r)
		}
	}
	return later, never, nil
}

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		message := &smtp.Message{From: kit.From, To: []smtp.Address{kit.To}, Subject: "For the store", Text: "Keep it well."}
		if kit.Server != nil {
			message.To = append(message.To, smtp.Address{Address: "full@example.net"}, smtp.Address{Address: "large@example.net"})
		}
		later, never, err := deliver(ctx, kit.Mailer, message)
		for _, r := range later {
			fmt.Println("again later:", r.Address)
		}
		for _, r := range never {
			fmt.Println("back to the sender:", r.Address, r.Err)
		}
		return err
	}, store)
}

// store makes a store of the server in this process. It accepts all recipients, and has
// the mail for one of them only.
func store(server *smtptest.Server) {
	refusals := map[string]*smtptest.Refusal{
		"full@example.net":  {Code: 452, Status: [3]int{4, 2, 2}, Text: "The mailbox is full"},
		"large@example.net": {Code: 552, Status: [3]int{5, 2, 3}, Text: "The mail is too large for this mailbox"},
	}
	server.LMTP = true
	server.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" && refusals[step.Address] != nil {
			return &smtptest.Fault{Refusal: refusals[step.Address]}
		}
		return nil
	}
}
