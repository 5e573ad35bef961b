package format_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

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
		"A: b\n\r\n\x00":          "lines of its header end in a bare LF",
		"A: b\n\nc" + long + "\n": "lines of its header end in a bare LF",
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
	f.Fuzz(func(t *testing.T, content []byte, piece uint8) {
		got, err := scan(content, int(piece)+1)
		isBinary := bytes.Contains(content, []byte{0}) || longLine(content)
		high := bytes.ContainsFunc(content, func(r rune) bool { return r > 127 })
		mended := bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if len(mended) > 0 && mended[len(mended)-1] != '\n' {
			mended = append(mended, "\r\n"...)
		}
		switch {
		case isBinary:
			if got.Kind != format.BinaryData || got.Size != int64(len(content)) {
				t.Errorf("%q is binary, and %+v", content, got)
			}
		case bareCR.Match(content) != (err != nil):
			t.Errorf("%q: %v", content, err)
		case err == nil && (got.Size != int64(len(mended)) || (got.Kind == format.EightBitData) != high):
			t.Errorf("%q is %+v", content, got)
		}
	})
}

func longLine(content []byte) bool {
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		if len(bytes.TrimSuffix(line, []byte("\r"))) > 998 {
			return true
		}
	}
	return false
}
