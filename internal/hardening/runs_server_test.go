package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/smtp/smtptest"
)

// runCharacter is how a server reads what clients should not send.
type runCharacter string

const (
	strict    runCharacter = "strict"        // MAIL, RCPT and content out of turn are 503
	inviting  runCharacter = "354 to nobody" // as RFC 2920, section 3.1 lets servers do
	forgetful runCharacter = "forgetful"     // without RSET, the sender and the recipients of a refused mail stay
	heedless  runCharacter = "heedless"      // after MAIL was refused, it goes on as if it were not
	literal   runCharacter = "literal"       // it runs the lines of a chunk that it did not expect
	another   runCharacter = "smtptest"      // the strict server of package smtptest
)

// runDelivery is a mail that a server has delivered.
type runDelivery struct {
	from    string
	to      []string
	content string
}

// runServer keeps a book of what it delivered.
type runServer struct {
	runCase
	running sync.WaitGroup
	mu      sync.Mutex
	book    []runDelivery
	nobody  int // octets of content for nobody
}

func (s *runServer) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	session := &runSession{runServer: s, conn: theirs, in: bufio.NewReader(theirs)}
	s.running.Go(func() {
		defer theirs.Close()
		session.serve()
	})
	return ours, nil
}

// runSession is one connection to it.
type runSession struct {
	*runServer
	conn    net.Conn
	in      *bufio.Reader
	over    bool
	open    bool // there is a transaction
	from    string
	to      []string
	chunks  int
	spoiled bool // a chunk was refused
	content strings.Builder
}

func (s *runSession) serve() {
	s.reply(220, "mx.example.com")
	for !s.over {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		s.command(strings.ToUpper(verb), argument)
	}
}

// reply answers, with 421 for the last time, and tells whether that is a success.
func (s *runSession) reply(code int, text string) bool {
	if _, err := fmt.Fprintf(s.conn, "%d %s\r\n", code, text); err != nil || code == 421 {
		s.over = true
	}
	return code < 400
}

// refuses answers if the run has a refusal here.
func (s *runSession) refuses(step, address string) bool {
	code := s.code(step, s.from, address)
	return code != 0 && !s.reply(code, "not that one")
}

func (s *runSession) command(verb, argument string) {
	switch verb {
	case "EHLO", "LHLO":
		io.WriteString(s.conn, hostileEHLO(append(s.way.offers, "HELP")...)+"\r\n")
	case "MAIL":
		s.mail(hostilePath(argument))
	case "RCPT":
		s.rcpt(hostilePath(argument))
	case "DATA":
		s.data()
	case "BDAT":
		s.bdat(argument)
	case "RSET":
		s.clear()
		s.reply(250, "forgotten")
	case "QUIT":
		s.reply(221, "bye")
		s.over = true
	default:
		s.reply(500, "what?")
	}
}

func (s *runSession) clear() {
	s.open, s.from, s.to, s.chunks, s.spoiled = false, "", nil, 0, false
	s.content.Reset()
}

func (s *runSession) mail(from string) {
	switch {
	case s.open && s.character == forgetful:
		s.reply(250, "as before")
		return
	case s.open:
		s.reply(503, "there is one already")
		return
	}
	s.from = from
	if s.open = !s.refuses("MAIL", ""); s.open {
		s.reply(250, "sender")
	}
	s.open = s.open || s.character == heedless
}

func (s *runSession) rcpt(to string) {
	switch {
	case !s.open || s.chunks > 0:
		s.reply(503, "MAIL first")
	case !s.refuses("RCPT", to):
		s.to = append(s.to, to)
		s.reply(250, "recipient")
	}
}

func (s *runSession) data() {
	switch {
	case !s.open || s.chunks > 0:
		s.reply(503, "MAIL first")
		return
	case len(s.to) == 0 && s.character != inviting:
		s.reply(554, "no valid recipients")
		return
	case s.refuses("DATA", ""):
		return
	}
	s.reply(354, "go ahead")
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.over = true
			return
		}
		if line == ".\r\n" {
			s.end()
			return
		}
		s.content.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (s *runSession) bdat(argument string) {
	var size int
	fmt.Sscanf(argument, "%d", &size)
	last := strings.HasSuffix(argument, "LAST")
	expected := s.open && len(s.to) > 0
	if !expected && s.character == literal {
		s.reply(503, "no chunk was expected")
		return
	}
	chunk := make([]byte, size)
	if _, err := io.ReadFull(s.in, chunk); err != nil {
		s.over = true
		return
	}
	s.chunks++
	s.content.Write(chunk)
	code := s.code("DATA", s.from, "")
	switch {
	case !expected:
		s.reply(503, "no chunk was expected")
	case s.spoiled, s.chunks == 1 && code != 0:
		s.spoiled = true
		s.refuseChunk(max(code, 503), code, last)
	case last:
		s.end()
	default:
		s.reply(250, "chunk")
	}
}

// refuseChunk answers a chunk, under LMTP the last one for each recipient.
func (s *runSession) refuseChunk(later, first int, last bool) {
	code := later
	if s.chunks == 1 {
		code = first
	}
	replies := 1
	if last && s.way.lmtp {
		replies = len(s.to)
	}
	for ; replies > 0 && !s.over; replies-- {
		s.reply(code, "not that chunk")
	}
}

// end delivers to those whom no refusal hits, and answers.
func (s *runSession) end() {
	if len(s.to) == 0 {
		s.mu.Lock()
		s.nobody += s.content.Len()
		s.mu.Unlock()
		s.clear()
		s.reply(554, "no valid recipients")
		return
	}
	delivery := runDelivery{from: s.from, content: s.content.String()}
	recipients, from := s.to, s.from
	refused := slices.ContainsFunc(recipients, func(to string) bool { return s.code("END", from, s.lmtpOnly(to)) != 0 })
	if !refused || s.character != forgetful {
		s.clear()
	}
	for i, to := range recipients {
		code := s.code("END", from, s.lmtpOnly(to))
		if code == 0 && !s.over {
			delivery.to = []string{to}
			s.deliver(delivery)
		}
		if i == 0 || s.way.lmtp && !s.over {
			s.reply(max(code, 250), "that is what became of it")
		}
	}
}

// lmtpOnly is the recipient of a final reply, if there is one for each.
func (s *runSession) lmtpOnly(to string) string {
	if s.way.lmtp {
		return to
	}
	return ""
}

func (s *runServer) deliver(d runDelivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book = append(s.book, d)
}

// runStrict is the server of package smtptest with the refusals of a run.
func runStrict(c runCase) *smtptest.Server {
	var mu sync.Mutex
	senders, chunks := map[int]string{}, map[int]int{}
	return &smtptest.Server{NoTLS: true, LMTP: c.way.lmtp, Withhold: c.withheld(), On: func(step smtptest.Step) *smtptest.Fault {
		mu.Lock()
		defer mu.Unlock()
		name, address := step.Command, step.Address
		switch name {
		case "MAIL":
			senders[step.Session], chunks[step.Session], address = address, 0, ""
		case "BDAT":
			chunks[step.Session]++
			name = "DATA"
		}
		code := c.code(name, senders[step.Session], address)
		if code == 0 || name == "DATA" && chunks[step.Session] > 1 {
			return nil
		}
		return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: code, Text: "not that one"}}
	}}
}

// withheld are the extensions that the way does not have.
func (c runCase) withheld() (list []string) {
	for _, extension := range []string{"PIPELINING", "CHUNKING"} {
		if !slices.Contains(c.way.offers, extension) {
			list = append(list, extension)
		}
	}
	return list
}
