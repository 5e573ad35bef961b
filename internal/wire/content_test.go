package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/smtp/internal/wire"
)

func dotWriter(w io.Writer, blockSize int) *wire.ContentWriter {
	return wire.NewContentWriter(wire.Dots, make([]byte, 0, blockSize), func(b wire.Block) (int, error) { return w.Write(b.Octets) })
}

func TestDots(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          ".\r\n",
		"a":                         "a\r\n.\r\n",
		"a\r\n":                     "a\r\n.\r\n",
		"a\nb\n":                    "a\r\nb\r\n.\r\n",
		".":                         "..\r\n.\r\n",
		".\r\n":                     "..\r\n.\r\n",
		"..\r\n.a":                  "...\r\n..a\r\n.\r\n",
		"a.b\r\n":                   "a.b\r\n.\r\n",
		"\r\n":                      "\r\n.\r\n",
		"\n\n":                      "\r\n\r\n.\r\n",
		"a\r\n.\r\nMAIL FROM:<x>":   "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n",
		"a\n.\nMAIL FROM:<x>\r\n":   "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n",
		"a\n.\r\nMAIL FROM:<x>\r\n": "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n",
	} {
		for cut := range len(in) + 1 {
			for size := 1; size <= 4; size++ {
				var out bytes.Buffer
				d := dotWriter(&out, size)
				io.WriteString(d, in[:cut])
				io.WriteString(d, in[cut:])
				if left, err := wire.EndData(d, nil); !left || err != nil || out.String() != want {
					t.Errorf("%q cut at %d in blocks of %d became %q, %v, %v; want %q", in, cut, size, out.String(), left, err, want)
				}
			}
		}
	}
}

// A bare CR is the smuggler's tool: no cut of the writes may let one pass.
func TestBareCR(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"\r", "a\rb", "a\r\r\n", "a\r.\r\nb", "\r.\r", "a\n\r.\r\n", "a\r"} {
		for cut := range len(in) + 1 {
			var out bytes.Buffer
			d := dotWriter(&out, 64)
			io.WriteString(d, in[:cut])
			io.WriteString(d, in[cut:])
			left, err := wire.EndData(d, nil)
			if left || !errors.Is(err, wire.ErrBareCR) || strings.HasSuffix(out.String(), ".\r\n") {
				t.Errorf("%q cut at %d became %q, %v, %v", in, cut, out.String(), left, err)
			}
		}
	}
}

func TestEndDataAfterAnError(t *testing.T) {
	t.Parallel()
	lost := errors.New("link lost")
	w := &failingWriter{room: 8, err: lost}
	d := dotWriter(w, 4)
	if _, err := io.WriteString(d, strings.Repeat("a", 100)); err != lost {
		t.Fatalf("Write: %v", err)
	}
	if left, err := wire.EndData(d, nil); left || err != lost {
		t.Errorf("EndData: %v, %v", left, err)
	}
	if w.calls != 2 {
		t.Errorf("the link was written %d times, the last of them after it was lost", w.calls)
	}
}

// A body that kept the writer must not write commands with it.
func TestWriteAfterTheEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := dotWriter(&out, 8)
	if _, err := wire.EndData(d, nil); err != nil {
		t.Fatal(err)
	}
	n, err := io.WriteString(d, strings.Repeat("VRFY x\r\n", 10))
	if _, again := wire.EndData(d, nil); n != 0 || err == nil || again == nil || out.String() != ".\r\n" {
		t.Errorf("after the end %d octets were written, %v, %v: %q", n, err, again, out.String())
	}
}

// EndData tells whether the end of data may have left: the difference between
// "not sent" and "unknown".
func TestEndDataTellsWhatLeft(t *testing.T) {
	t.Parallel()
	content, lost := "a\r\n", errors.New("link lost")
	whole := len(content) + len(".\r\n")
	for room := range whole + 1 {
		d := dotWriter(&failingWriter{room: room, err: lost}, 64)
		io.WriteString(d, content)
		left, err := wire.EndData(d, nil)
		if err != lost || left != (room == whole) {
			t.Errorf("with %d of %d octets written: %v, %v", room, whole, left, err)
		}
	}
}

// failingWriter takes room octets in all; the write that fills it fails.
type failingWriter struct {
	room, calls int
	err         error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	w.calls++
	if len(p) >= w.room {
		n := w.room
		w.room = 0
		return n, w.err
	}
	w.room -= len(p)
	return len(p), nil
}

var bareCR = regexp.MustCompile(`\r(?:[^\n]|\z)`)

// FuzzDots: what the dot-writer makes of any content in any pieces, a reader
// that is not ours turns back into the same content with its line ends mended.
func FuzzDots(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb\n..c"), uint8(3), uint8(2))
	f.Add([]byte("\r"), uint8(1), uint8(1))
	f.Add([]byte(".\n.\r\n\n"), uint8(1), uint8(9))
	f.Fuzz(func(t *testing.T, content []byte, piece, block uint8) {
		var out bytes.Buffer
		d := dotWriter(&out, int(block)+1)
		for rest := content; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			d.Write(rest[:n])
			rest = rest[n:]
		}
		_, err := wire.EndData(d, nil)
		if bare := bareCR.Match(content); bare != (err != nil) {
			t.Fatalf("bare CR: %v, but err is %v", bare, err)
		} else if bare {
			return
		}
		if n := strings.Count("\r\n"+out.String(), "\r\n.\r\n"); n != 1 {
			t.Fatalf("%q holds %d ends of data", out.Bytes(), n)
		}
		got, err := io.ReadAll(textproto.NewReader(bufio.NewReader(&out)).DotReader())
		want := strings.ReplaceAll(string(content), "\r\n", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if err != nil || string(got) != want {
			t.Errorf("read back %q, %v; want %q", got, err, want)
		}
	})
}

// TestChunks: each block is a chunk with its command, in one write.
func TestChunks(t *testing.T) {
	t.Parallel()
	type test struct {
		form wire.Form
		in   string
		want []string
	}
	for _, test := range []test{
		{wire.Chunks, "", []string{"BDAT 0 LAST\r\n"}},
		{wire.Chunks, "a", []string{"BDAT 3 LAST\r\na\r\n"}},
		{wire.Chunks, "a\n.b\r\n", []string{"BDAT 7 LAST\r\na\r\n.b\r\n"}},
		{wire.Chunks, "abcdefg\r\n", []string{"BDAT 8\r\nabcdefg\r", "BDAT 1 LAST\r\n\n"}},
		{wire.Chunks, "abcdefgh", []string{"BDAT 8\r\nabcdefgh", "BDAT 2 LAST\r\n\r\n"}},
		{wire.Binary, "a\n\r.\x00b", []string{"BDAT 6 LAST\r\na\n\r.\x00b"}},
		{wire.Binary, "abcdefgh", []string{"BDAT 8 LAST\r\nabcdefgh"}},
		{wire.Lines, "a\n.\nb", []string{"a\r\n.\r\nb\r", "\n"}},
	} {
		var got []string
		room := 0
		if test.form != wire.Lines {
			room = len("BDAT 4294967295 LAST\r\n")
		}
		w := wire.NewContentWriter(test.form, make([]byte, 0, room+8), func(b wire.Block) (int, error) {
			got = append(got, string(b.Octets))
			if header := len(b.Octets) - b.Content; b.Command != nil && string(b.Octets[:header]) != b.Command.String()+"\r\n" {
				t.Errorf("%q is said to be %v and %d octets", b.Octets, b.Command, b.Content)
			}
			return len(b.Octets), nil
		})
		io.WriteString(w, test.in)
		if left, err := wire.EndData(w, nil); !left || err != nil || strings.Join(got, "|") != strings.Join(test.want, "|") {
			t.Errorf("%q became %q, %v, %v; want %q", test.in, got, left, err, test.want)
		}
	}
}

// TestEndDataWithCommandsBehind: they leave in the same write, and whether the end
// has left does not depend on whether they have.
func TestEndDataWithCommandsBehind(t *testing.T) {
	t.Parallel()
	for form, whole := range map[wire.Form]string{wire.Dots: "a\r\n.\r\n", wire.Chunks: "BDAT 3 LAST\r\na\r\n"} {
		lost := errors.New("link lost")
		for room := range len(whole) + len("RSET\r\n") + 1 {
			w := &failingWriter{room: room, err: lost}
			d := wire.NewContentWriter(form, make([]byte, 0, 64), func(b wire.Block) (int, error) {
				if string(b.Octets) != whole+"RSET\r\n" || b.Content > 6 || !b.Last {
					t.Errorf("%+v", b)
				}
				return w.Write(b.Octets)
			})
			io.WriteString(d, "a\n")
			if left, err := wire.EndData(d, []byte("RSET\r\n")); err != lost || left != (room >= len(whole)) {
				t.Errorf("form %d: with %d octets written: %v, %v", form, room, left, err)
			}
		}
	}
}

// FuzzChunks: the chunks that are made of any content in any pieces join to the
// same content as the dots of it do, or of binary data to the same octets.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb\n..c"), uint8(3), uint8(2))
	f.Add([]byte("BDAT 3 LAST\r\n"), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, content []byte, piece, block uint8) {
		for _, form := range []wire.Form{wire.Chunks, wire.Binary, wire.Lines} {
			var out bytes.Buffer
			w := wire.NewContentWriter(form, make([]byte, 0, 23+int(block)), func(b wire.Block) (int, error) { return out.Write(b.Octets) })
			for rest := content; len(rest) > 0; {
				n := min(int(piece)+1, len(rest))
				w.Write(rest[:n])
				rest = rest[n:]
			}
			_, err := wire.EndData(w, nil)
			if bare := bareCR.Match(content) && form != wire.Binary; bare != (err != nil) {
				t.Fatalf("bare CR: %v, but err is %v", bare, err)
			} else if bare {
				continue
			}
			got, want := out.Bytes(), content
			if form != wire.Lines {
				got = joinChunks(t, &out)
			}
			if form != wire.Binary {
				want = bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
				if len(want) > 0 && want[len(want)-1] != '\n' {
					want = append(want, "\r\n"...)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("form %d: read back %q, want %q", form, got, want)
			}
		}
	})
}

// joinChunks reads chunks up to the last one, which must end what is there.
func joinChunks(t *testing.T, r *bytes.Buffer) (content []byte) {
	for {
		line, err := r.ReadString('\n')
		words := strings.Fields(line)
		if err != nil || len(words) < 2 || words[0] != "BDAT" || !strings.HasSuffix(line, "\r\n") {
			t.Fatalf("%q is no BDAT (%v)", line, err)
		}
		n, err := strconv.Atoi(words[1])
		if err != nil || n > r.Len() {
			t.Fatalf("%q announces other than the %d octets that follow at most", line, r.Len())
		}
		content = append(content, r.Next(n)...)
		if len(words) == 3 && words[2] == "LAST" {
			if r.Len() > 0 {
				t.Fatalf("%q follows the last chunk", r.Bytes())
			}
			return content
		}
	}
}

func BenchmarkDots(b *testing.B) {
	line := strings.Repeat("A", 76) + "\r\n"
	content := []byte(strings.Repeat(line, 1<<20/len(line)))
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	block := make([]byte, 0, 32<<10)
	for b.Loop() {
		d := wire.NewContentWriter(wire.Dots, block, func(b wire.Block) (int, error) { return len(b.Octets), nil })
		d.Write(content)
		if _, err := wire.EndData(d, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestXText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                  "",
		"bob@example.net":   "bob@example.net",
		"a+b=c d":           "a+2Bb+3Dc+20d",
		"tab\tbell\x07\x7f": "tab+09bell+07+7F",
	} {
		if got := wire.EncodeXText(in); got != want {
			t.Errorf("EncodeXText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDecodeXText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                "",
		"bob@example.net": "bob@example.net",
		"a+2Bb+3Dc+20d":   "a+b=c d",
		"bob+ab@x":        "bob+ab@x", // not encoded
		"a+2Bb+c":         "a+2Bb+c",
		"a+2bb":           "a+2bb",
		"a+2B=b":          "a+2B=b",
		"a+2B b":          "a+2B b",
		"a+40b":           "a+40b", // need not have been
	} {
		if got := wire.DecodeXText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUTF8Address(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ address, xtext, unitext string }{
		{"bob@example.net", "bob@example.net", "bob@example.net"},
		{"jörg@例え.example", `j\x{F6}rg@\x{4F8B}\x{3048}.example`, "jörg@例え.example"},
		{`"a b+=\c"@x`, `"a\x{20}b\x{2B}\x{3D}\x{5C}c"@x`, `"a\x{20}b\x{2B}\x{3D}\x{5C}c"@x`},
	} {
		if got := wire.EncodeUTF8Address(test.address, false); got != test.xtext || wire.DecodeUTF8Address(got) != test.address {
			t.Errorf("%q as xtext: %q", test.address, got)
		}
		if got := wire.EncodeUTF8Address(test.address, true); got != test.unitext || wire.DecodeUTF8Address(got) != test.address {
			t.Errorf("%q as unitext: %q", test.address, got)
		}
	}
	for _, left := range []string{`a\x{1B}b`, `a\x{D800}b`, `a\x{110000}b`, `a\x{2028}b`, `a\x{202E}b`, `a\x{zz}b`, `a\x{}b`} {
		if got := wire.DecodeUTF8Address(left); got != left {
			t.Errorf("%q became %q", left, got)
		}
	}
	for value, isFit := range map[string]bool{"utf-8;jörg@x": true, "utf-8;j\u0085rg@x": false, "utf-8;j\xffrg@x": false} {
		if _, err := wire.NewCommand("RCPT").UTF8().To("bob@example.net").Param("ORCPT", value).Bytes(); (err == nil) != isFit {
			t.Errorf("%q: %v", value, err)
		}
		if _, err := wire.NewCommand("RCPT").To("bob@example.net").Param("ORCPT", value).Bytes(); err == nil {
			t.Errorf("%q without SMTPUTF8", value)
		}
		if _, err := wire.NewCommand("RCPT").UTF8().To("bob@example.net").Param("X", value).Bytes(); err == nil {
			t.Errorf("%q as the value of X", value)
		}
	}
}

// FuzzXText: a decoder written for this test reads the same octets back, and
// what it reads is fit for a parameter.
func FuzzXText(f *testing.F) {
	f.Add("a+b=c d\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		encoded := wire.EncodeXText(s)
		if _, err := wire.NewCommand("MAIL").From("").Param("ENVID", strings.ReplaceAll(encoded, "=", "?")).Bytes(); err != nil && len(encoded) < 10_000 {
			t.Errorf("%q is no parameter: %v", encoded, err)
		}
		var decoded []byte
		for i := 0; i < len(encoded); i++ {
			b := encoded[i]
			if b == '+' {
				n, err := strconv.ParseUint(encoded[i+1:i+3], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				b, i = byte(n), i+2
			}
			decoded = append(decoded, b)
		}
		if string(decoded) != s || strings.Contains(encoded, "=") {
			t.Errorf("%q became %q and was read back as %q", s, encoded, decoded)
		}
		isPrintable := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
		if again := wire.DecodeXText(encoded); isPrintable && again != s {
			t.Errorf("%q became %q and was decoded to %q", s, encoded, again)
		}
	})
}

// FuzzUTF8Address: an address is read back from either form, which is a parameter.
func FuzzUTF8Address(f *testing.F) {
	f.Add(`"a b+=\c"@例え.example`)
	f.Add(`j\x{F6}rg@x`)
	f.Fuzz(func(t *testing.T, address string) {
		if strings.ContainsFunc(address, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
			return // DecodeUTF8Address leaves what is not to be shown.
		}
		for _, asUTF8 := range []bool{false, true} {
			command := wire.NewCommand("RCPT")
			if asUTF8 {
				command.UTF8()
			}
			encoded := wire.EncodeUTF8Address(address, asUTF8)
			if got := wire.DecodeUTF8Address(encoded); got != address || !asUTF8 && !wire.IsASCII(encoded) {
				t.Errorf("%q became %q and was read back as %q", address, encoded, got)
			}
			if _, err := command.To("bob@example.net").Param("ORCPT", "utf-8;"+encoded).Bytes(); err != nil && len(encoded) < 10_000 {
				t.Errorf("%q is no parameter: %v", encoded, err)
			}
		}
	})
}
