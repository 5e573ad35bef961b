package smtp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/postrider/smtp/internal/format"
)

// ErrNotReport says that a mail is no report of the kind that was looked for.
var ErrNotReport = errors.New("smtp: the mail is not a report")

// ReportKind says what a report is about.
type ReportKind uint8

// The kinds of reports.
const (
	DeliveryStatus          ReportKind = 1 + iota // what became of a mail on its way (RFC 3464)
	DispositionNotification                       // what its reader did with it (RFC 8098)
	FeedbackReport                                // what its reader complains of (RFC 5965)
)

// String returns the report-type of RFC 6522, as in "delivery-status".
func (k ReportKind) String() string {
	names := [...]string{1: "delivery-status", 2: "disposition-notification", 3: "feedback-report"}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return "ReportKind(" + strconv.Itoa(int(k)) + ")"
}

// Report is what somebody else's server, or reader, says of a mail. Anyone can forge one
// (RFC 3464, section 4.1): act upon those that name a mail of yours by an EnvelopeID or
// MessageID that nobody can guess. Zero: not told.
type Report struct {
	Kind       ReportKind
	EnvelopeID string // with which the mail was sent; +2B, +3D and +20 in it are taken for xtext
	MessageID  string // of the mail, without brackets

	ReportingMTA    TypedName // the server that tells
	ReceivedFromMTA TypedName // from which it had the mail
	Gateway         TypedName // which translated the report
	ArrivalDate     time.Time // of the mail, at the ReportingMTA

	Recipients  []RecipientReport
	Disposition *Disposition // of a DispositionNotification; else nil
	Feedback    *Feedback    // of a FeedbackReport; else nil

	Rule     string      // by which ParseBounce knew it; empty: a report that ParseReport has read
	Header   mail.Header // of the report itself: its To may be an address for this one mail
	Fields   mail.Header // what was said of the mail as a whole, with all of the above, unfolded
	Returned mail.Header // that of the mail itself, unfolded; nil if it did not come back
}

// TypedName is the name of something, and what type of name that is, in lower case,
// as in {"dns", "mx.example.net"} or {"rfc822", "bob@example.net"}. The type is empty
// where it was left out. Comments are left out.
type TypedName struct{ Type, Name string }

// String returns the two as they are in a report.
func (n TypedName) String() string {
	if n.Type == "" {
		return n.Name
	}
	return n.Type + ";" + n.Name
}

// Verdict is what became of a mail for one recipient. Zero: that was not told.
type Verdict uint8

// The verdicts (RFC 3464, section 2.3.3).
const (
	Delivered Verdict = 1 + iota // into a mailbox, or to a mailing list
	Relayed                      // to a server that does not report successes
	Expanded                     // to several addresses that stand behind the one
	Delayed                      // not yet, and the server goes on trying
	Failed                       // for good, as far as the server is concerned
)

// String returns the verdict in lower case, as in "failed"; zero is "not told".
func (v Verdict) String() string {
	names := [...]string{"not told", "delivered", "relayed", "expanded", "delayed", "failed"}
	if int(v) < len(names) {
		return names[v]
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// RecipientReport is what a [Report] says of one recipient.
type RecipientReport struct {
	Verdict           Verdict
	FinalRecipient    TypedName // as the reporting server had it
	OriginalRecipient TypedName // as the mail was sent, if the server was told
	Status            EnhancedStatus
	RemoteMTA         TypedName  // the server that said what Diagnostic is
	Diagnostic        Diagnostic // why

	LastAttempt    time.Time
	WillRetryUntil time.Time // of a Delayed one
	FinalLogID     string    // of the mail in the log of the server

	Fields mail.Header // all that was said of the recipient, unfolded
}

// Address is that of the OriginalRecipient, or else of the FinalRecipient. Behind an
// alias, that is one that the mail was not sent to.
func (r RecipientReport) Address() string {
	return cmp.Or(r.OriginalRecipient.Name, r.FinalRecipient.Name)
}

// Temporary tells whether a mail is [Delayed], or has Failed for a passing reason, by
// Status or else Diagnostic: another mail may arrive.
func (r RecipientReport) Temporary() bool {
	return r.Verdict == Delayed || r.class() == 4 && (r.Verdict == 0 || r.Verdict == Failed)
}

// Permanent tells whether a mail has Failed for a reason that another mail will meet as
// well. A failure without any code is neither that nor Temporary.
func (r RecipientReport) Permanent() bool { return r.Verdict == Failed && r.class() == 5 }

func (r RecipientReport) class() int {
	return cmp.Or(r.Status.Class, r.Diagnostic.Status.Class, r.Diagnostic.Code/100)
}

// Diagnostic is the reply that decided, taken apart.
type Diagnostic struct {
	Type   string         // "smtp", or what else the server speaks, in lower case
	Code   int            // zero: there is none
	Status EnhancedStatus // zero: there is none
	Text   string         // what is behind them, as a stranger wrote it; String is fit for a log
}

// String returns code, status and the escaped text, as in: 550 5.1.1 "no such user". It
// is empty if there is nothing.
func (d Diagnostic) String() string {
	if d == (Diagnostic{}) {
		return ""
	}
	said := strconv.Quote(d.Text)
	if d.Status != (EnhancedStatus{}) {
		said = d.Status.String() + " " + said
	}
	if d.Code != 0 {
		said = strconv.Itoa(d.Code) + " " + said
	}
	return said
}

// ParseReport reads a mail, as far as it must, and finds the report in it, even if it
// was forwarded. Memory stays bounded: over 1 MiB of fields or 1000 parts are an error. A
// mail without a report is [ErrNotReport], whatever it says in words: [ParseBounce] knows
// some of these.
func ParseReport(r io.Reader) (*Report, error) {
	p := &reportParser{returned: map[*format.Entity]mail.Header{}}
	err := p.walk.Entity(r, p.visit)
	found := cmp.Or(p.found, p.likely)
	switch readErr := p.walk.ReadError(); {
	case readErr != nil && err != errEnough:
		return nil, fmt.Errorf("smtp: reading a report: %w", readErr)
	case found == nil && err != nil:
		return nil, fmt.Errorf("smtp: reading a report: %w", err)
	case found == nil:
		return nil, ErrNotReport
	}
	report := found.report
	report.Header = found.header
	if report.Returned == nil {
		report.Returned = p.returned[found.within]
	}
	if report.Returned == nil && len(p.returned) == 1 { // It is in a multipart of its own.
		for _, returned := range p.returned {
			report.Returned = returned
		}
	}
	for _, value := range []string{report.Returned.Get("Message-Id"), report.Fields.Get("X-Original-Message-Id")} {
		report.MessageID = cmp.Or(report.MessageID, firstIdentifier(value))
	}
	return report, nil
}

// firstIdentifier returns the first message identifier of a field, even one that lacks
// its brackets.
func firstIdentifier(value string) string {
	match := identifier.FindStringSubmatch(value)
	if match == nil {
		return ""
	}
	return clean(strings.TrimSpace(cmp.Or(match[1], match[2])))
}

// identifier is one in any script (RFC 6532, section 3.3).
var identifier = regexp.MustCompile(`<([^<>]+)>|^([^<>\s]+)(?:\s*\([^()]*\))?$`)

// reportParser looks for a report in a mail.
type reportParser struct {
	messageState
	walk     format.Walk
	found    *foundReport                   // the first part with the type of a report
	likely   *foundReport                   // the first part that looks like one, under another type
	returned map[*format.Entity]mail.Header // of the messages that multiparts bring back
}

// messageState is what is known of the message that is being read.
type messageState struct {
	header       mail.Header
	isFromSystem bool // no person sent it
	isBounce     bool // it says in words what ParseBounce knows
	sawText      bool // its first text was read
}

// foundReport is a report, and the multipart that it is a part of.
type foundReport struct {
	report *Report
	header mail.Header // of the message that it is in
	within *format.Entity
}

// errEnough ends the walk.
var errEnough = errors.New("the rest does not matter")

func (p *reportParser) visit(e *format.Entity) error {
	if e.Multipart == nil {
		header := headerOf(e.Header)
		said := firstWord(header, "Auto-Submitted")
		p.messageState = messageState{header: header, isFromSystem: isFromSystem(header) || said != "" && said != "no"}
	}
	kind, subtype, _ := strings.Cut(e.Type, "/")
	subtype = strings.TrimPrefix(subtype, "global-") // RFC 6533, section 4.4: any of them is to be expected.
	var err error
	switch read := reportReaders[subtype]; {
	case read != nil:
		err = p.report(e, read)
	case kind == "message", subtype == "rfc822-headers", subtype == "rfc822-header":
		err = p.message(e)
	case isInReport(e) && isPlain(e), p.isFromSystem && isText(e) && !isFromList(p.header):
		err = p.text(e)
	}
	if err == nil && p.found != nil && (p.found.within == nil || p.returned[p.found.within] != nil) {
		err = errEnough
	}
	return err
}

// maxLikely is how far a part is read that may be anything.
const maxLikely = 256 << 10

// text reads a part with another type than it should have: of a report, or of what a
// report brings back.
func (p *reportParser) text(e *format.Entity) error {
	text, err := io.ReadAll(io.LimitReader(e.Body(), maxLikely))
	if err != nil {
		return err
	}
	text = beforeCopy(text)
	if !p.sawText {
		_, list := recipientsIn(string(text[:min(len(text), maxBounce)]))
		p.sawText, p.isBounce = true, len(list) > 0
	}
	blocks := blocksOf(e, text)
	if len(blocks) > 0 && isMailHeader(blocks[0]) && p.returned[e.Multipart] == nil && p.isBehindReport(e) {
		p.returned[e.Multipart] = headerOf(blocks[0])
		return nil
	}
	readers := []func([]format.Block) *Report{likelyStatus}
	if isInReport(e) {
		readers = append(readers, dispositionNotification, feedbackReport)
	}
	for _, read := range readers {
		if report := read(blocks); report != nil && p.likely == nil {
			p.likely = &foundReport{report, p.header, e.Multipart}
		}
	}
	return nil
}

// beforeCopy returns what a text says before it goes on with a copy of another mail.
func beforeCopy(text []byte) []byte {
	if at := copyMarker.FindIndex(text); at != nil {
		return text[:at[0]]
	}
	return text
}

var copyMarker = regexp.MustCompile(`(?im)^[ \t*=_-]*(?:(?:this|below|included|here)\b.{0,30})?(?:copy of (?:the|your)|(?:original|forwarded|unsent|returned) message|message headers? follow)`)

// isText tells whether e is text that is not attached.
func isText(e *format.Entity) bool {
	return e.IsLeaf() && (e.Type == "" || e.Type == "text/plain" || strings.HasPrefix(e.Type, "multipart/")) &&
		!strings.HasPrefix(strings.ToLower(e.Header.Get("content-disposition")), "attachment")
}

// isPlain tells whether e may be a part of a report under the type of another thing.
func isPlain(e *format.Entity) bool {
	return e.IsLeaf() && (e.Type == "text/plain" || e.Type == "application/octet-stream") || isText(e)
}

// isInReport tells whether e is a part of a multipart/report, or of one of its parts.
func isInReport(e *format.Entity) bool {
	for within := e.Multipart; within != nil; within = within.Multipart {
		if within.Type == "multipart/report" {
			return true
		}
	}
	return false
}

// isBehindReport tells whether a report was found in the same multipart before.
func (p *reportParser) isBehindReport(e *format.Entity) bool {
	is := func(f *foundReport) bool { return f != nil && f.within != nil && f.within == e.Multipart }
	return is(p.found) || is(p.likely)
}

var reportReaders = map[string]func([]format.Block) *Report{
	"delivery-status":          deliveryStatus,
	"xdelivery-status":         deliveryStatus, // XWall
	"disposition-notification": dispositionNotification,
	"feedback-report":          feedbackReport,
}

// report reads a part that has the type of a report. There may be one for each recipient.
func (p *reportParser) report(e *format.Entity, read func([]format.Block) *Report) error {
	text, err := p.walk.Fields(e)
	if err != nil {
		return err
	}
	switch report := read(blocksOf(e, text)); {
	case report == nil:
	case p.found == nil:
		p.found = &foundReport{report, p.header, e.Multipart}
	case p.found.within == e.Multipart && p.found.report.Kind == report.Kind:
		p.found.report.Recipients = append(p.found.report.Recipients, report.Recipients...)
	}
	return nil
}

// blocksOf reads the fields of a part. Where an empty line is missing, the first of them
// are in its header.
func blocksOf(e *format.Entity, text []byte) []format.Block {
	blocks := format.Blocks(inUTF8(text, e.Params["charset"]))
	begin := slices.IndexFunc(e.Header, func(f format.BlockField) bool { return isReportField(f.Name) })
	if begin >= 0 && e.Multipart != nil {
		first := slices.DeleteFunc(slices.Clone(e.Header[begin:]), func(f format.BlockField) bool { return strings.HasPrefix(f.Name, "content-") })
		blocks = slices.Insert(blocks, 0, first)
	}
	return blocks
}

// inUTF8 takes what is not UTF-8 for what it says that it is, or else for the charset
// that most software without one has.
func inUTF8(text []byte, charset string) []byte {
	if utf8.Valid(text) {
		return text
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil || encoding == unicode.UTF8 {
		encoding = charmap.Windows1252
	}
	decoded, err := encoding.NewDecoder().Bytes(text)
	if err != nil {
		return bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	return decoded
}

// message looks into a message within the mail. If it is what a report brings back, or a
// bounce or an answer, its header will do, and what it reports itself is of no interest.
func (p *reportParser) message(e *format.Entity) error {
	isAnswer := ParseAutoSubmitted(p.header) == AutoReplied && !isFromDaemon(p.header)
	isReturned := p.found != nil || p.isBehindReport(e) || isInReport(e) || p.isBounce || isAnswer
	outer := p.messageState
	defer func() { p.messageState = outer }()
	err := p.walk.Entity(e.Body(), func(inner *format.Entity) error {
		isFirst := inner.Multipart == nil && p.returned[e.Multipart] == nil && len(inner.Header) > 0
		if isFirst && (p.isBehindReport(e) || isInReport(e)) {
			p.returned[e.Multipart] = headerOf(inner.Header)
		}
		if isReturned {
			return errEnough
		}
		return p.visit(inner)
	})
	if isReturned && err == errEnough {
		err = nil
	}
	return err
}

// headerOf is a block for those who use the package; nil: there are no fields.
func headerOf(b format.Block) mail.Header {
	if len(b) == 0 {
		return nil
	}
	header := mail.Header{}
	for _, field := range b {
		name := textproto.CanonicalMIMEHeaderKey(field.Name)
		header[name] = append(header[name], string(inUTF8([]byte(field.Value), "")))
	}
	return header
}
