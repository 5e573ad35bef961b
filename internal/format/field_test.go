package format_test

import (
	"bytes"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp/internal/format"
)

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Hello":             "Subject: Hello\r\n",
		"two  words":        "Subject: two  words\r\n",
		" edge ":            "Subject: =?utf-8?q?_edge_?=\r\n",
		"Zürich":            "Subject: =?utf-8?q?Z=C3=BCrich?=\r\n",
		"日本":                "Subject: =?utf-8?b?5pel5pys?=\r\n",
		"=?utf-8?q?spoof?=": "Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Fspoof=3F=3D?=\r\n",
		strings.Repeat("word ", 20) + "end": "Subject: " + strings.Repeat("word ", 12) + "word\r\n" +
			" " + strings.Repeat("word ", 7) + "end\r\n",
	} {
		field, err := format.ASCII.Text(format.Fields{}, "Subject", value)
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", value, got, err, want)
		}
	}
}

func TestMailboxes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":              "To: a@b\r\n",
		"Ann Lee":       "To: Ann Lee <a@b>\r\n",
		"Lee, Ann":      "To: \"Lee, Ann\" <a@b>\r\n",
		`Ann "Al" Lee`:  "To: \"Ann \\\"Al\\\" Lee\" <a@b>\r\n",
		"Ann  Lee":      "To: \"Ann  Lee\" <a@b>\r\n",
		"a@b":           "To: \"a@b\" <a@b>\r\n",
		"Jörg":          "To: =?utf-8?q?J=C3=B6rg?= <a@b>\r\n",
		"=?utf-8?q?x?=": "To: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= <a@b>\r\n",
		`back\slash`:    "To: \"back\\\\slash\" <a@b>\r\n",
	} {
		field, err := format.ASCII.Mailboxes(format.Fields{}, "To", []format.Mailbox{{Name: name, Address: "a@b"}})
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestUTF8(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Zürich":            "Subject: Zürich\r\n",
		"=?utf-8?q?spoof?=": "Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Fspoof=3F=3D?=\r\n",
		"Ü\u00a0":           "Subject: =?utf-8?q?=C3=9C=C2=A0?=\r\n",
		" Ü":                "Subject: =?utf-8?b?IMOc?=\r\n",
		"a" + strings.Repeat(" \u00a0", 40) + " b": "Subject: a" + strings.Repeat(" \u00a0", 22) + "\r\n" + strings.Repeat(" \u00a0", 18) + " b\r\n",
		strings.Repeat("größer ", 10) + "end":      "Subject: " + strings.Repeat("größer ", 6) + "größer\r\n " + strings.Repeat("größer ", 3) + "end\r\n",
	} {
		field, err := format.UTF8.Text(format.Fields{}, "Subject", value)
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", value, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"Jörg Müller":  "To: Jörg Müller <a@b>\r\n",
		"Müller, Jörg": "To: \"Müller, Jörg\" <a@b>\r\n",
		"=?x":          "To: =?utf-8?b?PT94?= <a@b>\r\n",
	} {
		field, err := format.UTF8.Mailboxes(format.Fields{}, "To", []format.Mailbox{{Name: name, Address: "a@b"}})
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	field, err := format.ASCII.Mailboxes(format.Fields{}, "To", []format.Mailbox{{"undisclosed-recipients", format.EmptyGroup}, {"A, B", format.EmptyGroup}, {"", "a@b"}, {"Ü", format.EmptyGroup}})
	want := "To: undisclosed-recipients:;, \"A, B\":;, a@b, =?utf-8?q?=C3=9C?= :;\r\n"
	if got := spell(field); err != nil || got != want {
		t.Errorf("spelled %q, %v; want %q", got, err, want)
	}
}

// TestFoldedGroup: a line that is folded at the end of a group begins with a blank.
func TestFoldedGroup(t *testing.T) {
	t.Parallel()
	for length := range 100 {
		for _, name := range []string{strings.Repeat("a", length+1), strings.Repeat("b, ", length/3) + "c", strings.Repeat("ü", length+1)} {
			field, err := format.ASCII.Mailboxes(format.Fields{}, "To", []format.Mailbox{{name, format.EmptyGroup}, {"", "a@b"}, {name, format.EmptyGroup}})
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, spell(field), format.ASCII)
			if got := readBack(t, field, "To"); strings.Count(got, ":;") != 2 || !strings.Contains(got, name) {
				t.Errorf("%q was spelled %q", name, spell(field))
			}
		}
	}
}

// TestLongFieldName: an encoded word keeps its line short even behind a long name.
func TestLongFieldName(t *testing.T) {
	t.Parallel()
	for length := range 76 {
		field, err := format.ASCII.Text(format.Fields{}, strings.Repeat("X", length+1), strings.Repeat("é und ", 40)+"é")
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, spell(field), format.ASCII)
	}
}

func TestListID(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"":          "List-Id: <news.example.com>\r\n",
		"The News":  "List-Id: The News <news.example.com>\r\n",
		"A, B":      "List-Id: \"A, B\" <news.example.com>\r\n",
		"Übersicht": "List-Id: =?utf-8?q?=C3=9Cbersicht?= <news.example.com>\r\n",
	} {
		field, err := format.ASCII.ListID(format.Fields{}, description, "news.example.com")
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", description, got, err, want)
		}
	}
	for _, id := range []string{"", "news", ".news", "news.", "a..b", "a b.c", "a.b>", "ü.example", "a.b\r\n", "a." + strings.Repeat("b", 254)} {
		if field, err := format.ASCII.ListID(format.Fields{}, "", id); err == nil {
			t.Errorf("%q became %q", id, spell(field))
		}
	}
}

func TestStructured(t *testing.T) {
	t.Parallel()
	value := `"Doe,  Ann" <ann@example.com>, =?utf-8?q?J=C3=B6rg?= <joerg@example.com>, "x" <eve@example.com>`
	field, err := format.Structured(format.Fields{}, "Errors-To", value)
	want := "Errors-To: \"Doe,  Ann\" <ann@example.com>, =?utf-8?q?J=C3=B6rg?=\r\n <joerg@example.com>, \"x\" <eve@example.com>\r\n"
	if got := spell(field); err != nil || got != want {
		t.Errorf("spelled %q, %v; want %q", got, err, want)
	}
	for _, hostile := range []string{"ü", "a\r\nb", "a\tb", "\x00", strings.Repeat("x", 901)} {
		if field, err := format.Structured(format.Fields{}, "X", hostile); err == nil {
			t.Errorf("%.20q became %q", hostile, spell(field))
		}
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"q3.pdf":                "Content-Disposition: attachment; filename=q3.pdf\r\n",
		"it's 5*3.pdf":          "Content-Disposition: attachment; filename=\"it's 5*3.pdf\"\r\n",
		"it's":                  "Content-Disposition: attachment; filename=\"it's\"\r\n",
		"quarter 3.pdf":         "Content-Disposition: attachment; filename=\"quarter 3.pdf\"\r\n",
		"=?utf-8?q?x?=.txt":     "Content-Disposition: attachment;\r\n filename*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D.txt;\r\n filename=\"=_utf-8?q?x?=.txt\"\r\n",
		strings.Repeat("a", 78): "Content-Disposition: attachment;\r\n filename=" + strings.Repeat("a", 78) + "\r\n",
		strings.Repeat("a", 79): "Content-Disposition: attachment;\r\n filename*0*=utf-8''" + strings.Repeat("a", 43) + ";\r\n filename*1*=" + strings.Repeat("a", 36) + ";\r\n filename=\"" + strings.Repeat("a", 78) + "\"\r\n",
		`a"b\c.txt`:             "Content-Disposition: attachment; filename=\"a\\\"b\\\\c.txt\"\r\n",
		"Übersicht.pdf":         "Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht.pdf;\r\n filename=\"_bersicht.pdf\"\r\n",
	} {
		field, err := format.Value(format.Fields{}, "Content-Disposition", "attachment", format.Param{Name: "filename", Value: name})
		if got := spell(field); err != nil || got != want {
			t.Errorf("%q was spelled %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -9000))
	if got, want := spell(format.Date(format.Fields{}, "Date", when)), "Date: Tue, 3 Feb 2026 04:05:06 -0230\r\n"; got != want {
		t.Errorf("spelled %q, want %q", got, want)
	}
	when = when.In(time.FixedZone("", 3208)) // as local mean time once was
	if got, want := spell(format.Date(format.Fields{}, "Date", when)), "Date: Tue, 3 Feb 2026 07:28:06 +0053\r\n"; got != want {
		t.Errorf("spelled %q, want %q", got, want)
	}
}

func TestFieldsRefuse(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{"a\r\nBcc: x", "a\nb", "a\rb", "a\x00", "a\x1b[2J", "a\x7f", "a\u0085b", "a\xff"} {
		_, text := format.ASCII.Text(format.Fields{}, "Subject", hostile)
		_, name := format.ASCII.Mailboxes(format.Fields{}, "To", []format.Mailbox{{Name: hostile, Address: "a@b"}})
		_, address := format.ASCII.Mailboxes(format.Fields{}, "To", []format.Mailbox{{Address: hostile}})
		_, word := format.Words(format.Fields{}, "References", hostile)
		_, value := format.Value(format.Fields{}, "Content-Type", hostile)
		_, param := format.Value(format.Fields{}, "Content-Type", "text/plain", format.Param{Name: "charset", Value: hostile})
		_, paramName := format.Value(format.Fields{}, "Content-Type", "text/plain", format.Param{Name: hostile, Value: "x"})
		for i, err := range []error{text, name, address, word, value, param, paramName} {
			if err == nil {
				t.Errorf("%q passed, in place %d", hostile, i)
			}
		}
	}
}

// FuzzText: whatever the text, readers that are not ours see exactly it, in
// lines that keep to the limits.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"Hello", "a  b ", "Zürich", strings.Repeat("日本 ", 60), strings.Repeat("a", 2000), "=?utf-8?q?x?=", "a\r\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, charset := range []format.Charset{format.ASCII, format.UTF8} {
			field, err := charset.Text(format.Fields{}, "Subject", value)
			if err != nil {
				if format.CheckText(value) == nil {
					t.Fatalf("%q: %v", value, err)
				}
				return
			}
			checkLines(t, spell(field), charset)
			if got := readBack(t, field, "Subject"); got != value {
				t.Errorf("%q was spelled %q and read back as %q", value, spell(field), got)
			}
		}
	})
}

func FuzzMailboxes(f *testing.F) {
	for _, seed := range []string{"Ann Lee", `"x" <y@z>,`, "Jörg", strings.Repeat("名", 100), "=?utf-8?q?x?=", " ", "a@b"} {
		f.Add(seed, "Bob")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, charset := range []format.Charset{format.ASCII, format.UTF8} {
			field, err := charset.Mailboxes(format.Fields{}, "To", []format.Mailbox{{first, "a@b"}, {second + ".", format.EmptyGroup}, {second, `"c>, d"@e`}})
			if err != nil {
				return
			}
			checkLines(t, spell(field), charset)
			message, err := mail.ReadMessage(strings.NewReader(spell(field) + "\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			list, err := message.Header.AddressList("To")
			if err != nil || len(list) != 2 {
				t.Fatalf("%q and %q were spelled %q and read back as %v, %v", first, second, spell(field), list, err)
			}
			for i, want := range []mail.Address{{Name: first, Address: "a@b"}, {Name: second, Address: "c>, d@e"}} {
				if *list[i] != want {
					t.Errorf("%q and %q were spelled %q and read back as %q", first, second, spell(field), list)
				}
			}
		}
	})
}

// FuzzListID: readers see the description, and the identifier behind it.
func FuzzListID(f *testing.F) {
	for _, seed := range []string{"", "The News", "A, B", "Übersicht", "=?utf-8?q?x?=", `"x" <a.b>`} {
		f.Add(seed, "news.example.com")
	}
	f.Fuzz(func(t *testing.T, description, id string) {
		for _, charset := range []format.Charset{format.ASCII, format.UTF8} {
			field, err := charset.ListID(format.Fields{}, description, id)
			if err != nil {
				return
			}
			checkLines(t, spell(field), charset)
			message, err := mail.ReadMessage(strings.NewReader(spell(field) + "\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			phrase, ok := strings.CutSuffix(message.Header.Get("List-Id"), "<"+id+">")
			if phrase = strings.TrimSpace(phrase); phrase == "" && ok && strings.Trim(description, " ") == "" {
				continue
			}
			read, err := mail.ParseAddress(phrase + " <a@b>") // The same phrase stands before an address.
			if !ok || err != nil || read.Name != description {
				t.Errorf("%q and %q were spelled %q, and read back as %v, %v", description, id, spell(field), read, err)
			}
		}
	})
}

func FuzzParam(f *testing.F) {
	for _, seed := range []string{"q3.pdf", "a b", `a"b\`, "Übersicht", strings.Repeat("é", 200) + ".pdf", strings.Repeat("x", 300), "%41", "''"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		field, err := format.Value(format.Fields{}, "Content-Disposition", "attachment", format.Param{Name: "filename", Value: value})
		if err != nil {
			return
		}
		checkLines(t, spell(field), format.ASCII)
		_, params, err := mime.ParseMediaType(readBack(t, field, "Content-Disposition"))
		if err != nil || params["filename"] != value {
			t.Errorf("%q was spelled %q and read back as %q, %v", value, spell(field), params, err)
		}
	})
}

// readBack reads a field with net/mail and decodes it with mime.
func readBack(t *testing.T, field format.Fields, name string) string {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(spell(field) + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(message.Header) != 1 || len(message.Header[name]) != 1 {
		t.Fatalf("%q is not exactly one field: %v", spell(field), message.Header)
	}
	got, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var encodedWord = regexp.MustCompile(`=\?utf-8\?.\?[^?]*\?=`)

// checkLines checks what every field must obey: CRLF, ASCII unless it may be UTF-8,
// no line that is blank, lengths of lines and of encoded words.
func checkLines(t *testing.T, field string, charset format.Charset) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		switch {
		case strings.ContainsAny(line, "\r\n\x00") || charset == format.ASCII && !isASCII(line):
			t.Errorf("a line of %q holds what no line may", field)
		case len(line) > 998:
			t.Errorf("line %d of %q has %d octets", i, field, len(line))
		case encodedWord.MatchString(line) && len(line) > 76:
			t.Errorf("line %d of %q has an encoded word and %d octets", i, field, len(line))
		case i > 0 && (strings.TrimSpace(line) == "" || line[0] != ' '):
			t.Errorf("line %d of %q is no continuation", i, field)
		}
		for _, word := range encodedWord.FindAllString(line, -1) {
			if len(word) > 75 {
				t.Errorf("the encoded word %q has %d octets", word, len(word))
			}
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func spell(field format.Fields) string {
	var b bytes.Buffer
	part := format.Part{Fields: field, Content: empty}
	part.WriteTo(&b)
	return strings.TrimSuffix(b.String(), "\r\n")
}
