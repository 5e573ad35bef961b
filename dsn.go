package smtp

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/postrider/smtp/internal/wire"
)

// Return says how much of the mail a [Report] about it brings back (RFC 3461, section
// 4.3). Zero leaves it to the server.
type Return uint8

// The values of [Return].
const (
	ReturnFull    Return = 1 + iota // the whole message
	ReturnHeaders                   // its header only
)

// Notify says which events of a recipient are reported to the sender (RFC 3461, section
// 4.1); values other than [NotifyNever] can be or-ed. Zero asks nothing, and servers
// then report failures and mostly delays.
type Notify uint8

// The values of [Notify].
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Reports is what servers are asked to report of every mail of Send and SendAll (RFC
// 3461), where its [Message.Delivery] does not say otherwise.
type Reports struct {
	Return     Return
	Notify     Notify
	BestEffort bool // like that of Envelope, of every mail
}

// check finds what could not be asked.
func (r Reports) check() error {
	if _, err := r.Return.spell(); err != nil {
		return &FieldError{"Options.Reports.Return", err}
	}
	if _, err := r.Notify.spell(); err != nil {
		return &FieldError{"Options.Reports.Notify", err}
	}
	return nil
}

// ask fills in what e asks of each recipient. If that is anything, the Message-ID
// becomes the name of the envelope, if it can, so that the answer finds its mail.
func (e *Envelope) ask(r Reports, messageID string) {
	e.Return = cmp.Or(e.Return, r.Return)
	e.Notify = cmp.Or(e.Notify, r.Notify)
	e.BestEffort = e.BestEffort || r.BestEffort
	asks := e.Return != 0
	for i := range e.To {
		recipient := &e.To[i]
		recipient.Notify = cmp.Or(recipient.Notify, e.Notify)
		asks = asks || recipient.Notify&^NotifyNever != 0 || recipient.OriginalRecipient != ""
	}
	if !asks || e.EnvelopeID != "" {
		return
	}
	if _, err := xtext(messageID, maxEnvelopeID); err == nil {
		e.EnvelopeID = messageID
	}
}

// silent is e without what it asks about reports.
func (e Envelope) silent() Envelope {
	e.Return, e.EnvelopeID = 0, ""
	e.To = slices.Clone(e.To)
	for i, recipient := range e.To {
		e.To[i] = recipient.silent()
	}
	return e
}

func (r Recipient) silent() Recipient {
	r.Notify, r.OriginalRecipient = 0, ""
	return r
}

// asksReports tells whether anything about reports is asked of the server.
func (e Envelope) asksReports() bool {
	return e.Return != 0 || e.EnvelopeID != "" || slices.ContainsFunc(e.To, Recipient.asksReports)
}

func (r Recipient) asksReports() bool { return r.Notify != 0 || r.OriginalRecipient != "" }

const maxEnvelopeID = 100 // octets of xtext (RFC 3461, section 4.4)

// addMailStatus adds what e asks about reports to a MAIL command.
func addMailStatus(command *wire.Command, e Envelope) error {
	how, err := e.Return.spell()
	if err != nil {
		return &FieldError{"Return", err}
	}
	if _, err := e.Notify.spell(); err != nil {
		return &FieldError{"Notify", err}
	}
	if how != "" {
		command.Param("RET", how)
	}
	if e.EnvelopeID == "" {
		return nil
	}
	id, err := xtext(e.EnvelopeID, maxEnvelopeID)
	if err != nil {
		return &FieldError{"EnvelopeID", err}
	}
	command.Param("ENVID", id)
	return nil
}

// addRcptStatus adds what r asks about reports to a RCPT command, in a transaction
// with SMTPUTF8 or without.
func addRcptStatus(command *wire.Command, r Recipient, utf8 bool) error {
	notify := r.Notify
	if notify == 0 && r.OriginalRecipient != "" {
		// Exim 4.98 forgets ORCPT without NOTIFY. This is what a server reports
		// unasked (RFC 3461, section 4.1).
		notify = NotifyFailure | NotifyDelay
	}
	events, err := notify.spell()
	if err != nil {
		return &FieldError{"Notify", err}
	}
	if events != "" {
		command.Param("NOTIFY", events)
	}
	if r.OriginalRecipient == "" {
		return nil
	}
	original, err := r.original(utf8)
	if err != nil {
		return &FieldError{"OriginalRecipient", err}
	}
	command.Param("ORCPT", original)
	return nil
}

// original spells the OriginalRecipient, in a transaction with SMTPUTF8 or without.
func (r Recipient) original(utf8 bool) (string, error) {
	if _, err := forwardPath(r.OriginalRecipient, true); err != nil {
		return "", err
	}
	const limit = 500 // RFC 3461, section 4.2.
	if wire.IsASCII(r.OriginalRecipient) {
		original, err := xtext(r.OriginalRecipient, limit-len("rfc822;"))
		return "rfc822;" + original, err
	}
	mailbox, err := parseMailbox(r.OriginalRecipient)
	if err != nil {
		return "", err
	}
	original := wire.EncodeUTF8Address(mailbox.utf8(), utf8)
	if len(original) > limit-len("utf-8;") {
		return "", errors.New("is too long")
	}
	return "utf-8;" + original, nil
}

func (r Return) spell() (string, error) {
	switch r {
	case 0:
		return "", nil
	case ReturnFull:
		return "FULL", nil
	case ReturnHeaders:
		return "HDRS", nil
	}
	return "", errors.New("is none of ReturnFull and ReturnHeaders")
}

func (n Notify) spell() (string, error) {
	if n == NotifyNever {
		return "NEVER", nil
	}
	var events []string
	for i, name := range []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
		if n&(1<<i) != 0 {
			events = append(events, name)
		}
	}
	if n&NotifyNever != 0 || n > NotifySuccess|NotifyFailure|NotifyDelay {
		return "", errors.New("NotifyNever stands alone, and there are no other events than the constants")
	}
	return strings.Join(events, ","), nil
}

// xtext encodes a value that RFC 3461 keeps to printable ASCII and a length.
func xtext(s string, limit int) (string, error) {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return "", errors.New("holds what is not printable ASCII")
		}
	}
	encoded := wire.EncodeXText(s)
	if len(encoded) > limit {
		return "", errors.New("is too long")
	}
	return encoded, nil
}
