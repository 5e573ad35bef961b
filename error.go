package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is what ended a step: the refusal of the server, or the failure that
// kept it from answering. Its text is fit for a log: what the server said is
// escaped, and no secret is in it.
type Error struct {
	Op    string // the step, as in "RCPT <bob@example.net>"
	Reply Reply  // what the server said; zero if it did not say anything
	Err   error  // the cause where there was no reply, or advice beside one; may be nil

	// Unknown: the mail may have been accepted, and may not. The link was lost
	// after the end of data may have left, and before its reply. Sending again
	// may deliver the mail twice. False means that it was certainly not accepted.
	Unknown bool

	transient bool // Err is a failure of the network
}

// Error names the step, what the server said, the cause and advice.
func (e *Error) Error() string {
	parts := []string{"smtp: " + e.Op}
	if e.Reply.Code != 0 {
		parts = append(parts, e.Reply.String())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.Unknown {
		parts = append(parts, "the mail may or may not have been accepted")
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary tells whether the step may well succeed later: the server said so (4yz), the
// network failed, or we stopped: a context or a Limiter, or a Mailer that was closed, which
// matches [net.ErrClosed]. It is false when Unknown. Of several recipients it speaks for
// one: [Result.Remaining] are those for whom to try again.
func (e *Error) Temporary() bool {
	if e.Reply.Code != 0 {
		return e.Reply.Code/100 == 4 && !e.Unknown
	}
	return e.transient && !e.Unknown
}

// RecipientsError says that some recipients did not get the mail, each for a reason of
// its own. The others did, if Sent is true.
type RecipientsError struct {
	Failed []RecipientResult
	Sent   bool
}

// Error tells whether anybody got the mail, and the first three causes.
func (e *RecipientsError) Error() string {
	if len(e.Failed) == 1 && !e.Sent {
		return e.Failed[0].Err.Error()
	}
	text := "smtp: nobody got the mail"
	switch {
	case e.Sent:
		text = "smtp: not everybody got the mail"
	case slices.ContainsFunc(e.Failed, func(r RecipientResult) bool { return r.Outcome == Unknown }):
		text = "smtp: nobody is known to have got the mail"
	}
	var told []error // One cause may have hit many; a long list helps nobody.
	for _, failed := range e.Failed {
		if !slices.Contains(told, failed.Err) && len(told) < 3 {
			told = append(told, failed.Err)
			text += "; " + failed.Err.Error()
		}
	}
	return text
}

// Unwrap returns the error of each failed recipient, those of unknown outcome
// first: errors.As then finds the one that matters most.
func (e *RecipientsError) Unwrap() []error {
	var unknown, certain []error
	for _, failed := range e.Failed {
		if failed.Outcome == Unknown {
			unknown = append(unknown, failed.Err)
		} else {
			certain = append(certain, failed.Err)
		}
	}
	return append(unknown, certain...)
}

// UnsupportedError says that what was asked for needs an extension that the
// server does not offer. It matches [errors.ErrUnsupported]; nothing was sent.
type UnsupportedError struct {
	Extension string         // as in EHLO: "STARTTLS", "AUTH PLAIN", "DSN"
	Advice    string         // what it may mean; may be empty
	Status    EnhancedStatus // 5.6.7: it is an address that needs it; else zero
}

// Error names the extension, and what its absence may mean.
func (e *UnsupportedError) Error() string {
	text := "the server offers no " + e.Extension
	if e.Status != (EnhancedStatus{}) {
		text += " (" + e.Status.String() + ")"
	}
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Is matches errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// FieldError says which field of a [Message], an [Envelope], Options or a Mailer holds
// what cannot be sent. It is found before anything is sent, but for a file that fails,
// or turns out to be another, when it is read.
type FieldError struct {
	Field string // as in "To[2]" or "Attachments[0].Name"
	Err   error
}

// Error names the field and what is wrong with it.
func (e *FieldError) Error() string { return "smtp: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// contextError joins the error of a context that has ended with its cause, so
// that both match.
func contextError(ctx context.Context) error {
	if err, cause := ctx.Err(), context.Cause(ctx); cause != err {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return ctx.Err()
}

// asError returns the [*Error] in err, or nil.
func asError(err error) *Error {
	if err == nil { // as it mostly is
		return nil
	}
	var e *Error
	errors.As(err, &e)
	return e
}
