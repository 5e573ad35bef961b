package wire

import (
	"fmt"
	"strings"
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
func EncodeUTF8Address(s string, utf8 bool) string {
	var b strings.Builder
	for _, r := range s {
		isLiteral := r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' || utf8 && r > 0x9f
		if !isLiteral {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
