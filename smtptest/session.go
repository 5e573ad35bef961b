package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/smtp/internal/wire"
)

// The longest lines, line end included: RFC 5321, section 4.5.3.1.4 has 512 octets,
// to which extensions add, and RFC 4954, section 4 has 12288 for AUTH.
const (
	maxLine     = 4096
	maxAuthLine = 12288
)

// session is one connection.
type session struct {
	server *Server
	raw    net.Conn
	conn   net.Conn // raw, or TLS on it
	in     *bufio.Reader
	out    *bufio.Writer
	number int
	until  time.Time // when Read gives up; zero: after the Timeout

	began      bool              // by EHLO or one of its kin
	extensions map[string]string // that were offered, by keyword
	unwelcome  bool              // the greeting was a refusal
	username   string            // who has authenticated
	mail       *transaction      // nil: none is under way
	message    int               // its number, already while it is asked for
	fault      Fault             // of the next reply
	later      Fault             // of the content
	over       bool
}

func newSession(server *Server, conn net.Conn, number int) *session {
	s := &session{server: server, raw: conn, conn: conn, number: number}
	s.in, s.out = bufio.NewReaderSize(s, maxAuthLine), bufio.NewWriter(s)
	return s
}

// Read waits for the client. All that there is to say is said before.
func (s *session) Read(p []byte) (int, error) {
	if err := s.out.Flush(); err != nil {
		return 0, err
	}
	until := s.until
	if until.IsZero() {
		until = time.Now().Add(s.server.timeout())
	}
	s.conn.SetReadDeadline(until)
	return s.conn.Read(p)
}

// Write writes within the Timeout.
func (s *session) Write(p []byte) (int, error) {
	s.conn.SetWriteDeadline(time.Now().Add(s.server.timeout()))
	return s.conn.Write(p)
}

// verb is what a session does at a command.
type verb struct {
	do    func(*session, string)
	last  bool // in a group: the client must wait for the reply (RFC 2920, section 3.1)
	alone bool // it has no argument
}

var verbs = map[string]verb{
	"EHLO":     {(*session).ehlo, true, false},
	"LHLO":     {(*session).ehlo, true, false},
	"HELO":     {(*session).helo, true, false},
	"STARTTLS": {(*session).starttls, true, true},
	"AUTH":     {(*session).auth, true, false},
	"MAIL":     {(*session).mailFrom, false, false},
	"RCPT":     {(*session).rcptTo, false, false},
	"DATA":     {(*session).data, true, true},
	"BDAT":     {(*session).bdat, false, false},
	"RSET":     {(*session).rset, false, true},
	"NOOP":     {(*session).noop, true, false},
	"VRFY":     {(*session).vrfy, true, false},
	"QUIT":     {(*session).quit, true, true},
}

// serve runs the session to its end.
func (s *session) serve() {
	if s.server.ImplicitTLS && !s.handshake() {
		return
	}
	s.unwelcome = s.refuses("CONNECT", "")
	if !s.unwelcome {
		s.reply(220, "", "localhost smtptest")
	}
	for !s.over {
		if line, ok := s.line(maxLine); ok {
			s.command(line)
		}
	}
	s.hangUp()
}

// line reads a line. One that is none is refused, and one that does not come ends
// the session.
func (s *session) line(limit int) (string, bool) {
	octets, err := s.in.ReadSlice('\n')
	line, isLong := string(octets), err == bufio.ErrBufferFull
	for err == bufio.ErrBufferFull {
		_, err = s.in.ReadSlice('\n')
	}
	if err != nil {
		s.lost(err)
		return "", false
	}
	if verb, _, _ := strings.Cut(line, " "); strings.EqualFold(verb, "AUTH") {
		limit = maxAuthLine
	}
	text, ended := strings.CutSuffix(line, "\r\n")
	switch {
	case isLong || len(line) > limit:
		s.reply(500, "5.5.2", "The line is too long")
	case !ended || strings.ContainsAny(text, "\r\n"):
		s.reply(500, "5.5.2", "A line ends with CRLF, and holds neither CR nor LF")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		s.reply(500, "5.5.2", "The line holds a control character")
	default:
		return text, true
	}
	return "", false
}

// lost ends the session for want of a client.
func (s *session) lost(err error) {
	s.over = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.write(421, "4.4.2", "Waited too long for you")
	}
}

func (s *session) command(line string) {
	name, arg, _ := strings.Cut(line, " ")
	name = strings.ToUpper(name)
	verb, known := verbs[name]
	isHello := name == "EHLO" || name == "HELO" || name == "LHLO"
	switch {
	case name != "BDAT" && s.isHasty(verb.last): // A chunk follows its BDAT.
		s.outOfStep(name)
	case !known || isHello && (name == "LHLO") != s.server.LMTP:
		s.reply(500, "5.5.2", "What is "+strconv.QuoteToASCII(name[:min(len(name), 20)])+"?")
	case s.unwelcome && name != "QUIT": // RFC 5321, section 3.1.
		s.reply(503, "5.5.1", "There is no service here")
	case verb.alone && arg != "":
		s.reply(501, "5.5.4", name+" has no argument")
	default:
		verb.do(s, arg)
	}
}

// isHasty tells whether the client has not waited for a reply that it must wait for: the
// one to the last command of a group, and without PIPELINING any.
func (s *session) isHasty(last bool) bool {
	return s.in.Buffered() > 0 && (last || !s.offered("PIPELINING"))
}

// outOfStep ends the session: what came behind the command may be anything.
func (s *session) outOfStep(name string) {
	s.reply(554, "5.5.0", "Synchronization error: something came behind "+name+", whose reply must be waited for")
	s.over = true
}

// write spells a reply.
func (s *session) write(code int, status, text string) {
	if status != "" {
		status += " "
	}
	if s.withholds("ENHANCEDSTATUSCODES") {
		status = ""
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for i, line := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		fmt.Fprintf(s.out, "%d%s%s%s\r\n", code, separator, status, line)
	}
}

// hangUp ends the connection. What the client is still writing is read away for a
// moment: TCP would else take back the last reply.
func (s *session) hangUp() {
	flushed := s.out.Flush() == nil
	conn, ok := s.raw.(interface{ CloseWrite() error })
	if !ok || !flushed {
		return
	}
	if s.isTLS() {
		s.conn.(*tls.Conn).CloseWrite()
	}
	s.raw.SetDeadline(time.Now().Add(time.Second))
	if conn.CloseWrite() == nil {
		io.Copy(io.Discard, s.raw)
	}
}

// isTLS tells whether nobody else can read along.
func (s *session) isTLS() bool { return s.conn != s.raw }

// offered tells whether the client was offered an extension.
func (s *session) offered(keyword string) bool {
	_, ok := s.extensions[keyword]
	return ok
}

func (s *session) withholds(keyword string) bool {
	return slices.ContainsFunc(s.server.Withhold, func(name string) bool { return strings.EqualFold(name, keyword) })
}

// offer returns the lines of EHLO.
func (s *session) offer() []string {
	lines := []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "SIZE " + strconv.FormatInt(s.server.maxBytes(), 10)}
	if !s.isTLS() && !s.server.NoTLS {
		lines = append(lines, "STARTTLS")
	} else if names := s.server.mechanisms(); len(names) > 0 {
		lines = append(lines, "AUTH "+strings.Join(names, " "))
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return s.withholds(keyword(line)) || s.server.offers(keyword(line)) })
	return append(lines, s.server.Offer...)
}

// offers tells whether an extension is one of Offer.
func (s *Server) offers(name string) bool {
	return slices.ContainsFunc(s.Offer, func(line string) bool { return keyword(line) == name })
}

// keyword is that of a line of EHLO.
func keyword(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return strings.ToUpper(word)
}

func (s *session) ehlo(host string) {
	name := "EHLO"
	if s.server.LMTP {
		name = "LHLO"
	}
	lines := s.offer()
	if s.begins(name, host) {
		for _, line := range lines {
			_, params, _ := strings.Cut(line, " ")
			s.extensions[keyword(line)] = params
		}
		s.reply(250, "", strings.Join(append([]string{"localhost"}, lines...), "\n"))
	}
}

func (s *session) helo(host string) {
	if s.begins("HELO", host) {
		s.reply(250, "", "localhost")
	}
}

// begins tells whether the session begins, or begins again.
func (s *session) begins(name, host string) bool {
	if _, err := wire.NewCommand(name).Host(host).Bytes(); err != nil {
		s.reply(501, "5.5.4", name+" needs the name or the address of a host")
		return false
	}
	if s.refuses(name, "") {
		return false
	}
	s.reset()
	s.began, s.extensions = true, map[string]string{}
	return true
}

func (s *session) starttls(string) {
	switch {
	case s.isTLS():
		s.reply(503, "5.5.1", "There is TLS already")
	case !s.offered("STARTTLS"):
		s.reply(502, "5.5.1", "STARTTLS is not offered")
	case s.refuses("STARTTLS", ""):
	default:
		s.reply(220, "2.0.0", "Go ahead")
		s.reset()
		s.began, s.extensions = false, nil // RFC 3207, section 4.2.
		if s.over = s.over || s.out.Flush() != nil || s.in.Buffered() > 0; !s.over {
			s.handshake()
		}
	}
}

// handshake puts TLS on the connection.
func (s *session) handshake() bool {
	conn := tls.Server(s.raw, s.server.tls)
	s.raw.SetDeadline(time.Now().Add(s.server.timeout()))
	s.conn, s.over = conn, conn.Handshake() != nil
	return !s.over
}

func (s *session) rset(string) {
	if !s.refuses("RSET", "") {
		s.reset()
		s.reply(250, "2.0.0", "Forgotten")
	}
}

// reset forgets the transaction.
func (s *session) reset() { s.mail, s.message, s.later = nil, 0, Fault{} }

func (s *session) noop(string) {
	if !s.refuses("NOOP", "") {
		s.reply(250, "2.0.0", "OK")
	}
}

func (s *session) vrfy(string) {
	if !s.refuses("VRFY", "") {
		s.reply(252, "2.0.0", "Send to it, and see")
	}
}

func (s *session) quit(string) {
	if !s.refuses("QUIT", "") {
		s.reply(221, "2.0.0", "Bye")
		s.over = true
	}
}
