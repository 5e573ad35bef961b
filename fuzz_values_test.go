package smtp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/hostile"
	"github.com/postrider/smtp/internal/readback"
)

// FuzzHeader writes the header of a message, and compares what net/mail reads there
// with what was asked for: the same fields, each once, with the same mailboxes,
// words and identifiers. Or the message is refused.
func FuzzHeader(f *testing.F) {
	f.Add("Ann", "ann@example.com", "Hi", "X-Campaign", "autumn", "1@example.com", "https://example.com/1", false)
	f.Add("Müller, \"J\" <x@y>", `"a b"@bücher.example`, "=?utf-8?q?x?=", "Comments", strings.Repeat("ü ", 90), "a.b@[192.0.2.1]", "mailto:a@b?subject=x%20y", true)
	for _, value := range hostile.Values {
		f.Add(value, "ann@example.com", value, "X-A", value, "1@example.com", "https://example.com/1", true)
		f.Add("Ann", value, "", value, "x", value, value, false)
	}
	f.Fuzz(func(t *testing.T, name, address, subject, field, value, id, url string, utf8 bool) {
		m := letter("bob@example.net")
		m.To = append(m.To, smtp.Address{Name: name, Address: address})
		m.Subject, m.MessageID, m.Delivery.UTF8 = subject, id, utf8
		m.Header = smtp.Header{{Name: field, Value: value}}
		m.InReplyTo, m.List.Help = []string{id}, []string{url}
		p, err := m.Prepare()
		if refused := new(smtp.FieldError); errors.As(err, &refused) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		raw := write(t, p)
		read, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		want := []string{"Date", "From", "To", "Message-Id", "In-Reply-To", "List-Help", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", textproto.CanonicalMIMEHeaderKey(field)}
		if subject != "" {
			want = append(want, "Subject")
		}
		checkFields(t, read.Header, want)
		checkWords(t, read.Header, "Subject", subject)
		checkWords(t, read.Header, field, value)
		checkMailboxes(t, read.Header, p.To)
		for field, want := range map[string]string{"Message-Id": "<" + id + ">", "In-Reply-To": "<" + id + ">", "List-Help": "<" + url + ">"} {
			if got := read.Header.Get(field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
	})
}

func checkFields(t *testing.T, header mail.Header, want []string) {
	t.Helper()
	var got []string
	for name, values := range header {
		for range values {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the fields are %q, want %q", got, want)
	}
}

// checkWords compares a text. Blanks at the ends of a value are no part of it where
// they are not encoded (RFC 5322, section 2.2.2).
func checkWords(t *testing.T, header mail.Header, name, want string) {
	t.Helper()
	got, err := new(mime.WordDecoder).DecodeHeader(header.Get(name))
	if err != nil || got != want && got != strings.Trim(want, " \t") {
		t.Errorf("%s: %q is read as %q, %v", name, want, got, err)
	}
}

func checkMailboxes(t *testing.T, header mail.Header, want []smtp.Address) {
	t.Helper()
	list, err := mail.ParseAddressList(header.Get("To"))
	if err != nil || len(list) != len(want) {
		t.Fatalf("%q is read as %v, %v", header.Get("To"), list, err)
	}
	for i, address := range list {
		got, _ := smtp.ToUnicode(address.Address)
		meant, _ := smtp.ToUnicode(want[i].Address)
		if address.Name != want[i].Name || !strings.Contains(address.Address, "@") || got != "" && got != meant {
			t.Errorf("%q is read as %q", want[i], *address)
		}
	}
}

// FuzzParseURL: what is read says so itself, in a URL that is read as the same; and no
// password is shown, whether it is read or not.
func FuzzParseURL(f *testing.F) {
	for _, seed := range [][2]string{
		{"smtp://ann:", "@mx.example.com:25?tls=none&max-conns=3"}, {"smtps://u:p%40", "@[::1]"}, {"lmtp://", "@mx"}, {"unix:/run/", "?lmtp=true"},
		{"smtp://ann:", "@mx?timeout-command=10s&disable=SIZE,DSN"}, {"smtp://a:b?", "=x"}, {"smtp://mx/", "#x"}, {"://", ""}, {"smtp://u:%zz", "@mx"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "swordfish"
		m, err := smtp.ParseURL(before + secret + after)
		if err != nil {
			if refused := new(smtp.FieldError); !errors.As(err, &refused) || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: %v", before+secret+after, err)
			}
			return
		}
		shown := m.String()
		again, err := smtp.ParseURL(shown)
		if err != nil || again.String() != shown || again.Addr != m.Addr || again.TLS != m.TLS {
			t.Errorf("%q is shown as %q, and that as %v, %v", before+secret+after, shown, again, err)
		}
		if len(m.Auth) > 0 && !strings.Contains(m.Addr+strings.Join(m.Options.Disable, ""), secret) && strings.Contains(shown+m.Options.LocalName+fmt.Sprintf("%+v", m.Auth), secret) && !strings.Contains(after, "?") {
			t.Errorf("%q is shown as %q", before+secret+after, shown)
		}
	})
}

// FuzzReply: of whatever header a stranger wrote, a reply can be made that is a
// sound message, or none; and whether a program wrote it is one of three answers.
func FuzzReply(f *testing.F) {
	f.Add("From: Bob <bob@example.net>\nSubject: Re: Hi\nMessage-ID: <1@example.net>\nReferences: <2@example.net> <3@example.net>\n")
	f.Add("Reply-To: =?utf-8?q?J=C3=B6rg=0D=0ABcc:?= <a@b>, <@x:c@d>\nSubject: =?utf-8?q?x=0D=0ABcc:_y?=\nAuto-Submitted: auto-replied (x)\nPrecedence: bulk\n")
	f.Add("From: Team: a@b, c@d;\nIn-Reply-To: <a@b\x00>\nReturn-Path: <>\nList-Id: <x>\n")
	f.Fuzz(func(t *testing.T, header string) {
		parent, err := mail.ReadMessage(strings.NewReader(header + "\n"))
		if err != nil {
			return
		}
		if smtp.ParseAutoSubmitted(parent.Header) > smtp.AutoReplied {
			t.Errorf("%q is neither of the words", header)
		}
		m, err := smtp.ReplyMessage(parent.Header)
		if err != nil {
			if refused := new(smtp.FieldError); !errors.As(err, &refused) {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		m.From.Address = "ann@example.com"
		m.Delivery.UTF8 = true
		p, err := m.Prepare()
		if err != nil {
			t.Fatalf("the reply to %q cannot be sent: %v", header, err)
		}
		read, err := mail.ReadMessage(bytes.NewReader(write(t, p)))
		if err != nil || read.Header.Get("Bcc") != "" || !strings.HasPrefix(strings.ToLower(m.Subject), "re:") {
			t.Errorf("%q is answered by %q, %v", header, read, err)
		}
	})
}

// FuzzChallenges answers any challenges, with NUL between them. No mechanism panics,
// those that hide the password do, and only a server that knows it is believed.
func FuzzChallenges(f *testing.F) {
	f.Add("Username:\x00Password:")
	f.Add("<1896.697170952@postoffice.example.net>")
	f.Add("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096\x00v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
	f.Add(`{"status":"401","schemes":"bearer","scope":"mail"}`)
	token := func(context.Context) (string, error) { return "token", nil }
	mechanisms := append(append(smtp.Password("ann", "swordfish"), smtp.OAuth("ann", token)...), smtp.CRAMMD5("ann", "swordfish"), smtp.External("ann"), smtp.Anonymous("ann"))
	mechanisms = slices.DeleteFunc(mechanisms, func(m smtp.Mechanism) bool { return strings.HasSuffix(m.Name(), "-PLUS") }) // They need a real connection.
	f.Fuzz(func(t *testing.T, challenges string) {
		for _, mechanism := range mechanisms {
			client, err := mechanism.Start(t.Context(), smtp.ServerInfo{Name: "mx.example.com", TLS: &tls.ConnectionState{Version: tls.VersionTLS13}, Mechanisms: []string{mechanism.Name()}})
			if err != nil {
				t.Fatal(mechanism.Name(), err)
			}
			hides := strings.HasPrefix(mechanism.Name(), "SCRAM") || mechanism.Name() == "CRAM-MD5"
			_, response, err := client.Start()
			for challenge := range strings.SplitSeq(challenges, "\x00") {
				if hides && bytes.Contains(response, []byte("swordfish")) {
					t.Errorf("%s answers %q", mechanism.Name(), response)
				}
				if err != nil {
					break
				}
				response, err = client.Next([]byte(challenge))
			}
			done, ok := client.(interface{ Done() error })
			if strings.HasPrefix(mechanism.Name(), "SCRAM") && (!ok || done.Done() == nil) {
				t.Errorf("%s believes a server that knows nothing", mechanism.Name())
			}
		}
	})
}

// FuzzRaw: a ready message is refused, or leaves as it is, but for line ends and
// without its Bcc.
func FuzzRaw(f *testing.F) {
	f.Add([]byte("From: ann@example.com\nBcc: x\n\ttwo\nSubject: Hi\n\n.\nHello\r\n"))
	f.Add([]byte("From: ann@example.com\r\nResent-Bcc: x\r\n\r\n\x00\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		isBinary := bytes.IndexByte(content, 0) >= 0 || regexp.MustCompile(`[^\n]{999}`).Match(content)
		m := &smtp.Message{Raw: smtp.FileBytes("", content), Delivery: smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}}}
		if isBinary {
			m.Delivery.Body = smtp.BodyBinary
		}
		p, err := m.Prepare()
		var wrote bytes.Buffer
		if err == nil {
			_, err = p.WriteTo(&wrote)
		}
		if err != nil {
			return
		}
		if read, err := mail.ReadMessage(bytes.NewReader(wrote.Bytes())); err == nil {
			for name := range read.Header {
				if name == "Bcc" || name == "Resent-Bcc" {
					t.Errorf("%q leaves as %q", content, wrote.Bytes())
				}
			}
		}
		_, body, _ := strings.Cut(unixLines(content), "\n\n")
		if got := unixLines(wrote.Bytes()); !isBinary && strings.Contains(unixLines(content), "\n\n") && !strings.HasSuffix(got, "\n\n"+body) {
			t.Errorf("%q leaves as %q", content, wrote.Bytes())
		}
		if text := strings.ReplaceAll(wrote.String(), "\r\n", ""); !isBinary && strings.ContainsAny(text, "\r\n") {
			t.Errorf("%q has a bare CR or LF", wrote.Bytes())
		}
	})
}

// unixLines writes line ends in one way, one behind the last line included.
func unixLines(content []byte) string {
	s := strings.ReplaceAll(string(content), "\r\n", "\n")
	return strings.TrimSuffix(s, "\n") + "\n"
}

// FuzzCalendar: an invitation is refused, or readers find the same object in it
// twice, and its METHOD beside it.
func FuzzCalendar(f *testing.F) {
	f.Add(readback.Calendar("REQUEST", "x"))
	f.Add("BEGIN:VCALENDAR\nMETHOD;X=\"a:b\":reply\nBEGIN:VEVENT\nSUMMARY:ü\n y\nEND:VEVENT\nEND:VCALENDAR")
	f.Fuzz(func(t *testing.T, calendar string) {
		m := letter("bob@example.net")
		m.Calendar = calendar
		p, err := m.Prepare()
		if refused := new(smtp.FieldError); errors.As(err, &refused) || calendar == "" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		raw := write(t, p)
		checkBytes(t, raw, false)
		for parser, read := range parsers {
			leaves := ok(t)(read(raw)).Leaves
			if len(leaves) != 3 || !knownMethod.MatchString(leaves[1].Type) || leaves[1].Body != leaves[2].Body || unixLines([]byte(leaves[1].Body)) != unixLines([]byte(strings.TrimPrefix(calendar, "\uFEFF"))) {
				t.Errorf("%s reads %q of %q", parser, leaves, calendar)
			}
		}
	})
}

var knownMethod = regexp.MustCompile(`^text/calendar; method=(PUBLISH|REQUEST|REPLY|ADD|CANCEL|REFRESH|COUNTER|DECLINECOUNTER); charset=utf-8$`)
