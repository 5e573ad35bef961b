// Package format spells messages (RFC 5322 and MIME): header fields, transfer
// encodings and the tree of parts. It knows the grammar and no policy.
package format

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine is where fields are folded. RFC 5322, section 2.1.1 says 78, and RFC
// 2047, section 2 says 76 for a line with an encoded word; one number serves both.
const maxLine = 76

// maxWord is the longest word that is left whole in a field; with its name a
// line then stays under the 998 octets of RFC 5322, section 2.1.1.
const maxWord = 900

// Charset is what the text in header fields is written in.
type Charset bool

// The two charsets of header fields.
const (
	ASCII Charset = false // encoded words carry all else (RFC 2047)
	UTF8  Charset = true  // as it is, which needs SMTPUTF8 (RFC 6532)
)

// Fields are header fields as they are written: each folded, and ending in CRLF. They
// are made only by the functions below, none of which lets a control through; only the
// names of Text and Structured may be a caller's. Each adds one field to those that it is
// given, of which there may be none, and returns them all; as with append, those that
// were given are then used up.
type Fields struct{ raw []byte }

// With returns the fields with others behind them.
func (f Fields) With(others Fields) Fields { return Fields{append(f.raw, others.raw...)} }

// Mailbox is a display name, which may be empty, and an address that is
// already spelled as in an envelope, or EmptyGroup.
type Mailbox struct{ Name, Address string }

// EmptyGroup stands behind the name of a group whose members are not shown (RFC
// 5322, section 3.4).
const EmptyGroup = ":;"

// Text makes an unstructured field such as Subject.
func (c Charset) Text(to Fields, name, value string) (Fields, error) {
	f := newFolder(to, name)
	if err := cmp.Or(checkName(name), CheckText(value)); err != nil {
		return to, err
	}
	if c.needsEncoding(value) {
		f.encoded(value)
	} else {
		f.text(value)
	}
	return f.end(), nil
}

// Structured makes a field whose grammar is not known here: its text is ASCII, and
// stays as it is.
func Structured(to Fields, name, value string) (Fields, error) {
	f := newFolder(to, name)
	if err := checkName(name); err != nil {
		return to, err
	}
	value = strings.Trim(value, " ")
	if !isPrintable(value) || longestWord(value) > maxWord || strings.Contains(value, strings.Repeat(" ", maxLine)) {
		return to, fmt.Errorf("%.200q is not printable ASCII in words of at most %d octets", value, maxWord)
	}
	f.text(value)
	return f.end(), nil
}

// checkName allows what every reader takes for the name of a field: a token (RFC 2045,
// section 5.1), on a line with the beginning of its value.
func checkName(name string) error {
	if name == "" || len(name) > maxLine || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	}) {
		return fmt.Errorf("%.200q is no name of a header field", name)
	}
	return nil
}

// Mailboxes makes an address field such as To; an empty list makes no sense.
func (c Charset) Mailboxes(to Fields, name string, list []Mailbox) (Fields, error) {
	f := newFolder(to, name)
	for i, mailbox := range list {
		if err := cmp.Or(CheckText(mailbox.Name), CheckText(mailbox.Address)); err != nil {
			return to, err
		}
		before, behind, comma := " ", "", ","
		switch {
		case mailbox.Address == EmptyGroup:
			f.phrase(c, mailbox.Name)
			// Behind an encoded word there must be a blank (RFC 2047, section 5 (3)),
			// and a line that is folded must begin with one.
			if !bytes.HasSuffix(f.line, []byte("?=")) && f.column+len(EmptyGroup+",") <= maxLine {
				before = ""
			}
		case mailbox.Name != "":
			f.phrase(c, mailbox.Name)
			before, behind = " <", ">"
		}
		if i == len(list)-1 {
			comma = ""
		}
		f.add(before, mailbox.Address, behind, comma)
	}
	return f.end(), nil
}

// ListID makes the field that names a mailing list (RFC 2919); the description
// may be empty.
func (c Charset) ListID(to Fields, description, id string) (Fields, error) {
	f := newFolder(to, "List-Id")
	if err := CheckText(description); err != nil {
		return to, err
	}
	if !IsDotAtom(id) || !strings.Contains(id, ".") || len(id) > 255 {
		return to, fmt.Errorf("%.200q is no list identifier such as news.example.com", id)
	}
	if description != "" {
		f.phrase(c, description)
	}
	f.add(" <" + id + ">")
	return f.end(), nil
}

// Words makes a structured field of words that stand in no need of quoting,
// such as message identifiers; it is folded between them.
func Words(to Fields, name string, words ...string) (Fields, error) {
	f := newFolder(to, name)
	for _, word := range words {
		if err := checkWord(word); err != nil {
			return to, err
		}
		f.add(" ", word)
	}
	return f.end(), nil
}

// Date makes a field of a date-time (RFC 5322, section 3.3).
func Date(to Fields, name string, t time.Time) Fields {
	f := newFolder(to, name)
	if _, offset := t.Zone(); offset%60 != 0 { // There is no place for seconds.
		t = t.In(time.FixedZone("", offset/60*60))
	}
	f.add(t.Format(" Mon, 2 Jan 2006 15:04:05 -0700"))
	return f.end()
}

// Value makes a MIME field of a value and its parameters (RFC 2045, section
// 5.1, and RFC 2231).
func Value(to Fields, name, value string, params ...Param) (Fields, error) {
	f := newFolder(to, name)
	if err := checkWord(value); err != nil {
		return to, err
	}
	words := append(make([]string, 0, 4), value)
	for _, param := range params {
		var err error
		if words, err = param.spell(words); err != nil {
			return to, err
		}
	}
	for i, word := range words {
		end := ";"
		if i == len(words)-1 {
			end = ""
		}
		f.add(" ", word, end)
	}
	return f.end(), nil
}

// CheckText refuses what no field may hold: controls, CR and LF among them,
// and octets that are not UTF-8.
func CheckText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%.200q is not valid UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%.200q holds the control character %U", s, r)
		}
	}
	return nil
}

func checkWord(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fmt.Errorf("%.200q holds %q", s, s[i])
		}
	}
	if s == "" || len(s) > maxWord {
		return fmt.Errorf("a word of %d octets", len(s))
	}
	return nil
}

// folder lays words out in lines, behind those of other fields. A word is whitespace, at
// which the line can be folded, and what follows it; unfolding restores exactly what
// was added.
type folder struct {
	line   []byte
	column int
	first  bool
}

func newFolder(to Fields, name string) folder {
	line := to.raw
	if line == nil {
		line = make([]byte, 0, fieldsRoom)
	}
	return folder{line: append(append(line, name...), ':'), column: len(name) + 1, first: true}
}

// fieldsRoom is enough for the fields of most messages.
const fieldsRoom = 256

// add puts a word, in pieces, on this line or the next. The first stays beside the name:
// some readers take a field whose first line is empty for an empty field.
func (f *folder) add(pieces ...string) {
	length, isBlank := 0, true
	for _, piece := range pieces {
		length += len(piece)
		isBlank = isBlank && strings.Trim(piece, " ") == ""
	}
	if !f.first && f.column+length > maxLine && !isBlank {
		f.line = append(f.line, '\r', '\n')
		f.column = 0
	}
	for _, piece := range pieces {
		f.line = append(f.line, piece...)
	}
	f.column += length
	f.first = false
}

func (f *folder) end() Fields { return Fields{append(f.line, '\r', '\n')} }

// text adds text that stays as it is, word by word.
func (f *folder) text(value string) {
	for rest := " " + value; rest != ""; {
		word := nextWord(rest)
		f.add(word)
		rest = rest[len(word):]
	}
}

// nextWord cuts the leading whitespace and the word behind it off s.
func nextWord(s string) string {
	word := strings.TrimLeft(s, " ")
	spaces := len(s) - len(word)
	if end := strings.IndexByte(word, ' '); end >= 0 {
		return s[:spaces+end]
	}
	return s
}
