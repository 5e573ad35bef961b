package smtp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/postrider/smtp"
)

// way is how a session is led, as bits.
const (
	byLMTP = 1 << iota
	byBDAT
	allOrNobody
	bySendAll
	withAuth
	withTLS
)

// FuzzSession plays any octets as a server to a whole session; NUL stands between
// what the server says at once. Whatever it says: what the client writes is its own
// command lines and whole contents, no password leaves, a mail is accepted only if
// its content was written to the end, and the errors are typed.
func FuzzSession(f *testing.F) {
	paths, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatal("no conversations", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(serversPart(string(text)), wayOf(string(text)))
	}
	f.Fuzz(func(t *testing.T, says string, way uint8) {
		server := &babbler{says: strings.Split(says, "\x00")}
		c := smtp.NewClient(server, &smtp.Options{LocalName: "client.example.com", ServerName: "localhost", LMTP: way&byLMTP != 0, Chunking: way&byBDAT != 0})
		errs := []error{c.Hello(t.Context())}
		if way&withTLS != 0 {
			errs = append(errs, c.StartTLS(t.Context(), nil), c.Hello(t.Context()))
		}
		if way&withAuth != 0 {
			errs = append(errs, c.Auth(t.Context(), smtp.Password("ann", "swordfish")...))
		}
		results, failures := sendTwo(t.Context(), c, way)
		for _, err := range append(errs, append(failures, c.Noop(t.Context()), c.Reset(t.Context()), c.Quit(t.Context()))...) {
			checkTyped(t, err)
		}
		wrote := server.wrote.String()
		checkDialogue(t, wrote)
		for i, result := range results {
			for _, r := range result.Recipients {
				checkOutcome(t, r, hasContent(wrote, i))
			}
		}
	})
}

// sendTwo sends two mails in one of the ways.
func sendTwo(ctx context.Context, c *smtp.Client, way uint8) (results []*smtp.Result, errs []error) {
	mails := fuzzedMails(way&allOrNobody != 0)
	if way&bySendAll != 0 {
		for result, err := range c.SendAll(ctx, slices.Values(mails)) {
			results, errs = append(results, result), append(errs, err)
		}
		return results, errs
	}
	for _, m := range mails {
		result, err := c.Send(ctx, m)
		results, errs = append(results, result), append(errs, err)
	}
	return results, errs
}

func fuzzedMails(all bool) []*smtp.Message {
	mails := []*smtp.Message{letter("bob@example.net"), letter("bob@example.net", "carol@example.org")}
	for i, m := range mails {
		m.MessageID = strconv.Itoa(i) + "@example.com"
		if all {
			m.Delivery.Accept = smtp.AcceptAll
		}
	}
	return mails
}

// fuzzedContents are both mails as they are written.
var fuzzedContents = sync.OnceValue(func() (contents []string) {
	for _, m := range fuzzedMails(false) {
		var b strings.Builder
		p, err := m.Prepare()
		if err == nil {
			_, err = p.WriteTo(&b)
		}
		if err != nil {
			panic(err)
		}
		contents = append(contents, b.String())
	}
	return contents
})

// inDots and inChunk are a content with its end.
func inDots(content string) string {
	return strings.ReplaceAll(content, "\r\n.", "\r\n..") + ".\r\n"
}

func inChunk(content string) string {
	return "BDAT " + strconv.Itoa(len(content)) + " LAST\r\n" + content
}

func hasContent(wrote string, i int) bool {
	content := fuzzedContents()[i]
	return strings.Contains(wrote, inDots(content)) || strings.Contains(wrote, inChunk(content))
}

// ourLine is every command line that these sessions may have. A lone dot ends a
// content of nothing, for nobody (rule 9 of the pipelining).
var ourLine = regexp.MustCompile(`^(?:(?:EHLO|HELO|LHLO) client\.example\.com|STARTTLS|AUTH [-A-Z0-9]+(?: [+/=0-9A-Za-z]+)?|\*|` +
	`MAIL FROM:<ann@example\.com>(?: SIZE=\d+)?(?: BODY=\w+)?|RCPT TO:<(?:bob@example\.net|carol@example\.org)>|DATA|\.|RSET|NOOP|QUIT)$`)

// checkDialogue: without the contents that are whole, only our lines are left, and
// after STARTTLS was welcomed, TLS.
func checkDialogue(t *testing.T, wrote string) {
	t.Helper()
	if strings.Contains(wrote, "AUTH") {
		t.Errorf("somebody was to be authenticated in the clear: %q", wrote)
	}
	wrote, _, _ = strings.Cut(wrote, "\x16\x03\x01")
	for _, content := range fuzzedContents() {
		wrote = strings.ReplaceAll(strings.ReplaceAll(wrote, inDots(content), ""), inChunk(content), "")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(wrote, "\r\n"), "\r\n") {
		if line != "" && !ourLine.MatchString(line) {
			t.Errorf("the client wrote %q in %q", line, wrote)
		}
	}
}

// checkTyped: an error is one of ours, and its text is fit for a log.
func checkTyped(t *testing.T, err error) {
	t.Helper()
	var failed *smtp.Error
	var recipients *smtp.RecipientsError
	var unsupported *smtp.UnsupportedError
	var field *smtp.FieldError // AcceptAll beside LIMITS RCPTMAX=1
	switch {
	case err == nil:
	case !errors.As(err, &failed) && !errors.As(err, &recipients) && !errors.As(err, &unsupported) && !errors.As(err, &field):
		t.Errorf("%T: %v", err, err)
	case strings.ContainsFunc(err.Error(), unicode.IsControl) || !strings.HasPrefix(err.Error(), "smtp: ") || strings.Contains(err.Error(), "swordfish"):
		t.Errorf("%q", err)
	}
}

// checkOutcome: the four words mean what they say.
func checkOutcome(t *testing.T, r smtp.RecipientResult, written bool) {
	t.Helper()
	class := r.Reply.Code / 100
	sound := r.Err != nil
	switch r.Outcome {
	case smtp.Accepted:
		sound = r.Err == nil && class == 2 && written
	case smtp.Unknown:
		sound = sound && class == 0 && written
	case smtp.Refused:
		sound = sound && (class == 4 || class == 5)
	}
	if !sound {
		t.Errorf("%v by %v, with an error %v; the content was written: %v", r.Outcome, r.Reply, r.Err, written)
	}
}

// babbler is a connection to a server that says what it wants to say.
type babbler struct {
	says  []string
	wrote strings.Builder
}

func (b *babbler) Read(p []byte) (int, error) {
	if len(b.says) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.says[0])
	if b.says[0] = b.says[0][n:]; b.says[0] == "" {
		b.says = b.says[1:]
	}
	return n, nil
}

func (b *babbler) Write(p []byte) (int, error)      { return b.wrote.Write(p) }
func (b *babbler) Close() error                     { return nil }
func (b *babbler) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (b *babbler) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (b *babbler) SetDeadline(time.Time) error      { return nil }
func (b *babbler) SetReadDeadline(time.Time) error  { return nil }
func (b *babbler) SetWriteDeadline(time.Time) error { return nil }

// serversPart is what the server says in a conversation, with NUL where it waits.
func serversPart(conversation string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(conversation, "\n") {
		kind, text, _ := strings.Cut(line, " ")
		switch {
		case kind == "S!":
			raw, _ := strconv.Unquote(text)
			b.WriteString(raw)
		case kind == "S:" && !strings.HasPrefix(text, "("):
			b.WriteString(text + "\r\n")
		case kind == "C:" || kind == "C!":
			b.WriteString("\x00")
		}
	}
	return b.String()
}

func wayOf(conversation string) (way uint8) {
	for bit, word := range []string{"with lmtp yes", "with chunking yes", "with accept all", "send-each", "auth", "starttls"} {
		if strings.Contains(conversation, word) {
			way |= 1 << bit
		}
	}
	return way
}
