package format

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
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

// WithoutBcc returns a header without its Bcc and Resent-Bcc fields (RFC 5322,
// section 3.6.3).
func WithoutBcc(header []byte) []byte {
	shown := make([]byte, 0, len(header))
	start := 0 // of the field, to which a line belongs that begins with a blank
	end := 0
	for line := range bytes.Lines(header) {
		if line[0] != ' ' && line[0] != '\t' && end > start {
			shown = appendShown(shown, header[start:end])
			start = end
		}
		end += len(line)
	}
	return appendShown(shown, header[start:end])
}

// appendShown adds a field unless it is hidden. One with a bare CR is not, since
// nobody knows what readers make of that: it is refused as a part of the message.
func appendShown(shown, field []byte) []byte {
	name, _, _ := bytes.Cut(field, []byte(":"))
	name = bytes.TrimSpace(name) // as in RFC 5322, section 4.5
	hidden := bytes.EqualFold(name, []byte("Bcc")) || bytes.EqualFold(name, []byte("Resent-Bcc"))
	if hidden && bytes.Count(field, []byte("\r")) == bytes.Count(field, []byte("\r\n")) {
		return shown
	}
	return append(shown, field...)
}

// MessageID returns what a message that begins with head is called, without
// brackets; it is empty if that is not in head. An error says that no message
// begins like that.
func MessageID(head []byte) (string, error) {
	name, _, ok := bytes.Cut(head, []byte(":"))
	name = bytes.TrimRight(name, " \t") // as in RFC 5322, section 4.5
	if !ok || len(name) == 0 || bytes.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", errors.New("the message does not begin with a header field")
	}
	m, err := mail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return "", nil
	}
	_, id, _ := bytes.Cut([]byte(m.Header.Get("Message-ID")), []byte("<"))
	id, _, ok = bytes.Cut(id, []byte(">"))
	if !ok {
		return "", nil
	}
	return string(id), nil
}
