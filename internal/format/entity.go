package format

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
)

// What is read of a mail of a stranger, at most.
const (
	maxFields   = 1 << 20  // octets of fields in all
	maxLines    = 100_000  // of the fields of a report
	maxBoundary = 200      // octets; RFC 2046, section 5.1.1 allows 70
	maxParts    = 1000     // in all
	maxPreamble = 64 << 10 // octets of a multipart that may have no parts
	maxNested   = 10       // multiparts and messages within each other
)

var (
	errFields = errors.New("there is over 1 MiB of fields, or over 100,000 lines")
	errParts  = errors.New("there are over 1000 parts")
)

// Walk goes through the parts of a mail that somebody else wrote (RFC 2045), however
// broken it is.
type Walk struct {
	source *source // of the whole mail
	octets int     // of fields, so far
	parts  int     // so far
	nested int     // now
}

// source remembers why the mail could not be read.
type source struct {
	io.Reader
	err error // nil: it could, so far
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

// ReadError is why the mail could not be read, which is another matter than why it
// was not understood.
func (w *Walk) ReadError() error { return w.source.err }

// Entity is a message or a part of one.
type Entity struct {
	Multipart *Entity // that it is a part of; nil: it is a message
	Header    Block
	Type      string            // the media type, in lower case; empty: not told
	Params    map[string]string // of the type

	source *source
	body   io.Reader
	isLeaf bool // it has no parts
}

// IsLeaf tells whether e is no multipart, or one without a boundary.
func (e *Entity) IsLeaf() bool { return e.isLeaf }

// Entity reads the header of a message, and visits it, and behind a multipart each of
// its parts, in order, until visit returns an error. What visit reads of a multipart
// is not visited.
func (w *Walk) Entity(r io.Reader, visit func(*Entity) error) error {
	if w.source == nil {
		w.source = &source{Reader: r}
		r = w.source
	}
	return w.entity(r, nil, visit)
}

func (w *Walk) entity(r io.Reader, within *Entity, visit func(*Entity) error) error {
	if w.nested == maxNested {
		return nil
	}
	w.nested++
	defer func() { w.nested-- }()

	l := newLines(r)
	header, err := w.header(l, within == nil)
	if err != nil {
		return err
	}
	body := &part{lines: l}
	e := &Entity{Multipart: within, Header: header, source: w.source, body: body}
	e.Type, e.Params = contentType(header.Get("content-type"))
	if b := e.Params["boundary"]; b != "" && len(b) <= maxBoundary && strings.HasPrefix(e.Type, "multipart/") {
		body.boundary = []byte("--" + b)
	}
	e.isLeaf = body.boundary == nil
	if err := visit(e); err != nil || e.isLeaf {
		return err
	}
	preamble, err := io.ReadAll(io.LimitReader(body, maxPreamble))
	for i := 0; err == nil; i++ {
		if _, err = io.Copy(io.Discard, body); err != nil || body.last {
			break
		}
		if !body.ended {
			if i == 0 { // There is no boundary anywhere.
				err = visit(&Entity{Multipart: e, source: w.source, isLeaf: true, body: bytes.NewReader(preamble)})
			}
			break
		}
		if w.parts++; w.parts > maxParts {
			return errParts
		}
		body.ended = false
		err = w.entity(body, e, visit)
	}
	return err
}

// header reads the header of a message or a part. A line that is no field ends it, as
// an empty line does, unless another field is near: it was folded without a blank in
// front. What is no field before that of a message is left out, such as the line with
// which a message begins in a mailbox file.
func (w *Walk) header(l *lines, isMessage bool) (Block, error) {
	var b blockReader
	for {
		line, err := l.whole(maxFields + 1)
		if err == io.EOF {
			return b.block(), nil
		}
		if err != nil {
			return nil, err
		}
		if w.octets += len(line) + 1; w.octets > maxFields {
			return nil, errFields
		}
		switch isBlank := len(bytes.TrimSpace(line)) == 0; {
		case b.add(line):
		case isMessage && len(b.fields) == 0:
		case isBlank:
			return b.block(), nil
		case len(b.fields) > 0 && l.fieldIsNear():
			b.extend(bytes.TrimSpace(line))
		default:
			l.held = line
			return b.block(), nil
		}
	}
}

// contentType reads a Content-Type, even one without the quotes that it needs.
func contentType(value string) (mediaType string, params map[string]string) {
	if mediaType, params, err := mime.ParseMediaType(value); err == nil {
		return mediaType, params
	}
	value = WithoutComments(value)
	mediaType, _, _ = strings.Cut(value, ";")
	params = map[string]string{}
	for _, match := range parameter.FindAllStringSubmatch(value, -1) {
		params[strings.ToLower(match[1])] = strings.TrimSpace(match[2] + match[3])
	}
	return strings.ToLower(strings.TrimSpace(mediaType)), params
}

var parameter = regexp.MustCompile(`;\s*([\w-]+)\s*=\s*(?:"([^"]*)"?|([^";]*))`)

// Body is what e holds, without its transfer encoding, as far as that is right.
func (e *Entity) Body() io.Reader { return tolerant{e.decode(e.body), e.source} }

// tolerant ends where a transfer encoding is broken.
type tolerant struct {
	io.Reader
	source *source
}

func (t tolerant) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err != nil && t.source.err == nil {
		err = io.EOF
	}
	return n, err
}

func (e *Entity) decode(r io.Reader) io.Reader {
	encoding := strings.FieldsFunc(e.Header.Get("content-transfer-encoding"), func(r rune) bool { return r != '-' && !isAlphanumeric(r) })
	if len(encoding) == 0 {
		return r
	}
	var h message.Header
	h.Set("Content-Transfer-Encoding", encoding[0])
	decoded, _ := message.New(h, r) // An unknown encoding is left.
	return decoded.Body
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// Fields reads all that e holds, without its transfer encoding, if it has one indeed.
func (w *Walk) Fields(e *Entity) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(e.body, int64(maxFields-w.octets)+1))
	if err != nil {
		return nil, err
	}
	if w.octets += len(raw); w.octets > maxFields || bytes.Count(raw, []byte("\n")) > maxLines {
		return nil, errFields
	}
	decoded, err := io.ReadAll(e.decode(bytes.NewReader(raw)))
	if err != nil && !bytes.Contains(decoded, []byte(":")) {
		return raw, nil // It was not encoded at all.
	}
	return decoded, nil
}
