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

// EncodeUTF8Address encodes an address as the utf-8-addr-xtext of RFC 6533, section
// 3, which is ASCII and fit for a session without SMTPUTF8, too.
func EncodeUTF8Address(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '+' || r == '=' || r == '\\' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
