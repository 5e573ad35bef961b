package format

import (
	"net/mail"
	"strings"
	"time"
)

// WithoutComments takes the comments out of a structured value (RFC 5322, section
// 3.2.2), and the blanks around it. A comment that is never closed has no end.
func WithoutComments(s string) string {
	var b strings.Builder
	depth := 0
	quoted := false
	for i := 0; i < len(s); i++ {
		shown := depth == 0
		switch c := s[i]; {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(s):
			if shown {
				b.WriteByte(c)
			}
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
			shown = false
		case c == ')' && depth > 0:
			depth--
		}
		if shown {
			b.WriteByte(s[i])
		}
	}
	return strings.TrimSpace(b.String())
}

// ParseDate reads a date-time (RFC 5322, sections 3.3 and 4.3), or one of the other
// forms that are found in its place. Zero: it is none.
func ParseDate(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	words := strings.Fields(strings.ReplaceAll(strings.ToUpper(WithoutComments(s)), ",", ", "))
	if n := len(words); n > 1 && isZone(words[n-1]) {
		if words[n-1] = zones[words[n-1]]; words[n-1] == "" {
			words[n-1] = "-0000" // RFC 5322, section 4.3: what it meant is lost.
		}
	}
	text := strings.Join(words, " ")
	if strings.Contains(text, `"`) { // net/mail may take it for a part of a zone.
		return time.Time{}
	}
	if t, err := mail.ParseDate(text); err == nil {
		return t
	}
	for _, layout := range []string{time.ANSIC, "Mon Jan _2 15:04:05 2006 -0700", "Mon Jan _2 15:04:05 -0700 2006", time.RFC3339, "2006-01-02 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05", "2 Jan 2006 15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// isZone tells whether a word is the name of a time zone.
func isZone(word string) bool {
	return strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// zones are those names whose meaning is agreed upon (RFC 5322, section 4.3).
var zones = map[string]string{
	"UT": "+0000", "GMT": "+0000", "UTC": "+0000", "Z": "+0000",
	"EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
	"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}
