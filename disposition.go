package smtp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/smtp/internal/format"
)

// Disposition is what a reader did with a mail (RFC 8098), in lower case.
type Disposition struct {
	Type        string   // "displayed", "deleted", "dispatched" or "processed"
	ActionMode  string   // "manual-action" or "automatic-action"
	SendingMode string   // "mdn-sent-manually" or "mdn-sent-automatically"
	Modifiers   []string // as in "error", of which Fields say more
}

// dispositionNotification reads a message/disposition-notification, or nil if it says
// nothing.
func dispositionNotification(blocks []format.Block) *Report {
	b := beforeMail(blocks)
	if !b.Has("disposition") {
		return nil
	}
	report := newReport(DispositionNotification, b)
	report.MessageID = firstIdentifier(b.Get("original-message-id"))
	report.Disposition = disposition(b.Get("disposition"))
	if b.Has(recipientFields...) {
		report.Recipients = []RecipientReport{{
			FinalRecipient:    addressName(b.Get("final-recipient")),
			OriginalRecipient: addressName(b.Get("original-recipient")),
		}}
	}
	return report
}

// beforeMail returns the fields that come before a header of a mail, which was to be a
// part of its own.
func beforeMail(blocks []format.Block) (b format.Block) {
	if i := slices.IndexFunc(blocks, isMailHeader); i >= 0 {
		blocks = blocks[:i]
	}
	return slices.Concat(blocks...)
}

func disposition(value string) *Disposition {
	value = strings.Trim(strings.ToLower(format.WithoutComments(value)), " ;")
	modes, what, ok := strings.Cut(value, ";")
	if !ok { // Some leave out who did it.
		modes, what = "", value
	}
	action, sending, _ := strings.Cut(modes, "/")
	kind, modifiers, _ := strings.Cut(what, "/")
	d := &Disposition{Type: strings.TrimSpace(kind), ActionMode: strings.TrimSpace(action), SendingMode: strings.TrimSpace(sending)}
	for modifier := range strings.SplitSeq(modifiers, ",") {
		if modifier = strings.TrimSpace(modifier); modifier != "" {
			d.Modifiers = append(d.Modifiers, modifier)
		}
	}
	return d
}

// Feedback is what a reader complains of (RFC 5965, section 3). Fields say more, as
// of the domains and links that the complaint is about.
type Feedback struct {
	Type      string     // "abuse", "fraud", "not-spam", "auth-failure" or another, in lower case
	UserAgent string     // what made the report
	SourceIP  netip.Addr // from which the mail came
	MailFrom  string     // its reverse-path; "<>": the null one
	Incidents int        // of which this report is one; zero: not told
}

// feedbackReport reads a message/feedback-report, or nil if it says nothing. What it
// names are recipients; that the mail was delivered to them is not said.
func feedbackReport(blocks []format.Block) *Report {
	b := beforeMail(blocks)
	if !b.Has("feedback-type") {
		return nil
	}
	report := newReport(FeedbackReport, b)
	incidents, _ := strconv.Atoi(format.WithoutComments(b.Get("incidents")))
	source, _ := netip.ParseAddr(sourceIP.Replace(format.WithoutComments(b.Get("source-ip"))))
	report.Feedback = &Feedback{
		Type:      strings.ToLower(format.WithoutComments(b.Get("feedback-type"))),
		UserAgent: b.Get("user-agent"),
		SourceIP:  source,
		MailFrom:  mailFrom(b.Get("original-mail-from")),
		Incidents: max(incidents, 0),
	}
	for _, field := range b {
		if field.Name == "original-rcpt-to" {
			report.Recipients = append(report.Recipients, RecipientReport{OriginalRecipient: addressName(field.Value)})
		}
	}
	return report
}

// sourceIP takes off what makes an address a literal (RFC 5321, section 4.1.3).
var sourceIP = strings.NewReplacer("[", "", "]", "", "IPv6:", "", "ipv6:", "")

func mailFrom(value string) string {
	if isNullPath(value) {
		return "<>"
	}
	return addressName(value).Name
}
