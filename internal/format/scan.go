package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind is what a message asks of its transport (RFC 2045, sections 2.7 to 2.9).
type Kind int

// The kinds of messages.
const (
	SevenBitData Kind = iota // ASCII without NUL, in lines of at most 998 octets
	EightBitData             // the same with octets over 127
	BinaryData               // NUL, or longer lines
)

// Traits are what a ready message is. Binary data goes as it is; in other kinds
// a bare LF is a line end, and the last line gets one if it has none.
type Traits struct {
	Kind       Kind
	Size       int64 // with its line ends mended
	UTF8Header bool  // its header holds octets over 127
}

// Scanner is written a message, and learns what it is.
type Scanner struct {
	octets     int64
	bareLF     int64
	bareCR     int64 // the number of the first, counted from one; zero: none
	line       int   // octets of the line so far
	cr         bool  // the last octet was a CR
	nul, long  bool
	eightBit   bool
	utf8Header bool
	mended     bool // a line of the header ends in a bare LF
	body       bool // the header is over
}

// Write implements io.Writer, and never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			s.text(rest)
			break
		}
		s.text(rest[:end])
		s.endLine()
		rest = rest[end+1:]
	}
	return len(p), nil
}

// text takes a piece of a line.
func (s *Scanner) text(t []byte) {
	if len(t) == 0 {
		return
	}
	if s.cr {
		s.noteCR(s.octets)
	}
	if i := bytes.IndexByte(t[:len(t)-1], '\r'); i >= 0 {
		s.noteCR(s.octets + int64(i) + 1)
	}
	if isHigh(t) {
		s.eightBit = true
		s.utf8Header = s.utf8Header || !s.body
	}
	s.nul = s.nul || bytes.IndexByte(t, 0) >= 0
	s.cr = t[len(t)-1] == '\r'
	s.line += len(t)
	s.octets += int64(len(t))
}

func (s *Scanner) noteCR(at int64) {
	if s.bareCR == 0 {
		s.bareCR = at
	}
}

func (s *Scanner) endLine() {
	if !s.cr {
		s.bareLF++
		s.mended = s.mended || !s.body
	}
	s.long = s.long || s.length() > maxTextLine
	s.body = s.body || s.length() == 0
	s.octets++
	s.line, s.cr = 0, false
}

// length is that of the line so far, without a CR at its end.
func (s *Scanner) length() int {
	if s.cr {
		return s.line - 1
	}
	return s.line
}

// Octets returns how many octets were written.
func (s *Scanner) Octets() int64 { return s.octets }

// Traits returns what the message is, once it was written to its end, or why it
// cannot be sent.
func (s *Scanner) Traits() (Traits, error) {
	t := Traits{Size: s.octets, UTF8Header: s.utf8Header}
	if s.nul || s.long || s.length() > maxTextLine {
		t.Kind = BinaryData
		if s.mended {
			return t, errors.New("the message is binary, by a NUL or a line of over 998 octets, and cannot be mended: lines of its header end in a bare LF")
		}
		return t, nil
	}
	switch {
	case s.bareCR == 0 && s.cr:
		s.bareCR = s.octets
		fallthrough
	case s.bareCR > 0:
		return t, fmt.Errorf("the message holds a bare CR at octet %d", s.bareCR)
	case s.eightBit:
		t.Kind = EightBitData
	}
	t.Size += s.bareLF
	if s.line > 0 {
		t.Size += int64(len("\r\n"))
	}
	return t, nil
}

// isHigh tells whether an octet of s is over 127.
func isHigh(s []byte) bool {
	for len(s) >= 8 {
		if binary.LittleEndian.Uint64(s)&0x8080808080808080 != 0 {
			return true
		}
		s = s[8:]
	}
	for _, b := range s {
		if b > 127 {
			return true
		}
	}
	return false
}
