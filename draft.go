package smtp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"

	"github.com/postrider/smtp/internal/format"
)

// draft is a message ready for writing.
type draft struct {
	body
	boundary string
	ids      map[string]bool // the Content-IDs of its parts
	files    []*attachment
	raw      *raw // nil: it is built
	inUTF8   body // for a session with SMTPUTF8; nil: that is the same
}

// body is what a draft writes, and its size as it leaves, with its line ends mended,
// if that is known without reading.
type body interface {
	io.WriterTo
	Len() (n int64, known bool)
}

// writeFinal writes the message as it leaves, unless it is signed.
func (d *draft) writeFinal(w io.Writer) (int64, error) {
	if d.raw != nil {
		return d.raw.writeMended(w)
	}
	return d.WriteTo(w)
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
	built := false
	defer func() {
		if !built { // Or the caller's own Open has panicked.
			d.close()
		}
	}()
	if err := d.tree(m, each); err != nil {
		return nil, err
	}
	built = true
	return d, nil
}

// tree makes the tree of the message, in which no level is there without need:
// mixed{alternative{text, related{html, inline…}}, attachments…}.
func (d *draft) tree(m *Message, each func(*attachment) error) error {
	header, err := m.header(format.Charset(m.Delivery.UTF8))
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
	files := m.Attachments
	if m.Calendar != "" {
		form, file, err := d.calendar(m.Calendar)
		if err != nil {
			return err
		}
		others, files = append(others, form), append(files, file)
	}
	attached, err := d.add("Attachments", files, each)
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
	whole := d.multipart("mixed", body, attached)
	if m.needsUTF8() && !m.Delivery.UTF8 {
		header, err := m.header(format.UTF8)
		if err != nil {
			return err
		}
		inUTF8 := *whole
		inUTF8.Fields = header.With(whole.Fields)
		d.inUTF8 = &inUTF8
	}
	whole.Fields = header.With(whole.Fields)
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
		a := newAttachment(file, field, i, d.boundary)
		d.files = append(d.files, a)
		if err := each(a); err != nil {
			return nil, err
		}
		part, err := a.part()
		if err != nil {
			return nil, err
		}
		if id := withoutBrackets(a.ContentID); id != "" {
			if d.ids[id] {
				return nil, &FieldError{a.field + ".ContentID", fmt.Errorf("%q is that of another file", id)}
			}
			if d.ids == nil {
				d.ids = map[string]bool{}
			}
			d.ids[id] = true
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
	forms := make([]*format.Part, 0, 2)
	if m.Text != "" || m.HTML == "" && len(others) == 0 {
		text, err := d.text("Text", "text/plain", m.Text)
		if err != nil {
			return nil, err
		}
		forms = append(forms, text)
	}
	for i, file := range m.Alternatives {
		if mediaType, _, _ := mime.ParseMediaType(file.Type); mediaType == "text/x-amp-html" || mediaType == "text/watch-html" {
			forms, others[i] = append(forms, others[i]), nil
		}
	}
	if m.HTML != "" {
		related, err := d.text("HTML", "text/html", m.HTML)
		if err != nil {
			return nil, err
		}
		forms = append(forms, d.multipart("related", related, inline))
	}
	for _, other := range others {
		if other != nil {
			forms = append(forms, other)
		}
	}
	return d.multipart("alternative", forms[0], forms[1:]), nil
}

// text makes a part of text.
func (d *draft) text(field, mediaType, text string) (*format.Part, error) {
	body, err := format.NewTextBody(text, d.boundary)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	return textPart(field, mediaType, body)
}

// textPart makes a part of text in UTF-8.
func textPart(field, mediaType string, body format.TextBody, params ...format.Param) (*format.Part, error) {
	part := &format.Part{Content: body.Write, Size: body.Len()}
	var ok bool
	if part.Fields, ok = plainTexts[[2]string{mediaType, body.Encoding}]; ok && params == nil {
		return part, nil
	}
	contentType, err := format.Value(format.Fields{}, "Content-Type", mediaType, append(params, utf8Charset)...)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	part.Fields = contentType.With(encodings[body.Encoding])
	return part, nil
}

var utf8Charset = format.Param{Name: "charset", Value: "utf-8"}

// plainTexts are the fields of most texts, by type and encoding. Nothing is added to them.
var plainTexts = func() map[[2]string]format.Fields {
	all := map[[2]string]format.Fields{}
	for _, mediaType := range []string{"text/plain", "text/html"} {
		for name, encoding := range encodings {
			all[[2]string{mediaType, name}] = constant(format.Value(format.Fields{}, "Content-Type", mediaType, utf8Charset)).With(encoding)
		}
	}
	return all
}()

// encodings are the fields that say how content is encoded.
var encodings = map[string]format.Fields{
	format.SevenBit:        constant(format.Words(format.Fields{}, "Content-Transfer-Encoding", format.SevenBit)),
	format.QuotedPrintable: constant(format.Words(format.Fields{}, "Content-Transfer-Encoding", format.QuotedPrintable)),
	format.Base64:          constant(format.Words(format.Fields{}, "Content-Transfer-Encoding", format.Base64)),
}

// multipart joins parts to a multipart of a subtype; one part stays as it is.
func (d *draft) multipart(subtype string, first *format.Part, others []*format.Part) *format.Part {
	if len(others) == 0 {
		return first
	}
	boundary := d.boundary + subtype
	params := []format.Param{{Name: "boundary", Value: boundary}}
	if subtype == "related" { // RFC 2387, section 3.1 requires the type of the root.
		params = append(params, format.Param{Name: "type", Value: "text/html"})
	}
	contentType := constant(format.Value(format.Fields{}, "Content-Type", "multipart/"+subtype, params...)) // and a digest
	return &format.Part{Fields: contentType, Boundary: boundary, Parts: append([]*format.Part{first}, others...)}
}

// boundary begins every boundary of the message. It follows from the
// Message-ID, so that the same message is written again, and holds "=_", which
// neither quoted-printable nor base64 can (RFC 2045, section 6.7).
func (m *Message) boundary() string {
	digest := m.digest()
	room := make([]byte, 0, 32)
	return string(append(hex.AppendEncode(append(room, "=_"...), digest[:]), '_'))
}

// digest stands for the Message-ID where not all characters of that may stand.
func (m *Message) digest() [12]byte {
	digest := sha256.Sum256([]byte(m.MessageID))
	return [12]byte(digest[:])
}
