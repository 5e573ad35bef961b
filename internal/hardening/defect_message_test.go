package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectRead reads a message without parts, by the standard library alone.
func defectRead(t *testing.T, text string) (header mail.Header, encoding, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	encoding = strings.ToLower(m.Header.Get("Content-Transfer-Encoding"))
	content := m.Body
	switch encoding {
	case "quoted-printable":
		content = quotedprintable.NewReader(content)
	case "base64":
		content = base64.NewDecoder(base64.StdEncoding, content)
	}
	octets, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, encoding, string(octets)
}

// defectHeader is the header of a message, in lines.
func defectHeader(text string) []string {
	header, _, _ := strings.Cut(text, "\r\n\r\n")
	return strings.Split(header, "\r\n")
}

// defectPlaces are the places of a message in which go-mail lets a line end through,
// and what has their part here.
func defectPlaces(t *testing.T) {
	defectInject(t, "List.Unsubscribe", "https://example.com/leave", func(m *smtp.Message, v string) { m.List.Unsubscribe = []string{v} })
	defectInject(t, "List.Unsubscribe[1]", "mailto:leave@example.com", func(m *smtp.Message, v string) {
		m.List = smtp.List{Unsubscribe: []string{"https://example.com/leave", v}, OneClick: true}
	})
	file := func(change func(f *smtp.File, v string)) func(m *smtp.Message, v string) {
		return func(m *smtp.Message, v string) {
			f := smtp.FileBytes("a.txt", []byte("a"))
			change(&f, v)
			m.HTML, m.Inline = "<p>Hi.</p>", []smtp.File{f}
			f.ContentID = ""
			m.Attachments = []smtp.File{f}
		}
	}
	defectInject(t, "ContentID", "logo@example.com", file(func(f *smtp.File, v string) { f.ContentID = v }))
	defectInject(t, "Type", "image/png", file(func(f *smtp.File, v string) { f.Type = v }))
	defectInject(t, "Type charset", "us-ascii", file(func(f *smtp.File, v string) { f.Type = `text/plain; charset="` + v + `"` }))
	defectInject(t, "Description", "Größe", file(func(f *smtp.File, v string) { f.Description = v }))
	defectInject(t, "Name", "b.txt", file(func(f *smtp.File, v string) { f.Name = v }))
	defectInject(t, "ReplyTo", "a@example.com", func(m *smtp.Message, v string) { m.ReplyTo = []smtp.Address{{Address: v}} })
	defectInject(t, "ReplyTo name", "Ann", func(m *smtp.Message, v string) { m.ReplyTo = []smtp.Address{{Name: v, Address: "a@example.com"}} })
	defectInject(t, "Header name", "X-Campaign", func(m *smtp.Message, v string) { m.Header = smtp.Header{{Name: v, Value: "1"}} })
	defectInject(t, "Header value", "1", func(m *smtp.Message, v string) { m.Header = smtp.Header{{Name: "X-Campaign", Value: v}} })
	defectInject(t, "Subject", "Hi", func(m *smtp.Message, v string) { m.Subject = v })
	defectInject(t, "MessageID", "7@example.com", func(m *smtp.Message, v string) { m.MessageID = v })
}

// defectRich is a message with a file of every sort.
func defectRich() *smtp.Message {
	m := smallMail("bob@example.net")
	m.HTML = `<p>Grüße <img src="cid:a.png"></p>`
	m.Inline = []smtp.File{smtp.FileBytes("a.png", []byte("\x89PNG\r\n\x1a\n"))}
	text := smtp.FileBytes("a=b.txt", []byte("a=b \r\nLatin: \xe9\n.\n"))
	text.Type = "text/plain; format=flowed; delsp=yes; charset=iso-8859-1"
	m.Attachments = []smtp.File{
		text, smtp.FileBytes("b.eml", []byte("Subject: Hi\r\n\r\nGrüße\r\n")), defectFile(5000, nil),
	}
	return m
}

// defectKeeper signs nothing, and keeps what it was shown.
type defectKeeper struct{ seen [2]bytes.Buffer }

func (k *defectKeeper) Sign(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
	for i := range k.seen {
		if _, err := m.WriteTo(&k.seen[i]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// defectAgain: each writing of a message has the same octets, and what a signer reads
// is what goes.
func defectAgain(t *testing.T) {
	line, mailer := defectServe(t)
	keeper := &defectKeeper{}
	mailer.Options.Signer = keeper
	m := defectRich()
	if _, err := mailer.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := line.Messages()[0]
	for i := range keeper.seen {
		if !bytes.Equal(keeper.seen[i].Bytes(), got.Data) {
			t.Errorf("writing %d differs from what arrived", i)
		}
	}
	var last *smtptest.Part
	for _, p := range got.Parts {
		if p.Name == "a=b.txt" {
			last = p
		}
	}
	if last == nil || string(last.Body) != "a=b \r\nLatin: \xe9\n.\n" || strings.Contains(string(got.Data), "8bit") {
		t.Errorf("arrived:\n%s", got.Tree())
	}
}

// defectTexts: a text arrives as it is, and its encoding is the one that is named.
func defectTexts(t *testing.T) {
	for _, text := range []string{"a=b\r\n", "=3D=\r\n", "a=b é\r\n", "trailing \t \r\n", ".\r\n..\r\n", "From x\r\n", strings.Repeat("x=", 3000) + "\r\n"} {
		m := smallMail("bob@example.net")
		m.Text = text
		written := defectWritten(t, m)
		if _, encoding, body := defectRead(t, written); body != text || encoding == "7bit" && !strings.HasSuffix(written, "\r\n\r\n"+text) {
			t.Errorf("%.40q, %s, is read as %.40q", text, encoding, body)
		}
	}
}

// defectOddParts: readers of mails live with odd parameters, and decode what they can.
func defectOddParts(t *testing.T) {
	for _, odd := range []string{"filename=", "filename=x", `filename="`, `filename=""`, "filename", "=", ";", "filename*=", "filename*0*=''", "filename*=utf-8''%", `filename="x`, "filename=a.txt"} {
		text := "From: ann@example.com\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
			"--b\r\nContent-Type: text/plain; charset=\"utf-8\"; " + odd + "\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Disposition: attachment; " + odd + "\r\n\r\na=3Db\r\n--b--\r\n"
		for _, read := range []func(io.Reader) (*smtp.Report, error){smtp.ParseReport, smtp.ParseBounce} {
			for _, kind := range []string{"multipart/mixed", "multipart/report; report-type=delivery-status", "multipart/report; " + odd} {
				if _, err := read(strings.NewReader(strings.Replace(text, "multipart/mixed", kind, 1))); err == nil {
					t.Errorf("%s: a report was found", odd)
				}
			}
		}
		line, mailer := defectServe(t)
		if _, err := mailer.Send(t.Context(), &smtp.Message{Raw: smtp.FileBytes("", []byte(text))}); err != nil {
			t.Fatal(err)
		}
		if got := line.Messages()[0]; string(got.Data) != text {
			t.Errorf("%s: %q arrived", odd, got.Data)
		} else if odd == "filename=a.txt" && (got.Parts[0].Name != "a.txt" || string(got.Parts[0].Body) != "a=b" || got.Parts[0].Params["charset"] != "utf-8") {
			t.Errorf("the part was read as %+v", got.Parts[0])
		}
	}
	report := "From: postmaster@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: message/delivery-status; charset=\"iso-8859-2\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n" +
		"Final-Recipient: rfc822; bob=40example.net\r\nAction: failed\r\nDiagnostic-Code: smtp; 550 Petrovi=E6 has left\r\n--b--\r\n"
	if got, err := smtp.ParseReport(strings.NewReader(report)); err != nil || got.Recipients[0].FinalRecipient.Name != "bob@example.net" || got.Recipients[0].Diagnostic.Text != "Petrović has left" {
		t.Errorf("the report was read as %+v, %v", got, err)
	}
}

// defectFileNames: a name in any script goes by RFC 2231, in lines of a usual length.
func defectFileNames(t *testing.T) {
	for _, name := range []string{"Grüße.pdf", "報告書.txt", strings.Repeat("Übergrößenträger ", 9) + ".pdf", strings.Repeat("long", 40) + ".txt", `a "b" c.txt`, "100%.txt", "=?utf-8?q?x?=.txt"} {
		m := smallMail("bob@example.net")
		m.Attachments = []smtp.File{smtp.FileBytes(name, []byte("a"))}
		written := defectWritten(t, m)
		at := strings.LastIndex(written, "Content-Disposition: ")
		header := defectHeader(written[at:])
		unfolded := strings.Join(header, "")
		_, params, err := mime.ParseMediaType(strings.TrimPrefix(unfolded, "Content-Disposition: "))
		if err != nil || params["filename"] != name || regexp.MustCompile(`"=\?`).MatchString(written) {
			t.Errorf("%q is read as %q, %v", name, params["filename"], err)
		}
		for _, line := range header {
			if len(line) > 100 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
				t.Errorf("a line has %d octets: %s", len(line), line)
			}
		}
	}
}

// defectLongLines: no line has over 998 octets, none is empty but for spaces, and the
// subject is what it was.
func defectLongLines(t *testing.T) {
	subjects := []string{strings.Repeat("x", 2000), strings.Repeat("ü", 2000), strings.Repeat("a b", 999)}
	for n := 1; n < 100; n++ {
		subjects = append(subjects, strings.Repeat("x", n)+"   y", strings.Repeat("x", n)+"   ", strings.Repeat("x", n)+strings.Repeat(" ", 90)+"y")
	}
	for _, subject := range subjects {
		m := smallMail("bob@example.net")
		m.Subject, m.Text = subject, strings.Repeat("x", 5000)+" "+subject
		m.Header = smtp.Header{{Name: "X-Campaign", Value: subject}}
		written := defectWritten(t, m)
		for line := range strings.SplitSeq(written, "\r\n") {
			if len(line) > 998 {
				t.Errorf("%.20q: a line has %d octets", subject, len(line))
			}
		}
		for _, line := range defectHeader(written) {
			if strings.TrimSpace(line) == "" {
				t.Errorf("%.20q: a line of the header is blank", subject)
			}
		}
		header, _, body := defectRead(t, written)
		if got, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject")); got != strings.Trim(subject, " ") && got != subject || err != nil || strings.TrimSuffix(body, "\r\n") != m.Text {
			t.Errorf("%.20q is read as %.20q, %v", subject, got, err)
		}
	}
}

// defectNames: names with quotes, backslashes and commas are what they were.
func defectNames(t *testing.T) {
	for _, name := range []string{`Foo "Bar" Baz`, `Foo\`, `\`, `"`, "Doe, Jörg", "Doe, John", "(x)", "a@b", "<x>", "=?x", "Ü \"q\" \\"} {
		m := smallMail()
		m.From.Name, m.To = name, []smtp.Address{{Name: name, Address: "bob@example.net"}, {Name: name, Address: "carol@example.net"}}
		header, _, _ := defectRead(t, defectWritten(t, m))
		for _, field := range []string{"From", "To"} {
			if got, err := header.AddressList(field); err != nil || len(got) != len(m.To) && field == "To" || got[0].Name != name {
				t.Errorf("%s %q is read as %v, %v", field, name, got, err)
			}
		}
		got, err := smtp.ParseAddressList((&mail.Address{Name: name, Address: "bob@example.net"}).String() + ", carol@example.net")
		if err != nil || len(got) != 2 || got[0].Name != name {
			t.Errorf("%q is parsed as %v, %v", name, got, err)
		}
	}
	if got, err := smtp.ParseAddressList(`"Doe, John" <john@example.net>, "a,b"@example.net`); err != nil || len(got) != 2 || got[0].Name != "Doe, John" {
		t.Errorf("parsed: %v, %v", got, err)
	}
	john := smtp.Address{Name: "Doe, John", Address: "john@example.net"}
	m := smallMail("bob@example.net")
	m.Header = smtp.Header{{Name: "Disposition-Notification-To", Value: john.String()}}
	header, _, _ := defectRead(t, defectWritten(t, m))
	if got, err := header.AddressList("Disposition-Notification-To"); err != nil || len(got) != 1 || *got[0] != john {
		t.Errorf("%v is read as %v, %v", john, got, err)
	}
}

// defectCallersOwn: nothing of the caller's is changed, and fields stay in order.
func defectCallersOwn(t *testing.T) {
	m := defectRich()
	m.Header = smtp.Header{{Name: "X-B", Value: "Grüße"}, {Name: "X-A", Value: "2"}, {Name: "X-C", Value: "3"}}
	before := fmt.Sprintf("%#v", *m)
	_, mailer := defectServe(t)
	if _, err := mailer.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	first := defectWritten(t, m)
	for range 20 {
		if defectWritten(t, m) != first {
			t.Fatal("the octets differ from one writing to the next")
		}
	}
	if after := fmt.Sprintf("%#v", *m); after != before {
		t.Errorf("the message was\n%s\nand is\n%s", before, after)
	}
	if b, a, c := strings.Index(first, "\r\nX-B: "), strings.Index(first, "\r\nX-A: "), strings.Index(first, "\r\nX-C: "); b < 0 || b > a || a > c {
		t.Error("the fields are in another order")
	}
}

// defectNoTraces: nothing tells which software and which host a mail is from.
func defectNoTraces(t *testing.T) {
	m := smallMail("bob@example.net")
	m.MessageID = ""
	line, mailer := defectServe(t)
	mailer.Options.LocalName = ""
	result, err := mailer.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	header := line.Messages()[0].Header
	for name := range header {
		if known := []string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding"}; !slices.Contains(known, name) {
			t.Errorf("there is a field %s", name)
		}
	}
	if !strings.HasSuffix(result.MessageID, "@example.com") || header.Get("Message-Id") != "<"+result.MessageID+">" || !strings.HasPrefix(line.text(), "EHLO [") {
		t.Errorf("the Message-ID is %s, the session begins with %.20q", result.MessageID, line.text())
	}
}
