package smtp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net/mail"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/postrider/smtp/internal/format"
)

// Address is a display name, which may be empty, and a mailbox. The local part
// stands as it is meant, without quotes; they are added where they must be.
type Address = mail.Address

// Message is a mail: fill in what is needed and leave the rest zero. Sending
// modifies nothing in it, so one Message may be sent by many goroutines at once.
type Message struct {
	From    Address   // required, unless there is Raw
	Sender  *Address  // who sends on behalf of From; nil: From does
	To, Cc  []Address // shown, and sent to
	Bcc     []Address // sent to, and never written anywhere in the message
	ReplyTo []Address // where answers go; empty: to From

	Subject   string    // empty: there is no such field
	Date      time.Time // zero: the time of sending
	MessageID string    // empty: a random one at the domain of From; brackets may be left out

	InReplyTo, References []string // message identifiers; brackets may be left out

	Header Header // further fields, such as X-Campaign; not those that have a place here

	Text, HTML string // the same content in two forms; either may be empty; lines end in CRLF or LF
	// Alternatives are further forms of the same content, as text/calendar for an
	// invitation; each needs its Type, and no Name. Readers show the last one that
	// they know: AMP goes before the HTML, all others go behind it.
	Alternatives []File

	Inline      []File // images and the like that the HTML shows, as in <img src="cid:logo.png">
	Attachments []File // shown beside the text, to be opened or saved

	// Raw is a ready message (RFC 5322) instead of all the above, which needs From
	// and To in Delivery, and is opened once more than it is sent. A bare LF becomes
	// CRLF, a bare CR is an error, unless there are NULs or lines of over 998 octets:
	// that is [BodyBinary]. UTF-8 in its header needs a server with SMTPUTF8.
	Raw File

	// Delivery is the envelope, where it differs from the header. Without From,
	// that is Sender or From; without any To, that is To, Cc and Bcc, each once.
	Delivery Envelope
}

// Header lists header fields in their order; names may be repeated. Text that is
// not ASCII becomes encoded words (RFC 2047).
type Header []HeaderField

// HeaderField is one field, without its line end and without folding.
type HeaderField struct{ Name, Value string }

// Prepare returns a copy that is checked, and has its Date, MessageID and Delivery
// set: what it writes is the same each time. Send does this itself; it is for those
// who send a message more than once, and then change nothing but Delivery. No file
// is opened, Raw included. What cannot be sent is a [*FieldError].
func (m *Message) Prepare() (*Message, error) {
	p, err := m.prepare(context.Background(), false)
	return p.message, err
}

// WriteTo writes the message (RFC 5322) as it would be sent, with CRLF line
// ends unless Raw is binary, in constant memory. For a prepared message the octets are the same each
// time. Every file is opened before the first octet is written.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	p, err := m.prepare(context.Background(), true)
	if err != nil {
		return 0, err
	}
	defer p.close()
	if p.raw != nil {
		return p.raw.writeMended(w)
	}
	return p.WriteTo(w)
}

// prepared is a message on its way: the one that the caller handed in, the copy
// that is sent, and its parts.
type prepared struct {
	original, message *Message
	*draft
}

// prepare fills in a copy of m, and makes its parts. To be written, its files
// must be opened; unless there is an error, the caller then closes them. A ready
// message is then even read, until ctx ends.
func (m *Message) prepare(ctx context.Context, open bool) (*prepared, error) {
	p := &prepared{original: m}
	if m == nil {
		return p, &FieldError{"Message", errors.New("is nil")}
	}
	filled := m.clone()
	if m.Raw.isSet() {
		return p, p.prepareRaw(ctx, filled, open)
	}
	if err := filled.fillDate(); err != nil {
		return p, err
	}
	if err := filled.fillMessageID(); err != nil {
		return p, err
	}
	filled.fillTypes()
	filled.fillContentIDs()
	each := (*attachment).check
	if open {
		each = func(a *attachment) error { return a.open(ctx) }
	}
	d, err := filled.build(each)
	if err != nil {
		return p, err
	}
	if err := filled.fillDelivery(); err != nil {
		d.close()
		return p, err
	}
	p.message, p.draft = filled, d
	return p, nil
}

// prepareRaw takes a ready message.
func (p *prepared) prepareRaw(ctx context.Context, filled *Message, open bool) error {
	if err := filled.checkRaw(); err != nil {
		return err
	}
	r := &raw{File: filled.Raw}
	if open {
		if err := r.open(ctx); err != nil {
			return err
		}
		filled.MessageID = r.messageID
	}
	p.message, p.draft = filled, &draft{body: r, raw: r}
	return nil
}

// envelope is the Delivery of the message with what its content is.
func (p *prepared) envelope() Envelope {
	e := p.message.Delivery
	if n, known := p.Len(); known {
		e.Size = n
	}
	if p.raw != nil {
		e.Body, e.UTF8 = BodyType(p.raw.traits.Kind), p.raw.traits.UTF8Header // the kinds are in the same order
	}
	return e
}

// newResult is the result of a message that nothing was decided for yet.
func (p *prepared) newResult() *Result {
	result := newResult(p.message.Delivery.To)
	result.Message, result.MessageID = p.original, p.message.MessageID
	return result
}

// unsent is the result of what never reached a transaction.
func (p *prepared) unsent(err error) *Result {
	m := cmp.Or(p.message, p.original, &Message{})
	to := m.Delivery.To
	if len(to) == 0 {
		to = m.recipients()
	}
	result := newResult(to)
	result.Message, result.MessageID = p.original, strings.Trim(m.MessageID, "<>")
	result.settle(NotSent, Reply{}, err)
	return result
}

// clone copies what Prepare fills in, and the slices, so that the caller may
// change his own afterwards.
func (m *Message) clone() *Message {
	p := *m
	if p.Sender != nil {
		sender := *p.Sender
		p.Sender = &sender
	}
	for _, list := range []*[]Address{&p.To, &p.Cc, &p.Bcc, &p.ReplyTo} {
		*list = slices.Clone(*list)
	}
	p.InReplyTo, p.References = slices.Clone(p.InReplyTo), slices.Clone(p.References)
	p.Header = slices.Clone(p.Header)
	p.Alternatives, p.Inline, p.Attachments = slices.Clone(p.Alternatives), slices.Clone(p.Inline), slices.Clone(p.Attachments)
	p.Delivery.To, p.Delivery.Params = slices.Clone(p.Delivery.To), slices.Clone(p.Delivery.Params)
	for i, recipient := range p.Delivery.To {
		p.Delivery.To[i].Params = slices.Clone(recipient.Params)
	}
	return &p
}

// fillDelivery sets what the envelope lacks, and checks all of it.
func (m *Message) fillDelivery() error {
	if m.Delivery.From == "" {
		m.Delivery.From = m.From.Address
		if m.Sender != nil {
			m.Delivery.From = m.Sender.Address
		}
	}
	if len(m.Delivery.To) == 0 {
		m.Delivery.To = m.recipients()
	}
	if len(m.Delivery.To) == 0 {
		return &FieldError{"To", errors.New("there is no recipient in To, Cc, Bcc or Delivery")}
	}
	return m.Delivery.check()
}

// recipients lists To, Cc and Bcc, each mailbox once: letter case counts in the
// local part alone (RFC 5321, section 2.4).
func (m *Message) recipients() []Recipient {
	var list []Recipient
	seen := map[string]bool{}
	for _, address := range slices.Concat(m.To, m.Cc, m.Bcc) {
		key := address.Address
		if mailbox, err := ToASCII(key); err == nil {
			at := strings.LastIndexByte(mailbox, '@')
			key = mailbox[:at] + strings.ToLower(mailbox[at:])
		}
		if !seen[key] {
			seen[key] = true
			list = append(list, Recipient{Address: address.Address})
		}
	}
	return list
}

// fillDate takes the time of now, and refuses what RFC 5322, section 3.3 has no
// date-time for.
func (m *Message) fillDate() error {
	if m.Date.IsZero() {
		m.Date = time.Now()
	}
	_, offset := m.Date.Zone()
	if year := m.Date.Year(); year < 1900 || year > 9999 || max(offset, -offset) >= 24*60*60 {
		return &FieldError{"Date", fmt.Errorf("%v has no form in a message", m.Date)}
	}
	return nil
}

// fillMessageID makes an identifier that nobody can guess and that tells
// nothing of this host (RFC 5322, section 3.6.4).
func (m *Message) fillMessageID() error {
	if m.MessageID == "" {
		from, err := ToASCII(m.From.Address)
		if err != nil {
			return &FieldError{"From", err}
		}
		m.MessageID = strings.ToLower(rand.Text()) + from[strings.LastIndexByte(from, '@'):]
	}
	id, err := messageID(m.MessageID)
	if err != nil {
		return &FieldError{"MessageID", err}
	}
	m.MessageID = strings.Trim(id, "<>")
	return nil
}

// messageID spells a message identifier in its brackets.
func messageID(s string) (string, error) {
	inner := s
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		inner = s[1 : len(s)-1]
	}
	left, right, ok := strings.Cut(inner, "@")
	if !ok || left == "" || right == "" || strings.ContainsAny(inner, "<>") {
		return "", fmt.Errorf("%q is no message identifier such as id@example.com", s)
	}
	return "<" + inner + ">", nil
}

// fillTypes settles the types that are left open, for another host may have
// another table of them.
func (m *Message) fillTypes() {
	for _, files := range [][]File{m.Inline, m.Alternatives, m.Attachments} {
		for i, file := range files {
			if file.Type == "" {
				files[i].Type, _, _ = mime.ParseMediaType(mime.TypeByExtension(path.Ext(file.Name)))
			}
		}
	}
}

// fillContentIDs gives each inline file without one a Content-ID, and makes the
// HTML refer to it where it refers to the file by its name.
func (m *Message) fillContentIDs() {
	domain := m.MessageID[strings.LastIndexByte(m.MessageID, '@'):]
	for i, file := range m.Inline {
		if file.ContentID != "" {
			continue
		}
		id := fmt.Sprintf("part%d.%s%s", i+1, m.digest(), domain)
		m.Inline[i].ContentID = id
		m.HTML = referenceTo(file.Name).ReplaceAllString(m.HTML, "cid:"+id+"${1}")
	}
}

// referenceTo matches "cid:" and a file name as HTML may spell it, where no more
// of a name follows: "cid:logo" is not in "cid:logo.png".
func referenceTo(name string) *regexp.Regexp {
	var spellings []string
	for _, spelling := range []string{name, html.EscapeString(name), url.PathEscape(name)} {
		spellings = append(spellings, regexp.QuoteMeta(spelling))
	}
	return regexp.MustCompile(`(?i:\bcid:)(?:` + strings.Join(spellings, "|") + `)($|["'<>()\s,;&#])`)
}

// draft is a message ready for writing.
type draft struct {
	body
	boundary string
	files    []*attachment
	raw      *raw // nil: it is built
}

// body is what a draft writes, and its size, if that is known without reading.
type body interface {
	io.WriterTo
	Len() (n int64, known bool)
}

func (d *draft) close() {
	if d == nil {
		return
	}
	if d.raw != nil {
		d.raw.close()
	}
	for _, file := range d.files {
		file.close()
	}
}

// build makes the draft, and closes what was opened if it cannot.
func (m *Message) build(each func(*attachment) error) (*draft, error) {
	d := &draft{boundary: m.boundary()}
	if err := d.build(m, each); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// build makes the tree of the message, in which no level is there without need:
// mixed{alternative{text, related{html, inline…}}, attachments…}.
func (d *draft) build(m *Message, each func(*attachment) error) error {
	header, err := m.header()
	if err != nil {
		return err
	}
	inline, err := d.add("Inline", m.Inline, each)
	if err != nil {
		return err
	}
	others, err := d.add("Alternatives", m.Alternatives, each)
	if err != nil {
		return err
	}
	attached, err := d.add("Attachments", m.Attachments, each)
	if err != nil {
		return err
	}
	if m.HTML == "" { // Nothing shows the inline files: they stand beside the text.
		inline, attached = nil, append(inline, attached...)
	}
	body, err := d.shown(m, inline, others)
	if err != nil {
		return err
	}
	whole := d.multipart("mixed", append([]*format.Part{body}, attached...))
	whole.Fields = append(header, whole.Fields...)
	d.body = whole
	return nil
}

// dispositions are those of the fields of a message that hold files (RFC 2183). An
// alternative has none: it is shown, or it is not there.
var dispositions = map[string]string{"Inline": "inline", "Attachments": "attachment"}

// add makes parts of files, after they were checked or even opened.
func (d *draft) add(field string, list []File, each func(*attachment) error) ([]*format.Part, error) {
	var parts []*format.Part
	for i, file := range list {
		a := &attachment{File: file, field: fmt.Sprintf("%s[%d]", field, i), disposition: dispositions[field], boundary: d.boundary}
		d.files = append(d.files, a)
		if err := each(a); err != nil {
			return nil, err
		}
		part, err := a.part()
		if err != nil {
			return nil, err
		}
		if a.ContentID != "" && slices.ContainsFunc(d.files[:len(d.files)-1], func(other *attachment) bool { return other.ContentID == a.ContentID }) {
			return nil, &FieldError{a.field + ".ContentID", fmt.Errorf("%q is that of another file", a.ContentID)}
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// shown makes the part that a reader shows: text, HTML, another form, or a choice
// of them, the plainest first (RFC 2046, section 5.1.4).
func (d *draft) shown(m *Message, inline, others []*format.Part) (*format.Part, error) {
	if m.Subject == "" && m.Text == "" && m.HTML == "" && len(d.files) == 0 {
		return nil, &FieldError{"Text", errors.New("the message is empty: it has no Subject, Text, HTML or file")}
	}
	var forms []*format.Part
	if m.Text != "" || m.HTML == "" && len(others) == 0 {
		text, err := d.text("Text", "text/plain", m.Text)
		if err != nil {
			return nil, err
		}
		forms = append(forms, text)
	}
	for i, file := range m.Alternatives {
		if strings.HasPrefix(strings.ToLower(file.Type), "text/x-amp-html") {
			forms, others[i] = append(forms, others[i]), nil
		}
	}
	if m.HTML != "" {
		related, err := d.text("HTML", "text/html", m.HTML)
		if err != nil {
			return nil, err
		}
		forms = append(forms, d.multipart("related", append([]*format.Part{related}, inline...)))
	}
	for _, other := range others {
		if other != nil {
			forms = append(forms, other)
		}
	}
	return d.multipart("alternative", forms), nil
}

// text makes a part of text in UTF-8.
func (d *draft) text(field, mediaType, text string) (*format.Part, error) {
	body, err := format.NewTextBody(text, d.boundary)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	var f fields
	f.of(field)(format.Value("Content-Type", mediaType, format.Param{Name: "charset", Value: "utf-8"}))
	f.of(field)(format.Words("Content-Transfer-Encoding", body.Encoding))
	return &format.Part{Fields: f.list, Content: body.Write, Size: body.Len()}, f.err
}

// multipart joins parts to a multipart of a subtype; one part stays as it is.
func (d *draft) multipart(subtype string, parts []*format.Part) *format.Part {
	if len(parts) == 1 {
		return parts[0]
	}
	boundary := d.boundary + subtype
	params := []format.Param{{Name: "boundary", Value: boundary}}
	if subtype == "related" { // RFC 2387, section 3.1 requires the type of the root.
		params = append(params, format.Param{Name: "type", Value: "text/html"})
	}
	field, err := format.Value("Content-Type", "multipart/"+subtype, params...)
	if err != nil {
		panic(err) // unreachable: all of it is constants and a digest
	}
	return &format.Part{Fields: []format.Field{field}, Boundary: boundary, Parts: parts}
}

// boundary begins every boundary of the message. It follows from the
// Message-ID, so that the same message is written again, and holds "=_", which
// neither quoted-printable nor base64 can (RFC 2045, section 6.7).
func (m *Message) boundary() string { return "=_" + m.digest() + "_" }

// digest stands for the Message-ID where not all characters of that may stand.
func (m *Message) digest() string {
	digest := sha256.Sum256([]byte(m.MessageID))
	return hex.EncodeToString(digest[:12])
}

// header makes the fields of the message. Bcc is checked with the others, and
// not among them.
func (m *Message) header() ([]format.Field, error) {
	var f, hidden fields
	f.of("Date")(format.Date("Date", m.Date), nil)
	f.address("From", m.From)
	if m.Sender != nil {
		f.address("Sender", *m.Sender)
	}
	f.addresses("ReplyTo", "Reply-To", m.ReplyTo)
	f.addresses("To", "To", m.To)
	f.addresses("Cc", "Cc", m.Cc)
	hidden.addresses("Bcc", "Bcc", m.Bcc)
	f.identifiers("MessageID", "Message-ID", m.MessageID)
	f.identifiers("InReplyTo", "In-Reply-To", m.InReplyTo...)
	f.identifiers("References", "References", m.References...)
	if m.Subject != "" {
		f.of("Subject")(format.Text("Subject", m.Subject))
	}
	for i, field := range m.Header {
		f.further(fmt.Sprintf("Header[%d]", i), field)
	}
	f.of("MIME-Version")(format.Words("MIME-Version", "1.0"))
	return f.list, cmp.Or(f.err, hidden.err)
}

// fields collects header fields, and the first error under the name of the
// field of Message that it comes from.
type fields struct {
	list []format.Field
	err  error
}

// of returns what adds the field made from source, or keeps its error.
func (f *fields) of(source string) func(format.Field, error) {
	return func(field format.Field, err error) {
		if err != nil && f.err == nil {
			f.err = &FieldError{source, err}
		}
		f.list = append(f.list, field)
	}
}

// owned are the fields that a Message writes by itself, or not at all.
var owned = []string{"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references", "mime-version"}

// further adds a field of the caller's own.
func (f *fields) further(source string, field HeaderField) {
	name := strings.ToLower(field.Name)
	var err error
	switch {
	case slices.Contains(owned, name), strings.HasPrefix(name, "content-"):
		err = fmt.Errorf("%s is not set in this way", field.Name)
	case field.Name == "" || len(field.Name) > 76 || strings.ContainsFunc(field.Name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?=`, r) // RFC 2045, section 5.1: a token.
	}):
		err = fmt.Errorf("%q is no name of a header field", field.Name)
	case strings.TrimSpace(field.Value) == "":
		err = fmt.Errorf("%s has no value", field.Name)
	}
	if err != nil {
		f.of(source)(format.Field{}, err)
		return
	}
	f.of(source)(format.Text(field.Name, field.Value))
}

func (f *fields) address(name string, address Address) {
	f.of(name)(format.Mailboxes(name, []format.Mailbox{f.mailbox(name, address)}))
}

// addresses adds an address field, if there is any address.
func (f *fields) addresses(source, name string, list []Address) {
	var mailboxes []format.Mailbox
	for i, address := range list {
		mailboxes = append(mailboxes, f.mailbox(fmt.Sprintf("%s[%d]", source, i), address))
	}
	if len(list) > 0 {
		f.of(source)(format.Mailboxes(name, mailboxes))
	}
}

func (f *fields) mailbox(source string, address Address) format.Mailbox {
	mailbox, err := ToASCII(address.Address)
	if err != nil && f.err == nil {
		f.err = &FieldError{source, err}
	}
	return format.Mailbox{Name: address.Name, Address: mailbox}
}

// identifiers adds a field of message identifiers, if there is any.
func (f *fields) identifiers(source, name string, list ...string) {
	var words []string
	for _, id := range list {
		word, err := messageID(id)
		if err != nil && f.err == nil {
			f.err = &FieldError{source, err}
		}
		words = append(words, word)
	}
	if len(list) > 0 {
		f.of(source)(format.Words(name, words...))
	}
}
