package smtp

import (
	"cmp"
	"fmt"
	"io"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/smtp/internal/format"
)

// ParseBounce reads a mail in which [ParseReport] found no report, and which a server
// wrote in words of a form that is known: the [Report.Rule], one of
// "x-failed-recipients", "qmail", "yahoo", "postfix", "exim", "sendmail", "gmail",
// "opensmtpd", "dma", "exchange" and "domino". Any other mail is [ErrNotReport]: nothing
// is guessed. Recipients have a FinalRecipient.
func ParseBounce(r io.Reader) (*Report, error) {
	p := &bounceParser{}
	if err := cmp.Or(p.walk.Entity(r, p.visit), p.walk.ReadError()); err != nil && err != errEnough {
		return nil, fmt.Errorf("smtp: reading a bounce: %w", err)
	}
	rule, recipients := p.recipients()
	if len(recipients) == 0 {
		return nil, ErrNotReport
	}
	return &Report{
		Kind: DeliveryStatus, Rule: rule, Recipients: recipients, Header: p.header, Returned: p.returned,
		MessageID: firstIdentifier(p.returned.Get("Message-Id")),
	}, nil
}

// maxBounce is how far a text is read. What failed comes first.
const maxBounce = 64 << 10

// bounceParser takes what matters out of a mail.
type bounceParser struct {
	walk     format.Walk
	header   mail.Header // of the mail
	text     string      // its first; empty: none so far
	returned mail.Header // nil: none so far
}

func (p *bounceParser) visit(e *format.Entity) error {
	if p.header == nil {
		p.header = headerOf(e.Header)
	}
	switch {
	case e.IsLeaf() && p.text == "" && (e.Type == "" || e.Type == "text/plain"):
		text, err := io.ReadAll(io.LimitReader(e.Body(), maxBounce))
		if err != nil {
			return err
		}
		text = inUTF8(text, e.Params["charset"])
		p.text = string(text)
		blocks := format.Blocks(text)
		if i := slices.IndexFunc(blocks, isMailHeader); i >= 0 {
			p.returned = headerOf(blocks[i])
		}
	case p.text != "" && (e.Type == "message/rfc822" || e.Type == "message/global" || e.Type == "text/rfc822-headers"):
		return p.walk.Entity(e.Body(), func(inner *format.Entity) error {
			p.returned = headerOf(inner.Header)
			return errEnough
		})
	}
	return nil
}

// recipients finds who did not get the mail, and by which rule. What is said of those
// in the header field of Exim, which others have as well, is in the text.
func (p *bounceParser) recipients() (rule string, list []RecipientReport) {
	if !isFromSystem(p.header) {
		return "", nil
	}
	rule, list = recipientsIn(string(beforeCopy([]byte(p.text))))
	if failed := p.failed(list); len(failed) > 0 {
		return "x-failed-recipients", failed
	}
	return rule, list
}

// lineEnds makes every end of a line a LF: a text may be of any system.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// recipientsIn finds the recipients that a text names, and by which rule.
func recipientsIn(text string) (rule string, list []RecipientReport) {
	text = lineEnds.Replace(text)
	for _, r := range bounceRules {
		if list := r.read(text); len(list) > 0 {
			return r.name, list
		}
	}
	return "", nil
}

// failed lists those in the header field, with what the text says of them.
func (p *bounceParser) failed(told []RecipientReport) (list []RecipientReport) {
	verdict := Failed
	byName, seen := map[string]RecipientReport{}, map[string]bool{}
	for _, r := range told {
		verdict = r.Verdict // Of a rule, all have the same.
		byName[strings.ToLower(r.Address())] = r
	}
	for _, name := range strings.Split(strings.Join(p.header["X-Failed-Recipients"], ","), ",") {
		name = strings.TrimSpace(name)
		key := strings.ToLower(name)
		if !isMailboxName(name) || seen[key] {
			continue
		}
		seen[key] = true
		r, ok := byName[key]
		if !ok {
			r = RecipientReport{Verdict: verdict, FinalRecipient: TypedName{Name: name}}
		}
		list = append(list, r)
	}
	return list
}

// bounceRule is a form in which a kind of server states who did not get a mail.
type bounceRule struct {
	name    string
	verdict Verdict
	opening *regexp.Regexp // the lines before the list, or the one with the only recipient
	entry   *regexp.Regexp // a line of the list: the address, and perhaps what is said of it
	skips   bool           // there may be other text before the list
	rest    bool           // what is said of all of them comes behind the list
}

var (
	addressAlone    = regexp.MustCompile(`^\s*<?"?([^\s<>"]+@[^\s<>":,;]+)"?>?:?\s*()$`)
	addressInAngles = regexp.MustCompile(`^<([^\s<>]+@[^\s<>]+)>:\s*(.*)$`)
	addressWithDate = regexp.MustCompile(`^\s*<?'?([^\s<>']+@[^\s<>']+)'?>? on ()\w.*$`)
	addressFirst    = regexp.MustCompile(`^\s*<?"?([^\s<>"]+@[^\s<>":,;]+)"?>?:?(?:\s+(.*))?$`)
)

// bounceRules are tried in order.
var bounceRules = []bounceRule{
	// The qmail-send Bounce Message Format, by D. J. Bernstein: https://cr.yp.to/proto/qsbmf.txt
	{name: "qmail", verdict: Failed, opening: regexp.MustCompile(`^\s*Hi\. This is the `), entry: addressInAngles, skips: true},
	{name: "yahoo", verdict: Failed, opening: opening(`Unable to deliver message to the following address\(es\)\.`), entry: addressInAngles},
	{name: "yahoo", verdict: Failed, opening: opening(`Sorry, we were unable to deliver your message to the following address(?:es)?\.`), entry: addressInAngles},
	{name: "postfix", verdict: Failed, opening: opening(`This is the Postfix (?:[^\n]* )?program at host`), entry: addressInAngles, skips: true},
	{name: "exim", verdict: Failed, opening: opening(`The following address(?:\(?es\)?)? ?failed:`), entry: addressFirst},
	{name: "exim", verdict: Delayed, opening: opening(`The address(?:es)? to which the message has not yet been delivered (?:is|are):`), entry: addressFirst},
	{name: "sendmail", verdict: Failed, opening: opening(`-----\s*The following addresses had permanent fatal errors\s*-----`), entry: addressAlone},
	{name: "sendmail", verdict: Delayed, opening: opening(`-----\s*The following addresses had transient non-fatal errors\s*-----`), entry: addressAlone},
	{name: "gmail", verdict: Failed, opening: opening(`Delivery to the following recipients? failed permanently:`), entry: addressAlone, rest: true},
	{name: "gmail", verdict: Delayed, opening: opening(`Delivery to the following recipients? has been delayed:`), entry: addressAlone, rest: true},
	{name: "opensmtpd", verdict: Failed, opening: opening(`An error has occurred while attempting to deliver a message for the following list of recipients:`), entry: addressFirst},
	{name: "dma", verdict: Failed, opening: opening(`There was an error delivering your mail to`), entry: regexp.MustCompile(`^\s*<([^\s<>]+@[^\s<>]+)>\.()$`), rest: true},
	{name: "exchange", verdict: Failed, opening: opening(`did not reach the following recipient\(s\):`), entry: addressWithDate},
	{name: "exchange", verdict: Failed, opening: opening(`The following recipient\(s\) could not be reached:`), entry: addressWithDate},
	{name: "domino", verdict: Failed, opening: opening(`was not delivered to:`), entry: addressAlone, rest: true},
}

// opening finds a phrase that begins a line, however it is broken over lines.
func opening(phrase string) *regexp.Regexp {
	return regexp.MustCompile(`(?im)(?:^|[.!] |message\.\s)[ \t]*` + strings.ReplaceAll(phrase, " ", `\s+`))
}

// read returns the recipients that a text names, or nil.
func (rule *bounceRule) read(text string) []RecipientReport {
	at := rule.opening.FindStringIndex(text)
	if at == nil {
		return nil
	}
	entries, rest := rule.list(strings.Split(text[at[1]:], "\n"))
	if !rule.rest {
		rest = nil
	}
	ofAll := bounceEntry{said: rest}.report(rule.verdict)
	var recipients []RecipientReport
	for _, e := range entries {
		r := e.report(rule.verdict)
		if r.Diagnostic == (Diagnostic{}) {
			r.Diagnostic, r.Status = ofAll.Diagnostic, ofAll.Status
		}
		recipients = append(recipients, r)
	}
	return recipients
}

// bounceEntry is a recipient in a list, with the lines that say something of it.
type bounceEntry struct {
	address string
	said    []string
}

// list reads the lines behind an opening, and returns the other ones that come before
// a marker. The entries have the same indent; what is said of one follows it in the
// same paragraph.
func (rule *bounceRule) list(lines []string) (entries []bounceEntry, rest []string) {
	var indent string
	isBehindBlank := false
	for i, line := range lines {
		line = strings.TrimRight(line, " \t")
		match := rule.entry.FindStringSubmatch(line)
		lineIndent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		switch {
		case line == "":
			isBehindBlank = true
			continue
		case match != nil && (len(entries) == 0 || lineIndent == indent) && isMailboxName(match[1]):
			indent = lineIndent
			entries = append(entries, bounceEntry{match[1], match[2:]})
		case len(entries) == 0 && rule.skips && !isMarker(line):
		case len(entries) > 0 && !isBehindBlank && !isMarker(line):
			last := &entries[len(entries)-1]
			last.said = append(last.said, line)
		default:
			end := slices.IndexFunc(lines[i:], isMarker)
			if end < 0 {
				end = len(lines) - i
			}
			return entries, lines[i : i+end]
		}
		isBehindBlank = false
	}
	return entries, nil
}

func isMailboxName(s string) bool {
	_, err := parseMailbox(s)
	return err == nil
}

// isMarker tells whether a line ends what is said of the recipients.
func isMarker(line string) bool {
	line = strings.TrimLeft(line, " \t")
	return strings.HasPrefix(line, "--") || strings.HasPrefix(line, "==") || strings.HasPrefix(line, "**")
}

// report reads what is said of a recipient.
func (e bounceEntry) report(verdict Verdict) RecipientReport {
	d := Diagnostic{Text: strings.Join(strings.Fields(strings.Join(e.said, " ")), " ")}
	if match := replyInText.FindStringSubmatch(d.Text); match != nil {
		d.Code, _ = strconv.Atoi(match[1])
		if match[2] != "" {
			d.Status = newStatus(match[1:])
		}
	}
	if found := statusIn(d.Text); d.Status == (EnhancedStatus{}) && (d.Code == 0 || d.Code/100 == found.Class) {
		d.Status = found
	}
	return RecipientReport{Verdict: verdict, FinalRecipient: TypedName{Name: e.address}, Status: d.Status, Diagnostic: d}
}

// replyInText finds a reply code where a server is quoted, and not a number among
// words, with the enhanced status code behind it.
var replyInText = regexp.MustCompile(`(?:^|[:(] ?)([45]\d\d)(?:[-: ]+\(?#?` + statusPattern + `\b)?[-: ]`)
