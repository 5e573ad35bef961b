package smtp_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/postrider/smtp"
)

// octets is content that no text encoding could carry by chance.
var octets = func() []byte {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}()

// shapes has a message for each structure; the golden files show what they become.
func shapes() map[string]*smtp.Message {
	with := func(change func(*smtp.Message)) *smtp.Message {
		m := letter("bob@example.net")
		change(m)
		return m
	}
	picture := smtp.FileBytes("logo.png", octets[:100])
	report := smtp.FileBytes("report.pdf", octets)
	return map[string]*smtp.Message{
		"text":         letter("bob@example.net"),
		"subject-only": with(func(m *smtp.Message) { m.Text = "" }),
		"html":         with(func(m *smtp.Message) { m.Text, m.HTML = "", "<p>Hello.</p>" }),
		"alternative":  with(func(m *smtp.Message) { m.HTML = "<p>Hello.</p>" }),
		"related": with(func(m *smtp.Message) {
			m.Text, m.HTML, m.Inline = "", `<img src="cid:logo.png">`, []smtp.File{picture}
		}),
		"everything": with(func(m *smtp.Message) {
			m.HTML, m.Inline, m.Attachments = `<img src="cid:logo.png">`, []smtp.File{picture}, []smtp.File{report, smtp.FileBytes("empty.json", nil)}
		}),
		"attachment-only":     with(func(m *smtp.Message) { m.Subject, m.Text, m.Attachments = "", "", []smtp.File{report} }),
		"inline-without-html": with(func(m *smtp.Message) { m.Inline, m.Attachments = []smtp.File{picture}, []smtp.File{report} }),
		"content-id": with(func(m *smtp.Message) {
			picture.ContentID = "logo@example.com"
			m.HTML, m.Inline = `<img src="cid:logo@example.com"> cid:logo.png`, []smtp.File{picture}
		}),
		"invitation": with(func(m *smtp.Message) {
			calendar := form("text/calendar; method=REQUEST; charset=utf-8", "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n")
			amp := form("text/x-amp-html; charset=utf-8", "<!doctype html><html amp4email></html>")
			m.HTML, m.Alternatives, m.Attachments = "<p>Hello.</p>", []smtp.File{calendar, amp}, []smtp.File{report}
		}),
		"calendar-only": with(func(m *smtp.Message) {
			m.Text, m.Alternatives = "", []smtp.File{form("text/calendar; method=REPLY", "BEGIN:VCALENDAR\r\n")}
		}),
		"further-fields": with(func(m *smtp.Message) {
			m.Header = smtp.Header{
				{Name: "X-Campaign", Value: "autumn"}, {Name: "X-Campaign", Value: "Grüße aus dem Norden und noch viel mehr, bis die Zeile lang genug ist"},
				{Name: "Organization", Value: "Example Ltd, which has a name that does not fit into one line of seventy-eight octets"},
			}
		}),
		"header": with(func(m *smtp.Message) {
			m.From = smtp.Address{Name: "Ann, Accounts", Address: "ann@example.com"}
			m.Sender = &smtp.Address{Name: "A Robot", Address: "robot@example.com"}
			m.ReplyTo = []smtp.Address{{Address: "desk@example.com"}}
			m.Cc = []smtp.Address{{Name: "Carol", Address: "carol@example.org"}, {Address: "a b@example.org"}}
			m.Bcc = []smtp.Address{{Name: "Secret", Address: "hidden@example.org"}}
			m.InReplyTo = []string{"0@example.net"}
			m.References = []string{"<a@example.net>", "0@example.net"}
		}),
		"many-recipients": with(func(m *smtp.Message) {
			for i := range 30 {
				m.To = append(m.To, smtp.Address{Name: fmt.Sprintf("Reader Number %d", i), Address: fmt.Sprintf("reader%d@example.net", i)})
			}
		}),
		"international": with(func(m *smtp.Message) {
			m.From.Name = "Jörg Müller"
			m.To[0] = smtp.Address{Name: "山田太郎", Address: "taro@例え.jp"}
			m.Subject = "Größere Zahlen für das dritte Quartal, und zwar: 日本、中国、한국. Außerdem 🚀"
			m.Text = "Grüße aus Zürich, wo man sonst ganz gut mit ASCII auskommt.\n"
			m.HTML = "<p>日本語だけの段落</p>\n"
			m.Attachments = []smtp.File{smtp.FileBytes("Übersicht über die sehr langen Namen von Dateien im dritten Quartal.pdf", octets[:10])}
		}),
		"long-lines": with(func(m *smtp.Message) {
			m.Subject = strings.Repeat("all work and no play ", 20) + "end"
			m.Text = strings.Repeat("x", 2000) + "\n" + strings.Repeat("y", 998)
		}),
		"attached-message": with(func(m *smtp.Message) {
			m.Attachments = []smtp.File{
				{Name: "plain.eml", Type: "message/rfc822", Open: opener("Subject: plain\r\n\r\n.text\r\n")},
				{Name: "eight-bit.eml", Type: "message/rfc822", Open: opener("Subject: 8bit\r\n\r\nGrüße\r\n")},
				{Name: "bare-lf.eml", Type: "message/rfc822", Open: opener("Subject: LF\n\ntext\n")},
			}
		}),
		"types": with(func(m *smtp.Message) {
			m.Attachments = []smtp.File{
				{Name: "data", Open: opener("x")},
				{Name: "table", Type: `text/csv; header="present"; charset=utf-8`, Open: opener("a,b\n")},
				{Name: "parts", Type: "multipart/mixed; boundary=x", Open: opener("--x--\r\n")},
			}
		}),
	}
}

// form is content for Alternatives.
func form(mediaType, content string) smtp.File {
	file := smtp.FileBytes("", []byte(content))
	file.Type = mediaType
	return file
}

func opener(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, message := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", "message", name+".eml")
			got := write(t, message)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("it became other than %s (%v):\n%s", path, err, got)
			}
			checkBytes(t, got)
		})
	}
}

// TestSizeIsDeclared: the size that MAIL declares is that of what is sent, and
// nothing is read to find it.
func TestSizeIsDeclared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "figures.bin")
	if err := os.WriteFile(path, octets, 0o600); err != nil {
		t.Fatal(err)
	}
	messages := shapes()
	for i := range 5 {
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{smtp.FilePath(path), sized(int64(57*3 + i)), {Name: "a.eml", Type: "message/rfc822", Size: 14, Open: opener("Subject: x\r\n\r\n")}}
		messages[fmt.Sprintf("files %d", i)] = m
	}
	for name, m := range messages {
		known := true
		for _, file := range m.Attachments {
			known = known && (file.Size > 0 || name[:5] == "files")
		}
		ours, theirs := net.Pipe()
		server := recordAs(theirs, &recorder{offers: "SIZE 1000000"})
		c := smtp.NewClient(ours, nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Send(t.Context(), m)
		c.Quit(t.Context())
		<-server.done
		sent := len(strings.TrimSuffix(strings.ReplaceAll("\r\n"+server.content, "\r\n..", "\r\n."), ".\r\n")) - 2
		want := "MAIL FROM:<ann@example.com>"
		if known {
			want += fmt.Sprintf(" SIZE=%d", sent)
		}
		if from := cmp.Or(m.Sender, &smtp.Address{Address: "ann@example.com"}); err != nil || server.mail != strings.Replace(want, "ann@example.com", from.Address, 1) {
			t.Errorf("%s: %s before %d octets, %v", name, server.mail, sent, err)
		}
	}
}

// checkBytes checks what holds for every message: CRLF, seven bits, lengths, no
// field twice, and that Bcc is nowhere.
func checkBytes(t *testing.T, message []byte) {
	t.Helper()
	if bytes.Contains(message, []byte("hidden@")) {
		t.Error("Bcc is written")
	}
	if regexp.MustCompile(`(^|[^\r])\n|\r($|[^\n])`).Match(message) || !bytes.HasSuffix(message, []byte("\r\n")) {
		t.Error("a line does not end in CRLF")
	}
	for line := range bytes.SplitSeq(message, []byte("\r\n")) {
		if len(line) > 998 {
			t.Errorf("a line has %d octets", len(line))
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
			t.Errorf("a line is not 7-bit text: %q", line)
		}
	}
	header, _, _ := strings.Cut(string(message), "\r\n\r\n")
	seen := map[string]bool{}
	for _, field := range regexp.MustCompile(`(?m)^[^ \t:]+:`).FindAllString(header, -1) {
		if name := strings.ToLower(field); seen[name] && !strings.HasPrefix(name, "x-") {
			t.Errorf("%s is there twice", field)
		} else {
			seen[name] = true
		}
	}
}

// TestReadBack: parsers that are not ours see what was asked for.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for name, message := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := message.Prepare()
			if err != nil {
				t.Fatal(err)
			}
			want := asked(t, p)
			raw := write(t, p)
			for parser, read := range map[string]func(*testing.T, []byte) content{"net/mail": readStandard, "go-message": readGoMessage} {
				if got := read(t, raw); !reflect.DeepEqual(got, want) {
					t.Errorf("%s reads\n%+v\nwant\n%+v", parser, got, want)
				}
			}
		})
	}
}

func TestPreparedWritesTheSameEachTime(t *testing.T) {
	t.Parallel()
	for name, message := range shapes() {
		message.Date, message.MessageID = time.Time{}, ""
		p, err := message.Prepare()
		if err != nil {
			t.Fatal(name, err)
		}
		first := write(t, p)
		var writers sync.WaitGroup
		for range 100 {
			writers.Go(func() {
				var b bytes.Buffer
				if n, err := p.WriteTo(&b); err != nil || n != int64(b.Len()) || !bytes.Equal(b.Bytes(), first) {
					t.Errorf("%s: %d octets, %v, other than the first time", name, n, err)
				}
			})
		}
		writers.Wait()
		again, err := p.Prepare()
		if err != nil || !bytes.Equal(write(t, again), first) {
			t.Errorf("%s: prepared twice, it writes something else (%v)", name, err)
		}
	}
}

func TestPrepareModifiesNothing(t *testing.T) {
	t.Parallel()
	for name, message := range shapes() {
		message.MessageID = ""
		before := snapshot(message)
		p, err := message.Prepare()
		if err != nil {
			t.Fatal(name, err)
		}
		for i := range p.To {
			p.To[i].Address = "changed@example.com"
		}
		for i := range p.Inline {
			p.Inline[i].Name = "changed"
		}
		if p.Sender != nil {
			p.Sender.Address = "changed@example.com"
		}
		p.Delivery.To[0].Address = "changed@example.com"
		if after := snapshot(message); after != before {
			t.Errorf("%s was\n%s\nand is\n%s", name, before, after)
		}
	}
}

// snapshot shows everything that a message holds but functions.
func snapshot(m *smtp.Message) string {
	c := *m
	c.Inline, c.Attachments, c.Sender = nil, nil, nil
	s := fmt.Sprintf("%+v %v", c, m.Sender)
	for _, f := range append(append([]smtp.File(nil), m.Inline...), m.Attachments...) {
		f.Open = nil
		s += fmt.Sprintf("\n%+v", f)
	}
	return s
}

func TestPrepareFillsIn(t *testing.T) {
	t.Parallel()
	m := &smtp.Message{
		From: smtp.Address{Address: "ann@bücher.example"},
		To:   []smtp.Address{{Address: "bob@example.net"}, {Address: "Bob@example.net"}},
		Cc:   []smtp.Address{{Address: "bob@EXAMPLE.net"}, {Address: "eve@bücher.example"}},
		Bcc:  []smtp.Address{{Address: "eve@xn--bcher-kva.example"}, {Address: "hidden@example.org"}},
		Text: "x",
	}
	p, err := m.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if p.Date.IsZero() || time.Since(p.Date) > time.Minute {
		t.Errorf("Date is %v", p.Date)
	}
	if !regexp.MustCompile(`^[a-z2-7]{26}@xn--bcher-kva\.example$`).MatchString(p.MessageID) {
		t.Errorf("MessageID is %q", p.MessageID)
	}
	want := smtp.Envelope{From: "ann@bücher.example", To: []smtp.Recipient{
		{Address: "bob@example.net"}, {Address: "Bob@example.net"}, {Address: "eve@bücher.example"}, {Address: "hidden@example.org"},
	}}
	if !reflect.DeepEqual(p.Delivery, want) {
		t.Errorf("Delivery is %+v, want %+v", p.Delivery, want)
	}
	other, err := m.Prepare()
	if err != nil || other.MessageID == p.MessageID {
		t.Errorf("two messages have the identifier %s (%v)", p.MessageID, err)
	}
	m.Delivery = smtp.Envelope{From: "<>", To: []smtp.Recipient{{Address: "postmaster"}}}
	if p, err = m.Prepare(); err != nil || !reflect.DeepEqual(p.Delivery, m.Delivery) {
		t.Errorf("a Delivery that was given became %+v, %v", p.Delivery, err)
	}
	m.Delivery, m.Sender = smtp.Envelope{}, &smtp.Address{Address: "robot@example.com"}
	if p, err = m.Prepare(); err != nil || p.Delivery.From != "robot@example.com" {
		t.Errorf("with a Sender, Delivery is %+v, %v", p.Delivery, err)
	}
}

// TestBadInput: each is a *FieldError that names the field, from Prepare and
// WriteTo alike, before an octet is written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	file := smtp.FileBytes("a.txt", []byte("x"))
	for want, change := range map[string]func(*smtp.Message){
		"From":           func(m *smtp.Message) { m.From = smtp.Address{} },
		"From ":          func(m *smtp.Message) { m.From.Address = "ann" },
		"To":             func(m *smtp.Message) { m.To = nil },
		"To[0]":          func(m *smtp.Message) { m.To[0].Address = "a@b\r\nRSET" },
		"To[0] ":         func(m *smtp.Message) { m.To[0].Address = "bob@exam_ple.net" },
		"To[0]  ":        func(m *smtp.Message) { m.To[0].Address = "jörg@example.net" },
		"To[0]   ":       func(m *smtp.Message) { m.To[0].Address = "bob@bü-.example" },
		"To ":            func(m *smtp.Message) { m.To[0].Name = "Bob\r\nBcc: x@example.com" },
		"Cc[1]":          func(m *smtp.Message) { m.Cc = []smtp.Address{m.From, {}} },
		"Bcc[0]":         func(m *smtp.Message) { m.Bcc = []smtp.Address{{Address: "x"}} },
		"ReplyTo[0]":     func(m *smtp.Message) { m.ReplyTo = []smtp.Address{{Address: "x y"}} },
		"Date":           func(m *smtp.Message) { m.Date = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"Date ":          func(m *smtp.Message) { m.Date = sentAt.In(time.FixedZone("", 100*3600)) },
		"Sender":         func(m *smtp.Message) { m.Sender = &smtp.Address{} },
		"Subject":        func(m *smtp.Message) { m.Subject = "Hi\nBcc: x@example.com" },
		"Subject ":       func(m *smtp.Message) { m.Subject = "\xff" },
		"Text":           func(m *smtp.Message) { m.Text = "a\rb" },
		"Text ":          func(m *smtp.Message) { m.Subject, m.Text = "", "" },
		"HTML":           func(m *smtp.Message) { m.HTML = "\xc3" },
		"MessageID":      func(m *smtp.Message) { m.MessageID = "a b@example.com" },
		"Header[0]":      func(m *smtp.Message) { m.Header = smtp.Header{{Name: "Bcc", Value: "x@example.com"}} },
		"Header[0] ":     func(m *smtp.Message) { m.Header = smtp.Header{{Name: "content-TYPE", Value: "text/html"}} },
		"Header[0]  ":    func(m *smtp.Message) { m.Header = smtp.Header{{Name: "X Y", Value: "z"}} },
		"Header[0]   ":   func(m *smtp.Message) { m.Header = smtp.Header{{Name: "X:Y", Value: "z"}} },
		"Header[0]    ":  func(m *smtp.Message) { m.Header = smtp.Header{{Name: "", Value: "z"}} },
		"Header[0]     ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: "X", Value: " "}} },
		"Header[1]": func(m *smtp.Message) {
			m.Header = smtp.Header{{Name: "X", Value: "y"}, {Name: "X", Value: "y\r\nBcc: z"}}
		},
		"Header[0]      ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: strings.Repeat("x", 77), Value: "z"}} },
		"MessageID ":      func(m *smtp.Message) { m.MessageID = "no-domain" },
		"MessageID  ":     func(m *smtp.Message) { m.MessageID = "a@b>\r\nX: <c@d" },
		"InReplyTo":       func(m *smtp.Message) { m.InReplyTo = []string{"a@b\r\nX: y"} },
		"References":      func(m *smtp.Message) { m.References = []string{"a@b", "<>"} },
		"Delivery.From":   func(m *smtp.Message) { m.Delivery.From = "a@b> SIZE=1" },
		"Delivery.From ":  func(m *smtp.Message) { m.Delivery.From = "ann" },
		"Delivery.To[1].Address": func(m *smtp.Message) {
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net"}, {Address: "@x,@y:a@b"}}
		},
		"Delivery.To[0].Notify": func(m *smtp.Message) {
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", Notify: smtp.NotifyNever | smtp.NotifyDelay}}
		},
		"Delivery.To[0].OriginalRecipient": func(m *smtp.Message) {
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", OriginalRecipient: "a\r\nb"}}
		},
		"Delivery.Accept":     func(m *smtp.Message) { m.Delivery.Accept = 9 },
		"Delivery.Params[0]":  func(m *smtp.Message) { m.Delivery.Params = []smtp.Param{{Keyword: "BY", Value: "1 2"}} },
		"Delivery.Params[0] ": func(m *smtp.Message) { m.Delivery.Params = []smtp.Param{{Keyword: "BY\r\n"}} },
		"Delivery.Params[0].Extension": func(m *smtp.Message) {
			m.Delivery.Params = []smtp.Param{{Keyword: "BY", Extension: "X\r\nlevel=ERROR"}}
		},
		"Delivery.Params[1]": func(m *smtp.Message) {
			m.Delivery.Params = []smtp.Param{{Keyword: "BY"}, {Keyword: "size", Value: "1"}}
		},
		"Delivery.To[0].Params[0]": func(m *smtp.Message) {
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", Params: []smtp.Param{{Keyword: "NOTIFY", Value: "NEVER"}}}}
		},
		"Delivery.Return":       func(m *smtp.Message) { m.Delivery.Return = 9 },
		"Delivery.EnvelopeID":   func(m *smtp.Message) { m.Delivery.EnvelopeID = strings.Repeat("x", 101) },
		"Attachments[0].Name":   func(m *smtp.Message) { file.Name = ""; m.Attachments = []smtp.File{file} },
		"Attachments[0].Name ":  func(m *smtp.Message) { file.Name = "../x"; m.Attachments = []smtp.File{file} },
		"Attachments[0].Name  ": func(m *smtp.Message) { file.Name = "x\r\ny"; m.Attachments = []smtp.File{file} },
		"Attachments[0].Type":   func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a", Type: "text", Open: file.Open}} },
		"Attachments[0].Type ":  func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a", Type: "a/b\r\nX: y", Open: file.Open}} },
		"Attachments[0].Open":   func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a"}} },
		"Attachments[0].Size":   func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a", Size: -1, Open: file.Open}} },
		"Inline[0].ContentID":   func(m *smtp.Message) { m.Inline = []smtp.File{{Name: "a", ContentID: "x", Open: file.Open}} },
		"Attachments[0].ContentID ": func(m *smtp.Message) {
			m.Inline = []smtp.File{{Name: "a", ContentID: "x@y", Open: file.Open}}
			m.Attachments = m.Inline
		},
		"Inline[0].ContentID ": func(m *smtp.Message) { m.Inline = []smtp.File{{Name: "a", ContentID: "x@y\r\nX: z", Open: file.Open}} },
		"Attachments[0].ContentID": func(m *smtp.Message) {
			m.Attachments = []smtp.File{{Name: "a", ContentID: "<a@b><c@d>", Open: file.Open}}
		},
	} {
		m := letter("bob@example.net")
		change(m)
		want = strings.TrimSpace(want)
		_, prepareErr := m.Prepare()
		var b bytes.Buffer
		_, writeErr := m.WriteTo(&b)
		for method, err := range map[string]error{"Prepare": prepareErr, "WriteTo": writeErr} {
			var field *smtp.FieldError
			if !errors.As(err, &field) || field.Field != want {
				t.Errorf("%s: %s returned %v", want, method, err)
			} else if strings.ContainsAny(err.Error(), "\r\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("%s: the error is not fit for a log: %q", want, err)
			}
		}
		if b.Len() > 0 {
			t.Errorf("%s: %q was written", want, b.Bytes())
		}
	}
}

// TestOneAddress: what stands between addresses, or around them, is not quietly
// made a part of one.
func TestOneAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		" bob@example.net", "bob @example.net", "bob@example.net ", "Bob <bob@example.net", "bob@example.net>", "mailto:bob@example.net",
		"bob,eve@example.net", "bob;eve@example.net", "bob(home)@example.net", "@example.net", "a@b@example.net", "@a,@b:c@example.net", "[bob]@example.net", "",
	} {
		if got, err := smtp.ToASCII(address); err == nil {
			t.Errorf("%q became %q", address, got)
		}
	}
	for address, want := range map[string]string{
		"bob@example.net":          "bob@example.net",
		"bob smith@example.net":    `"bob smith"@example.net`,
		`"bob smith"@example.net`:  `"bob smith"@example.net`,
		`"a, b <c@d>"@example.net`: `"a, b <c@d>"@example.net`,
		`"plain"@example.net`:      "plain@example.net",
		`back\slash@example.net`:   `"back\\slash"@example.net`,
		"bob@BÜCHER.example":       "bob@xn--bcher-kva.example",
		"bob@bücher。example":       "bob@xn--bcher-kva.example",
		"bob@[192.0.2.1]":          "bob@[192.0.2.1]",
	} {
		if got, err := smtp.ToASCII(address); got != want || err != nil {
			t.Errorf("%q became %q, %v; want %q", address, got, err, want)
		}
	}
}

// TestReferences: "cid:" and the name of an inline file is found in HTML as
// people and html/template write it, and nothing else is.
func TestReferences(t *testing.T) {
	t.Parallel()
	for html, want := range map[string]string{
		`<img src="cid:a b.png">`:             `<img src="cid:ID">`,
		`<img src='cid:a%20b.png'>`:           `<img src='cid:ID'>`,
		`<img src=cid:a%20b.png>`:             `<img src=cid:ID>`,
		`url(&quot;CID:a%20b.png&quot;)`:      `url(&quot;cid:ID&quot;)`,
		`srcset="cid:a%20b.png, cid:a b.png"`: `srcset="cid:ID, cid:ID"`,
		`cid:a b.png`:                         `cid:ID`,
		`acid:a b.png `:                       `acid:a b.png `,
		`cid:a b.pngx cid:a b.png.old`:        `cid:a b.pngx cid:a b.png.old`,
	} {
		m := letter("bob@example.net")
		m.MessageID = `x"onerror=alert(1)"@example.com`
		m.HTML, m.Inline = html, []smtp.File{smtp.FileBytes("a b.png", octets)}
		p, err := m.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(p.HTML, p.Inline[0].ContentID, "ID"); got != want || !regexp.MustCompile(`^part1\.[0-9a-f]{24}@example\.com$`).MatchString(p.Inline[0].ContentID) {
			t.Errorf("%s became %s, with %s", html, got, p.Inline[0].ContentID)
		}
	}
}

// TestNil: what is not there is an error, not a panic.
func TestNil(t *testing.T) {
	t.Parallel()
	var field *smtp.FieldError
	if _, err := (*smtp.Message)(nil).Prepare(); !errors.As(err, &field) {
		t.Errorf("Prepare of nil returned %v", err)
	}
	if result, err := new(smtp.Mailer).Send(t.Context(), nil); !errors.As(err, &field) || result == nil {
		t.Errorf("Send of nil returned %v, %v", result, err)
	}
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{{Name: "a", Open: func() (io.ReadCloser, error) { return nil, nil }}}
	if _, err := m.WriteTo(io.Discard); !errors.As(err, &field) {
		t.Errorf("WriteTo with a file that opens to nil returned %v", err)
	}
}

// TestFilesAreOpenedFirst: what cannot be read is found before an octet is
// written, and everything that was opened is closed.
func TestFilesAreOpenedFirst(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for name, test := range map[string]struct {
		file smtp.File
		want error
	}{
		"missing file":    {smtp.FilePath(filepath.Join(directory, "missing")), os.ErrNotExist},
		"missing in FS":   {smtp.FileFS(fstest.MapFS{}, "a/b.txt"), os.ErrNotExist},
		"a folder":        {smtp.FilePath(directory), nil},
		"a broken reader": {smtp.File{Name: "x", Open: broken(0)}, errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &countedFile{source: opener("x")}
			m := letter("bob@example.net")
			m.Attachments = []smtp.File{{Name: "first", Open: counted.open}, test.file}
			var b bytes.Buffer
			_, err := m.WriteTo(&b)
			var field *smtp.FieldError
			if !errors.As(err, &field) || field.Field != "Attachments[1]" || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("WriteTo returned %v", err)
			}
			if b.Len() > 0 || counted.opened != 1 || counted.closed != 1 {
				t.Errorf("%d octets were written, a file was opened %d times and closed %d times", b.Len(), counted.opened, counted.closed)
			}
		})
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	counted := &countedFile{source: opener(strings.Repeat("x", 100_000))}
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{{Name: "a", Open: counted.open}}
	first, second := write(t, m), write(t, m)
	if !bytes.Equal(first, second) || counted.opened != 2 || counted.closed != 2 {
		t.Errorf("opened %d times, closed %d times", counted.opened, counted.closed)
	}
}

func TestSizeMustMatch(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, 4, 6, 1 << 40} {
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{{Name: "a", Size: size, Open: opener("12345")}}
		if _, err := m.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "of its Size") {
			t.Errorf("with a Size of %d, WriteTo returned %v", size, err)
		}
	}
}

var errDisk = errors.New("disk error")

// broken opens content of n octets with an error in the place of its end.
func broken(n int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(endless{}, n), iotest.ErrReader(errDisk))), nil
	}
}

// endless is content without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// countedFile counts how often a file is opened and closed.
type countedFile struct {
	source         func() (io.ReadCloser, error)
	opened, closed int
}

func (f *countedFile) open() (io.ReadCloser, error) {
	r, err := f.source()
	if err != nil || r == nil {
		return nil, err
	}
	f.opened++
	return &countedReader{r, f}, nil
}

type countedReader struct {
	io.Reader
	file *countedFile
}

func (r *countedReader) Close() error {
	r.file.closed++
	return nil
}

func write(t *testing.T, m *smtp.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
