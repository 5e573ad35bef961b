package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/postrider/smtp"
)

// Notifier sends each notification once to each of its recipients.
type Notifier struct {
	Sender smtp.Sender
	Ledger Ledger
	Waits  []time.Duration // before the second try, the third and so on: 1 min, 5 min, 30 min, 2 h

	// RepeatUnknown sends again where the link was lost before the last word of the server.
	// The mail may then arrive twice, with one Message-ID, by which many servers and readers
	// drop the second. If it is false, the mail may not arrive at all.
	RepeatUnknown bool
}

// Ledger remembers which mail is for whom. A real one is a table with both as its key, and
// Claim an INSERT that finds no such row: it holds for all processes, and what a crash
// interrupted is as good as unknown.
type Ledger interface {
	Claim(messageID, recipient string) bool
	Release(messageID, recipient string) // It certainly did not go, and may be asked for again.
}

// memory is a Ledger to try a Notifier with: it forgets all when the program ends.
type memory struct{ claims sync.Map }

func (l *memory) Claim(messageID, recipient string) bool {
	_, isClaimed := l.claims.LoadOrStore([2]string{messageID, recipient}, true)
	return !isClaimed
}

func (l *memory) Release(messageID, recipient string) {
	l.claims.Delete([2]string{messageID, recipient})
}

// Send returns when each recipient has the mail or is given up, with the reasons. The
// MessageID is the name of the event, such as "order-17.shipped@example.com": who calls it
// again for the same event sends nothing to those who have it.
func (n *Notifier) Send(ctx context.Context, message *smtp.Message) error {
	m, err := message.Prepare() // The Message-ID and all else are now the same in each try.
	if err != nil {
		return err
	}
	last := map[string]smtp.RecipientResult{}
	to := n.claim(m)
	for try := 0; len(to) > 0; try++ {
		m.Delivery.To = to
		result, _ := n.Sender.Send(ctx, m) // The result says more than the error.
		for _, r := range result.Recipients {
			if last[r.Address].Outcome != smtp.Unknown || r.Outcome == smtp.Accepted { // A doubt stays one.
				last[r.Address] = r
			}
		}
		to = n.again(result)
		if len(to) == 0 || try == len(n.Waits) || sleep(ctx, n.Waits[try]) != nil {
			break
		}
	}
	return n.settle(m, last)
}

// claim returns the recipients to whom nobody else sends this mail, or has sent it.
func (n *Notifier) claim(m *smtp.Message) (to []smtp.Recipient) {
	for _, r := range m.Delivery.To {
		if n.Ledger.Claim(m.MessageID, r.Address) {
			to = append(to, r)
		}
	}
	return to
}

// again returns for whom another try is worth it, and not a second mail. Where the Mailer
// is closed, since the program ends, it is for nobody.
func (n *Notifier) again(result *smtp.Result) []smtp.Recipient {
	isClosed := func(r smtp.RecipientResult) bool { return errors.Is(r.Err, net.ErrClosed) }
	if slices.ContainsFunc(result.Recipients, isClosed) {
		return nil
	}
	to := result.Remaining() // certainly not sent, for a reason that may pass: 4yz, no network
	for _, r := range result.Recipients {
		if r.Outcome == smtp.Unknown && n.RepeatUnknown {
			to = append(to, r.Recipient)
		}
	}
	return to
}

// settle keeps the claims of those who have the mail, or may have it.
func (n *Notifier) settle(m *smtp.Message, last map[string]smtp.RecipientResult) error {
	var failed []error
	for _, r := range last {
		if r.Outcome == smtp.NotSent || r.Outcome == smtp.Refused {
			n.Ledger.Release(m.MessageID, r.Address)
		}
		if r.Err != nil {
			failed = append(failed, fmt.Errorf("%s: %v: %w", r.Address, r.Outcome, r.Err))
		}
	}
	return errors.Join(failed...)
}

func sleep(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
