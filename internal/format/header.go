package format

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// maxHeader bounds the header of a ready message, which is held in memory.
const maxHeader = 1 << 20

// ReadHeader reads the header of a ready message and the empty line behind it, if
// there is one.
func ReadHeader(r *bufio.Reader) (header []byte, err error) {
	for start := 0; ; { // of the line
		piece, err := r.ReadSlice('\n')
		header = append(header, piece...)
		switch {
		case err != nil && err != bufio.ErrBufferFull && err != io.EOF:
			return nil, err
		case len(header) > maxHeader:
			return nil, fmt.Errorf("the header of the message has over %d octets", maxHeader)
		case err == io.EOF:
			return header, nil
		case err == nil && (string(header[start:]) == "\r\n" || string(header[start:]) == "\n"):
			return header, nil
		case err == nil:
			start = len(header)
		}
	}
}

// EachField goes through the fields of a header, with their names in lower case; what
// is no field, as the empty line at the end, has none.
func EachField(header []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for start := 0; start < len(header); {
			end := start
			for line := range bytes.Lines(header[start:]) {
				if end > start && line[0] != ' ' && line[0] != '\t' {
					break
				}
				end += len(line)
			}
			if !yield(fieldName(header[start:end]), header[start:end]) {
				return
			}
			start = end
		}
	}
}

// fieldName allows blanks before the colon, and to fold there, as RFC 5322, section
// 4.5 does.
func fieldName(field []byte) string {
	name, _, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return ""
	}
	return strings.ToLower(strings.TrimRight(string(name), " \t\r\n"))
}

// CheckHeader refuses what readers may not agree upon: a beginning that is no field,
// and names that look like others.
func CheckHeader(header []byte) error {
	first := true
	for name := range EachField(header) {
		isOdd := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
		switch {
		case first && (name == "" || isOdd || strings.Contains(name, " ")):
			return errors.New("the message does not begin with a header field")
		case isOdd:
			return fmt.Errorf("the header has a field with the name %q", name)
		}
		first = false
	}
	if first {
		return errors.New("the message does not begin with a header field")
	}
	return nil
}

// WithoutBcc returns a header without its Bcc and Resent-Bcc fields (RFC 5322,
// section 3.6.3). One with a bare CR stays, since nobody knows what readers make of
// that: it is refused as a part of the message.
func WithoutBcc(header []byte) []byte {
	shown := make([]byte, 0, len(header))
	for name, field := range EachField(header) {
		isHidden := name == "bcc" || name == "resent-bcc"
		if !isHidden || bytes.Count(field, []byte("\r")) > bytes.Count(field, []byte("\r\n")) {
			shown = append(shown, field...)
		}
	}
	return shown
}

// FieldValue returns the value of a field, unfolded.
func FieldValue(field []byte) string {
	_, value, _ := strings.Cut(string(field), ":")
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(value))
}

// MessageID returns what the message with a header is called, without brackets; it
// may be empty.
func MessageID(header []byte) string {
	for name, field := range EachField(header) {
		if name == "message-id" {
			_, id, _ := strings.Cut(FieldValue(field), "<")
			id, _, closed := strings.Cut(id, ">")
			if closed {
				return id
			}
		}
	}
	return ""
}
