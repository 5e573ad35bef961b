// Package hostile has values with which somebody may try to break out of the place
// where they are put: of a line, a field, an address, a parameter, a part.
package hostile

import "strings"

// Values are tried everywhere that a string enters.
var Values = []string{
	"x\r\nRSET\r\n", "x\nBcc: evil@example.com", "x\rBcc: evil@example.com", "x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
	"x\x00y", "x\x1b[2J", "x\x7f", "x\u0085y", "\xff\xfe", "ann@example.com\r\nRCPT TO:<evil@example.com>",
	"ann@example.com> SIZE=1", "ann@example.com>\r\nRSET", `"ann@example.com> X=1"@example.net`, "\"a\r\nb\"@example.net",
	"@a,@b:c@example.com", "a@b@example.com", "a, b@example.com", "<a@example.com>", "Group:a@example.com;", `a";x="y`, "a; b=c", "=?utf-8?q?x=0D=0ABcc:_evil?=",
	"é\r\nBcc: evil@example.com", "\u202eevil", "--=_x", " ", "\t", ":;", "<a@b>, <c@d>", "https://example.com/>, <mailto:evil@example.com",
	"=?utf-8?q?=22=2C_evil=40example.com?=", "text/html; charset=\"a\r\nX: y\"", "news.example.com> (x", strings.Repeat("x", 20000), "\u2028Bcc: evil@example.com",
	"%0d%0aRSET", `a\`, `"`, "(", ")", "=?utf-8?b?", "\ufeffx", "x\vy", "a@b\u3002example", "a@\u212aelvin.example", "..", "-oX", "$(x)", "%s%n", "BODY=8BITMIME", "\u2066x\u2069",
	"METHOD:REQUEST\r\nBcc: x", "BEGIN:VCALENDAR\r\nMETHOD:A;B\r\nEND:VCALENDAR",
}
