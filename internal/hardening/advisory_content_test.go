package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postrider/smtp"
)

// pieces writes a content in pieces, as readers and encoders do.
type pieces []string

func (p pieces) WriteTo(w io.Writer) (total int64, err error) {
	for _, piece := range p {
		n, err := io.WriteString(w, piece)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// contentLetter is a letter that sends a content by the steps.
func contentLetter(body io.WriterTo, options smtp.Options) *letter {
	return &letter{options: options, step: func(t *testing.T, c *smtp.Client) error {
		_, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"})
		if err == nil {
			_, err = c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net"})
		}
		if err == nil {
			_, err = c.Data(t.Context(), body)
		}
		return err
	}}
}

// dots are contents in which a dot, or what comes before it, is easily overlooked.
var dots = []string{
	".\r\nRCPT TO:<evil@example.com>\r\n", "\r\n.\r\nRSET\r\n", "a\r\n.\r\n.\r\n", "..\r\n...\r\n", "\r\n\r\n.\r\n\r\n", "a\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\r\n", ".a\r\n.", "a.\r\n.b\r\n", "\n.\nDATA\n", "a\n\n.\n", ".", "\r\n.", "\r\n\r\n\r\n.\r\n\r\n.\r\n",
}

// dotStuffing: a content that is cut anywhere, twice, arrives as it was, as one mail.
func dotStuffing(t *testing.T) {
	for _, text := range dots {
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		if !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		for i := range len(text) + 1 {
			for k := i; k <= len(text); k++ {
				for _, options := range []smtp.Options{{}, {Chunking: true}, {LMTP: true}} {
					got := contentLetter(pieces{text[:i], text[i:k], text[k:]}, options).dispatch(t)
					d, err := listen(got.octets)
					if got.err != nil || err != nil || len(got.mails) != 1 || len(d.paths) != 2 || string(got.mails[0].Data) != want {
						t.Errorf("%q cut at %d and %d: %v, %v, %d mails", text, i, k, got.err, err, len(got.mails))
					}
				}
			}
		}
		block := strings.Repeat("x", 32<<10-2) // Buffers of the usual sizes end in the middle of it, too.
		for shift := range len(text) + 4 {
			long := block[shift:] + "\r\n" + want
			got := contentLetter(pieces{long, long}, smtp.Options{}).dispatch(t)
			if got.err != nil || len(got.mails) != 1 || string(got.mails[0].Data) != long+long {
				t.Errorf("%q behind %d octets: %v, %d mails", text, len(block)-shift, got.err, len(got.mails))
			}
		}
	}
}

// smuggled: nothing that a server might take for the end of data leaves before the end.
func smuggled(t *testing.T) {
	const evil = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n.\r\n"
	for _, end := range []string{"\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\r\n\x00.\r\n", "\r\n.\r\r\n", "\r\n.\x00\r\n", "\r\r\n.\r\r\n", "\n.\r", "\r.\n", "\r\n.\r\n", "\r", "\n", "\r\n.\v\r\n", "\n\r.\n\r"} {
		text := "Hello." + end + evil
		header := "From: ann@example.com\r\nTo: bob@example.net\r\n\r\n"
		for where, l := range map[string]*letter{
			"Text": {message: func() *smtp.Message { m := smallMail("bob@example.net"); m.Text = text; return m }()},
			"HTML": {message: func() *smtp.Message { m := smallMail("bob@example.net"); m.HTML = text; return m }()},
			"attachment": {message: func() *smtp.Message {
				m := smallMail("bob@example.net")
				m.Attachments = []smtp.File{smtp.FileBytes("a.txt", []byte(text))}
				return m
			}()},
			"attached message": {message: func() *smtp.Message {
				m := smallMail("bob@example.net")
				m.Attachments = []smtp.File{{Name: "a.eml", Type: "message/rfc822", Open: opener(header + text)}}
				return m
			}()},
			"Raw":           {message: &smtp.Message{Raw: smtp.FileBytes("", []byte(header+text))}},
			"header of Raw": {message: &smtp.Message{Raw: smtp.FileBytes("", []byte("X-A: "+text+"\r\n"+header)), Delivery: smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}}}},
			"Data":          contentLetter(strings.NewReader(text), smtp.Options{}),
			"Data, cut":     contentLetter(pieces(strings.Split(text, "")), smtp.Options{}),
			"binary Raw":    {message: &smtp.Message{Raw: smtp.FileBytes("", []byte(header+strings.Repeat("x", 2000)+text))}},
		} {
			got := l.dispatch(t)
			content := got.octets
			if at := strings.Index(content, "DATA\r\n"); at >= 0 {
				content = content[at:]
			}
			bare := strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n")
			if bare || strings.Count(content, "\r\n.\r\n") > 1 || len(got.mails) > 1 || got.err == nil && len(got.mails) != 1 || got.err != nil && len(got.mails) > 0 {
				t.Errorf("%s with %q: %v, %d mails, bare CR or LF: %v", where, end, got.err, len(got.mails), bare)
			}
		}
	}
}

// chunks: what goes by BDAT has the size that is said, and no dot is doubled.
func chunks(t *testing.T) {
	for _, text := range append(dots, strings.Repeat(".\r\n..\r\n", 100_000), strings.Repeat(strings.Repeat("x", 70)+"\r\n.\r\n", 5000)) {
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		if !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		for _, body := range []io.WriterTo{strings.NewReader(text), pieces{text[:len(text)/2], text[len(text)/2:]}} {
			got := contentLetter(body, smtp.Options{Chunking: true}).dispatch(t)
			d, err := listen(got.octets)
			if got.err != nil || err != nil || len(got.mails) != 1 || !strings.Contains(d.verbs, "BDAT") || strings.Contains(d.verbs, "DATA ") || d.content != want || string(got.mails[0].Data) != want {
				t.Errorf("%.20q: %v, %v, %s", text, got.err, err, d.verbs)
			}
		}
	}
}

// filesOfStrangers: no string of a message makes the package read a file, or fetch
// anything; only Open does, which the program sets.
func filesOfStrangers(t *testing.T) {
	const treasure = "root:x:0:0:the-content-of-the-file"
	path := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(path, []byte(treasure), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var visits atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			conn.Close()
		}
	}()
	web := "http://" + listener.Addr().String() + "/x.png"
	var values []string
	for _, target := range []string{path, "file://" + path, "cid:" + path, web} {
		values = append(values, target, `<img src="`+target+`">`, `<link href="`+target+`"><img src='cid:`+target+`'>`, "@"+target, "{{"+target+"}}", "<!--#include file=\""+target+"\"-->", "Content-Type: message/external-body; access-type=local-file; name=\""+target+"\"\r\n\r\n")
	}
	for _, value := range values {
		for _, p := range append([]place{
			{"Text", "", func(l *letter, v string) { l.message.Text = v }},
			{"HTML", "", func(l *letter, v string) { l.message.HTML = v }},
			{"Calendar", "", func(l *letter, v string) {
				l.message.Calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nATTACH:" + v + "\r\nEND:VCALENDAR\r\n"
			}},
			{"content of a file", "", func(l *letter, v string) { l.message.Attachments[0] = smtp.FileBytes("a.html", []byte(v)) }},
			{"name of Inline, which the HTML calls", "", func(l *letter, v string) { l.message.Inline[0].Name, l.message.HTML = v, `<img src="cid:`+v+`">` }},
			{"Raw", "", func(l *letter, v string) {
				l.message = &smtp.Message{Raw: smtp.FileBytes(v, []byte("From: ann@example.com\r\nTo: bob@example.net\r\n\r\n"+v))}
			}},
		}, append(append(fieldPlaces[:2:2], filePlaces...), listPlaces...)...) {
			l := newLetter()
			p.put(l, value)
			got := l.dispatch(t)
			for _, form := range []string{treasure, base64.StdEncoding.EncodeToString([]byte(treasure))[:20]} {
				if strings.Contains(got.octets, form) {
					t.Errorf("%s = %q: the file was sent", p.name, value)
				}
			}
		}
	}
	listener.Close()
	if <-done; visits.Load() > 0 {
		t.Errorf("something was fetched %d times", visits.Load())
	}
	noPathsInJSON(t, path)
}

// noPathsInJSON: a message that a stranger spelled has no file.
func noPathsInJSON(t *testing.T, path string) {
	t.Helper()
	for _, text := range []string{`{"Raw": {"Path": %}}`, `{"Raw": {"Open": %}}`, `{"Raw": %}`, `{"Text": {"path": %}}`, `{"HTML": {"href": %}}`, `{"Attachments": [{"Name": "a", "path": %, "href": %}]}`, `{"Attachments": [{"Name": "a", "Open": {"path": %}}]}`} {
		name, _ := json.Marshal(path)
		m := smallMail("bob@example.net")
		err := json.Unmarshal(bytes.ReplaceAll([]byte(text), []byte("%"), name), m)
		if m.Raw.Open != nil || len(m.Attachments) > 0 && m.Attachments[0].Open != nil {
			t.Errorf("%s: a file was made of it, %v", text, err)
		}
	}
	opened := &smtp.Message{From: smtp.Address{Address: "ann@example.com"}, Bcc: []smtp.Address{{Address: "bob@example.net"}}, Text: "x", Attachments: []smtp.File{smtp.FilePath(path)}}
	l := letter{message: opened}
	if got := l.dispatch(t); got.err != nil || !strings.Contains(got.octets, base64.StdEncoding.EncodeToString([]byte("root:x:0:0:the-content"))[:20]) {
		t.Errorf("the file that the program asked for was not sent: %v", got.err)
	}
}
