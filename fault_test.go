package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// TestFaults cuts and stalls the link after every octet from the server, and
// after every octet from the client but in the bulk of the content, and compares
// the outcome of each recipient with what an oracle makes of what the server had
// received and said. It counts the cases.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"step by step", "pipelined", "LMTP"} {
		for _, stall := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stall=%v", protocol, stall), func(t *testing.T) {
				t.Parallel()
				whole := suffer(t, fault{protocol: protocol, in: -1, out: -1})
				cases := 0
				for out := range whole.said {
					suffer(t, fault{protocol, stall, -1, out})
					cases++
				}
				for in := 0; in < whole.heard; in += stride(in, whole.heard) {
					suffer(t, fault{protocol, stall, in, -1})
					cases++
				}
				t.Logf("%d cases; whole, the server heard %d octets and said %d", cases, whole.heard, whole.said)
			})
		}
	}
}

// stride is 1 near the ends of what the client sends and of its blocks.
func stride(in, whole int) int {
	const near, block = 600, 32 << 10
	if in < near || whole-in < near || in%block < 300 || in%block > block-300 {
		return 1
	}
	return 211
}

// fault says after how many octets that a server has heard, or said, the link
// is lost, or stalls; less than none is never.
type fault struct {
	protocol string
	stall    bool
	in, out  int
}

// suffered is what became of it on the side of the server.
type suffered struct {
	heard, said int
	replies     int  // that were said whole
	ended       bool // the end of data was heard
}

// suffer sends a mail to three recipients, of whom the second is refused, with
// a content of several blocks.
func suffer(t *testing.T, f fault) (s suffered) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := &faultyConn{Conn: theirs, fault: f, over: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.replies, s.ended = server.serve()
			theirs.Close()
		}()
		c := smtp.NewClient(ours, &smtp.Options{LMTP: f.protocol == "LMTP"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		result := &smtp.Result{Recipients: make([]smtp.RecipientResult, 3)}
		err := c.Hello(ctx)
		if err == nil {
			m := letter("one@example.net", "two@example.net", "three@example.net")
			m.Text = strings.Repeat("All work and no play makes Jack a dull boy.\r\n.\r\n", 2000)
			result, err = c.Send(ctx, m)
		}
		c.Close()
		close(server.over)
		<-done
		s.heard, s.said = server.heard, server.said
		compare(t, f, s, result, err)
	})
	return s
}

// compare holds the outcomes against the oracle.
func compare(t *testing.T, f fault, s suffered, result *smtp.Result, err error) {
	t.Helper()
	const two, final = 5, 8 // the replies to greeting, EHLO, MAIL, three RCPT, DATA and the content
	first, second := smtp.NotSent, smtp.NotSent
	switch {
	case s.replies >= final:
		first = smtp.Accepted
	case s.ended:
		first = smtp.Unknown
	}
	if s.replies >= two {
		second = smtp.Refused
	}
	third := first
	if f.protocol == "LMTP" && s.replies == final { // One of two replies was said.
		third = smtp.Unknown
	}
	for i, want := range []smtp.Outcome{first, second, third} {
		if got := result.Recipients[i].Outcome; got != want {
			t.Errorf("%+v: %+v: recipient %d is %v, want %v (%v)", f, s, i, got, want, err)
		}
	}
	if err == nil {
		t.Errorf("%+v: no error", f)
	}
}

// faultyConn is the connection of a server that suffers a fault.
type faultyConn struct {
	net.Conn
	fault
	heard, said int
	over        chan struct{} // closed when the client has given up
}

// serve plays the server, and tells how many replies it said whole and whether
// it heard the end of data.
func (c *faultyConn) serve() (replies int, ended bool) {
	lines := bufio.NewReader(c)
	say := func(reply string) bool {
		_, err := io.WriteString(c, reply+"\r\n")
		if err == nil {
			replies++
		}
		return err == nil
	}
	hello := "250 mx"
	if c.protocol != "step by step" {
		hello = "250-mx\r\n250 PIPELINING"
	}
	if !say("220 mx") {
		return replies, false
	}
	for _, reply := range []string{hello, "250 ok", "250 ok", "550 no", "250 ok", "354 go"} {
		if _, err := lines.ReadString('\n'); err != nil || !say(reply) {
			return replies, false
		}
	}
	for line := ""; line != ".\r\n"; {
		var err error
		if line, err = lines.ReadString('\n'); err != nil {
			return replies, false
		}
	}
	if say("250 queued") && c.protocol == "LMTP" {
		say("250 queued")
	}
	return replies, true
}

// trip suffers the fault.
func (c *faultyConn) trip() error {
	if c.stall {
		<-c.over
	}
	return io.EOF
}

func (c *faultyConn) Read(p []byte) (int, error) {
	if c.in >= 0 {
		if p = p[:min(len(p), c.in-c.heard)]; len(p) == 0 {
			return 0, c.trip()
		}
	}
	n, err := c.Conn.Read(p)
	c.heard += n
	return n, err
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.out < 0 || len(p) <= c.out-c.said {
		n, err := c.Conn.Write(p)
		c.said += n
		return n, err
	}
	n, err := c.Conn.Write(p[:c.out-c.said])
	c.said += n
	if err == nil {
		err = c.trip()
	}
	return n, err
}

// TestResets cuts and resets real connections, with STARTTLS and AUTH and
// without. What is on its way then may be lost, so the oracle is one of bounds:
// nothing is accepted that the server had not accepted, nothing certainly not
// sent whose end it had heard, and nothing refused.
func TestResets(t *testing.T) {
	t.Parallel()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true}
	for _, protocol := range []string{"pipelined", "STARTTLS and AUTH"} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset=%v", protocol, reset), func(t *testing.T) {
				t.Parallel()
				run := func(in, out int) suffered {
					ours, theirs := tcpPair(t)
					if reset {
						theirs.(*net.TCPConn).SetLinger(0)
					}
					server := &faultyConn{Conn: theirs, fault: fault{protocol: protocol, in: in, out: out}}
					done := make(chan suffered)
					go func() {
						replies, ended := server.converse(config)
						theirs.Close()
						done <- suffered{server.heard, server.said, replies, ended}
					}()
					outcome, err := sendOverTLS(t, ours, protocol, roots)
					s := <-done
					if outcome == smtp.Accepted && s.replies == 0 || outcome == smtp.Refused || outcome == smtp.NotSent && s.ended {
						t.Errorf("in=%d, out=%d: %+v: %v (%v)", in, out, s, outcome, err)
					}
					return s
				}
				whole := run(-1, -1)
				cases := 0
				for out := 0; out < whole.said; out += 1 + whole.said/150 {
					run(-1, out)
					cases++
				}
				for in := 0; in < whole.heard; in += 1 + whole.heard/150 {
					run(in, -1)
					cases++
				}
				t.Logf("%d cases", cases)
			})
		}
	}
}

// sendOverTLS sends a mail of several blocks to one recipient.
func sendOverTLS(t *testing.T, conn net.Conn, protocol string, roots *x509.CertPool) (smtp.Outcome, error) {
	t.Helper()
	c := smtp.NewClient(conn, &smtp.Options{ServerName: "localhost"})
	defer c.Close()
	steps := []func() error{func() error { return c.Hello(t.Context()) }}
	if protocol != "pipelined" {
		steps = append(steps,
			func() error { return c.StartTLS(t.Context(), &tls.Config{RootCAs: roots}) },
			func() error { return c.Hello(t.Context()) },
			func() error { return c.Auth(t.Context(), smtp.Password("ann", "secret")...) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return smtp.NotSent, err
		}
	}
	m := letter("bob@example.net")
	m.Text = strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 2000)
	result, err := c.Send(t.Context(), m)
	return result.Recipients[0].Outcome, err
}

// converse plays a server that takes what comes, and tells whether it heard the
// end of data, and said the last reply.
func (c *faultyConn) converse(config *tls.Config) (replies int, ended bool) {
	var conn net.Conn = c
	lines := bufio.NewReader(conn)
	reply := "220 mx"
	for {
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
			return replies, ended
		}
		if ended {
			replies = 1
		}
		if reply == "220 go" {
			conn = tls.Server(conn, config)
			lines = bufio.NewReader(conn)
		}
		if reply == "354 go" {
			for line := ""; line != ".\r\n"; {
				var err error
				if line, err = lines.ReadString('\n'); err != nil {
					return replies, false
				}
			}
			ended, reply = true, "250 queued"
			continue
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return replies, ended
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			reply = "250-mx\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 STARTTLS"
		case "STARTTLS":
			reply = "220 go"
		case "AUTH":
			reply = "235 ok"
		case "DATA":
			reply = "354 go"
		default:
			reply = "250 ok"
		}
	}
}
