package main

import (
	"bufio"
	"bytes"
	"context"
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
	"github.com/postrider/smtp/smtptest"
)

var errDefect = errors.New("the disk is on fire")

// defectLetter is a small mail, the same each time it is written.
func defectLetter(to ...string) *smtp.Message {
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

// defectLine makes the connections of a test, counts them, and keeps what was written
// to them.
type defectLine struct {
	*smtptest.Server

	mu                   sync.Mutex
	opened, closed, most int // most at once
	flights              int // how often the server was waited for
	said                 bytes.Buffer
}

func (l *defectLine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := l.Server.DialContext
	if l.Server.Addr != "" {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened++
	l.most = max(l.most, l.opened-l.closed)
	return &defectConn{Conn: conn, line: l}, nil
}

// text is all that clients wrote.
func (l *defectLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// checkClosed tells whether all connections were closed.
func (l *defectLine) checkClosed(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened == 0 || l.opened != l.closed {
		t.Errorf("%d connections were opened, and %d closed", l.opened, l.closed)
	}
}

type defectConn struct {
	net.Conn
	line   *defectLine
	wrote  bool // since something was last read
	closed bool
}

func (c *defectConn) Write(p []byte) (int, error) {
	c.line.mu.Lock()
	c.wrote = true
	c.line.said.Write(p)
	c.line.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *defectConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if n > 0 && c.wrote {
		c.line.flights++
		c.wrote = false
	}
	return n, err
}

func (c *defectConn) Close() error {
	c.line.mu.Lock()
	if !c.closed {
		c.closed = true
		c.line.closed++
	}
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// defectServe returns a server in memory, without TLS unless it is set, and a Mailer
// to it.
func defectServe(t *testing.T, set ...func(*smtptest.Server)) (*defectLine, *smtp.Mailer) {
	t.Helper()
	s := &smtptest.Server{NoTLS: true}
	for _, set := range set {
		set(s)
	}
	t.Cleanup(func() { s.Close() })
	return defectConnect(t, s)
}

// defectListen is the same on loopback.
func defectListen(t *testing.T, set ...func(*smtptest.Server)) (*defectLine, *smtp.Mailer) {
	t.Helper()
	return defectConnect(t, smtptest.NewServer(t, append([]func(*smtptest.Server){func(s *smtptest.Server) { s.NoTLS = true }}, set...)...))
}

func defectConnect(t *testing.T, s *smtptest.Server) (*defectLine, *smtp.Mailer) {
	line := &defectLine{Server: s}
	m := s.Mailer()
	m.DialContext = line.dial
	m.Options.LocalName = "client.example.com"
	t.Cleanup(func() { m.Close() })
	return line, m
}

// defectTLS has a server offer STARTTLS.
func defectTLS(s *smtptest.Server) { s.NoTLS = false }

// defectAt has something go wrong at a command, each time.
func defectAt(command string, fault smtptest.Fault) func(*smtptest.Server) {
	return func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == command {
				return &fault
			}
			return nil
		}
	}
}

// defectDial returns a session that is ready for mail.
func defectDial(t *testing.T, m *smtp.Mailer) *smtp.Client {
	t.Helper()
	c, err := m.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// defectArrived sends a message and returns what arrived.
func defectArrived(t *testing.T, m *smtp.Message, set ...func(*smtptest.Server)) *smtptest.Message {
	t.Helper()
	line, mailer := defectServe(t, set...)
	if _, err := mailer.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := line.Messages()
	if len(got) != 1 || got[0].Err != nil {
		t.Fatalf("%d mails arrived", len(got))
	}
	return got[0]
}

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

// defectAnswer is a server that answers each line by a function; nothing ends it.
func defectAnswer(conn net.Conn, answer func(line string) string) {
	defer conn.Close()
	io.WriteString(conn, "220 mx.example.net\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		reply := answer(lines.Text())
		if reply == "" {
			return
		}
		io.WriteString(conn, reply+"\r\n")
	}
}

// defectSwallow is a server that takes what comes and allocates next to nothing.
func defectSwallow(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for content, end := false, []byte(nil); ; {
		reply := "250 ok\r\n"
		switch {
		case end == nil:
			reply, end = "220 mx\r\n", []byte{}
		case content:
			content = false
		case bytes.HasPrefix(end, []byte("DATA")):
			reply, content = "354 go\r\n", true
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
		for end = end[:0]; !bytes.HasSuffix(end, []byte("\r\n")) || content && !bytes.HasSuffix(end, []byte("\r\n.\r\n")); {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			end = append(end, buffer[:n]...)
			end = append(end[:0], end[max(0, len(end)-64):]...)
		}
	}
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
		m := defectLetter("bob@example.net")
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

// defectStalled is a connection to a server that takes 100,000 octets of a content,
// and reads no more.
func defectStalled() (ours, theirs net.Conn) {
	ours, theirs = net.Pipe()
	go func() {
		buffer := make([]byte, 4096)
		for _, reply := range []string{"220 mx", "250 mx", "250 ok", "250 ok"} {
			io.WriteString(theirs, reply+"\r\n")
			theirs.Read(buffer)
		}
		io.WriteString(theirs, "354 go\r\n")
		io.CopyN(io.Discard, theirs, 100_000)
	}()
	return ours, theirs
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
