package main

import (
	"context"
	"net"
	"slices"
	"testing"

	"github.com/postrider/smtp"
)

type runDial = func(ctx context.Context, network, addr string) (net.Conn, error)

// check holds the results of a run against the book of the server.
func (c runCase) check(t *testing.T, results []*smtp.Result, book []runDelivery) {
	t.Helper()
	got := map[string]int{}
	for _, d := range book {
		for _, to := range c.checkDelivery(t, d) {
			got[to]++
		}
	}
	if len(results) != len(runMails()) {
		t.Errorf("%+v: %d results", c, len(results))
	}
	for _, result := range results {
		i := slices.Index(runMails(), result.Message)
		for _, r := range result.Recipients {
			if (r.Outcome == smtp.Accepted) != (got[r.Address] == 1) || got[r.Address] > 1 {
				if r.Outcome != smtp.Unknown || !c.mayEnd() {
					t.Errorf("%+v: %s is %v, and got the mail %d times: %v", c, r.Address, r.Outcome, got[r.Address], r.Err)
				}
			}
			if !c.mayEnd() {
				c.checkOutcome(t, runSender(i), r)
			}
		}
	}
}

// checkDelivery: a mail has its own sender, content and recipients, whom it returns.
func (c runCase) checkDelivery(t *testing.T, d runDelivery) []string {
	t.Helper()
	for i, m := range runMails() {
		if runSender(i) != d.from {
			continue
		}
		if d.content != runContents()[i] {
			t.Errorf("%+v: a content of %d octets from %s is not what was to be sent", c, len(d.content), d.from)
		}
		for _, to := range d.to {
			if !slices.ContainsFunc(m.Delivery.To, func(r smtp.Recipient) bool { return r.Address == to }) {
				t.Errorf("%+v: %s got what %s has sent", c, to, d.from)
			}
		}
		if c.code("MAIL", d.from, "") != 0 {
			t.Errorf("%+v: a mail from %s, who was refused", c, d.from)
		}
		return d.to
	}
	t.Errorf("%+v: a mail from %s to %v, which nobody has sent: %.60q", c, d.from, d.to, d.content)
	return nil
}

// checkOutcome: where the session goes on, who is refused is told by what, and all
// others are accepted.
func (c runCase) checkOutcome(t *testing.T, from string, r smtp.RecipientResult) {
	t.Helper()
	end := ""
	if c.way.lmtp {
		end = r.Address
	}
	want := 0
	for _, code := range []int{c.code("MAIL", from, ""), c.code("RCPT", from, r.Address), c.code("DATA", from, ""), c.code("END", from, end)} {
		if want == 0 {
			want = code
		}
	}
	outcome := smtp.Refused
	if want == 0 {
		want, outcome = 250, smtp.Accepted
	}
	if r.Outcome != outcome || r.Reply.Code != want {
		t.Errorf("%+v: %s is %v by %d, want %d: %v", c, r.Address, r.Outcome, r.Reply.Code, want, r.Err)
	}
}

// mayEnd tells whether the session ends in a run: at 421, where content is invited for
// nobody who could have it, and where LMTP leaves open how many replies are due.
func (c runCase) mayEnd() bool {
	for _, p := range c.places {
		switch {
		case p.code == 421:
			return true
		case c.character == heedless && p.step == "MAIL" && !c.way.bdat && slices.Contains(c.way.offers, "PIPELINING"):
			return true
		case c.character == inviting && c.way.lmtp && !c.way.bdat && p.step == "RCPT":
			return true
		case c.way.lmtp && c.way.bdat && p.step == "DATA":
			return true
		}
	}
	return false
}
