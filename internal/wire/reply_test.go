package wire_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/smtp/internal/wire"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     wire.Reply
	}{
		{"one line", "250 ok\r\n", wire.Reply{Code: 250, Lines: []string{"ok"}}},
		{"code alone", "250\r\n", wire.Reply{Code: 250, Lines: []string{""}}},
		{"no text", "334 \r\n", wire.Reply{Code: 334, Lines: []string{""}}},
		{"bare LF", "250 ok\n", wire.Reply{Code: 250, Lines: []string{"ok"}}},
		{"several lines", "250-mx\r\n250-SIZE 1\r\n250 HELP\r\n", wire.Reply{Code: 250, Lines: []string{"mx", "SIZE 1", "HELP"}}},
		{"status", "550 5.1.1 no such user\r\n", wire.Reply{Code: 550, Status: wire.Status{5, 1, 1}, Lines: []string{"no such user"}}},
		{"status alone", "250 2.0.0\r\n", wire.Reply{Code: 250, Status: wire.Status{2, 0, 0}, Lines: []string{""}}},
		{"status on each line", "452-4.5.3 too\r\n452 4.5.3 many\r\n", wire.Reply{Code: 452, Status: wire.Status{4, 5, 3}, Lines: []string{"too", "many"}}},
		{"status missing on the second line", "550-5.7.1 see\r\n550 5.7.10 there\r\n", wire.Reply{Code: 550, Status: wire.Status{5, 7, 1}, Lines: []string{"see", "5.7.10 there"}}},
		{"status of another class", "250 5.1.1 odd\r\n", wire.Reply{Code: 250, Lines: []string{"5.1.1 odd"}}},
		{"no status but a version", "220 2.10.1-beta ready\r\n", wire.Reply{Code: 220, Lines: []string{"2.10.1-beta ready"}}},
		{"controls are kept, not obeyed", "250 a\x1b[2J\rb\r\n", wire.Reply{Code: 250, Lines: []string{"a\x1b[2J\rb"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := wire.NewReplyReader(iotest.OneByteReader(strings.NewReader(test.in + "221 next\r\n")))
			got, err := r.Read(nil)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("read %+v, %v; want %+v", got, err, test.want)
			}
			if next, err := r.Read(nil); err != nil || next.Code != 221 {
				t.Errorf("the reply behind it was read as %+v, %v", next, err)
			}
		})
	}
}

func TestReadReplyRefuses(t *testing.T) {
	t.Parallel()
	endless := func(line string) string { return strings.Repeat(line, 1+(1<<20)/len(line)) }
	tests := map[string]string{
		"no code":                   "hello\r\n",
		"two digits":                "25 ok\r\n",
		"a code of class 1":         "150 wait\r\n",
		"a code of class 6":         "650 what\r\n",
		"letters in the code":       "2a0 ok\r\n",
		"no separator":              "250ok\r\n",
		"another separator":         "250\tok\r\n",
		"an empty line":             "\r\n",
		"another code inside":       "250-a\r\n251 b\r\n",
		"another code, same class":  "550-a\r\n551-b\r\n550 c\r\n",
		"an endless line":           "250 " + endless("a"),
		"endless lines":             endless("250-again and again\r\n"),
		"endless short lines":       endless("250-\r\n"),
		"a line of HTTP":            "HTTP/1.1 400 Bad Request\r\n",
		"a TLS alert, as plaintext": "\x15\x03\x01\x00\x02\x02\x46\n",
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &countingReader{r: strings.NewReader(in)}
			reply, err := wire.NewReplyReader(counted).Read(nil)
			var syntax *wire.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("read %+v, %v; want a *SyntaxError", reply, err)
			}
			if strings.ContainsAny(err.Error(), "\r\n\x15\x1b") || len(err.Error()) > 20<<10 {
				t.Errorf("the error is not fit for a log: %q", err)
			}
			if counted.n > 80<<10 {
				t.Errorf("%d bytes were read before giving up", counted.n)
			}
		})
	}
}

func TestReadReplyEnds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"":              io.EOF,
		"25":            io.ErrUnexpectedEOF,
		"250 ok":        io.ErrUnexpectedEOF,
		"250-ok\r\n":    io.ErrUnexpectedEOF,
		"250-ok\r\n250": io.ErrUnexpectedEOF,
	} {
		if reply, err := wire.NewReplyReader(strings.NewReader(in)).Read(nil); err != want {
			t.Errorf("%q was read as %+v, %v; want %v", in, reply, err, want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "2\r\n", "250-\n250\n", "421-x\r\n421 4.3.2 y\r\n"} {
		f.Add(seed)
	}
	for _, reply := range conversedReplies(f) {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, in string) {
		reply, err := wire.NewReplyReader(strings.NewReader(in)).Read(nil)
		if err != nil {
			return
		}
		if size := len(strings.Join(reply.Lines, "")); len(reply.Lines) > 1000 || size > 64<<10 {
			t.Errorf("a reply of %d lines and %d octets passed", len(reply.Lines), size)
		}
		again, err := wire.NewReplyReader(strings.NewReader(spell(reply))).Read(nil)
		if err != nil || !reflect.DeepEqual(again, reply) {
			t.Errorf("%q was read as %+v, and that, spelled again, as %+v, %v", in, reply, again, err)
		}
	})
}

// conversedReplies are what servers say at once in the conversations of the package.
func conversedReplies(f *testing.F) (list []string) {
	f.Helper()
	paths, err := filepath.Glob("../../testdata/session/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatal("no conversations", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, reply := range regexp.MustCompile(`(?m)(?:^S: [^(].*\n)+`).FindAllString(string(text), -1) {
			list = append(list, strings.ReplaceAll(strings.ReplaceAll(reply, "S: ", ""), "\n", "\r\n"))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// spell writes a reply as a server would.
func spell(r wire.Reply) string {
	var b strings.Builder
	for i, line := range r.Lines {
		separator := "-"
		if i == len(r.Lines)-1 {
			separator = " "
		}
		if s := r.Status; s != (wire.Status{}) {
			line = fmt.Sprintf("%d.%d.%d %s", s[0], s[1], s[2], line)
		}
		fmt.Fprintf(&b, "%d%s%s\r\n", r.Code, separator, line)
	}
	return b.String()
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
