package smtp

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
)

// fillContentIDs gives each inline file without one a Content-ID, and makes the
// HTML refer to it where it refers to the file by its name.
func (m *Message) fillContentIDs() (err error) {
	if len(m.Inline) == 0 {
		return nil
	}
	domain := strings.Map(urlSafe, m.MessageID[strings.LastIndexByte(m.MessageID, '@')+1:])
	parts := references{}
	for i, file := range m.Inline {
		if file.ContentID != "" {
			continue
		}
		m.Inline[i].ContentID = fmt.Sprintf("part%d.%s@%s", i+1, m.digest(), domain)
		if _, taken := parts[file.Name]; taken {
			i = -i
		}
		parts[file.Name] = i
	}
	for i, file := range m.Inline { // An identifier goes before a name that looks like it.
		parts[withoutBrackets(file.ContentID)] = i
	}
	m.HTML, err = parts.replace(m.HTML, m.Inline)
	return err
}

// urlSafe keeps what stands for itself in HTML and in a URL.
func urlSafe(r rune) rune {
	if r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
		return r
	}
	return '-'
}

// references has the index of inline files by their names and identifiers; if it is
// negative, an earlier file has the same name.
type references map[string]int

// replace puts identifiers where URLs in HTML have names (RFC 2392), in one pass.
func (r references) replace(text string, files []File) (string, error) {
	longest := 0
	for name := range r {
		longest = max(longest, len(name))
	}
	var b strings.Builder
	done := 0
	for at := 0; ; {
		colon := strings.IndexByte(text[at:], ':')
		if colon < 0 {
			break
		}
		at += colon + 1
		if !isReference(text[:at]) {
			continue
		}
		i, length := r.match(text[at:], longest)
		if i < 0 {
			return "", &FieldError{fmt.Sprintf("Inline[%d].Name", -i), errors.New("is that of another file, and the HTML refers to it")}
		}
		if length > 0 {
			b.WriteString(text[done:at-len("cid:")] + "cid:" + withoutBrackets(files[i].ContentID))
			at += length
			done = at
		}
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// isReference tells whether text ends in "cid:", which is not the end of another
// scheme (RFC 3986, section 3.1).
func isReference(text string) bool {
	scheme := len(text) - len("cid:")
	switch {
	case scheme < 0, !strings.EqualFold(text[scheme:], "cid:"):
		return false
	case scheme == 0:
		return true
	}
	before := rune(text[scheme-1])
	return before != '+' && before != '-' && urlSafe(before) == '-'
}

// maxReference is the longest name that is looked for.
const maxReference = 255

// match finds the longest name at the beginning of text, as HTML and URLs may spell
// it, and tells how long it is there.
func (r references) match(text string, longest int) (i, length int) {
	text = text[:min(len(text), min(longest, maxReference)*len("&#xff;"))]
	if end := strings.IndexAny(text, "\"<>\r\n"); end >= 0 {
		text = text[:end]
	}
	for end := len(text); end > 0; end = strings.LastIndexAny(text[:end], "'() \t,;&#/") {
		name := html.UnescapeString(text[:end])
		if i, ok := r[name]; ok {
			return i, end
		}
		if decoded, err := url.PathUnescape(name); err == nil {
			if i, ok := r[decoded]; ok {
				return i, end
			}
		}
	}
	return 0, 0
}
