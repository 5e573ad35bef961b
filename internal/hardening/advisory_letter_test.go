package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// tap keeps what the client wrote.
type tap struct {
	net.Conn
	mu     sync.Mutex
	octets []byte
}

func (c *tap) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.octets = append(c.octets, p[:n]...)
	return n, err
}

func (c *tap) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.octets)
}

// letter is a mail, and how it goes.
type letter struct {
	message  *smtp.Message
	options  smtp.Options
	auth     []smtp.Mechanism
	withhold []string                                 // extensions that the server lacks
	offer    []string                                 // and that it has beside the usual ones
	step     func(t *testing.T, c *smtp.Client) error // instead of Send
	before   string                                   // the commands that the step sends ahead
}

// newLetter is a mail in which nothing is wrong, with every place filled.
func newLetter() *letter {
	file := func(id string) smtp.File {
		f := smtp.FileBytes("a.txt", []byte("x"))
		f.Type, f.Description, f.ContentID = "text/plain", "notes", id
		return f
	}
	address := func(local string) []smtp.Address {
		return []smtp.Address{{Name: "Name", Address: local + "@example.com"}}
	}
	return &letter{offer: []string{"X-TEST", "SMTPUTF8"}, message: &smtp.Message{
		From: address("ann")[0], Sender: &address("robot")[0], To: address("to"), Cc: address("cc"), Bcc: address("bcc"), ReplyTo: address("reply"),
		Subject: "Hi", MessageID: "1@example.com", InReplyTo: []string{"2@example.com"}, References: []string{"3@example.com"},
		List:   smtp.List{ID: "news.example.com", Name: "News", Unsubscribe: []string{"https://example.com/1"}, Subscribe: []string{"https://example.com/2"}, Help: []string{"https://example.com/3"}, Owner: []string{"mailto:a@example.com"}, Archive: []string{"https://example.com/4"}, Post: []string{"NO"}},
		Header: smtp.Header{{Name: "X-Campaign", Value: "autumn"}, {Name: "Keywords", Value: "one"}},
		Text:   "text", HTML: "html", Inline: []smtp.File{file("4@example.com")}, Alternatives: []smtp.File{file("5@example.com")}, Attachments: []smtp.File{file("6@example.com")},
		Delivery: smtp.Envelope{
			From: "bounces@example.com", EnvelopeID: "id", Params: []smtp.Param{{Keyword: "X-TEST", Value: "1"}},
			To: []smtp.Recipient{{Address: "bob@example.net", OriginalRecipient: "rob@example.net", Params: []smtp.Param{{Keyword: "X-TEST", Value: "1"}}}},
		},
	}}
}

// seen is what came of a letter.
type seen struct {
	err    error
	octets string // that the client wrote
	mails  []*smtptest.Message
}

// dispatch sends a letter, in the clear, to a strict server.
func (l *letter) dispatch(t *testing.T) seen {
	t.Helper()
	server := &smtptest.Server{NoTLS: true, Offer: l.offer, Withhold: l.withhold, LMTP: l.options.LMTP, Mechanisms: []string{"PLAIN", "LOGIN", "XOAUTH2"}}
	defer server.Close()
	conn, err := server.DialContext(t.Context(), "tcp", "mx.example.com:25")
	if err != nil {
		t.Fatal(err)
	}
	wire := &tap{Conn: conn}
	c := smtp.NewClient(wire, &l.options)
	defer c.Close()
	if err = c.Hello(t.Context()); err == nil && l.auth != nil {
		err = c.Auth(t.Context(), l.auth...)
	}
	if err == nil && l.step != nil {
		err = l.step(t, c)
	} else if err == nil {
		_, err = c.Send(t.Context(), l.message)
	}
	c.Quit(t.Context())
	server.Close()
	return seen{err, wire.String(), server.Messages()}
}

// path is an address on the wire, with what stands behind it.
type path struct {
	local, domain string
	params        []string
}

// dialogue is what a server hears, read by a grammar that is not that of the library.
type dialogue struct {
	verbs   string
	paths   []path // of MAIL and RCPT
	content string
}

var (
	pathLine = regexp.MustCompile(`\A(?:MAIL FROM|RCPT TO):<(?:((?:[a-zA-Z0-9!#$%&'*+/=?^_` + "`" + `{|}~.\x{80}-\x{10FFFF}-]+|"(?:[ !#-\[\]-~\x{80}-\x{10FFFF}]|\\[ -~])*"))@([a-zA-Z0-9.\x{80}-\x{10FFFF}-]+|\[[0-9A-Za-z:.]+\]))?>((?: [A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~\x{80}-\x{10FFFF}]+)?)*)\z`)
	argument = regexp.MustCompile(`\A(?:(?:EHLO|HELO|LHLO) [!-~]+|(?:QUIT|RSET|DATA|STARTTLS)|BDAT [0-9]+(?: LAST)?|AUTH [A-Z0-9_-]+(?: [A-Za-z0-9+/=]+)?|[A-Za-z0-9+/=]*|\*)\z`)
	ownLine  = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9-]*(?: [ -~]*)?\z`) // of Command
	verbs    = strings.Fields("EHLO HELO LHLO QUIT RSET DATA STARTTLS BDAT AUTH MAIL RCPT")
)

// listen reads what the client wrote. The content of DATA and BDAT is taken off.
func listen(octets string) (d dialogue, err error) {
	for octets != "" {
		line, rest, ok := strings.Cut(octets, "\r\n")
		if !ok || strings.ContainsAny(line, "\r\n\x00") {
			return d, fmt.Errorf("the client wrote the line %q", line)
		}
		verb, _, _ := strings.Cut(line, " ")
		octets = rest
		d.verbs += verb + " "
		switch match := pathLine.FindStringSubmatch(line); {
		case match != nil:
			d.paths = append(d.paths, path{match[1], match[2], strings.Fields(match[3])})
		case !argument.MatchString(line) && (slices.Contains(verbs, strings.ToUpper(verb)) || !ownLine.MatchString(line)):
			return d, fmt.Errorf("the client wrote the command %q", line)
		case verb == "DATA":
			content, behind, ok := strings.Cut("\r\n"+octets, "\r\n.\r\n")
			if !ok {
				continue // DATA was refused, and a command must follow.
			}
			d.content, octets = d.content+strings.ReplaceAll(content+"\r\n", "\r\n..", "\r\n.")[2:], behind
		case verb == "BDAT":
			var n int
			fmt.Sscanf(line, "BDAT %d", &n)
			if n > len(octets) {
				return d, fmt.Errorf("%s, and %d octets behind it", line, len(octets))
			}
			d.content, octets = d.content+octets[:n], octets[n:]
		}
	}
	return d, nil
}

// courtesies are what the server hears of any session.
var courtesies = strings.NewReplacer("EHLO ", "", "LHLO ", "", "HELO ", "", "AUTH ", "", "QUIT ", "")

// mustBeRefused: the letter cannot be sent, and the server has heard nothing of it.
func (l *letter) mustBeRefused(t *testing.T, where string) {
	t.Helper()
	got := l.dispatch(t)
	d, err := listen(got.octets)
	if got.err == nil || err != nil || len(got.mails) > 0 || courtesies.Replace(d.verbs) != l.before {
		t.Errorf("%s: error %v, %d mails, and the server heard %q (%v)", where, got.err, len(got.mails), beginning(got.octets), err)
	}
}

// mustBeContained: the letter is refused, or goes as one mail with exactly those header
// fields and paths that a harmless one has.
func (l *letter) mustBeContained(t *testing.T, where string) {
	t.Helper()
	got := l.dispatch(t)
	d, err := listen(got.octets)
	paths := len(d.paths)
	switch {
	case err != nil:
		t.Errorf("%s: %v", where, err)
	case got.err != nil && len(got.mails) > 0, got.err == nil && l.step == nil && (len(got.mails) != 1 || paths != 2):
		t.Errorf("%s: error %v, %d mails, paths %q", where, got.err, len(got.mails), d.paths)
	case got.err == nil && l.step == nil:
		checkFields(t, where, got.mails[0].Data)
		if l.message.Raw.Open == nil {
			checkParts(t, where, &got.mails[0].Part)
		}
	}
}

// checkFields: the header has no field that no letter has.
func checkFields(t *testing.T, where string, message []byte) {
	t.Helper()
	header, _, _ := strings.Cut(string(message), "\r\n\r\n")
	for line := range strings.SplitSeq(header, "\r\n") {
		name, _, ok := strings.Cut(line, ":")
		isFolded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if strings.ContainsAny(line, "\r\n\x00") || !isFolded && (!ok || !known[strings.ToLower(name)]) || strings.TrimSpace(line) == "" {
			t.Errorf("%s: the header has the line %q", where, line)
		}
	}
}

// checkParts: the parts are those of any letter, and none has a field that they lack.
func checkParts(t *testing.T, where string, whole *smtptest.Part) {
	t.Helper()
	leaves := 0
	var visit func(part *smtptest.Part)
	visit = func(part *smtptest.Part) {
		for name := range part.Header {
			if part != whole && !strings.Contains("Content-Type Content-Transfer-Encoding Content-Disposition Content-Id Content-Description", name) {
				t.Errorf("%s: a part has the field %s", where, name)
			}
		}
		if part.Parts == nil {
			leaves++
		}
		for _, inner := range part.Parts {
			visit(inner)
		}
	}
	visit(whole)
	if leaves != 5 {
		t.Errorf("%s: the mail has %d parts:\n%s", where, leaves, whole.Tree())
	}
}

// known are the fields of a letter.
var known = func() map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Fields("date from sender reply-to to cc message-id in-reply-to references subject list-id list-unsubscribe list-subscribe list-help list-post list-owner list-archive x-campaign keywords mime-version content-type content-transfer-encoding") {
		names[name] = true
	}
	return names
}()

// beginning is as much as a failure shows of a text.
func beginning(s string) string { return s[:min(len(s), 300)] }

// serialise returns what a message becomes in each way that there is to write it, by the
// name of the way. A message that cannot be written has none.
func serialise(t *testing.T, m *smtp.Message) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	var direct strings.Builder
	if _, err := m.WriteTo(&direct); err == nil {
		all["WriteTo"] = []byte(direct.String())
	} else if direct.Len() > 0 {
		t.Errorf("%v, after %d octets", err, direct.Len())
	}
	if prepared, err := m.Prepare(); err == nil {
		var b strings.Builder
		if _, err := prepared.WriteTo(&b); err == nil {
			all["Prepare"] = []byte(b.String())
		}
	}
	for name, l := range map[string]*letter{
		"DATA": {}, "LMTP": {options: smtp.Options{LMTP: true}}, "SMTPUTF8": {}, "BDAT": {options: smtp.Options{Chunking: true}}, "step by step": {withhold: []string{"PIPELINING"}},
	} {
		l.offer = []string{"X-TEST", "SMTPUTF8"}
		l.message = m
		if name == "SMTPUTF8" {
			copied := *m
			copied.Delivery.UTF8 = true
			l.message = &copied
		}
		if got := l.dispatch(t); got.err == nil {
			all[name] = got.mails[0].Data
		}
	}
	return all
}

// fromJSON gives an envelope the way of those who keep mails in a queue.
func fromJSON(t *testing.T, e smtp.Envelope) smtp.Envelope {
	t.Helper()
	text, err := json.Marshal(e)
	if err == nil {
		e = smtp.Envelope{}
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// opener is a file's Open for a content.
func opener(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}
