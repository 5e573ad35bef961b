package smtp_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func letters(n int) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for i := range n {
			m := letter("bob@example.net")
			m.MessageID = fmt.Sprintf("%d@example.com", i)
			if !yield(m) {
				return
			}
		}
	}
}

// TestMailerSendAll: each of many messages arrives once, over no more sessions than
// are allowed, and each has its result.
func TestMailerSendAll(t *testing.T) {
	t.Parallel()
	const n = 500
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	wire := &tap{}
	mailer.DialContext = wire.dial
	seen := map[string]int{}
	for result, err := range mailer.SendAll(t.Context(), letters(n)) {
		if err != nil || result.Message == nil || result.Message.MessageID != result.MessageID {
			t.Fatalf("%+v, %v", result, err)
		}
		seen[result.MessageID]++
	}
	arrived := map[string]int{}
	for _, m := range server.Messages() {
		arrived[m.Header.Get("Message-Id")]++
	}
	if len(seen) != n || len(arrived) != n || len(server.Messages()) != n {
		t.Errorf("%d results, %d messages, %d arrived", len(seen), len(arrived), len(server.Messages()))
	}
	if stats := mailer.Stats(); wire.dials > 5 || stats.Accepted != n || stats.Open > 2 || stats.Bytes < n*100 {
		t.Errorf("%d dials, %+v", wire.dials, stats)
	}
	_ = slices.Sorted[string]
}
