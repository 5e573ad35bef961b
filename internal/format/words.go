package format

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// minEncodedWord is the room that an encoded word needs for one character of
// four octets in the Q encoding.
const minEncodedWord = len("=?utf-8?q?") + 4*len("=00") + len("?=")

// needsEncoding tells whether a reader would see something else if value stood
// in an unstructured field as it is.
func (c Charset) needsEncoding(value string) bool {
	// Most readers make one space of several at which a line was folded.
	folded := len(value) > maxLine/2 && strings.Contains(value, "  ")
	return folded || !c.has(value) || longestWord(value) > maxWord || strings.Contains(value, "=?") || value != strings.TrimSpace(value)
}

// has tells whether s, which holds no controls, can stand in this charset.
func (c Charset) has(s string) bool { return c == UTF8 || isPrintable(s) }

// longestWord returns how many octets the longest run without a space has.
func longestWord(s string) (longest int) {
	for word := range strings.SplitSeq(s, " ") {
		longest = max(longest, len(word))
	}
	return longest
}

// phrase adds a display name (RFC 5322, section 3.2.5) in the plainest of its
// three forms: atoms, a quoted string, encoded words.
func (f *folder) phrase(c Charset, name string) {
	switch {
	case !c.needsEncoding(name) && c.isAtoms(name):
		for atom := range strings.SplitSeq(name, " ") {
			f.add(" ", atom)
		}
	case c.has(name) && !strings.Contains(name, "=?") && len(name) < maxLine-len(` ""`):
		f.add(" ", quote(name))
	default:
		f.encoded(name)
	}
}

// encoded adds text as encoded words (RFC 2047, section 2), each within its
// line and its 75 octets, none of which splits a character.
func (f *folder) encoded(text string) {
	isB := costB(len(text))*3/2 < costQ(text) // A little longer is worth it: people can read Q.
	encode := encodeQ
	if isB {
		encode = encodeB
	}
	const frame = len("=?utf-8?q??=")
	for text != "" {
		room := maxLine - f.column - len(" ")
		if room < minEncodedWord {
			room = maxLine - len(" ")
			f.first = false // Behind a name that is so long, even the first is folded.
		}
		room = min(room, 75) - frame
		end, cost := 0, 0
		for end < len(text) {
			_, size := utf8.DecodeRuneInString(text[end:])
			if cost += costQ(text[end : end+size]); isB {
				cost = costB(end + size)
			}
			if cost > room {
				break
			}
			end += size
		}
		f.add(" ", encode(text[:end]))
		text = text[end:]
	}
}

func costB(octets int) int { return base64.StdEncoding.EncodedLen(octets) }

func encodeB(s string) string {
	return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

func costQ(s string) int {
	cost := len(s)
	for i := range len(s) {
		if !isPlainQ(s[i]) {
			cost += len("=00") - 1
		}
	}
	return cost
}

// encodeQ: RFC 2047, section 4.2.
func encodeQ(s string) string {
	word := append(make([]byte, 0, 75), "=?utf-8?q?"...)
	for i := range len(s) {
		switch b := s[i]; {
		case b == ' ':
			word = append(word, '_')
		case isPlainQ(b):
			word = append(word, b)
		default:
			word = fmt.Appendf(word, "=%02X", b)
		}
	}
	return string(append(word, "?="...))
}

// isPlainQ tells whether one octet is spelled by one: only the characters that RFC 2047,
// section 5 (3) allows in a phrase stand for themselves.
func isPlainQ(b byte) bool { return isLetterDigit(b) || b == ' ' || strings.IndexByte("!*+-/", b) >= 0 }

// quote spells a quoted string (RFC 5322, section 3.2.4).
func quote(s string) string { return `"` + escape.Replace(s) + `"` }

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// isAtoms tells whether s is a run of atoms with single spaces between them.
func (c Charset) isAtoms(s string) bool {
	for atom := range strings.SplitSeq(s, " ") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			other := atom[i] >= utf8.RuneSelf && c == UTF8 // RFC 6532, section 3.2
			if !isLetterDigit(atom[i]) && !other && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
	}
	return true
}

// IsDotAtom tells whether s is atoms with dots between them (RFC 5322, section 3.2.3).
func IsDotAtom(s string) bool {
	return !strings.Contains(s, " ") && ASCII.isAtoms(strings.ReplaceAll(s, ".", " "))
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isLetterDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
