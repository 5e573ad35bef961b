package wire

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// EncodeXText encodes s as the xtext of RFC 3461, section 4: printable ASCII
// but "+" and "=" stands for itself, any other octet is "+" and two hex digits.
func EncodeXText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// EncodeUTF8Address encodes an address as the utf-8-addr-unitext of RFC 6533, section
// 3, for a transaction with SMTPUTF8, or for one without as utf-8-addr-xtext, which
// is ASCII.
func EncodeUTF8Address(s string, asUTF8 bool) string {
	var b strings.Builder
	for _, r := range s {
		isLiteral := r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' || asUTF8 && r > 0x9f
		if !isLiteral {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// DecodeXText decodes what EncodeXText made of printable ASCII. What it cannot have
// made is returned as it is.
func DecodeXText(s string) string {
	if !strings.Contains(s, "+") {
		return s
	}
	decoded := unescape.Replace(s)
	if EncodeXText(decoded) != s {
		return s
	}
	return decoded
}

var unescape = strings.NewReplacer("+20", " ", "+2B", "+", "+3D", "=")

// DecodeUTF8Address decodes what EncodeUTF8Address made of an address, in either form.
func DecodeUTF8Address(s string) string {
	return embedded.ReplaceAllStringFunc(s, func(code string) string {
		n, err := strconv.ParseInt(code[len(`\x{`):len(code)-1], 16, 32)
		if r := rune(n); err == nil && unicode.IsPrint(r) {
			return string(r)
		}
		return code
	})
}

var embedded = regexp.MustCompile(`\\x\{[0-9A-Fa-f]{2,6}\}`)
