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
