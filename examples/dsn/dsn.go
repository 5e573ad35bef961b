package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"

	"github.com/postrider/smtp"
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
