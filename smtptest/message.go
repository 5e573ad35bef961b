package smtptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"

	"github.com/emersion/go-message"
)

// Message is a mail that the server accepted.
type Message struct {
	From     string   // the reverse-path; empty: the null one
	To       []string // the recipients that were accepted
	Username string   // who had authenticated; empty: nobody
	TLS      bool     // it came over TLS
	Data     []byte   // as it came, without the dots

	MailParams map[string]string // the parameters of MAIL, as in BODY=8BITMIME, by keyword in upper case

	EnvelopeID string      // how reports are to call it (RFC 3461); empty: not told
	Return     string      // "FULL" or "HDRS", what reports are to bring back; empty: not told
	Recipients []Recipient // those of To, with what is to be reported of each

	Subject string // decoded
	Part           // what Data holds, parsed
	Err     error  // Data could not be parsed; Part is then what could be
}

// Recipient is one whom the server accepted.
type Recipient struct {
	Address           string
	Notify            []string // the events to report, as in "FAILURE"; nil: not told
	OriginalRecipient string   // decoded; empty: not told
}

// Part is a message or a part of one.
type Part struct {
	Header      mail.Header
	Type        string            // the media type, in lower case
	Params      map[string]string // of the media type
	Encoding    string            // the transfer encoding
	Disposition string            // inline, attachment, or empty
	Name        string            // the file name, decoded
	ContentID   string            // without brackets
	Body        []byte            // decoded; nil for a multipart
	Parts       []*Part           // of a multipart
}

// Find returns the first part of a media type, p itself included, or nil.
func (p *Part) Find(mediaType string) *Part {
	if p.Type == mediaType {
		return p
	}
	for _, child := range p.Parts {
		if found := child.Find(mediaType); found != nil {
			return found
		}
	}
	return nil
}

// Tree describes the structure, a line for each part, each level indented.
func (p *Part) Tree() string {
	var b strings.Builder
	p.tree(&b, "")
	return b.String()
}

func (p *Part) tree(b *strings.Builder, indent string) {
	b.WriteString(indent + p.Type)
	if p.Name != "" {
		fmt.Fprintf(b, " %q", p.Name)
	}
	if p.Parts == nil {
		fmt.Fprintf(b, ", %s, %d bytes", p.Encoding, len(p.Body))
	}
	for _, detail := range []string{p.Disposition, p.ContentID} {
		if detail != "" {
			b.WriteString(", " + detail)
		}
	}
	b.WriteString("\n")
	for _, child := range p.Parts {
		child.tree(b, indent+"  ")
	}
}

// parse reads Data with go-message.
func (m *Message) parse() {
	entity, err := message.Read(bytes.NewReader(m.Data))
	if entity == nil {
		m.Err = err
		return
	}
	m.Subject, _ = entity.Header.Text("Subject")
	room := maxParts
	m.Err = errors.Join(err, m.Part.read(entity, 0, &room))
}

// maxDepth is how deep multiparts are followed, and maxParts how many parts are kept,
// each of which takes more room than the octets that begin it.
const (
	maxDepth = 20
	maxParts = 10_000
)

func (p *Part) read(entity *message.Entity, depth int, room *int) error {
	p.Header = mail.Header(entity.Header.Map())
	p.Type, p.Params, _ = entity.Header.ContentType()
	p.Encoding = entity.Header.Get("Content-Transfer-Encoding")
	p.ContentID = strings.Trim(entity.Header.Get("Content-Id"), "<>")
	var params map[string]string
	p.Disposition, params, _ = entity.Header.ContentDisposition()
	p.Name = params["filename"]

	parts := entity.MultipartReader()
	if parts == nil || depth == maxDepth {
		var err error
		p.Body, err = io.ReadAll(entity.Body)
		return err
	}
	for {
		child, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if child == nil {
			return err
		}
		if *room--; *room < 0 {
			return fmt.Errorf("smtptest: the message has over %d parts", maxParts)
		}
		part := &Part{}
		p.Parts = append(p.Parts, part)
		if err := part.read(child, depth+1, room); err != nil {
			return err
		}
	}
}
