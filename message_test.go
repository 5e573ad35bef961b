package smtp_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
	"github.com/postrider/smtp/smtptest"
)

// TestTypes: a file that states no type, or text without a charset, has what its
// content says.
func TestTypes(t *testing.T) {
	t.Parallel()
	latin1 := "caf\xe9\n"
	ahead := strings.Repeat("a", 32<<10)
	for _, test := range []struct{ name, stated, content, want string }{
		{"page.html", "", "<p>ü", "text/html; charset=utf-8"},
		{"page.html", "", latin1, "text/html"},
		{"a.png", "", "text", "image/png"},
		{"x", "", "\x89PNG\r\n\x1a\n", "image/png"},
		{"x", "", "<html>", "text/html; charset=utf-8"},
		{"x", "", "a", "text/plain; charset=utf-8"},
		{"x", "", latin1, "text/plain"},
		{"x", "", "\xff\xfea\x00", "text/plain; charset=utf-16le"},
		{"x", "", "", "application/octet-stream"},
		{"x", "", "\x00\x01", "application/octet-stream"},
		{"x", "text/plain", "", "text/plain; charset=utf-8"},
		{"x", "text/plain; charset=iso-8859-1", latin1, "text/plain; charset=iso-8859-1"},
		{"x", "TEXT/CSV; header=present", "ü", "text/csv; charset=utf-8; header=present"},
		{"x", "application/json", "ü", "application/json"},
		{"x", "text/plain", ahead[1:] + "ü", "text/plain; charset=utf-8"},
		{"x", "text/plain", ahead[2:] + "日", "text/plain; charset=utf-8"},
		{"x", "text/plain", ahead[3:] + "🚀", "text/plain; charset=utf-8"},
		{"x", "text/plain", ahead[3:] + "\xf0\x9fa", "text/plain"},
		{"x", "text/plain", ahead[5:] + "日\xe6", "text/plain"},
		{"x", "text/plain", ahead + latin1, "text/plain; charset=utf-8"},
	} {
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{{Name: test.name, Type: test.stated, Open: opener(test.content)}}
		types := regexp.MustCompile("Content-Type: (.*)\r\n").FindAllSubmatch(write(t, m), -1)
		if got := string(types[len(types)-1][1]); got != test.want {
			t.Errorf("%s of type %q with %.20q… became %s, want %s", test.name, test.stated, test.content, got, test.want)
		}
	}
}

func opener(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, message := range readback.Messages() {
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
			checkBytes(t, got, message.Delivery.UTF8)
		})
	}
}

// TestSizeIsDeclared: the size that MAIL declares is that of what is sent, and
// nothing is read to find it.
func TestSizeIsDeclared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "figures.bin")
	if err := os.WriteFile(path, readback.Octets, 0o600); err != nil {
		t.Fatal(err)
	}
	messages := readback.Messages()
	for i := range 5 {
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{smtp.FilePath(path), smtp.FileFS(os.DirFS(filepath.Dir(path)), "figures.bin"), sized(int64(57*3 + i)), {Name: "a.eml", Type: "message/rfc822", Size: 14, Open: opener("Subject: x\r\n\r\n")}}
		messages[fmt.Sprintf("files %d", i)] = m
	}
	for name, m := range messages {
		known := true
		for _, file := range m.Attachments {
			known = known && (file.Size > 0 || name[:5] == "files")
		}
		ours, theirs := net.Pipe()
		server := recordAs(theirs, &recorder{offers: "SMTPUTF8, SIZE 1000000"})
		c := smtp.NewClient(ours, nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Send(t.Context(), m)
		c.Quit(t.Context())
		<-server.done
		sent := len(strings.TrimSuffix(strings.ReplaceAll("\r\n"+server.content, "\r\n..", "\r\n."), ".\r\n")) - 2
		from, _ := smtp.ToASCII(cmp.Or(m.Sender, &m.From).Address)
		want := "MAIL FROM:<" + strings.Trim(cmp.Or(m.Delivery.From, from), "<>") + ">"
		if m.Delivery.UTF8 {
			want += " SMTPUTF8"
		}
		if known {
			want += fmt.Sprintf(" SIZE=%d", sent)
		}
		if err != nil || server.mail != want {
			t.Errorf("%s: %s before %d octets, %v", name, server.mail, sent, err)
		}
	}
}

// checkBytes checks what holds for every message: CRLF, seven bits but in a header
// that may be UTF-8, lengths, no field twice, and that Bcc is nowhere.
func checkBytes(t *testing.T, message []byte, utf8Header bool) {
	t.Helper()
	header, body, _ := strings.Cut(string(message), "\r\n\r\n")
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
		if isHeader := !strings.Contains(body, string(line)); bytes.ContainsFunc(line, func(r rune) bool {
			return r > '~' && !(utf8Header && isHeader) || r < ' ' && r != '\t'
		}) {
			t.Errorf("a line is not 7-bit text: %q", line)
		}
		if isWord := regexp.MustCompile(`=\?utf-8\?[^ ]*\?=`).FindAll(line, -1); isWord != nil && len(line) > 76 || len(slices.MaxFunc(append(isWord, nil), byLength)) > 75 {
			t.Errorf("an encoded word, or its line, is too long: %q", line)
		}
	}
	checkBoundaries(t, string(message))
	seen := map[string]bool{}
	for _, field := range regexp.MustCompile(`(?m)^[^ \t:]+:`).FindAllString(header, -1) {
		if name := strings.ToLower(field); seen[name] && !strings.HasPrefix(name, "x-") {
			t.Errorf("%s is there twice", field)
		} else {
			seen[name] = true
		}
	}
}

func byLength(a, b []byte) int { return len(a) - len(b) }

// checkBoundaries checks that each boundary stands in its declaration, once before
// each part and once behind the last, and nowhere else.
func checkBoundaries(t *testing.T, message string) {
	t.Helper()
	for _, declared := range regexp.MustCompile(`boundary="([^"]+)"`).FindAllStringSubmatch(message, -1) {
		boundary := declared[1]
		delimiters := strings.Count(message, "\r\n--"+boundary+"\r\n") + strings.Count(message, "\r\n--"+boundary+"--\r\n")
		if all := strings.Count(message, boundary); all != delimiters+1 || delimiters < 2 || strings.Count(message, boundary+"--\r\n") != 1 {
			t.Errorf("%s stands in %d places, and delimits %d", boundary, all, delimiters)
		}
	}
}

// TestReadBack: parsers that are not ours see what was asked for.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for name, message := range readback.Messages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := message.Prepare()
			if err != nil {
				t.Fatal(err)
			}
			want := asked(t, p)
			raw := write(t, p)
			for parser, read := range parsers {
				if got := ok(t)(read(raw)); !reflect.DeepEqual(got, want) {
					t.Errorf("%s reads\n%+v\nwant\n%+v", parser, got, want)
				}
			}
		})
	}
}

// FuzzMessage: whatever a message says, it is refused, or readers that are not ours
// see exactly that.
func FuzzMessage(f *testing.F) {
	f.Add("Hi", "Ann", "Hello.\n", "<p>Hello.</p>", "a.pdf", []byte("x"), "notes", false)
	f.Add("Größe =?utf-8?q?x?=", "Müller, \"J\" \\", "ü\r\n.\r\n--=_4a30277a7ca42298f0e1467c_mixed", "cid:a b", strings.Repeat("ü", 100)+".pdf", readback.Octets[:9], " ", true)
	f.Fuzz(func(t *testing.T, subject, name, text, html, file string, data []byte, description string, utf8 bool) {
		m := letter("bob@example.net")
		m.From.Name, m.To[0].Name, m.Subject, m.Text, m.HTML, m.Delivery.UTF8 = name, name, subject, text, html, utf8
		m.Attachments = []smtp.File{{Name: file, Type: "application/pdf", Description: description, Open: opener(string(data))}}
		p, err := m.Prepare()
		var field *smtp.FieldError
		if errors.As(err, &field) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want := asked(t, p)
		for i, l := range want.Leaves {
			if l.Disposition == "attachment" {
				want.Leaves[i].Type = "application/pdf"
			}
		}
		raw := write(t, p)
		checkBytes(t, raw, utf8)
		for parser, read := range parsers {
			if got := ok(t)(read(raw)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s reads %q, want %q", parser, got, want)
			}
		}
	})
}

func TestPreparedWritesTheSameEachTime(t *testing.T) {
	t.Parallel()
	for name, message := range readback.Messages() {
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
	messages := readback.Messages()
	messages["every field"] = everyField()
	for name, message := range messages {
		message.MessageID = ""
		before := snapshot(message)
		p, err := message.Prepare()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, path := range stringPaths(reflect.ValueOf(p).Elem(), "") {
			at(reflect.ValueOf(p).Elem(), path).SetString("changed")
		}
		if after := snapshot(message); after != before {
			t.Errorf("%s was\n%s\nand is\n%s", name, before, after)
		}
	}
}

// snapshot shows everything that a message holds, at any depth.
func snapshot(m *smtp.Message) string {
	var b strings.Builder
	var show func(v reflect.Value)
	show = func(v reflect.Value) {
		switch {
		case v.Kind() == reflect.Pointer && !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]():
			show(v.Elem())
		case v.Kind() == reflect.Slice:
			fmt.Fprintf(&b, "%d of %v:\n", v.Len(), v.Type())
			for i := range v.Len() {
				show(v.Index(i))
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				fmt.Fprintf(&b, "%s=", v.Type().Field(i).Name)
				show(v.Field(i))
			}
		default:
			fmt.Fprintf(&b, "%v\n", v)
		}
	}
	show(reflect.ValueOf(m).Elem())
	return b.String()
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
		"To[0]  ":        func(m *smtp.Message) { m.To[0].Address = "j\u202eörg@example.net" },
		"To[0]     ":     func(m *smtp.Message) { m.To[0].Address = `""@example.net` },
		"To[0]   ":       func(m *smtp.Message) { m.To[0].Address = "bob@bü-.example" },
		"To[0]    ":      func(m *smtp.Message) { m.To[0].Name = "Bob\r\nBcc: x@example.com" },
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
		"Header[0]       ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: "Resent-To", Value: "x@example.com"}} },
		"Header[0]        ": func(m *smtp.Message) {
			m.Header = smtp.Header{{Name: "list-unsubscribe", Value: "<https://example.com>"}}
		},
		"Header[0]         ": func(m *smtp.Message) {
			m.Header = smtp.Header{{Name: "Disposition-Notification-To", Value: "Jörg <x@example.com>"}}
		},
		"Header[0]          ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: "DKIM-Signature", Value: "a=b\r\n c"}} },
		"Header[0]           ": func(m *smtp.Message) {
			m.Header = smtp.Header{{Name: "DKIM-Signature", Value: strings.Repeat("x", 901)}}
		},
		"Importance":          func(m *smtp.Message) { m.Importance = 3 },
		"AutoSubmitted":       func(m *smtp.Message) { m.AutoSubmitted = 3 },
		"List.ID":             func(m *smtp.Message) { m.List.ID = "news" },
		"List.ID ":            func(m *smtp.Message) { m.List.ID = "news.example.com>\r\nX: <y.z" },
		"List.ID  ":           func(m *smtp.Message) { m.List.ID = "news..example.com" },
		"List.ID   ":          func(m *smtp.Message) { m.List.ID, m.List.Name = "news.example.com", "a\r\nb" },
		"List.Name":           func(m *smtp.Message) { m.List.Name = "News" },
		"List.Unsubscribe[1]": func(m *smtp.Message) { m.List.Unsubscribe = []string{"mailto:a@b", "https://a/>, <b"} },
		"List.Subscribe[0]":   func(m *smtp.Message) { m.List.Subscribe = []string{"https:/example.com"} },
		"List.Help[0]":        func(m *smtp.Message) { m.List.Help = []string{"example.com/help"} },
		"List.Help[0] ":       func(m *smtp.Message) { m.List.Help = []string{"NO"} },
		"List.Post[0]":        func(m *smtp.Message) { m.List.Post = []string{"NO", "mailto:a@b"} },
		"List.Owner[0]":       func(m *smtp.Message) { m.List.Owner = []string{"mailto:a@b\r\nX: y"} },
		"List.Archive":        func(m *smtp.Message) { m.List.Archive = []string{"https://example.com/" + strings.Repeat("a", 900)} },
		"List.Archive[0]":     func(m *smtp.Message) { m.List.Archive = []string{"https://example.com/ü"} },
		"List.OneClick":       func(m *smtp.Message) { m.List.OneClick = true },
		"List.OneClick ": func(m *smtp.Message) {
			m.List = smtp.List{OneClick: true, Unsubscribe: []string{"https://example.com/1", "https://example.com/2"}}
		},
		"List.OneClick  ": func(m *smtp.Message) {
			m.List = smtp.List{OneClick: true, Unsubscribe: []string{"https://example.com/1", "HTTP://example.com/2"}}
		},
		"To[1]":       func(m *smtp.Message) { m.To = append(m.To, smtp.Address{Address: ":;"}) },
		"ReplyTo[0] ": func(m *smtp.Message) { m.ReplyTo = []smtp.Address{{Address: ":;"}} },
		"Bcc[0] ":     func(m *smtp.Message) { m.Bcc = []smtp.Address{{Name: "All", Address: ":;"}} },
		"From  ":      func(m *smtp.Message) { m.From = smtp.Address{Name: "Nobody", Address: ":;"} },
		"To    ":      func(m *smtp.Message) { m.To = []smtp.Address{{Name: "All", Address: ":;"}} },
		"Calendar":    func(m *smtp.Message) { m.Calendar = "\xff" },
		"Calendar ":   func(m *smtp.Message) { m.Calendar = readback.Calendar("REQUEST", "a\rb") },
		"Attachments[0].Description": func(m *smtp.Message) {
			m.Attachments = []smtp.File{{Name: "a", Description: "a\nb", Open: file.Open}}
		},
		"Header[0]      ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: strings.Repeat("x", 77), Value: "z"}} },
		"MessageID ":      func(m *smtp.Message) { m.MessageID = "no-domain" },
		"MessageID  ":     func(m *smtp.Message) { m.MessageID = "a@b>\r\nX: <c@d" },
		"InReplyTo":       func(m *smtp.Message) { m.InReplyTo = []string{"a@b\r\nX: y"} },
		"References":      func(m *smtp.Message) { m.References = []string{"a@b", "<>"} },
		"Delivery.From":   func(m *smtp.Message) { m.Delivery.From = "a@b> SIZE=1" },
		"Delivery.From ":  func(m *smtp.Message) { m.Delivery.From = "ann" },
		"Delivery.To":     func(m *smtp.Message) { m.Delivery.To = []smtp.Recipient{} },
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
		"Delivery.Return":     func(m *smtp.Message) { m.Delivery.Return = 9 },
		"Delivery.EnvelopeID": func(m *smtp.Message) { m.Delivery.EnvelopeID = strings.Repeat("x", 101) },
		"Attachments[0].Name": func(m *smtp.Message) { file.Name = ""; m.Attachments = []smtp.File{file} },
		"MessageID   ":        func(m *smtp.Message) { m.MessageID = "a@b@c" },
		"MessageID    ":       func(m *smtp.Message) { m.MessageID = "a,b@c" },
		"MessageID     ":      func(m *smtp.Message) { m.MessageID = "a@b..c" },
		"MessageID      ":     func(m *smtp.Message) { m.MessageID = "a@[b\\]" },
		"Attachments[1].ContentID": func(m *smtp.Message) {
			m.Attachments = []smtp.File{{Name: "a", ContentID: "a@b", Open: file.Open}, {Name: "b", ContentID: "<a@b>", Open: file.Open}}
		},
		"Attachments[0].Type  ": func(m *smtp.Message) {
			m.Attachments = []smtp.File{{Name: "a", Type: "a/b; " + strings.Repeat("p", 51) + "=v", Open: file.Open}}
		},
		"Header[0]             ": func(m *smtp.Message) { m.Header = smtp.Header{{Name: "Keywords", Value: "Größe, Zahl"}} },
		"Header[0]              ": func(m *smtp.Message) {
			m.Header = smtp.Header{{Name: "Received", Value: "a" + strings.Repeat(" ", 1000) + "b"}}
		},
		"Attachments[0].Name    ": func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "..", Open: file.Open}} },
		"Alternatives[0].Type": func(m *smtp.Message) {
			m.Alternatives = []smtp.File{{Type: "multipart/mixed; boundary=x", Open: file.Open}}
		},
		"Alternatives[0].Type ": func(m *smtp.Message) { m.Alternatives = []smtp.File{{Open: file.Open}} },
		"Inline[0].Name":        func(m *smtp.Message) { m.HTML, m.Inline = "x", []smtp.File{{Name: "\xff.png", Open: file.Open}} },
		"Inline[1].Name": func(m *smtp.Message) {
			m.HTML, m.Inline = "cid:a.png", []smtp.File{{Name: "a.png", Open: file.Open}, {Name: "a.png", Open: file.Open}}
		},
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
		_, sendErr := new(smtp.Mailer).Send(t.Context(), m)
		for method, err := range map[string]error{"Prepare": prepareErr, "WriteTo": writeErr, "Send": sendErr} {
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
		`<img src="cid:a b.png">`:                 `<img src="cid:ID">`,
		`<img src="cid:a b.png.old">`:             `<img src="cid:a b.png.old">`,
		`<img src=cid:a&#32;b&#46;png >`:          `<img src=cid:ID >`,
		`<img src="cid:a b.png/x">`:               `<img src="cid:a b.png/x">`,
		`<img src="cid:a b.png&x;">`:              `<img src="cid:a b.png&x;">`,
		`<img src="cid:100%2525.png">`:            `<img src="cid:ID4">`,
		`<img src="cid:100%25.png">`:              `<img src="cid:ID4">`,
		`<img src="cid:100%2.png">`:               `<img src="cid:100%2.png">`,
		`<img src='CID:its%25one@example.com'>`:   `<img src='CID:its%25one@example.com'>`,
		`<img src="cid:a%20b%2epng#x">`:           `<img src="cid:ID#x">`,
		`x-cid:a b.png cid: cid`:                  `x-cid:a b.png cid: cid`,
		`<img src="cid:a+b&amp;c%c3%a9.png">`:     `<img src="cid:ID2">`,
		`<img src="cid:a&#43;b&amp;c%C3%A9.png">`: `<img src="cid:ID2">`,
		`<img src='cid:a b.png (1)'>`:             `<img src='cid:ID3'>`,
		`<img src="cid:given@example.com">`:       `<img src="cid:given@example.com">`,
		`<img src='cid:a%20b.png'>`:               `<img src='cid:ID'>`,
		`<img src=cid:a%20b.png>`:                 `<img src=cid:ID>`,
		`url(&quot;CID:a%20b.png&quot;)`:          `url(&quot;cid:ID&quot;)`,
		`srcset="cid:a%20b.png, cid:a b.png"`:     `srcset="cid:ID, cid:ID"`,
		`cid:a b.png`:                             `cid:ID`,
		`acid:a b.png `:                           `acid:a b.png `,
		`cid:a b.pngx cid:a b.png.old`:            `cid:a b.pngx cid:a b.png.old`,
	} {
		m := letter("bob@example.net")
		m.MessageID = "x@$1exa'm&ple.com"
		given := smtp.FileBytes("x", readback.Octets)
		given.ContentID = "<given@example.com>"
		own := smtp.FileBytes("y", readback.Octets)
		own.ContentID = "its%one@example.com"
		m.HTML, m.Inline = html, []smtp.File{
			smtp.FileBytes("a b.png", readback.Octets), smtp.FileBytes("a+b&cé.png", readback.Octets), smtp.FileBytes("a b.png (1)", readback.Octets),
			smtp.FileBytes("100%25.png", readback.Octets), given, smtp.FileBytes("given@example.com", readback.Octets), own,
		}
		p, err := m.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer(p.Inline[0].ContentID, "ID", p.Inline[1].ContentID, "ID2", p.Inline[2].ContentID, "ID3", p.Inline[3].ContentID, "ID4").Replace(p.HTML)
		if got != want || !regexp.MustCompile(`^part1\.[0-9a-f]{24}@-1exa-m-ple\.com$`).MatchString(p.Inline[0].ContentID) {
			t.Errorf("%s became %s, with %s", html, got, p.Inline[0].ContentID)
		}
	}
}

// TestManyReferences: what looks like a reference to a file and is none stays as it is,
// however much there is of it.
func TestManyReferences(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{"cid:&", "cid:%41,", "cid:'", "cid:" + strings.Repeat("a ", 100), "cid:" + strings.Repeat("n", 250) + ".png "} {
		m := letter("bob@example.net")
		for i := range 100 {
			m.Inline = append(m.Inline, smtp.FileBytes(strings.Repeat("n", 250)+fmt.Sprint(i)+".png", readback.Octets))
		}
		m.HTML = strings.Repeat(piece, 1<<17/len(piece))
		if p, err := m.Prepare(); err != nil || p.HTML != m.HTML {
			t.Errorf("%.20q: %v", piece, err)
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

// TestFileOnDiskChanges: a file that grows before it is read is sent as it was when it
// was opened, one that is cut is not sent.
func TestFileOnDiskChanges(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, size := range []int64{40_000, int64(len(content)) + 1000} {
		path := filepath.Join(t.TempDir(), "log.bin")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		reads := 0 // the first of which is ahead
		before := smtp.File{Name: "first.pdf", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(readerFunc(func(p []byte) (int, error) {
				if reads++; reads > 1 {
					return 0, cmp.Or(os.Truncate(path, size), io.EOF)
				}
				return copy(p, "x"), nil
			})), nil
		}}
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{before, smtp.FilePath(path)}
		var b bytes.Buffer
		_, err := m.WriteTo(&b)
		if size < int64(len(content)) {
			if err == nil || !strings.Contains(err.Error(), "smtp: Attachments[1]: has 40000 octets, and had 1000000 when it was opened") {
				t.Errorf("a file that was cut: %v", err)
			}
		} else if leaves := readStandard(t, b.Bytes()).Leaves; err != nil || leaves[2].Body != string(content) {
			t.Errorf("a file that grew: %d octets, %v", len(leaves[2].Body), err)
		}
	}
}

// TestFileInFile: what is read through a file, or from its middle, has a size of its
// own, and is sent as a whole.
func TestFileInFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.bin")
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	packer.Write(bytes.Repeat([]byte("0123456789"), 10_000))
	if err := cmp.Or(packer.Close(), os.WriteFile(path, packed.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{
		{Name: "a.bin", Open: func() (io.ReadCloser, error) {
			file, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			r, err := gzip.NewReader(file)
			return unpacked{file, r}, err
		}},
		{Name: "b.bin", Open: func() (io.ReadCloser, error) {
			file, err := os.Open(path)
			if err == nil {
				_, err = file.Seek(5, io.SeekStart)
			}
			return file, err
		}},
	}
	leaves := readStandard(t, write(t, m)).Leaves
	if len(leaves[1].Body) != 100_000 || leaves[2].Body != packed.String()[5:] {
		t.Errorf("%d and %d octets arrived", len(leaves[1].Body), len(leaves[2].Body))
	}
}

// unpacked reads through a file, whose Stat it has as well.
type unpacked struct {
	*os.File
	r io.Reader
}

func (u unpacked) Read(p []byte) (int, error) { return u.r.Read(p) }

// TestFileIsReplaced: another file in the place of the first one is not sent as if it
// were that.
func TestFileIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.bin")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := letter("bob@example.net", "eve@example.net")
	m.Attachments = []smtp.File{smtp.FilePath(path)}
	open := m.Attachments[0].Open
	times := 0
	m.Attachments[0].Open = func() (io.ReadCloser, error) {
		if times++; times == 2 {
			if err := os.WriteFile(path, []byte("much longer"), 0o600); err != nil {
				t.Error(err)
			}
		}
		return open()
	}
	inSession(t, &smtp.Options{MaxRecipients: 1}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		result, err := c.Send(t.Context(), m)
		if result.Recipients[0].Outcome != smtp.Accepted || result.Recipients[1].Outcome != smtp.NotSent || !strings.Contains(err.Error(), "had 5 octets, and has 11") {
			t.Errorf("%v, %v, %v", result.Recipients[0].Outcome, result.Recipients[1].Outcome, err)
		}
	})
}

// TestReaderForOnceIsFoundOut: where a prepared message is sent again, what is left of a
// reader that can be read only once is not taken for the file.
func TestReaderForOnceIsFoundOut(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 5000)
	for name, lost := range map[string]smtptest.Fault{
		"behind the content": {Refusal: &smtptest.Refusal{Code: 451}},
		"before it":          {Refusal: &smtptest.Refusal{Code: 451}, After: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := strings.NewReader(content)
			m := letter("bob@example.net")
			m.Attachments = []smtp.File{{Name: "a.bin", Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(reader, 1<<40)), nil }}}
			var first, second smtptest.Recorder
			first.On = func(step smtptest.Step) *smtptest.Fault {
				if step.Command == "END" && lost.After == 0 || step.Command == "DATA" && lost.After > 0 {
					return &lost
				}
				return nil
			}
			_, err := smtp.Failover{&first, &second}.Send(t.Context(), m)
			var field *smtp.FieldError
			if !errors.As(err, &field) || len(second.Messages()) > 0 {
				t.Errorf("%v, and %d mails", err, len(second.Messages()))
			}
		})
	}
}

// TestAnotherBeginning: a file that is another one the second time is not sent.
func TestAnotherBeginning(t *testing.T) {
	t.Parallel()
	for _, contents := range [][]string{{"one", "two"}, {"one", "on"}, {"one", "ones"}, {"", "one"}, {"one", ""}} {
		times := -1
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{{Name: "a.bin", Open: func() (io.ReadCloser, error) {
			times++
			return io.NopCloser(iotest.OneByteReader(strings.NewReader(contents[times]))), nil
		}}}
		p, err := m.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteTo(io.Discard); err != nil {
			t.Error(err)
		}
		var field *smtp.FieldError
		if _, err := p.WriteTo(io.Discard); !errors.As(err, &field) {
			t.Errorf("%q was written, and then %q: %v", contents[0], contents[1], err)
		}
	}
}

// TestReaderForOnce: a reader that cannot be read again serves one transaction, and
// what follows is not sent as if the file were empty.
func TestReaderForOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.bin", "a.eml"} {
		reader := strings.NewReader("A: b\r\n\r\n")
		m := letter("bob@example.net", "eve@example.net")
		m.Attachments = []smtp.File{{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(reader), nil }}}
		want := smtp.Accepted
		if name == "a.eml" {
			m.Attachments[0].Type = "message/rfc822" // which is read ahead
			want = smtp.NotSent
		}
		inSession(t, &smtp.Options{MaxRecipients: 1}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			result, err := c.Send(t.Context(), m)
			if result.Recipients[0].Outcome != want || result.Recipients[1].Outcome != smtp.NotSent || !strings.Contains(err.Error(), "has 0 when it is read again") {
				t.Errorf("%s: %v, %v, %v", name, result.Recipients[0].Outcome, result.Recipients[1].Outcome, err)
			}
		})
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

// TestNobodyIsLeft: who sends to those that are left, as long as there is an error, sends
// to nobody twice.
func TestNobodyIsLeft(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Address != "nobody@example.net" {
				return nil
			}
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Text: "no such user"}}
		}
	})
	for name, message := range map[string]*smtp.Message{
		"built": {From: smtp.Address{Address: "ann@example.com"}, To: []smtp.Address{{Address: "bob@example.net"}, {Address: "nobody@example.net"}}, Text: "Hi"},
		"raw":   {Raw: smtp.FileBytes("", []byte("From: ann@example.com\r\nTo: bob@example.net, nobody@example.net\r\n\r\n"))},
	} {
		before := len(server.Messages())
		mailer := mailerTo(t, server)
		for _, sender := range []smtp.Sender{mailer, smtp.Failover{mailer}} {
			result, err := sender.Send(t.Context(), message)
			if err == nil || len(result.Remaining()) != 0 {
				t.Fatalf("%s: %v, and %v are left", name, err, result.Remaining())
			}
			again := *message
			again.Delivery.To = result.Remaining()
			var field *smtp.FieldError
			if result, err = sender.Send(t.Context(), &again); !errors.As(err, &field) || field.Field != "Delivery.To" || len(result.Recipients) != 0 {
				t.Errorf("%s, to nobody: %v, %+v", name, err, result)
			}
		}
		if arrived := len(server.Messages()) - before; arrived != 2 {
			t.Errorf("%s: %d mails arrived, of 2 that were sent", name, arrived)
		}
	}
}
