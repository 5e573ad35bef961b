package smtp

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/smtp/internal/format"
	"github.com/postrider/smtp/internal/wire"
)

// deliveryStatus reads a message/delivery-status (RFC 3464, section 2), or nil if
// there is nothing of one in it.
func deliveryStatus(blocks []format.Block) *Report {
	var s statusBlocks
	for _, b := range blocks {
		if isMailHeader(b) { // It was to be a part of its own.
			s.returned = b
			break
		}
		if !b.Has("content-type") || hasReportField(b) { // Or it is about the next part.
			s.take(b)
		}
	}
	if !s.message.Has(messageFields...) && len(s.recipients) == 0 {
		return nil
	}
	report := newReport(DeliveryStatus, s.message)
	if s.returned != nil {
		report.Returned = headerOf(s.returned)
	}
	for _, b := range s.recipients {
		report.Recipients = append(report.Recipients, recipientReport(b))
	}
	return report
}

// likelyStatus reads what has another type, and perhaps other text before. It must name
// a recipient, and say what became of the mail.
func likelyStatus(blocks []format.Block) *Report {
	report := deliveryStatus(blocks[max(slices.IndexFunc(blocks, hasReportField), 0):])
	if report == nil || !slices.ContainsFunc(report.Recipients, func(r RecipientReport) bool {
		return r.Address() != "" && (r.Verdict != 0 || r.Status != EnhancedStatus{})
	}) {
		return nil
	}
	return report
}

// newReport reads what is told of the mail as a whole.
func newReport(kind ReportKind, b format.Block) *Report {
	return &Report{
		Kind:            kind,
		EnvelopeID:      wire.DecodeXText(b.Get("original-envelope-id")), // Some servers leave it as it was in ENVID.
		ReportingMTA:    typedName(b.Get("reporting-mta")),
		ReceivedFromMTA: typedName(b.Get("received-from-mta")),
		Gateway:         typedName(cmp.Or(b.Get("dsn-gateway"), b.Get("mdn-gateway"))),
		ArrivalDate:     format.ParseDate(cmp.Or(b.Get("arrival-date"), b.Get("received-date"))),
		Fields:          headerOf(b),
	}
}

// The names of fields of RFC 3464 that are about the mail as a whole (section 2.2), and
// of those that are about a recipient (section 2.3).
var (
	messageFields   = []string{"original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date"}
	recipientFields = []string{"final-recipient", "original-recipient"}
	outcomeFields   = []string{"action", "status"}
	detailFields    = []string{"remote-mta", "diagnostic-code", "last-attempt-date", "final-log-id", "will-retry-until"}
)

// isReportField tells whether a field is one that only reports have.
func isReportField(name string) bool {
	return slices.Contains(messageFields, name) || slices.Contains(recipientFields, name) || name == "feedback-type" || name == "disposition"
}

func hasReportField(b format.Block) bool {
	return slices.ContainsFunc(b, func(f format.BlockField) bool { return isReportField(f.Name) })
}

// statusBlocks gathers the fields of a report where they belong. There should be an
// empty line before each recipient, and nowhere else.
type statusBlocks struct {
	message    format.Block
	recipients []format.Block
	returned   format.Block // nil: not here
}

func (s *statusBlocks) take(b format.Block) {
	isNew := false // The last recipient is one of b.
	for i, field := range b {
		isMessage := slices.Contains(messageFields, field.Name) && !s.message.Has(field.Name)
		switch {
		case isMessage:
			s.message = append(s.message, field)
		case s.begins(b, i, isNew):
			s.recipients = append(s.recipients, format.Block{field})
			isNew = true
		case len(s.recipients) == 0:
			s.message = append(s.message, field)
		default:
			last := &s.recipients[len(s.recipients)-1]
			*last = append(*last, field)
			isNew = isNew || b.Has(recipientFields...) // It began in a block that did not name it.
		}
	}
}

// begins tells whether the field of b with that index is the first one of another
// recipient than the last one.
func (s *statusBlocks) begins(b format.Block, i int, isNew bool) bool {
	var last format.Block
	if n := len(s.recipients); n > 0 {
		last = s.recipients[n-1]
	}
	name := b[i].Name
	switch isRecipient := slices.Contains(recipientFields, name); {
	case last == nil:
		return isRecipient || slices.Contains(outcomeFields, name) || slices.Contains(detailFields, name) || b.Has(recipientFields...) && !b.Has(messageFields...)
	case !isNew && b.Has(recipientFields...):
		return last.Has(recipientFields...)
	case !isNew:
		return slices.Contains(outcomeFields, name) && last.Has(name)
	case name == "original-recipient" && !last.Has(name): // Or it is what follows its own Final-Recipient.
		return last.Has("final-recipient") && last.Has(outcomeFields...) && i+1 < len(b) && b[i+1].Name == "final-recipient"
	}
	return slices.Contains(recipientFields, name) && last.Has(name)
}

// isMailHeader tells whether b is the header of a mail, and no part of a report.
func isMailHeader(b format.Block) bool {
	return !hasReportField(b) && (b.Has("message-id", "received") || b.Has("from") && b.Has("to", "subject", "date"))
}

// recipientReport reads what is told of one recipient (RFC 3464, section 2.3).
func recipientReport(b format.Block) RecipientReport {
	r := RecipientReport{
		FinalRecipient:    addressName(b.Get("final-recipient")),
		OriginalRecipient: addressName(b.Get("original-recipient")),
		Status:            statusIn(b.Get("status")),
		RemoteMTA:         typedName(b.Get("remote-mta")),
		Diagnostic:        diagnostic(b.Get("diagnostic-code")),
		LastAttempt:       format.ParseDate(b.Get("last-attempt-date")),
		WillRetryUntil:    format.ParseDate(b.Get("will-retry-until")),
		FinalLogID:        b.Get("final-log-id"),
		Fields:            headerOf(b),
	}
	action := strings.ToLower(format.WithoutComments(b.Get("action")))
	if end := strings.IndexFunc(action, func(r rune) bool { return r < 'a' || r > 'z' }); end >= 0 {
		action = action[:end]
	}
	r.Verdict = verdicts[action]
	if r.Verdict == 0 && r.Status.Class == 5 {
		r.Verdict = Failed
	}
	return r
}

var verdicts = map[string]Verdict{"delivered": Delivered, "relayed": Relayed, "expanded": Expanded, "delayed": Delayed, "failed": Failed}

// typedName reads a type, a semicolon and a name (RFC 3464, section 2.1.2), with or
// without the first two.
func typedName(value string) TypedName {
	if !strings.HasPrefix(strings.ToLower(value), "x400") { // RFC 1327 and its like write (a) for @.
		value = format.WithoutComments(value)
	}
	kind, name, ok := strings.Cut(value, ";")
	if kind = strings.TrimSpace(kind); ok && isAtom.MatchString(kind) {
		return TypedName{strings.ToLower(kind), strings.TrimSpace(name)}
	}
	return TypedName{Name: value}
}

var isAtom = regexp.MustCompile(`^[A-Za-z0-9_/-]+$`)

// addressName reads the address of a recipient. Some servers leave it in the form in
// which it was in ORCPT, though only their like should see that.
func addressName(value string) TypedName {
	n := typedName(value)
	if _, inner, ok := strings.Cut(n.Name, "<"); ok {
		n.Name = inner
	}
	n.Name, _, _ = strings.Cut(n.Name, ">")
	if n.Type == "utf-8" {
		n.Name = wire.DecodeUTF8Address(n.Name) // RFC 6533, section 3.
		return n
	}
	n.Name = wire.DecodeXText(n.Name)
	return n
}

// statusIn finds an enhanced status code (RFC 3463, section 2) among other words.
func statusIn(value string) EnhancedStatus {
	return newStatus(enhancedStatus.FindStringSubmatch(value))
}

var enhancedStatus = regexp.MustCompile(`(?:^|[^\d.])([245])\.(\d{1,3})\.(\d{1,3})(?:$|\D)`)

func newStatus(match []string) EnhancedStatus {
	if match == nil {
		return EnhancedStatus{}
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(match[i+1])
	}
	return EnhancedStatus{n[0], n[1], n[2]}
}

// diagnostic reads a Diagnostic-Code (RFC 3464, section 2.3.6). It has no comments
// that could be told from the words of a server.
func diagnostic(value string) Diagnostic {
	var d Diagnostic
	if decoded, err := words.DecodeHeader(value); err == nil {
		value = decoded
	}
	kind, text, ok := strings.Cut(value, ";")
	if kind = strings.TrimSpace(kind); ok && isAtom.MatchString(kind) {
		d.Type, value = strings.ToLower(kind), text
	}
	value = strings.TrimSpace(value)
	if match := replyCode.FindString(value); match != "" {
		d.Code, _ = strconv.Atoi(match[:3])
		value = value[len(match):]
	}
	if match := leadingStatus.FindStringSubmatch(value); match != nil {
		d.Status = newStatus(match)
		value = value[len(match[0]):]
	}
	d.Text = strings.TrimSpace(value)
	return d
}

var (
	replyCode     = regexp.MustCompile(`^[2-5]\d\d(?:[ -]\s*|$)`)
	leadingStatus = regexp.MustCompile(`^\(?#?([245])\.(\d{1,3})\.(\d{1,3})(?:\)|[\s:]|$)`)
)
