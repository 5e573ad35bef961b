package format

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// The content transfer encodings that are written (RFC 2045, section 6).
const (
	SevenBit        = "7bit"
	QuotedPrintable = "quoted-printable"
	Base64          = "base64"
)

// maxTextLine is the longest line that may be sent (RFC 5322, section 2.1.1).
const maxTextLine = 998

// TextBody is text made ready: its line ends are CRLF, the last one included,
// and Encoding is the plainest, or else the shortest, that carries it in 7 bits.
type TextBody struct {
	Text     string
	Encoding string
	encoded  string // empty for base64
}

// NewTextBody makes text ready for a part among siblings between which boundary
// stands: text that holds boundary is never sent as it is.
func NewTextBody(text, boundary string) (TextBody, error) {
	if err := checkBody(text); err != nil {
		return TextBody{}, err
	}
	text = canonical(text)
	if isSevenBit(text) && !strings.Contains(text, boundary) {
		return TextBody{text, SevenBit, text}, nil
	}
	limit := int(Base64Len(int64(len(text))))
	if least := leastQuotedPrintable(text); least <= limit {
		if encoded := encodeQuotedPrintable(text, least); len(encoded) <= limit {
			return TextBody{text, QuotedPrintable, encoded}, nil
		}
	}
	return TextBody{text, Base64, ""}, nil
}

// encodeQuotedPrintable encodes text, of which it is known how long it becomes at least.
func encodeQuotedPrintable(text string, least int) string {
	var b strings.Builder
	b.Grow(least + least/20) // with soft line ends
	w := quotedprintable.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// checkBody refuses text that is not UTF-8, or whose line ends are in doubt.
func checkBody(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("the text is not valid UTF-8")
	}
	for rest := text; ; {
		cr := strings.IndexByte(rest, '\r')
		if cr < 0 {
			return nil
		}
		if !strings.HasPrefix(rest[cr:], "\r\n") {
			return fmt.Errorf("the text holds a bare CR at octet %d", len(text)-len(rest)+cr)
		}
		rest = rest[cr+2:]
	}
}

// Write writes the text in its encoding.
func (b TextBody) Write(w io.Writer) error {
	if b.Encoding != Base64 {
		_, err := io.WriteString(w, b.encoded)
		return err
	}
	encoder := NewBase64Writer(w)
	if _, err := io.WriteString(encoder, b.Text); err != nil {
		return err
	}
	return encoder.Close()
}

// Len returns how many octets Write writes.
func (b TextBody) Len() int64 {
	if b.Encoding == Base64 {
		return Base64Len(int64(len(b.Text)))
	}
	return int64(len(b.encoded))
}

// canonical gives every line its CRLF, also the last.
func canonical(text string) string {
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\r\n"
	}
	return text
}

// isSevenBit: RFC 2045, section 2.7, without the controls that the RFC allows
// and mail readers do not show.
func isSevenBit(text string) bool {
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > maxTextLine {
			return false
		}
		for i := range len(line) {
			if b := line[i]; b < ' ' && b != '\t' || b > '~' {
				return false
			}
		}
	}
	return true
}

// leastQuotedPrintable is how long text becomes, without soft line ends.
func leastQuotedPrintable(text string) int {
	cost := len(text)
	for i := range len(text) {
		if b := text[i]; b < ' ' && b != '\t' && b != '\r' && b != '\n' || b > '~' || b == '=' {
			cost += len("=00") - 1
		}
	}
	return cost
}

// IsSevenBit reads r to its end and tells whether it can be sent as it is:
// ASCII in lines of at most 998 octets with CRLF ends, and without boundary.
func IsSevenBit(r io.Reader, boundary string) (bool, error) {
	lines := bufio.NewReaderSize(r, maxTextLine+len("\r\n"))
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return len(line) == 0, nil
		}
		if err == bufio.ErrBufferFull {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.Contains(text, []byte(boundary)) {
			return false, nil
		}
		for _, b := range text {
			if b == 0 || b == '\r' || b >= utf8.RuneSelf {
				return false, nil
			}
		}
	}
}
