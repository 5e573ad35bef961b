package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/internal/transcript"
)

var errDefect = errors.New("the disk is on fire")

// smallMail is small, and the same each time it is written.
func smallMail(to ...string) *smtp.Message {
	m := &smtp.Message{
		From:      smtp.Address{Address: "ann@example.com"},
		Subject:   "Hi",
		Date:      time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		MessageID: "1@example.com",
		Text:      "Hello.\n.\n",
	}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

// defectFile is an attachment of n octets, then of an error, if there is one.
func defectFile(n int64, err error) smtp.File {
	return smtp.File{Name: "data.bin", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(defectOctets{}, n), defectEnd{err})), nil
	}}
}

// defectOctets never ends.
type defectOctets struct{}

func (defectOctets) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

type defectEnd struct{ err error }

func (e defectEnd) Read([]byte) (int, error) {
	if e.err == nil {
		return 0, io.EOF
	}
	return 0, e.err
}

// defectBody is a content that a function writes.
type defectBody func(w io.Writer) error

func (b defectBody) WriteTo(w io.Writer) (int64, error) { return 0, b(w) }

// defectWritten is a message as it is sent.
func defectWritten(t *testing.T, m *smtp.Message) string {
	t.Helper()
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// defectPlay plays a script to a client, in a bubble with a clock of its own. The
// script needs no greeting; %s in it is the EHLO of the client.
func defectPlay(t *testing.T, script string, opts smtp.Options, use func(t *testing.T, c *smtp.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defectPlayTo(t, script, func(conn net.Conn) {
			opts.LocalName, opts.ServerName = "client.example.com", "localhost"
			c := smtp.NewClient(conn, &opts)
			defer c.Close()
			use(t, c)
		})
	})
}

// defectPlayTo plays a script on the other end of a connection.
func defectPlayTo(t *testing.T, script string, use func(net.Conn)) {
	t.Helper()
	parsed, err := transcript.Parse("# a defect\nS: 220 mx.example.net ESMTP\n" + strings.ReplaceAll(script, "%s", "EHLO client.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	departed := make(chan error, 1)
	go func() {
		departed <- parsed.Play(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true})
	}()
	use(ours)
	ours.Close()
	if err := <-departed; err != nil {
		t.Error(err)
	}
}

// defectTrust is the configuration of a client that trusts the server of a script.
func defectTrust(t *testing.T) *tls.Config {
	t.Helper()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: roots}
}

// defectAllocated is how many octets are allocated while a function runs, by all.
func defectAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// defectTogether runs a function in eight goroutines at once.
func defectTogether(f func(i int)) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

// Values that would become a line of their own, and how that would look.
var (
	defectLines = []string{
		"x\r\nX-Evil: 1", "x\nX-Evil: 1", "x\rX-Evil: 1", "x\r\n\r\nX-Evil: 1", "a@example.com\r\nX-Evil: 1", "a@example.com>\r\nX-Evil: 1",
		"a@example.com>\r\nRCPT TO:<evil@example.com>", "https://example.com/\r\nX-Evil: 1", "text/plain\r\nX-Evil: 1", `a"` + "\r\nX-Evil: 1", "é\r\nX-Evil: 1",
	}
	defectEvil = regexp.MustCompile(`[\r\n](X-Evil:|RCPT TO:<evil)`)
)

// defectInject puts hostile values into a place of a message. Each is refused before
// MAIL, or harms nothing; the good one is sent.
func defectInject(t *testing.T, place, good string, set func(m *smtp.Message, value string)) {
	t.Helper()
	for _, value := range append(defectLines, good) {
		line, mailer := defectServe(t)
		m := smallMail("bob@example.net")
		set(m, value)
		_, err := mailer.Send(t.Context(), m)
		var field *smtp.FieldError
		if said := line.text(); defectEvil.MatchString(said) || err != nil && (!errors.As(err, &field) || strings.Contains(said, "MAIL")) {
			t.Errorf("%s = %q: %v\n%s", place, value, err, said)
		}
		if value == good && err != nil {
			t.Errorf("%s = %q: %v", place, value, err)
		}
	}
}

// defectOutcomes is what became of each recipient.
func defectOutcomes(r *smtp.Result) string {
	var list []string
	for _, r := range r.Recipients {
		list = append(list, fmt.Sprint(r.Outcome))
	}
	return strings.Join(list, ", ")
}

// defectLogger is a logger whose lines a function takes.
func defectLogger(take func(text string)) *slog.Logger {
	return slog.New(slog.NewTextHandler(defectLog(take), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type defectLog func(text string)

func (l defectLog) Write(p []byte) (int, error) {
	l(string(p))
	return len(p), nil
}

// defectUnworded decodes the encoded words of a field.
func defectUnworded(t *testing.T, value string) string {
	t.Helper()
	decoded, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		t.Error(err)
	}
	return decoded
}
