package smtp

import (
	"errors"
	"strings"

	"github.com/postrider/smtp/internal/wire"
)

// Return says how much of the mail a report about it brings back (RFC 3461,
// section 4.3). Zero leaves it to the server.
type Return uint8

// The values of [Return].
const (
	ReturnFull    Return = 1 + iota // the whole message
	ReturnHeaders                   // its header only
)

// Notify says which events of a recipient are reported to the sender (RFC 3461,
// section 4.1); values other than NotifyNever can be or-ed. Zero asks nothing,
// and servers then report failures and mostly delays.
type Notify uint8

// The values of [Notify].
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// addMailStatus adds what e asks about reports to a MAIL command.
func addMailStatus(command *wire.Command, e Envelope) error {
	switch e.Return {
	case 0:
	case ReturnFull:
		command.Param("RET", "FULL")
	case ReturnHeaders:
		command.Param("RET", "HDRS")
	default:
		return &FieldError{"Return", errors.New("is none of ReturnFull and ReturnHeaders")}
	}
	if e.EnvelopeID == "" {
		return nil
	}
	id, err := xtext(e.EnvelopeID, 100) // RFC 3461, section 4.4.
	if err != nil {
		return &FieldError{"EnvelopeID", err}
	}
	command.Param("ENVID", id)
	return nil
}

// addRcptStatus adds what r asks about reports to a RCPT command.
func addRcptStatus(command *wire.Command, r Recipient) error {
	if r.Notify != 0 {
		events, err := r.Notify.spell()
		if err != nil {
			return &FieldError{"Notify", err}
		}
		command.Param("NOTIFY", events)
	}
	if r.OriginalRecipient == "" {
		return nil
	}
	const limit = 500 // RFC 3461, section 4.2.
	if wire.IsASCII(r.OriginalRecipient) {
		original, err := xtext(r.OriginalRecipient, limit-len("rfc822;"))
		if err != nil {
			return &FieldError{"OriginalRecipient", err}
		}
		command.Param("ORCPT", "rfc822;"+original)
		return nil
	}
	mailbox, err := parseMailbox(r.OriginalRecipient)
	if err != nil {
		return &FieldError{"OriginalRecipient", err}
	}
	original := wire.EncodeUTF8Address(mailbox.utf8())
	if len(original) > limit-len("utf-8;") {
		return &FieldError{"OriginalRecipient", errors.New("is too long")}
	}
	command.Param("ORCPT", "utf-8;"+original)
	return nil
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
