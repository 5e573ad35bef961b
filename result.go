package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/smtp/internal/wire"
)

// Outcome is what became of the mail for one recipient: NotSent and Refused are certain
// that it was not accepted, Accepted that it was, and Unknown is neither.
type Outcome uint8

// The four outcomes.
const (
	NotSent  Outcome = iota // certainly not accepted: the content never went, or not to its end
	Accepted                // the server took the mail on
	Refused                 // the server said no, for now (4yz) or for good (5yz)
	Unknown                 // the end of data may have left, and no final reply came
)

// String returns the outcome in lower-case words, as in "not sent".
func (o Outcome) String() string {
	names := [...]string{"not sent", "accepted", "refused", "unknown"}
	if int(o) < len(names) {
		return names[o]
	}
	return "Outcome(" + strconv.Itoa(int(o)) + ")"
}

// Result tells what became of a mail, for each recipient. It is the caller's, and
// nothing of the package refers to it any more.
type Result struct {
	Message    *Message          // the one that was handed to Send; nil after Data
	MessageID  string            // what it got as its Message-ID, without brackets
	Recipients []RecipientResult // in the order of Envelope.To
	NoReports  bool              // a server without DSN was not told what BestEffort asks about reports
}

// RecipientResult tells what became of a mail for one recipient, and why.
type RecipientResult struct {
	Recipient
	Outcome Outcome
	Reply   Reply // the one that decided; zero if none did
	Err     error // nil if and only if the outcome is Accepted

	atRcpt bool // it was refused at RCPT, and not with all the others
	full   bool // the transaction had room for others, and not for this one
}

// Remaining returns the recipients that are worth another try: the mail was certainly
// not accepted for them, and the reason is a passing one. Without any it is empty, and
// not nil: as the To of a Delivery that is an error, and not everybody once more.
func (r *Result) Remaining() []Recipient {
	list := []Recipient{}
	for _, recipient := range r.Recipients {
		if recipient.isLeft() {
			list = append(list, recipient.Recipient)
		}
	}
	return list
}

// isLeft tells whether r is worth another try.
func (r RecipientResult) isLeft() bool {
	e := asError(r.Err)
	return r.Outcome != Accepted && e != nil && e.Temporary()
}

// newResult is the result of what has not been sent yet.
func newResult(to []Recipient) *Result {
	r := &Result{Recipients: make([]RecipientResult, len(to))}
	for i := range to {
		r.Recipients[i].Recipient = to[i]
	}
	return r
}

// note fills in the answers to MAIL and to the RCPT of each recipient. If MAIL
// was refused, that is everybody's answer, and not the 503s behind it.
func (r *Result) note(answers []answer) {
	if mail := answers[0]; mail.err != nil {
		r.settle(outcomeOf(mail.err), mail.reply, mail.err)
		return
	}
	var end error // of the session
	accepted := false
	for i, a := range answers[1:] {
		recipient := &r.Recipients[i]
		recipient.note(a)
		accepted = accepted || a.err == nil
		// RFC 5321, section 4.5.3.1.10: 452, or 552 from older servers.
		recipient.full = accepted && (a.reply.Code == 452 || a.reply.Code == 552)
		if a.err != nil && (a.reply.Code == 0 || a.reply.Code == 421) {
			end = cmp.Or(end, a.err)
		}
	}
	if end != nil {
		r.settle(NotSent, Reply{}, end)
	}
}

// note fills in the answer to the RCPT of r.
func (r *RecipientResult) note(a answer) {
	r.Reply = a.reply
	if a.reply.Code != 0 && a.err != nil {
		r.Outcome, r.Err, r.atRcpt = Refused, a.err, true
	}
}

// firstError returns the error of the first recipient that has one.
func (r *Result) firstError() error {
	for _, recipient := range r.Recipients {
		if recipient.Err != nil {
			return recipient.Err
		}
	}
	return nil
}

// cause returns the error of the first recipient who has one, but for those whom we
// have left out by ourselves.
func (r *Result) cause() error {
	for _, recipient := range r.Recipients {
		if recipient.Err != nil && !errors.Is(recipient.Err, errors.ErrUnsupported) {
			return recipient.Err
		}
	}
	return nil
}

// settle decides for every recipient that nothing was decided for.
func (r *Result) settle(outcome Outcome, reply Reply, err error) {
	for _, i := range r.open() {
		recipient := &r.Recipients[i]
		recipient.Outcome, recipient.Reply, recipient.Err = outcome, reply, err
	}
}

// open returns the indices of the recipients that nothing was decided for.
func (r *Result) open() (list []int) {
	for i, recipient := range r.Recipients {
		if recipient.open() {
			list = append(list, i)
		}
	}
	return list
}

// anyFull tells whether there was no room for a recipient.
func (r *Result) anyFull() bool {
	return slices.ContainsFunc(r.Recipients, func(r RecipientResult) bool { return r.full })
}

func (r *Result) anyOpen() bool {
	return slices.ContainsFunc(r.Recipients, RecipientResult.open)
}

// open tells whether nothing was decided for r, as it is after an accepted RCPT.
func (r RecipientResult) open() bool { return r.Outcome == NotSent && r.Err == nil }

// outcomeOf tells what err, of the end of a transaction, means for those whom
// it concerns.
func outcomeOf(err error) Outcome {
	e := asError(err)
	switch {
	case err == nil:
		return Accepted
	case e == nil:
		return NotSent
	case e.Unknown:
		return Unknown
	case e.Reply.Code != 0:
		return Refused
	}
	return NotSent
}

// err is nil if everybody got the mail, the one cause that kept it from all of
// them, or else a *RecipientsError.
func (r *Result) err() error {
	var failed []RecipientResult
	one := true
	for _, recipient := range r.Recipients {
		if recipient.Err != nil {
			failed = append(failed, recipient)
			one = one && recipient.Err == failed[0].Err && !recipient.atRcpt
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case one && len(failed) == len(r.Recipients):
		return failed[0].Err
	}
	return &RecipientsError{Failed: failed, Sent: len(failed) < len(r.Recipients)}
}

// Reply is what the server said. Lines are as they came, and untrusted; String
// is fit for a log.
type Reply struct {
	Code   int
	Status EnhancedStatus
	Lines  []string
}

// String returns code, status and the escaped text, as in: 550 5.1.1 "no such user".
func (r Reply) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d ", r.Code)
	if r.Status != (EnhancedStatus{}) {
		b.WriteString(r.Status.String() + " ")
	}
	b.WriteString(strconv.Quote(strings.Join(r.Lines, "\n")))
	return b.String()
}

// EnhancedStatus is an enhanced status code (RFC 3463), which says more than the reply
// code: 5.1.1 is an unknown mailbox. Zero: the server gave none.
type EnhancedStatus struct{ Class, Subject, Detail int }

// String returns the three numbers with dots between them, as in "5.1.1".
func (s EnhancedStatus) String() string {
	return fmt.Sprintf("%d.%d.%d", s.Class, s.Subject, s.Detail)
}

func replyOf(r wire.Reply) Reply {
	return Reply{r.Code, EnhancedStatus{r.Status[0], r.Status[1], r.Status[2]}, r.Lines}
}

// transcript spells a reply as it came, each line escaped, but no challenge.
func (r Reply) transcript() string {
	if r.Code == 334 {
		return "334 ***"
	}
	var lines []string
	for i, line := range r.Lines {
		separator := "-"
		if i == len(r.Lines)-1 {
			separator = " "
		}
		if r.Status != (EnhancedStatus{}) {
			line = r.Status.String() + " " + line
		}
		lines = append(lines, strconv.Itoa(r.Code)+separator+escape(line))
	}
	return strings.Join(lines, "\n")
}

// escape makes s fit for a line of a log.
func escape(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
