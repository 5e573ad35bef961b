package main

import (
	"context"
	"fmt"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// troubled makes the server refuse the first mail twice for now, lose the link after it
// has taken the next two, and refuse the last for good.
func troubled(server *smtptest.Server) {
	server.On = func(step smtptest.Step) *smtptest.Fault {
		switch mail := step.Message; {
		case step.Command == "RCPT" && mail <= 2:
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 451, Status: [3]int{4, 3, 0}, Text: "busy, try again"}}
		case step.Command == "END" && (mail == 4 || mail == 5):
			return &smtptest.Fault{Drop: true}
		case step.Command == "RCPT" && mail == 7:
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such mailbox"}}
		}
		return nil
	}
}

// shown is a Sender that shows the tries of another.
type shown struct{ smtp.Sender }

func (s shown) Send(ctx context.Context, m *smtp.Message) (*smtp.Result, error) {
	result, err := s.Sender.Send(ctx, m)
	for _, r := range result.Recipients {
		fmt.Printf("  try of %s for %s: %v %v\n", m.Subject, r.Address, r.Outcome, r.Reply)
	}
	return result, err
}
