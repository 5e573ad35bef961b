package format_test

import (
	"bytes"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postrider/smtp/internal/format"
)

func scan(content []byte, piece int) (format.Traits, error) {
	s := &format.Scanner{}
	for rest := content; len(rest) > 0; {
		n := min(piece, len(rest))
		s.Write(rest[:n])
		rest = rest[n:]
	}
	return s.Traits()
}

func TestScan(t *testing.T) {
	t.Parallel()
	const seven, eight, binary = format.SevenBitData, format.EightBitData, format.BinaryData
	long := strings.Repeat("a", 998)
	for in, want := range map[string]format.Traits{
		"":                           {Kind: seven},
		"A: b\r\n\r\nc\r\n":          {Kind: seven, Size: 11},
		"A: b\n\nc":                  {Kind: seven, Size: 11},
		"A: b\r\n\r\n\xc3\xbc\r\n":   {Kind: eight, Size: 12},
		"A: \xc3\xbc\r\n\r\nc\r\n":   {Kind: eight, Size: 12, UTF8Header: true},
		"A: \xc3\xbc":                {Kind: eight, Size: 7, UTF8Header: true},
		"A: b\r\n\r\n\x00\n\r":       {Kind: binary, Size: 11},
		"A: b\r\n\r\n" + long:        {Kind: seven, Size: 1008},
		"A: b\r\n\r\n" + long + "\n": {Kind: seven, Size: 1008},
		"A: b\r\n\r\n" + long + "b":  {Kind: binary, Size: 1007},
		long + "b\r\n\r\n":           {Kind: binary, Size: 1003},
	} {
		for piece := 1; piece <= len(in)+1; piece++ {
			if got, err := scan([]byte(in), piece); got != want || err != nil {
				t.Fatalf("%.40q in pieces of %d is %+v, %v; want %+v", in, piece, got, err, want)
			}
		}
	}
	for in, want := range map[string]string{
		"A: b\r\n\r\nc\rd":        "bare CR at octet 10",
		"\r":                      "bare CR at octet 1",
		"a\r\r\n":                 "bare CR at octet 2",
		"A: b\n\r\n\x00":          "its header holds a bare CR or LF",
		"A: b\n\nc" + long + "\n": "its header holds a bare CR or LF",
		"A: b\rc\r\n\r\n\x00":     "its header holds a bare CR or LF",
		"A: \xc3\r\n":             "not UTF-8",
		"A: \xc3\n\xbc\r\n":       "not UTF-8",
		"A: \xbc\xc3":             "not UTF-8",
	} {
		for piece := 1; piece <= len(in)+1; piece++ {
			if got, err := scan([]byte(in), piece); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%.40q in pieces of %d is %+v, %v; want %s", in, piece, got, err, want)
			}
		}
	}
}

// FuzzScan compares with the same thing said in another way.
func FuzzScan(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\nc\r\n"), uint8(3))
	f.Add([]byte("A: \xc3\xbc\n\n\x00\r"), uint8(1))
	f.Add([]byte(strings.Repeat("a", 1000)), uint8(100))
	bareCR := regexp.MustCompile(`\r(?:[^\n]|\z)`)
	bareLF := regexp.MustCompile(`(?:\A|[^\r])\n`)
	f.Fuzz(func(t *testing.T, content []byte, piece uint8) {
		got, err := scan(content, int(piece)+1)
		header := headerOf(content)
		isBinary := bytes.Contains(content, []byte{0}) || longLine(content)
		mended := bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if len(mended) > 0 && mended[len(mended)-1] != '\n' {
			mended = append(mended, "\r\n"...)
		}
		bad := !utf8.Valid(header)
		if isBinary {
			bad = bad || bareLF.Match(header) || bareCR.Match(header) && !(len(header) == len(content) && bareCR.FindIndex(header)[0] == len(header)-1)
		} else {
			bad = bad || bareCR.Match(content)
		}
		want := format.Traits{Size: int64(len(mended)), UTF8Header: bytes.ContainsFunc(header, isHigh)}
		switch {
		case isBinary:
			want.Kind, want.Size = format.BinaryData, int64(len(content))
		case bytes.ContainsFunc(content, isHigh):
			want.Kind = format.EightBitData
		}
		if bad != (err != nil) || err == nil && got != want {
			t.Errorf("%q is %+v, %v; want %+v, or an error: %v", content, got, err, want, bad)
		}
	})
}

func isHigh(r rune) bool { return r > 127 }

// headerOf returns what stands before the first empty line.
func headerOf(content []byte) (header []byte) {
	for line := range bytes.Lines(content) {
		header = append(header, line...)
		if text := bytes.TrimSuffix(line, []byte("\n")); len(text) < len(line) && (len(text) == 0 || string(text) == "\r") {
			break
		}
	}
	return header
}

func longLine(content []byte) bool {
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		if len(bytes.TrimSuffix(line, []byte("\r"))) > 998 {
			return true
		}
	}
	return false
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\n":                      "a@b",
		"Message-ID:\r\n <a@b>\r\n\r\n":                  "a@b",
		"message-id : <a@b> (made)\n\n":                  "a@b",
		"Message-ID: junk\r\n\r\n":                       "",
		"Message-ID: <a@b\r\n\r\n":                       "",
		"Subject: x\r\n\r\n":                             "",
		"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n": "a@b",
		"X\r\nMessage-ID\r\n : <a@b>":                    "a@b",
	} {
		if got := format.MessageID([]byte(header)); got != want {
			t.Errorf("%q is called %q; want %q", header, got, want)
		}
	}
}

func TestCheckHeader(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"", "\r\n", "Hello.\r\n", ": x\r\n", " : x\r\n", "From ann@example.com Sat Nov 21 12:00:00 2026\r\n", "Grüße: x\r\n",
		"A: b\nBcc\u00a0: x\n", "A: b\nBcc\v: x\n", "A: b\nBcc\x00: x\n", "A: b\n\x7f: x\n",
	} {
		if err := format.CheckHeader([]byte(header)); err == nil {
			t.Errorf("%q passed", header)
		}
	}
	for _, header := range []string{"A: b", "A : b\r\n\r\n", "A\n : b\n", "A: b\nno field\nno field: either\n"} {
		if err := format.CheckHeader([]byte(header)); err != nil {
			t.Errorf("%q: %v", header, err)
		}
	}
}

// FuzzFields: the fields of a header are all of it, and those that are shown are all
// but Bcc.
func FuzzFields(f *testing.F) {
	f.Add([]byte("A: b\r\nBcc : c\r\n\td\nBcc\n : e\n\n"))
	f.Add([]byte(" x\nBcc:\rX: y\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		var all []byte
		for _, field := range format.EachField(header) {
			all = append(all, field...)
		}
		if !bytes.Equal(all, header) {
			t.Errorf("%q became %q", header, all)
		}
		got := format.WithoutBcc(header)
		for name := range format.EachField(got) {
			if name == "bcc" && bytes.Count(got, []byte("\r")) == bytes.Count(got, []byte("\r\n")) {
				t.Errorf("%q is shown as %q", header, got)
			}
		}
	})
}

// FuzzParseDate: what net/mail takes for a date with a numeric zone is that instant,
// also with a comment behind it.
func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{"Sat, 21 Nov 2026 12:00:00 +0000", "21 Nov 26 12:00 -0500 (EST)", "Sat Nov 21 12:00:00 2026", "Sat, 21 Nov 2026 12:00:00 PST", "2026-11-21T12:00:00Z"} {
		f.Add(seed)
	}
	numeric := regexp.MustCompile(`^[0-9A-Za-z:, ]+ [-+][0-9]{4}$`)
	f.Fuzz(func(t *testing.T, s string) {
		got := format.ParseDate(s)
		if want, err := mail.ParseDate(s); err == nil && numeric.MatchString(s) && !got.Equal(want) {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
		if again := format.ParseDate(s + " (a (nested) comment)"); !strings.ContainsAny(s, `(\`) && !again.Equal(got) {
			t.Errorf("%q is %v, with a comment %v", s, got, again)
		}
	})
}

// FuzzWithoutComments: what is left is what was there, and nothing is left to take out.
func FuzzWithoutComments(f *testing.F) {
	for _, seed := range []string{"a (b) c", `"(a)" \( (b (c) \) d) e`, "(", ")", `"`, `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := format.WithoutComments(s)
		if again := format.WithoutComments(got); again != got {
			t.Errorf("%q became %q, and that %q", s, got, again)
		}
		rest := s
		for i := range len(got) {
			at := strings.IndexByte(rest, got[i])
			if at < 0 {
				t.Fatalf("%q became %q", s, got)
			}
			rest = rest[at+1:]
		}
	})
}
