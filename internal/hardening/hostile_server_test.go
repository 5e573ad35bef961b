package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/postrider/smtp/internal/testcert"
)

// hostileStep is the n-th time, from 1, that a session comes to a step.
type hostileStep struct {
	name string
	n    int
}

// hostileServer is a good server but at one step of each session, where it behaves
// as it is told. It keeps a book of what it took on.
type hostileServer struct {
	way       hostileWay
	at        hostileStep
	behaviour hostileBehaviour
	over      chan struct{} // closed when the client has given up
	running   sync.WaitGroup
	sessions  []*hostileSession
}

// hostileSession is one connection to it.
type hostileSession struct {
	*hostileServer
	raw     *hostileConn
	conn    net.Conn // raw, or TLS on it
	in      *bufio.Reader
	steps   []hostileStep
	times   map[string]int
	hit     bool            // it has behaved so
	gone    bool            // it takes no more commands
	secure  bool            // under TLS
	clear   strings.Builder // what was heard without
	said    strings.Builder // since the end of data
	last    string          // command
	mail    *hostileMail    // under way
	mails   []*hostileMail  // whose content has ended
	helloes int
}

// hostileMail is a mail as the server has it.
type hostileMail struct {
	from    string
	to      []string
	begun   bool     // its content was invited
	octets  int      // of the content so far
	content []byte   // with the dots of DATA taken away
	ended   bool     // the end of data was heard
	taken   []bool   // on, for each recipient
	finals  []string // what was said to the end, for each recipient
}

// hostileConn counts the octets that the other side took. Who has the turn writes:
// that of net.Pipe is a Mutex, for which fake time does not wait.
type hostileConn struct {
	net.Conn
	turn  chan struct{}
	taken int
}

func (c *hostileConn) Write(p []byte) (int, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	n, err := c.Conn.Write(p)
	c.taken += n
	return n, err
}

// dial begins a session; it can be the DialContext of a Mailer, one at a time.
func (h *hostileServer) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	raw := &hostileConn{Conn: theirs, turn: make(chan struct{}, 1)}
	s := &hostileSession{hostileServer: h, raw: raw, conn: raw, in: bufio.NewReader(raw), times: map[string]int{}}
	h.sessions = append(h.sessions, s)
	h.running.Go(func() {
		defer theirs.Close()
		s.serve()
	})
	return ours, nil
}

func (s *hostileSession) serve() {
	if s.way.implicit && !s.shakeHands() {
		return
	}
	s.answer("greeting", "220 mx.example.com ESMTP at your service")
	for !s.gone {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		s.command(strings.TrimRight(line, "\r\n"))
	}
}

// heard keeps what came in the clear, where no secret may be, and what came last.
func (s *hostileSession) heard(line string) {
	s.last = line
	if !s.secure {
		s.clear.WriteString(line + "\n")
	}
}

// answer answers a step, and tells whether what was asked for is done.
func (s *hostileSession) answer(step, honest string) (done bool) {
	s.times[step]++
	now := hostileStep{step, s.times[step]}
	s.steps = append(s.steps, now)
	if now == s.at {
		s.hit = true
		return s.behaviour.act(s, honest)
	}
	if honest != "" {
		s.say(honest + "\r\n")
	}
	return true
}

// say says something, and tells whether it was heard.
func (s *hostileSession) say(text string) bool {
	n, err := io.WriteString(s.conn, text)
	s.said.WriteString(text[:n])
	if err != nil {
		s.gone = true
	}
	return err == nil
}

// stay neither reads nor says anything as long as the client is there.
func (s *hostileSession) stay() {
	<-s.over
	s.gone = true
}

func (s *hostileSession) command(line string) {
	s.heard(line)
	verb, argument, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO", "LHLO", "HELO":
		s.hello()
	case "STARTTLS":
		if s.answer("STARTTLS", "220 2.0.0 ready to start TLS") && !s.gone {
			s.gone = !s.shakeHands()
		}
	case "AUTH":
		s.auth()
	case "MAIL":
		s.mailFrom(argument)
	case "RCPT":
		s.rcptTo(argument)
	case "DATA":
		s.data()
	case "BDAT":
		s.bdat(argument)
	case "RSET":
		s.mail = nil
		s.answer(verb, "250 2.0.0 forgotten as if it had never been")
	case "NOOP":
		s.answer(verb, "250 2.0.0 nothing was done, as asked")
	case "VRFY":
		s.answer(verb, "252 2.1.5 it is not told who is here")
	case "QUIT":
		s.answer(verb, "221 2.0.0 goodbye, and come again")
		s.gone = true
	default:
		s.say("500 5.5.1 what is that?\r\n")
	}
}

func (s *hostileSession) hello() {
	step := "EHLO"
	if s.secure {
		step = "EHLO after TLS"
	}
	s.helloes++
	s.mail = nil
	s.answer(step, s.way.ehlo(s.secure, s.helloes))
}

// shakeHands takes the server's part of a TLS handshake.
func (s *hostileSession) shakeHands() bool {
	if s.way.handshake != nil {
		s.hit = true
		return s.way.handshake(s)
	}
	certificate, _, err := testcert.Loopback()
	if err != nil {
		panic(err)
	}
	over := tls.Server(s.raw, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true, CurvePreferences: []tls.CurveID{tls.X25519}})
	s.conn, s.in, s.secure = over, bufio.NewReader(over), true
	return over.Handshake() == nil
}

// auth is LOGIN, which has two challenges.
func (s *hostileSession) auth() {
	for _, challenge := range [][2]string{{"AUTH", "334 VXNlcm5hbWU6"}, {"challenge", "334 UGFzc3dvcmQ6"}} {
		if !s.answer(challenge[0], challenge[1]) || s.gone {
			return
		}
		line, err := s.in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); err != nil || line == "*" {
			s.say("501 5.7.0 given up\r\n")
			return
		}
		s.heard(line)
	}
	s.answer("password", "235 2.7.0 so it is you indeed")
}

// path returns what is between the brackets of an argument.
func hostilePath(argument string) string {
	_, path, _ := strings.Cut(argument, "<")
	path, _, _ = strings.Cut(path, ">")
	return path
}

func (s *hostileSession) mailFrom(argument string) {
	if s.mail != nil {
		s.say("503 5.5.1 one after the other\r\n")
		return
	}
	if s.answer("MAIL", "250 2.1.0 who would not know that sender") {
		s.mail = &hostileMail{from: hostilePath(argument)}
	}
}

func (s *hostileSession) rcptTo(argument string) {
	if s.mail == nil {
		s.say("503 5.5.1 from whom?\r\n")
		return
	}
	step := "RCPT"
	if len(s.mail.to) > 0 {
		step = "second RCPT"
	}
	if s.answer(step, "250 2.1.5 that recipient is at home") {
		s.mail.to = append(s.mail.to, hostilePath(argument))
	}
}

func (s *hostileSession) data() {
	if s.mail == nil || len(s.mail.to) == 0 {
		s.say("503 5.5.1 for whom?\r\n")
		return
	}
	if !s.answer("DATA", "354 go ahead, and end it with a lone dot") {
		return
	}
	s.mail.begun = true
	for !s.gone {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.gone = true
			return
		}
		if line == ".\r\n" {
			s.end()
			return
		}
		s.take(strings.TrimPrefix(line, "."))
	}
}

func (s *hostileSession) bdat(argument string) {
	var size int
	fmt.Sscanf(argument, "%d", &size)
	expected := s.mail != nil && len(s.mail.to) > 0
	for size > 0 && !s.gone {
		piece := make([]byte, min(size, 4096))
		if _, err := io.ReadFull(s.in, piece); err != nil {
			s.gone = true
			return
		}
		size -= len(piece)
		if expected {
			s.take(string(piece))
		}
	}
	switch last := strings.HasSuffix(argument, "LAST"); {
	case s.gone:
	case !expected:
		s.say("503 5.5.1 for whom?\r\n")
	case last:
		s.end()
	default:
		s.answer("BDAT", "250 2.0.0 that chunk has come")
	}
}

// middle is where a content is interrupted: in its second block, when the client
// listens already.
const hostileMiddle = 34_000

func (s *hostileSession) take(octets string) {
	before := s.mail.octets
	s.mail.octets += len(octets)
	s.mail.content = append(s.mail.content, octets...)
	if before < hostileMiddle && s.mail.octets >= hostileMiddle {
		if s.answer("content", ""); s.hit && s.at.name == "content" {
			time.Sleep(time.Second) // In a bubble, until all that was said is heard.
		}
	}
}

// end answers the end of data, under LMTP for each recipient.
func (s *hostileSession) end() {
	mail := s.mail
	s.mail = nil
	mail.ended = true
	s.mails = append(s.mails, mail)
	mail.taken, mail.finals = make([]bool, len(mail.to)), make([]string, len(mail.to))
	for i := range mail.to {
		if i > 0 && !s.way.lmtp {
			mail.taken[i], mail.finals[i] = mail.taken[0], mail.finals[0]
			continue
		}
		step := "end"
		if i > 0 {
			step = "second end"
		}
		s.said.Reset()
		mail.taken[i] = true // From now on it may say so, and vanish in the middle of that.
		mail.taken[i] = s.answer(step, "250 2.0.0 queued as the seventeenth")
		mail.finals[i] = s.said.String()
	}
}
