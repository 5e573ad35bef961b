package format_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/smtp/internal/format"
)

func empty(io.Writer) error { return nil }

const boundary = "=_boundary"

func TestTextBody(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, encoding, want string }{
		{"empty", "", format.SevenBit, ""},
		{"plain", "a\r\nb\r\n", format.SevenBit, "a\r\nb\r\n"},
		{"line ends", "a\nb", format.SevenBit, "a\r\nb\r\n"},
		{"mixed line ends", "a\r\nb\nc\r\n", format.SevenBit, "a\r\nb\r\nc\r\n"},
		{"longest line", strings.Repeat("a", 998), format.SevenBit, strings.Repeat("a", 998) + "\r\n"},
		{"some German", "Viele liebe Grüße aus Wien", format.QuotedPrintable, "Viele liebe Gr=C3=BC=C3=9Fe aus Wien\r\n"},
		{"Japanese", "日本語", format.Base64, "5pel5pys6KqeDQo=\r\n"},
		{"control", "a\x00b", format.QuotedPrintable, "a=00b\r\n"},
		{"holds the boundary", "--" + boundary, format.QuotedPrintable, "--=3D_boundary\r\n"},
		{"space at a line's end, among others", "un café \n", format.QuotedPrintable, "un caf=C3=A9=20\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, err := format.NewTextBody(test.text, boundary)
			var out bytes.Buffer
			if err != nil || body.Write(&out) != nil || body.Encoding != test.encoding || out.String() != test.want {
				t.Errorf("became %s %q, %v; want %s %q", body.Encoding, out.String(), err, test.encoding, test.want)
			}
		})
	}
}

func TestTextBodyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\rb", "\r", "a\r\r\n", "a\n\r", "a\xffb"} {
		if body, err := format.NewTextBody(text, boundary); err == nil {
			t.Errorf("%q became %+v", text, body)
		}
	}
}

// FuzzTextBody: any text, in whatever encoding was chosen, is decoded by the
// standard library to the same text with its line ends mended, is 7-bit clean,
// and holds no boundary.
func FuzzTextBody(f *testing.F) {
	for _, seed := range []string{"", "a\nb\r\n", "Grüße=\t \n", strings.Repeat("x", 1200), "--" + boundary + "--", "日本", "\x00.\n."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, err := format.NewTextBody(text, boundary)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := body.Write(&out); err != nil {
			t.Fatal(err)
		}
		if ok, err := format.IsSevenBit(bytes.NewReader(out.Bytes()), boundary); !ok || err != nil {
			t.Errorf("%q became %q, which is not fit to be sent", text, out.Bytes())
		}
		var decoder io.Reader = &out
		switch body.Encoding {
		case format.QuotedPrintable:
			decoder = quotedprintable.NewReader(&out)
		case format.Base64:
			decoder = base64.NewDecoder(base64.StdEncoding, &out)
		}
		got, err := io.ReadAll(decoder)
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\r\n"
		}
		if err != nil || string(got) != want {
			t.Errorf("%q became %s and was read back as %q, %v", text, body.Encoding, got, err)
		}
	})
}

func TestIsSevenBit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                       true,
		"Subject: x\r\n\r\nbody\r\n":             true,
		strings.Repeat("a", 998) + "\r\n":        true,
		strings.Repeat("a", 999) + "\r\n":        false,
		strings.Repeat("a", 5000):                false,
		"no line end":                            false,
		"a\nb\r\n":                               false,
		"a\rb\r\n":                               false,
		"é\r\n":                                  false,
		"\x00\r\n":                               false,
		"--" + boundary + "\r\n":                 false,
		"a\r\n" + boundary + "in the middle\r\n": false,
	} {
		if got, err := format.IsSevenBit(iotest.HalfReader(strings.NewReader(text)), boundary); got != want || err != nil {
			t.Errorf("%.40q: %v, %v", text, got, err)
		}
	}
	broken := errors.New("disk error")
	if _, err := format.IsSevenBit(iotest.ErrReader(broken), boundary); err != broken {
		t.Errorf("a broken reader: %v", err)
	}
}

// FuzzBase64: any octets in any pieces are decoded by the standard library to
// the same octets, from lines of 76.
func FuzzBase64(f *testing.F) {
	f.Add([]byte(""), uint16(0))
	f.Add(bytes.Repeat([]byte("abc"), 5000), uint16(56))
	f.Add(bytes.Repeat([]byte{0}, 58), uint16(57))
	f.Fuzz(func(t *testing.T, content []byte, piece uint16) {
		var out bytes.Buffer
		w := format.NewBase64Writer(&out)
		for rest := content; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			if written, err := w.Write(rest[:n]); written != n || err != nil {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(out.String(), "\r\n")
		for i, line := range lines[:len(lines)-1] {
			if len(line) != 78 && i != len(lines)-2 || len(line) > 78 || len(line) < 6 {
				t.Fatalf("line %d of %d is %q", i, len(lines)-1, line)
			}
		}
		if lines[len(lines)-1] != "" {
			t.Fatal("the last line has no end")
		}
		got, err := base64.StdEncoding.DecodeString(out.String())
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d octets were read back as %d, %v", len(content), len(got), err)
		}
	})
}

func TestBase64WriterFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("link lost")
	w := format.NewBase64Writer(errorWriter{broken})
	if _, err := w.Write(make([]byte, 100_000)); err != broken {
		t.Errorf("Write: %v", err)
	}
	w = format.NewBase64Writer(errorWriter{broken})
	w.Write([]byte("a"))
	if err := w.Close(); err != broken {
		t.Errorf("Close: %v", err)
	}
}

type errorWriter struct{ err error }

func (w errorWriter) Write([]byte) (int, error) { return 0, w.err }

func BenchmarkBase64Writer(b *testing.B) {
	content := noise(1 << 20)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		w := format.NewBase64Writer(io.Discard)
		w.Write(content)
		w.Close()
	}
}

// noise uses all of an encoder's table.
func noise(n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(content)
	return content
}

// BenchmarkBareBase64 is the measure for the one above: the standard library's
// encoder, without line ends.
func BenchmarkBareBase64(b *testing.B) {
	content := noise(1 << 20)
	out := make([]byte, base64.StdEncoding.EncodedLen(len(content)))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		base64.StdEncoding.Encode(out, content)
	}
}
