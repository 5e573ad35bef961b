package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

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
