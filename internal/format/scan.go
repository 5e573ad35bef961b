package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
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
	octets    int64
	bareLF    int64
	bareCR    int64 // the octet that is the first, counted from one; zero: none
	line      int   // octets of the line so far
	cr        bool  // the last octet was a CR
	nul, long bool
	eightBit  bool

	body         bool   // the header is over
	brokenHeader bool   // a CR or LF of it is bare
	utf8Header   bool   // it holds octets over 127
	notUTF8      bool   // which are not UTF-8
	character    []byte // of which the rest is to come
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
	high := isHigh(t)
	if !s.body {
		s.utf8Header = s.utf8Header || high
		s.headerText(t)
	}
	s.eightBit = s.eightBit || high
	s.nul = s.nul || bytes.IndexByte(t, 0) >= 0
	s.cr = t[len(t)-1] == '\r'
	s.line += len(t)
	s.octets += int64(len(t))
}

// headerText checks the coding of a piece of the header.
func (s *Scanner) headerText(t []byte) {
	t = append(s.character, t...)
	for len(t) > 0 && utf8.FullRune(t) {
		r, n := utf8.DecodeRune(t)
		s.notUTF8 = s.notUTF8 || r == utf8.RuneError && n == 1
		t = t[n:]
	}
	s.character = append(s.character[:0], t...)
}

func (s *Scanner) noteCR(at int64) {
	s.brokenHeader = s.brokenHeader || !s.body
	if s.bareCR == 0 {
		s.bareCR = at
	}
}

func (s *Scanner) endLine() {
	if !s.cr {
		s.bareLF++
		s.brokenHeader = s.brokenHeader || !s.body
	}
	s.notUTF8 = s.notUTF8 || len(s.character) > 0
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
	bareCR := s.bareCR
	if bareCR == 0 && s.cr {
		bareCR = s.octets
	}
	switch isBinary := s.nul || s.long || s.length() > maxTextLine; {
	case s.notUTF8 || len(s.character) > 0: // RFC 6532, section 3.2.
		return t, errors.New("the header holds octets that are not UTF-8")
	case isBinary && s.brokenHeader:
		return t, errors.New("the message is binary, by a NUL or a line of over 998 octets, and cannot be mended: its header holds a bare CR or LF; write it with CRLF line ends")
	case isBinary:
		t.Kind = BinaryData
		return t, nil
	case bareCR > 0:
		return t, fmt.Errorf("the message holds a bare CR at octet %d", bareCR)
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
