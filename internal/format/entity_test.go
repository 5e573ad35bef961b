package format_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp/internal/format"
)

// walked tells the leaves of a mail: how deep, of which type, and what they hold.
func walked(t *testing.T, mail string) (leaves []string) {
	t.Helper()
	var w format.Walk
	err := w.Entity(strings.NewReader(mail), func(e *format.Entity) error {
		if !e.IsLeaf() {
			return nil
		}
		depth := 0
		for within := e.Multipart; within != nil; within = within.Multipart {
			depth++
		}
		body, err := io.ReadAll(e.Body())
		leaves = append(leaves, fmt.Sprintf("%d %s %q", depth, e.Type, body))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaves
}

func TestWalk(t *testing.T) {
	t.Parallel()
	const mixed = "Content-Type: multipart/mixed; boundary=b\n\n"
	for mail, want := range map[string][]string{
		"":                                       {`0  ""`},
		"Subject: x":                             {`0  ""`},
		"Subject: x\n\nHello.":                   {`0  "Hello.\n"`},
		"Subject: x\r\n\r\nHello.\r\r\nBye.\r\n": {`0  "Hello.\nBye.\n"`},
		"Subject: x\r\rHello.\rBye.\r":           {`0  "Hello.\nBye.\n"`},
		"From x Mon\n\n\nSubject: x\n\nHello.":   {`0  "Hello.\n"`},
		"Subject: x\nHello.":                     {`0  "Hello.\n"`},
		"Subject: x\nfolded;\nTo: y\n\nHello.":   {`0  "Hello.\n"`},
		mixed + "--b\n\none\n--b\nSubject: x\n\ntwo\n--b--\n":                                       {`1  "one\n"`, `1  "two\n"`},
		mixed + "before\n--b\n\none\n--b--\nafter\n--b\n\nno":                                       {`1  "one\n"`},
		mixed + "--b  \n\none\n--b--  \n":                                                           {`1  "one\n"`},
		mixed + "--b\n\none\n--bc\n-b\n -b\n":                                                       {`1  "one\n--bc\n-b\n -b\n"`},
		mixed + "--b\n\none":                                                                        {`1  "one\n"`},
		mixed + "nothing\n":                                                                         {`1  "nothing\n"`},
		"Content-Type: multipart/mixed\n\nnothing\n":                                                {`0 multipart/mixed "nothing\n"`},
		"Content-Type: text/plain; boundary=b\n\n--b\n\none\n":                                      {`0 text/plain "--b\n\none\n"`},
		"Content-Type: Multipart/Mixed; charset=x; boundary=\"a b\n\n--a b\n\none\n":                {`1  "one\n"`},
		"Content-Type: multipart/mixed; boundary=a/b=c\n\n--a/b=c\n\none\n":                         {`1  "one\n"`},
		mixed + "--b\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--b\n\ntwo\n":        {`2  "one\n"`, `1  "two\n"`},
		mixed + "--b\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--i--\n--b\n\ntwo\n": {`2  "one\n"`, `1  "two\n"`},
		mixed + "--b\nContent-Type: message/rfc822\n\nSubject: x\n\n--c\n--b--\n":                   {`1 message/rfc822 "Subject: x\n\n--c\n"`},
		"Content-Transfer-Encoding: base64\n\nSGVs\nbG8u\n":                                         {`0  "Hello."`},
		"Content-Transfer-Encoding: quoted-printable (x)\n\nHel=\nlo=2E\n":                          {`0  "Hello.\n"`},
		"Content-Transfer-Encoding: x-unknown\n\nHello.\n":                                          {`0  "Hello.\n"`},
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nHello":                    {`0 message/rfc822 "Hello\n"`},
		mixed + "--b\n\n" + strings.Repeat("x", 9000) + "--b\n--b--":                                {`1  "` + strings.Repeat("x", 9000) + `--b\n"`},
	} {
		if got := walked(t, mail); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%s\nwant:\n%s", mail, got, want)
		}
	}
}

// TestWalkEnds: what a visit returns ends the walk, and what it leaves of a part is
// passed over.
func TestWalkEnds(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	var w format.Walk
	visits := 0
	err := w.Entity(strings.NewReader("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\nmore\n--b\n\ntwo\n--b\n\nthree\n"), func(e *format.Entity) error {
		if visits++; visits == 3 {
			return enough
		}
		return nil
	})
	if err != enough || visits != 3 {
		t.Errorf("%d visits, %v", visits, err)
	}
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]format.Block{
		"":                                      nil,
		"nothing\nof the like\n":                nil,
		"A: 1\nb-C : 2\n\n \nD:3":               {{{"a", "1"}, {"b-c", "2"}}, {{"d", "3"}}},
		"A: 1\n  2\n\t3 \nB:\n 4":               {{{"a", "1 2 3"}, {"b", "4"}}},
		"A: 1\nno field\nB: 2":                  {{{"a", "1 no field"}, {"b", "2"}}},
		"A: 1\nhttps://example.com/?a:b\nB: 2":  {{{"a", "1 https://example.com/?a:b"}, {"b", "2"}}},
		"A: 1\n07:31:37 it was\nh=a:b; c\nB: 2": {{{"a", "1 07:31:37 it was h=a:b; c"}, {"b", "2"}}},
		"A: 1\r\rB: 2\r":                        {{{"a", "1"}}, {{"b", "2"}}},
		" leading\nA: 1":                        {{{"a", "1"}}},
	} {
		if got := format.Blocks([]byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestWithoutComments(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		" a (b) c ":                 "a  c",
		"a (b (c) d) e":             "a  e",
		`"a (b)" (c)`:               `"a (b)"`,
		`a (b \) c) d`:              "a  d",
		`"a \" (b)"`:                `"a \" (b)"`,
		"a (b":                      "a",
		"a) b":                      "a) b",
		`a\(b`:                      `a\`,
		"5.1.1 (no (such) mailbox)": "5.1.1",
	} {
		if got := format.WithoutComments(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Fri, 20 Nov 2026 11:00:00 +0100":         "2026-11-20T10:00:00Z",
		"20 Nov 2026 11:00 +0100":                 "2026-11-20T10:00:00Z",
		"Fri,20 Nov 2026 11:00:00 +0100 (CET)":    "2026-11-20T10:00:00Z",
		"Fri, 20 Nov 2026 (today) 11:00:00 +0100": "2026-11-20T10:00:00Z",
		"fri, 20 nov 2026 05:00:00 est":           "2026-11-20T10:00:00Z",
		"Fri, 20 Nov 2026 10:00:00 GMT":           "2026-11-20T10:00:00Z",
		"Fri, 20 Nov 2026 10:00:00 Z":             "2026-11-20T10:00:00Z",
		"Fri, 20 Nov 2026 02:00:00 PST":           "2026-11-20T10:00:00Z",
		"Fri, 20 Nov 2026 10:00:00 JST":           "2026-11-20T10:00:00Z", // Nobody knows.
		"20 Nov 26 10:00:00 +0000":                "2026-11-20T10:00:00Z",
		"Fri Nov 20 10:00:00 2026":                "2026-11-20T10:00:00Z",
		"Fri Nov 20 11:00:00 2026 +0100":          "2026-11-20T10:00:00Z",
		"2026-11-20T11:00:00+01:00":               "2026-11-20T10:00:00Z",
		"2026-11-20 11:00:00 +0100":               "2026-11-20T10:00:00Z",
		"":                                        "", "soon": "", "31 Feb 2026 10:00:00 +0000": "", "GMT": "",
	} {
		got := ""
		if date := format.ParseDate(in); !date.IsZero() {
			got = date.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
