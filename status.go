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
		return strings.Contains(r.Address(), "@") && (r.Verdict != 0 || r.Status != EnhancedStatus{})
	}) {
		return nil
	}
	return report
}

// newReport reads what is told of the mail as a whole.
func newReport(kind ReportKind, b format.Block) *Report {
	return &Report{
		Kind:            kind,
		EnvelopeID:      wire.DecodeXText(clean(b.Get("original-envelope-id"))), // Some servers leave it as it was in ENVID.
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

func isRecipientField(name string) bool {
	return slices.Contains(recipientFields, name) || slices.Contains(outcomeFields, name) || slices.Contains(detailFields, name)
}

func hasReportField(b format.Block) bool {
	return slices.ContainsFunc(b, func(f format.BlockField) bool { return isReportField(f.Name) })
}

// statusBlocks gathers the fields of a report where they belong. There should be an
// empty line before each recipient, and nowhere else.
type statusBlocks struct {
	message    format.Block
	told       map[string]bool // the names of its fields
	recipients []format.Block
	last       map[string]bool // the names of the fields of the last recipient; nil: there is none
	returned   format.Block    // nil: not here
}

// take takes a block apart.
func (s *statusBlocks) take(fields format.Block) {
	b := &statusBlock{
		fields:       fields,
		names:        fields.Has(recipientFields...),
		isMessage:    fields.Has(messageFields...),
		hasAction:    fields.Has("action"),
		hasStatus:    fields.Has("status"),
		originalLast: index(fields, "original-recipient") > index(fields, "final-recipient"),
	}
	for i, field := range fields {
		if slices.Contains(messageFields, field.Name) && !s.told[field.Name] {
			s.tell(field)
			continue
		}
		begins := s.begins(b, i)
		if begins {
			b.first = field.Name
			s.recipients, s.last = append(s.recipients, nil), map[string]bool{}
		}
		if s.last == nil {
			s.tell(field)
			continue
		}
		b.isNew = b.isNew || begins || b.names
		last := &s.recipients[len(s.recipients)-1]
		*last = append(*last, field)
		s.last[field.Name] = true
	}
}

// statusBlock is a block that is being taken apart.
type statusBlock struct {
	fields               format.Block
	names                bool // it has a name of a recipient
	isMessage            bool // it is about the mail as a whole, at least in part
	hasAction, hasStatus bool
	originalLast         bool   // in it, an Original-Recipient comes behind its Final-Recipient
	isNew                bool   // the last recipient is one of this block
	first                string // the name of the field with which that one began
}

// begins tells whether the field of b with that index is the first one of another
// recipient than the last one.
func (s *statusBlocks) begins(b *statusBlock, i int) bool {
	name := b.fields[i].Name
	switch {
	case s.last == nil:
		return isRecipientField(name) || (b.names || b.hasAction || b.hasStatus) && !b.isMessage
	case b.isNew:
		return s.isNext(b, i)
	case b.names: // Or it goes on with one that an earlier block did not name.
		return s.last["final-recipient"] || s.last["original-recipient"] || s.last["action"] && b.hasAction || s.last["status"] && b.hasStatus
	}
	return name == "action" && s.last[name] || name == "status" && s.last[name] && b.hasAction
}

// isNext tells the same where there is no empty line before the field. Recipients begin
// with the same field, which may be any, but that an Original-Recipient can be missing.
func (s *statusBlocks) isNext(b *statusBlock, i int) bool {
	name := b.fields[i].Name
	switch {
	case slices.Contains(outcomeFields, b.first):
		return name == b.first
	case name == "original-recipient" && !s.last[name]:
		isOver := s.last["final-recipient"] && (s.last["action"] || s.last["status"])
		isBefore := i+1 < len(b.fields) && b.fields[i+1].Name == "final-recipient"
		return isOver && isBefore && !b.originalLast
	}
	return slices.Contains(recipientFields, name) && s.last[name]
}

// tell adds a field that is about the mail as a whole.
func (s *statusBlocks) tell(field format.BlockField) {
	if s.told == nil {
		s.told = map[string]bool{}
	}
	s.message = append(s.message, field)
	s.told[field.Name] = true
}

// index returns where the last field of a name is; -1: there is none.
func index(b format.Block, name string) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i].Name == name {
			return i
		}
	}
	return -1
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
		Status:            cmp.Or(statusIn(format.WithoutComments(b.Get("status"))), statusIn(b.Get("status"))),
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
	if r.Verdict == 0 && r.class() == 5 {
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
	kind, name := cutType(value)
	return TypedName{kind, clean(name)}
}

// cutType takes the type off a value, if it has one.
func cutType(value string) (kind, rest string) {
	kind, rest, ok := strings.Cut(value, ";")
	if kind = format.WithoutComments(kind); ok && isType.MatchString(kind) {
		return strings.ToLower(kind), strings.TrimSpace(rest)
	}
	return "", strings.TrimSpace(value)
}

var isType = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9_/-]*)?$`)

// addressName reads the address of a recipient. Some servers leave it in the form in
// which it was in ORCPT, though only their like should see that.
func addressName(value string) TypedName {
	n := typedName(value)
	n.Name = strings.TrimRight(n.Name, "; ")
	if name, ok := strings.CutSuffix(n.Name, ">"); ok {
		n.Name = strings.TrimSpace(name[strings.LastIndex(name, "<")+1:])
	}
	switch decoded := wire.DecodeXText(n.Name); {
	case n.Type == "utf-8":
		n.Name = clean(wire.DecodeUTF8Address(n.Name)) // RFC 6533, section 3.
	case n.Type == "rfc822" && (strings.HasPrefix(decoded, `"`) || !strings.Contains(decoded, " ")): // Else "+20" is a tag.
		n.Name = decoded
	}
	return n
}

// statusIn finds an enhanced status code (RFC 3463, section 2) among other words.
func statusIn(value string) EnhancedStatus {
	return newStatus(enhancedStatus.FindStringSubmatch(value))
}

// statusPattern has class, subject and detail as its groups.
const statusPattern = `([245])\.(\d{1,3})\.(\d{1,3})`

var enhancedStatus = regexp.MustCompile(`(?:^|[^\d.])` + statusPattern + `(?:$|\.?(?:$|[^\d.]))`)

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
	d.Type, value = cutType(value)
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
	replyCode     = regexp.MustCompile(`^[2-5]\d\d(?:[ \t:;,-]\s*|$)`)
	leadingStatus = regexp.MustCompile(`^[(\[]?#?` + statusPattern + `(?:[)\]]|[\s:,;]|$)`)
)
