package smtp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/postrider/smtp/internal/format"
)

// Message is a mail: fill in what is needed and leave the rest zero. Sending modifies
// nothing in it: many goroutines may send one at once.
type Message struct {
	From    Address   // required, unless there is Raw
	Sender  *Address  // who sends on behalf of From; nil: From does
	To, Cc  []Address // shown, and sent to; Address ":;" makes a group of which only the Name is shown
	Bcc     []Address // sent to, and never written anywhere in the message
	ReplyTo []Address // where answers go; empty: to From

	Subject   string    // empty: there is no such field
	Date      time.Time // zero: the time of sending
	MessageID string    // empty: a random one at the domain of From; brackets may be left out

	InReplyTo, References []string // message identifiers; brackets may be left out

	Importance    Importance
	AutoSubmitted AutoSubmitted // for notifications and automatic answers
	List          List          // for newsletters and mailing lists
	Header        Header        // further fields, such as X-Campaign; not those that have a place here

	Text, HTML string // the same content in two forms; either may be empty; lines end in CRLF or LF

	// Calendar is an iCalendar object with a METHOD (RFC 5545, RFC 6047). Readers
	// show an invitation, or what else the METHOD says; it is attached as well.
	Calendar string

	// Alternatives are further forms of the same content, of which the Type counts,
	// and not the Name. Readers show the last one that they know: those for AMP and
	// watches go before the HTML, all others go behind it.
	Alternatives []File

	Inline      []File // images and the like that the HTML shows by their Name, to the letter, as in <img src="cid:logo.png">
	Attachments []File // shown beside the text, to be opened or saved

	// Raw is a ready message (RFC 5322) instead of all the above. Its Bcc is removed.
	// A bare LF becomes CRLF, a bare CR is an error, unless there are NULs or lines of
	// over 998 octets: that is BodyBinary. UTF-8 in its header, but not in those
	// of its parts, needs a server with SMTPUTF8. It is opened once more than it is sent.
	Raw File

	// Delivery is the envelope, where it differs from the header. Without From,
	// that is Sender or From; without any To, that is To, Cc and Bcc, each once. UTF8
	// asks for a header in UTF-8, and a server that takes it.
	Delivery Envelope
}

// Prepare returns a copy that is checked, with its Date, MessageID and Delivery: what
// it writes is the same each time. Send does this itself; it is for who sends more
// than once, and then changes nothing but Delivery. No file is opened, but Raw if the
// Delivery lacks something; one that is not the same each time is not sent. What cannot
// be sent is a [*FieldError].
func (m *Message) Prepare() (*Message, error) {
	p, err := m.prepare(context.Background(), false)
	if err == nil {
		p.message.Delivery.ask(Reports{}, p.message.MessageID)
		p.message.remember()
	}
	return p.message, err
}

// WriteTo writes the message (RFC 5322) as it would be sent, but for a signature,
// with CRLF line ends unless Raw is binary, in constant memory. For a prepared message
// the octets are the same each time. Every file is opened before an octet is written.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	p, err := m.prepare(context.Background(), true)
	if err != nil {
		return 0, err
	}
	defer p.close()
	return p.writeFinal(w)
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
	if m.Delivery.To != nil && len(m.Delivery.To) == 0 { // All that Result.Remaining had to tell.
		return p, &FieldError{"Delivery.To", errors.New("is empty, and not nil: there is nobody left to send to")}
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
	if err := filled.fillContentIDs(); err != nil {
		return p, err
	}
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

// content is the message as it goes in a transaction with SMTPUTF8, or without.
func (p *prepared) content(utf8 bool) body {
	if utf8 && p.inUTF8 != nil {
		return p.inUTF8
	}
	return p.body
}

// envelope is the Delivery of the message with what its content is.
func (p *prepared) envelope(utf8 bool) Envelope {
	e := p.message.Delivery
	e.UTF8 = e.UTF8 || utf8
	n, known := p.content(utf8).Len()
	if _, isSigned := p.body.(*signed); known || isSigned { // What the caller says is without the signature.
		e.Size = n
	}
	if p.raw != nil {
		e.Body, e.UTF8 = BodyType(p.raw.traits.Kind), p.raw.traits.UTF8Header || e.UTF8
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
	if to == nil {
		to = m.recipients()
	}
	result := newResult(to)
	result.Message, result.MessageID = p.original, withoutBrackets(m.MessageID)
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
	p.Header, p.List = slices.Clone(p.Header), p.List.clone()
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

// recipients lists To, Cc and Bcc.
func (m *Message) recipients() []Recipient { return recipientsOf(m.To, m.Cc, m.Bcc) }

// recipientsOf lists each mailbox once.
func recipientsOf(lists ...[]Address) []Recipient {
	room := 0
	for _, addresses := range lists {
		room += len(addresses)
	}
	list := make([]Recipient, 0, room)
	seen := make(map[string]bool, room)
	for _, addresses := range lists {
		for _, address := range addresses {
			key := mailboxKey(address.Address)
			if address.Address != format.EmptyGroup && !seen[key] {
				seen[key] = true
				list = append(list, Recipient{Address: address.Address})
			}
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
		from, err := parseMailbox(m.From.Address)
		if err != nil {
			return &FieldError{"From", err}
		}
		m.MessageID = strings.ToLower(rand.Text()) + "@" + from.domain
	}
	m.MessageID = withoutBrackets(m.MessageID)
	if err := checkIdentifier(m.MessageID); err != nil {
		return &FieldError{"MessageID", err}
	}
	return nil
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
