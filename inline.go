package smtp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"strings"
)

// fillContentIDs gives each inline file without one a Content-ID, and makes the
// HTML refer to it where it refers to the file by its name.
func (m *Message) fillContentIDs() error {
	if len(m.Inline) == 0 {
		return nil
	}
	domain := strings.Map(urlSafe, m.MessageID[strings.LastIndexByte(m.MessageID, '@')+1:])
	parts := references{}
	for i, file := range m.Inline {
		if file.ContentID != "" {
			continue
		}
		id := fmt.Sprintf("part%d.%x@%s", i+1, m.digest(), domain)
		m.Inline[i].ContentID = id
		_, taken := parts[file.Name]
		parts[file.Name] = reference{i, id, taken}
	}
	for i, file := range m.Inline { // An identifier goes before a name that looks like it.
		parts[withoutBrackets(file.ContentID)] = reference{index: i}
	}
	var err error
	m.HTML, err = parts.replace(m.HTML)
	return err
}

// urlSafe keeps what stands for itself in HTML and in a URL.
func urlSafe(r rune) rune {
	if r == '.' || isAlphanumeric(r) {
		return r
	}
	return '-'
}

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// references are what URLs in HTML may call an inline file (RFC 2392).
type references map[string]reference

// reference is an inline file, and the identifier that takes the place of its name;
// empty: it was called by its identifier already.
type reference struct {
	index     int
	id        string
	ambiguous bool // an earlier file has the same name
}

// replace puts identifiers in the place of names, in one pass.
func (r references) replace(text string) (string, error) {
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
		part, length := r.match(text[at:], longest)
		if part.ambiguous {
			return "", &FieldError{fmt.Sprintf("Inline[%d].Name", part.index), errors.New("is that of another file, and the HTML refers to it")}
		}
		if part.id != "" {
			b.WriteString(text[done:at-len("cid:")] + "cid:" + part.id)
			done = at + length
		}
		at += length
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
	return !isAlphanumeric(before) && !strings.ContainsRune("+-.", before)
}

// match finds the longest name at the beginning of text, as HTML and URLs may spell
// it, and tells how long it is there.
func (r references) match(text string, longest int) (part reference, length int) {
	var plain, decoded []byte // without the escapes of HTML; and without those of URLs
	percent := -1             // where one of the latter may have begun
	for at := 0; ; {
		next, size := unescape(text[at:])
		if size == 0 || strings.Contains("\"'<>() \t\r\n,;#", next) { // A name may end here.
			for _, name := range [][]byte{plain, decoded} {
				if found, ok := r[string(name)]; ok && at > 0 {
					part, length = found, at
				}
			}
		}
		if size == 0 || len(decoded) > longest {
			return part, length
		}
		at += size
		plain = append(plain, next...)
		if next == "%" {
			percent = len(decoded)
		}
		decoded = append(decoded, next...)
		if percent >= 0 && len(decoded) >= percent+len("%00") {
			if octet, err := hex.DecodeString(string(decoded[percent+1:])); err == nil {
				decoded = append(decoded[:percent], octet...)
			}
			percent = -1
		}
	}
}

// maxEntity is the longest character reference of HTML that is looked for.
const maxEntity = len("&#x0010ffff;")

// unescape returns the character at the beginning of text, and how long it is there;
// of the end that is none.
func unescape(text string) (character string, size int) {
	if strings.HasPrefix(text, "&") {
		if end := strings.IndexByte(text[:min(len(text), maxEntity)], ';'); end > 0 {
			if s := html.UnescapeString(text[:end+1]); s != text[:end+1] {
				return s, end + 1
			}
		}
	}
	size = min(1, len(text))
	return text[:size], size
}
