package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/smtp"
)

// runChecks are about several mails in one session, of which the server refuses some: no
// mail may have the sender, the recipients or the content of another.
func runChecks() []check {
	return []check{
		{"runs of mails by DATA, somebody refused in each position", func(t *trial) error { return t.runs(false) }},
		{"runs of mails by BDAT, somebody refused in each position", func(t *trial) error { return t.runs(true) }},
	}
}

// refused says whom of a mail the server refuses.
type refused uint8

const (
	nobody refused = iota
	theFirst
	theSecond
	both
	theSender
	theFirstLate // once it has the content, as only LMTP can
)

func (r refused) String() string {
	return [...]string{"nobody", "the first", "the second", "both", "the sender", "the first late"}[r]
}

// refusals are those that the server knows.
func (s *server) refusals() []refused {
	list := []refused{theFirst, theSecond, both}
	if !s.takesAnySender() {
		list = append(list, theSender)
	}
	if s.lmtp {
		list = append(list, theFirstLate)
	}
	return list
}

// pattern says of each mail of a run whom the server refuses.
type pattern [4]refused

// patterns have each refusal in each position, alone and, if they are to have pairs, with
// another in an earlier one: each pair of mails occurs, and each pair of refusals.
func patterns(refusals []refused, pairs bool) []pattern {
	list := []pattern{{}}
	for i := range len(pattern{}) {
		for k, r := range refusals {
			var p pattern
			p[i] = r
			list = append(list, p)
			for j := 0; pairs && j < i; j++ {
				pair := p
				pair[j] = refusals[(k+i+j)%len(refusals)]
				list = append(list, pair)
			}
		}
	}
	return list
}

// runs sends a run of each pattern, with the commands in groups and one by one, and then
// looks into the mailboxes. Pairs of refusals go in groups, if the server takes these.
func (t *trial) runs(chunking bool) error {
	if chunking {
		if err := t.needs("CHUNKING"); err != nil {
			return err
		}
	}
	var sent []part
	for _, disabled := range [][]string{nil, {"PIPELINING"}} {
		if disabled == nil && t.needs("PIPELINING") != nil {
			continue
		}
		options := smtp.Options{LMTP: t.lmtp, PlaintextAuth: true, Chunking: chunking, Disable: disabled}
		more, err := t.runsOf(patterns(t.refusals(), len(sent) == 0), options)
		if err != nil {
			return fmt.Errorf("without %q: %w", disabled, err)
		}
		sent = append(sent, more...)
	}
	return t.haveArrived(sent)
}

// runsOf sends runs, each over a session of its own, and checks whether envelopes leave
// behind the mail before, where they can.
func (t *trial) runsOf(patterns []pattern, options smtp.Options) (sent []part, err error) {
	var goodbyes sync.WaitGroup // Exim takes its time over one.
	defer goodbyes.Wait()
	overtaken := 0
	for n, p := range patterns {
		var o overtaking
		mailer := t.mailer()
		mailer.MaxConns, mailer.TLS, mailer.Options = 1, smtp.TLSNone, options
		mailer.Options.Trace = o.trace()
		run, err := t.run(n, p, mailer)
		goodbyes.Go(func() { mailer.Close() })
		if err != nil {
			return nil, fmt.Errorf("refused: %v; %w", p, err)
		}
		sent = append(sent, run...)
		overtaken += o.mails
		t.sentRuns++
	}
	if canOvertake := options.Disable == nil && t.host != "courier"; (overtaken > 0) != canOvertake {
		return nil, fmt.Errorf("%d envelopes left behind the mail before", overtaken)
	}
	return sent, nil
}

// overtaking counts the mails whose envelope left before the last words about the mail
// before.
type overtaking struct {
	open  bool // there is a mail, of which those are awaited
	mails int
}

func (o *overtaking) trace() *smtp.Trace {
	return &smtp.Trace{
		Transaction: func(context.Context, string, int) {
			if o.open {
				o.mails++
			}
		},
		Reply: func(_ context.Context, op string, _ smtp.Reply) {
			switch verb, _, _ := strings.Cut(op, " "); verb {
			case "MAIL":
				o.open = true
			case "RCPT", "DATA", "BDAT":
			default:
				o.open = false
			}
		},
	}
}

// run sends a run over one session, by the Mailer or by a Client of it, and compares what
// is told of each recipient with what the server was to say.
func (t *trial) run(n int, p pattern, mailer *smtp.Mailer) (run []part, err error) {
	sendAll := mailer.SendAll
	if n%2 == 1 {
		client, err := mailer.Dial(t)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		sendAll = client.SendAll
	}
	for i, r := range p {
		mail, err := t.part(n, i, r)
		if err != nil {
			return nil, err
		}
		run = append(run, mail)
	}
	messages := func(yield func(*smtp.Message) bool) {
		for i := 0; i < len(run) && yield(run[i].message); i++ {
		}
	}
	done := 0
	for result, err := range sendAll(t, messages) {
		if done == len(run) || !run[done].isToldBy(result) {
			return nil, fmt.Errorf("mail %d: %+v, %v", done+1, result.Recipients, err)
		}
		done++
	}
	if done < len(run) {
		return nil, fmt.Errorf("there are %d results", done)
	}
	return run, nil
}

// part is a mail of a run, and who must get it.
type part struct {
	message *smtp.Message
	id      string
	boxes   []string
}

// bait would be a second mail, if the server took content for commands.
const bait = "RSET\r\nMAIL FROM:<smuggled@test.example>\r\nRCPT TO:<smuggled@test.example>\r\nDATA\r\n" +
	"From: smuggled@test.example\r\nSubject: smuggled\r\n\r\nThis is a second mail.\r\n.\r\n"

// part makes a mail of a run, with a sender and recipients of its own. Every other one has
// two chunks, and bait all over them.
func (t *trial) part(n, i int, r refused) (part, error) {
	from, to := fmt.Sprintf("sender%d", i), []string{fmt.Sprintf("reader%02d", 2*i), fmt.Sprintf("reader%02d", 2*i+1)}
	switch r {
	case theSender:
		from = "badsender"
	case theFirstLate:
		to[0] = "broken"
	}
	if r == theFirst || r == both {
		to[0] = "nosuch0"
	}
	if r == theSecond || r == both {
		to[1] = map[bool]string{false: "nosuch1", true: "grey1"}[t.defers]
	}
	p := part{id: newID()}
	envelope := smtp.Envelope{From: from + "@test.example"}
	for _, box := range to {
		envelope.To = append(envelope.To, smtp.Recipient{Address: box + "@test.example"})
		if r != theSender && strings.HasPrefix(box, "reader") {
			p.boxes = append(p.boxes, box)
		}
	}
	content := fmt.Sprintf("From: %s\r\nTo: %s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s>\r\n\r\n%s",
		envelope.From, envelope.To[0].Address, p.id, strings.Repeat(bait, 1+(n+i)%2*250))
	var err error
	p.message, err = (&smtp.Message{Raw: smtp.FileBytes("", []byte(content)), Delivery: envelope}).Prepare()
	return p, err
}

// isToldBy tells whether a result is that of the mail: who must get it was accepted, and
// the others were refused.
func (p part) isToldBy(result *smtp.Result) bool {
	if result.Message != p.message || len(result.Recipients) != 2 {
		return false
	}
	for _, r := range result.Recipients {
		box, _, _ := strings.Cut(r.Address, "@")
		isAccepted, isRefused := r.Outcome == smtp.Accepted, r.Outcome == smtp.Refused
		if mustGet := slices.Contains(p.boxes, box); isAccepted != mustGet || isRefused == mustGet {
			return false
		}
	}
	return true
}

// haveArrived checks that each mail came to those who must get it, and then that by now
// none has come to anybody else, or twice.
func (t *trial) haveArrived(sent []part) error {
	for _, p := range sent {
		if err := t.arrived(p.message, p.id, p.boxes...); err != nil {
			return err
		}
	}
	if err := t.boxes.scan(); err != nil {
		return err
	}
	for _, p := range sent {
		if _, err := t.boxes.claim(p.id, p.boxes); err != nil {
			return err
		}
	}
	return nil
}
