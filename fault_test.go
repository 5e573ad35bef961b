package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// protocol is a way in which two mails go over a session.
type protocol struct {
	name   string
	offers string // by the server
	lmtp   bool
	bdat   bool
	secure bool // STARTTLS and AUTH
}

var protocols = []protocol{
	{name: "step by step"},
	{name: "pipelined", offers: "PIPELINING"},
	{name: "LMTP", offers: "PIPELINING", lmtp: true},
	{name: "BDAT step by step", offers: "CHUNKING", bdat: true},
	{name: "BDAT pipelined", offers: "PIPELINING CHUNKING", bdat: true},
	{name: "BDAT in LMTP", offers: "PIPELINING CHUNKING", bdat: true, lmtp: true},
	{name: "step by step, STARTTLS and AUTH", secure: true},
	{name: "pipelined, STARTTLS and AUTH", offers: "PIPELINING", secure: true},
	{name: "BDAT pipelined, STARTTLS and AUTH", offers: "PIPELINING CHUNKING", bdat: true, secure: true},
}

// fault says after how many octets that a server has heard, or said, the link is
// lost, or stalls; less than none is never.
type fault struct {
	protocol
	stall, reset bool
	in, out      int
}

// The mails that are sent in every case, the second behind the first.
var (
	faultyTo   = [][]string{{"one@example.net", "two@example.net", "three@example.net"}, {"four@example.net", "five@example.net"}}
	faultyFrom = []string{"ann@example.com", "eve@example.com"}
	faultyText = []string{strings.Repeat("All work and no play makes Jack a dull boy.\r\n.\r\n", 2000), "Hello.\r\n"}
)

// TestFaults cuts and stalls the link after every octet from the server, and
// after every octet from the client but in the bulk of the content, and compares
// the outcome of each recipient with what an oracle makes of what the server had
// received and said. It counts the cases.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		for _, stall := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stall=%v", p.name, stall), func(t *testing.T) {
				t.Parallel()
				eachFault(t, fault{protocol: p, stall: stall}, func(t *testing.T, f fault) (s *faultyServer) {
					synctest.Test(t, func(t *testing.T) {
						ours, theirs := net.Pipe()
						s = suffer(t, f, ours, theirs)
					})
					return s
				})
			})
		}
	}
}

// TestResets is the same with real connections, which are closed or reset. What
// is on its way then may be lost.
func TestResets(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset=%v", p.name, reset), func(t *testing.T) {
				t.Parallel()
				eachFault(t, fault{protocol: p, reset: reset}, func(t *testing.T, f fault) *faultyServer {
					ours, theirs := tcpPair(t)
					if reset {
						theirs.(*net.TCPConn).SetLinger(0)
					}
					return suffer(t, f, ours, theirs)
				})
			})
		}
	}
}

// eachFault runs a fault at each of its places, after a run without one; in short
// mode, as with the race detector, at some of them.
func eachFault(t *testing.T, f fault, run func(*testing.T, fault) *faultyServer) {
	f.in, f.out = -1, -1
	whole := run(t, f)
	if len(whole.mails) != 2 || !whole.mails[0].ended || !whole.mails[1].ended {
		t.Fatalf("without a fault, the server got %d mails to their end", len(whole.mails))
	}
	every := 1
	if testing.Short() {
		every = 23
	}
	cases := 0
	for f.out = 0; f.out < whole.said; f.out += every {
		run(t, f)
		cases++
	}
	f.out = -1
	for f.in = 0; f.in < whole.heard; f.in += every * stride(f.in-whole.mails[0].at, whole.heard-f.in) {
		run(t, f)
		cases++
	}
	t.Logf("%d cases; whole, the server heard %d octets and said %d", cases, whole.heard, whole.said)
	t.Attr("faults", strconv.Itoa(cases))
}

// stride is 1 but in the bulk of the first content, and there near the ends of
// blocks: so many octets behind its beginning, and before the end of all.
func stride(behind, before int) int {
	const block = 32 << 10
	if behind < 0 || before < 1500 || behind%block < 100 {
		return 1
	}
	return 211
}

// suffer sends the mails to a server that suffers a fault.
func suffer(t *testing.T, f fault, ours, theirs net.Conn) *faultyServer {
	t.Helper()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	server := &faultyServer{
		Conn:   theirs,
		fault:  f,
		over:   make(chan struct{}),
		config: &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.serve()
		theirs.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	c := smtp.NewClient(ours, &smtp.Options{LMTP: f.lmtp, Chunking: f.bdat, ServerName: "localhost"})
	enter(ctx, c, f.protocol, roots)
	var results []*smtp.Result
	for result, err := range c.SendAll(ctx, faultyMails) {
		results = append(results, result)
		if (err == nil) != everybodyAccepted(result) {
			t.Errorf("%+v: error %v, and %v", f, err, result.Recipients)
		}
	}
	c.Close()
	close(server.over)
	<-done
	for i, result := range results {
		server.compare(t, i, result)
	}
	server.checkMails(t)
	return server
}

func everybodyAccepted(result *smtp.Result) bool {
	return !slices.ContainsFunc(result.Recipients, func(r smtp.RecipientResult) bool { return r.Outcome != smtp.Accepted })
}

// enter brings a session to where mail can be sent, if it can.
func enter(ctx context.Context, c *smtp.Client, p protocol, roots *x509.CertPool) {
	if c.Hello(ctx) != nil || !p.secure {
		return
	}
	config := &tls.Config{RootCAs: roots, CurvePreferences: []tls.CurveID{tls.X25519}}
	if c.StartTLS(ctx, config) == nil && c.Hello(ctx) == nil {
		c.Auth(ctx, smtp.Password("ann", "secret")...)
	}
}

// faultyMails are made once for all cases.
func faultyMails(yield func(*smtp.Message) bool) {
	for _, m := range preparedMails() {
		if !yield(m) {
			return
		}
	}
}

var preparedMails = sync.OnceValue(func() (list []*smtp.Message) {
	for i, to := range faultyTo {
		m := letter(to...)
		m.From.Address, m.Subject, m.Text = faultyFrom[i], faultyFrom[i], faultyText[i]
		list = append(list, m)
	}
	return list
})

// faultyServer is a server that suffers a fault, and what it made of the session.
type faultyServer struct {
	net.Conn
	fault
	config      *tls.Config
	heard, said int // octets
	mails       []*faultyMail
	over        chan struct{} // closed when the client has given up
}

// faultyMail is a transaction as the server saw it.
type faultyMail struct {
	from    string
	to      []string // who were accepted
	refused bool     // a recipient was, and this was said
	invited bool     // the content was expected
	at      int      // what had been heard then
	content strings.Builder
	octets  int  // of it
	ended   bool // the end of data was heard
	finals  int  // replies to it that were said
}

// compare holds the outcomes of a mail against what the server knows of it.
func (s *faultyServer) compare(t *testing.T, i int, result *smtp.Result) {
	t.Helper()
	m := &faultyMail{}
	for _, mail := range s.mails {
		if mail.from == faultyFrom[i] {
			m = mail
		}
	}
	for k, r := range result.Recipients {
		want := smtp.NotSent
		position := slices.Index(m.to, r.Address)
		switch {
		case r.Address == "two@example.net":
			if m.refused {
				want = smtp.Refused
			}
		case m.finals > 0 && (!s.lmtp || m.finals > position):
			want = smtp.Accepted
		case m.ended:
			want = smtp.Unknown
		}
		if r.Outcome != want && !s.excuse(m, want, r.Outcome, len(faultyText[i])) {
			t.Errorf("%+v: mail %d, recipient %d is %v, want %v: %v", s.fault, i, k, r.Outcome, want, r.Err)
		}
	}
}

// excuse tells whether nobody could have known better. Of the last write, TLS does
// not tell how much has left; and a real connection loses what was on its way.
func (s *faultyServer) excuse(m *faultyMail, want, got smtp.Outcome, size int) bool {
	_, real := s.Conn.(*net.TCPConn)
	switch {
	case got == smtp.Unknown && want == smtp.NotSent:
		invited := m.invited || s.bdat && len(m.to) > 0
		return invited && (real || s.secure && m.octets+48<<10 > size)
	case !real:
		return false
	case want == smtp.Accepted:
		return got == smtp.Unknown
	}
	return want == smtp.Refused && got == smtp.NotSent
}

// checkMails: no mail may have another's recipients or content, or half of it.
func (s *faultyServer) checkMails(t *testing.T) {
	t.Helper()
	for _, m := range s.mails {
		i := slices.Index(faultyFrom, m.from)
		for _, to := range m.to {
			if !slices.Contains(faultyTo[i], to) {
				t.Errorf("%+v: the mail of %s has the recipient %s", s.fault, m.from, to)
			}
		}
		content := m.content.String()
		if m.ended && (!strings.Contains(content, "Subject: "+m.from) || strings.Count(content, "Subject: ") != 1 || !strings.HasSuffix(content, faultyText[i])) {
			t.Errorf("%+v: the mail of %s has another content, of %d octets", s.fault, m.from, len(content))
		}
	}
}

// serve plays the server.
func (s *faultyServer) serve() {
	var conn net.Conn = s
	lines := bufio.NewReader(conn)
	say := func(reply string) bool {
		_, err := io.WriteString(conn, reply+"\r\n")
		return err == nil
	}
	ok := say("220 mx")
	m := &faultyMail{}
	for ok {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, path, _ := strings.Cut(rest, "<")
		path, _, _ = strings.Cut(path, ">")
		switch verb {
		case "EHLO", "LHLO":
			ok = say("250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250-" + strings.ReplaceAll(s.offers, " ", "\r\n250-") + "\r\n250 HELP")
		case "STARTTLS":
			ok = say("220 go")
			conn = tls.Server(conn, s.config)
			lines = bufio.NewReader(conn)
		case "AUTH":
			ok = say("235 ok")
		case "MAIL":
			m = &faultyMail{from: path}
			s.mails = append(s.mails, m)
			ok = say("250 ok")
		case "RCPT":
			if path == "two@example.net" {
				ok = say("550 no")
				m.refused = ok
				continue
			}
			m.to = append(m.to, path)
			ok = say("250 ok")
		case "DATA", "BDAT":
			ok = s.take(m, rest, lines, say)
		default:
			ok = say("250 ok")
		}
	}
}

// take receives content: after DATA all of it, after BDAT a chunk.
func (s *faultyServer) take(m *faultyMail, size string, lines *bufio.Reader, say func(string) bool) bool {
	if !m.invited {
		m.invited, m.at = true, s.heard
	}
	if size == "" {
		if !say("354 go") || !m.takeLines(lines) {
			return false
		}
	} else {
		var n int64
		fmt.Sscan(size, &n)
		taken, err := io.CopyN(&m.content, lines, n)
		m.octets += int(taken)
		if err != nil {
			return false
		}
		if !strings.HasSuffix(size, "LAST") {
			return say("250 ok")
		}
	}
	m.ended = true
	finals := 1
	if s.lmtp {
		finals = len(m.to)
	}
	for range finals {
		if !say("250 queued") {
			return false
		}
		m.finals++
	}
	return true
}

func (m *faultyMail) takeLines(lines *bufio.Reader) bool {
	for {
		line, err := lines.ReadString('\n')
		m.octets += len(line)
		switch {
		case err != nil:
			return false
		case line == ".\r\n":
			return true
		}
		m.content.WriteString(strings.TrimPrefix(line, "."))
	}
}

// trip suffers the fault.
func (s *faultyServer) trip() error {
	if s.stall {
		<-s.over
	}
	return io.EOF
}

func (s *faultyServer) Read(p []byte) (int, error) {
	if s.in >= 0 {
		if p = p[:min(len(p), s.in-s.heard)]; len(p) == 0 {
			return 0, s.trip()
		}
	}
	n, err := s.Conn.Read(p)
	s.heard += n
	return n, err
}

func (s *faultyServer) Write(p []byte) (int, error) {
	if s.out < 0 || len(p) <= s.out-s.said {
		n, err := s.Conn.Write(p)
		s.said += n
		return n, err
	}
	n, err := s.Conn.Write(p[:s.out-s.said])
	s.said += n
	if err == nil {
		err = s.trip()
	}
	return n, err
}
