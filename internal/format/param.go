package format

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Param is a parameter of a MIME field; the value may be any text.
type Param struct{ Name, Value string }

// maxParam is the longest value that is written in one piece (RFC 2183, section 2),
// maxPiece that of one that is cut.
const (
	maxParam = 78
	maxPiece = 50
)

// spell adds the parameter to words, as one or more: a token, a quoted string, or,
// where neither can hold the value, the extended form of RFC 2231, for a file name
// with an ASCII look-alike behind it for readers that do not know that form.
func (p Param) spell(words []string) ([]string, error) {
	if err := CheckText(p.Value); err != nil {
		return nil, err
	}
	if !isToken(p.Name) || len(p.Name) > maxPiece {
		return nil, fmt.Errorf("parameter name %.200q is no token of at most %d octets", p.Name, maxPiece)
	}
	inOnePiece := len(p.Value) <= maxParam && isPrintable(p.Value) && !strings.Contains(p.Value, "=?")
	switch {
	case !inOnePiece && (p.Name == "filename" || p.Name == "name"):
		return append(append(words, p.extended()...), p.Name+"="+quote(lookAlike(p.Value))), nil
	case !inOnePiece:
		return append(words, p.extended()...), nil
	case isToken(p.Value) && !strings.ContainsAny(p.Value, "*'%"): // RFC 2231 has made them special.
		return append(words, p.Name+"="+p.Value), nil
	}
	return append(words, p.Name+`="`+escape.Replace(p.Value)+`"`), nil
}

// extended spells the value by RFC 2231, section 4, cut into the numbered
// pieces of section 3 if it is long; a character is never cut.
func (p Param) extended() []string {
	var pieces []string
	piece := "utf-8''"
	for _, r := range p.Value {
		encoded := percentEncode(r)
		if len(piece)+len(encoded) > maxPiece {
			pieces = append(pieces, piece)
			piece = ""
		}
		piece += encoded
	}
	if pieces == nil {
		return []string{p.Name + "*=" + piece}
	}
	pieces = append(pieces, piece)
	for i := range pieces {
		pieces[i] = fmt.Sprintf("%s*%d*=%s", p.Name, i, pieces[i])
	}
	return pieces
}

// percentEncode spells a character as attribute-chars of RFC 2231, section 7.
func percentEncode(r rune) string {
	if r < utf8.RuneSelf && (isLetterDigit(byte(r)) || strings.ContainsRune("!#$&+-.^_`{|}~", r)) {
		return string(r)
	}
	var b strings.Builder
	for _, octet := range []byte(string(r)) {
		fmt.Fprintf(&b, "%%%02X", octet)
	}
	return b.String()
}

// lookAlike is value in ASCII, cut to a length that fits a line but with the
// extension of a file name kept, since systems choose a program by it.
func lookAlike(value string) string {
	ascii := strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '_'
		}
		return r
	}, strings.ReplaceAll(value, "=?", "=_")) // Readers decode encoded words even here.
	if len(ascii) <= maxParam {
		return ascii
	}
	extension := ""
	if dot := strings.LastIndexByte(ascii, '.'); len(ascii)-dot <= 10 {
		extension = ascii[dot:]
	}
	return ascii[:maxParam-len(extension)] + extension
}

// isToken: RFC 2045, section 5.1.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
