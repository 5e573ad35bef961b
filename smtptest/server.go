// Package smtptest has an SMTP server for the tests of code that sends mail, in
// the way that net/http/httptest has one for HTTP. It listens on loopback, or
// works in memory, keeps and parses what it was sent, and does wrong what it is
// told to do wrong:
//
//	server := smtptest.NewServer(t)
//	mailer := server.Mailer()
//	defer mailer.Close()
//	// … run the code under test with mailer …
//	messages := server.Messages()
//
// Code that takes any [smtp.Sender] can be given a [Recorder].
package smtptest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// Server is the server. Set the fields of its first part before its first use;
// those of the second, which Start and Mailer set, tell how to reach it. Close it
// at the end. It is strict: what RFC 5321 forbids to clients, it refuses.
type Server struct {
	// Users are names and their passwords, or their tokens for OAUTHBEARER and
	// XOAUTH2. They may authenticate, and need not. Nil: user, with pencil.
	Users map[string]string

	// Mechanisms are those of AUTH, in the order in which they are offered: PLAIN,
	// LOGIN, CRAM-MD5, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2. Nil: PLAIN; empty: no AUTH.
	Mechanisms []string

	ImplicitTLS bool // TLS from the start, as on port 465; otherwise STARTTLS
	NoTLS       bool // neither; credentials are then taken in the clear
	LMTP        bool // the protocol of local delivery (RFC 2033): a reply for each recipient

	// Offer has further lines for EHLO, as "SMTPUTF8", "BINARYMIME" or "LIMITS
	// RCPTMAX=2", or others in place of the usual ones, which are PIPELINING, SIZE,
	// 8BITMIME, ENHANCEDSTATUSCODES, CHUNKING, DSN, STARTTLS and AUTH. The parameters
	// of what is offered are taken, and LIMITS RCPTMAX is kept to.
	Offer []string

	// Withhold names those of the usual extensions that are not offered, and that the
	// server then knows nothing of.
	Withhold []string

	// On, if not nil, is asked at each step what goes wrong there; nil: nothing. It may
	// be called by several sessions at once. Close waits for it: it must not call Close.
	On func(Step) *Fault

	MaxMessageBytes int64 // zero: 32 MiB
	MaxMessages     int   // kept in all, then it answers 452; zero: 1000
	MaxRecipients   int   // of a message, then it answers 452; zero: 100
	MaxConnections  int   // at once, the others wait; zero: 100

	Timeout time.Duration // for each wait for a client, then it answers 421; zero: 1 min

	Addr      string      // host and port
	TLSConfig *tls.Config // for clients: it trusts the certificate of the server

	prepared sync.Once
	err      error         // of the settings
	tls      *tls.Config   // its own
	slots    chan struct{} // one is taken by each session
	closed   chan struct{}
	serving  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	sessions int
	mails    int
	messages []*Message
}

// TB is the part of testing.TB that is needed here.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// NewServer starts a server with the settings that configure makes, if given.
// It is closed when the test ends. It uses the network: a bubble of testing/synctest
// wants a Server that is not started, see DialContext.
func NewServer(tb TB, configure ...func(*Server)) *Server {
	tb.Helper()
	s := &Server{}
	for _, set := range configure {
		set(s)
	}
	if err := s.Start(); err != nil {
		tb.Fatalf("smtptest: %v", err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// prepare makes, at the first use, what all uses share.
func (s *Server) prepare() error {
	s.prepared.Do(func() {
		s.slots, s.closed = make(chan struct{}, cmp.Or(s.MaxConnections, 100)), make(chan struct{})
		s.conns = map[net.Conn]bool{}
		certificate, roots, err := testcert.Loopback()
		s.tls = &tls.Config{Certificates: []tls.Certificate{certificate}}
		s.TLSConfig = &tls.Config{RootCAs: roots}
		if err == nil && s.ImplicitTLS && s.NoTLS {
			err = errors.New("smtptest: ImplicitTLS and NoTLS are both set")
		}
		for _, name := range s.mechanisms() {
			if err == nil && mechanisms[name] == nil {
				err = fmt.Errorf("smtptest: the server does not know the mechanism %q", name)
			}
		}
		s.err = err
	})
	return s.err
}

// Start listens on a free port of the loopback interface.
func (s *Server) Start() error {
	if err := s.prepare(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.isClosed() {
		return errors.New("smtptest: the server has been started or closed before")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener, s.Addr = listener, listener.Addr().String()
	s.serving.Go(func() { s.accept(listener) })
	return nil
}

// accept takes connections, of which each waits until there is room for its session.
func (s *Server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // Close has closed it.
		}
		if s.enter(context.Background()) != nil {
			conn.Close()
			return
		}
		s.serve(conn)
	}
}

// enter waits until there is room for a session more.
func (s *Server) enter(ctx context.Context) error {
	if s.isClosed() {
		return net.ErrClosed
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-s.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// serve begins the session of one that has entered.
func (s *Server) serve(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		conn.Close()
		return
	}
	s.sessions++
	s.conns[conn] = true
	session := newSession(s, conn, s.sessions)
	s.serving.Go(func() {
		defer s.leave(conn) // Also if On calls t.FailNow.
		session.serve()
	})
}

// leave ends the session of one.
func (s *Server) leave(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	<-s.slots
}

// DialContext connects to the server in memory, without a network, whatever the
// address, and whether it was started or not. It can be that of a Mailer; in a
// bubble of testing/synctest, delays and time-outs then take no time. Since nothing
// is buffered, a certificate that is refused is noticed only after Timeout.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	s.serve(theirs)
	return ours, nil
}

// Mailer returns a new Mailer to the server, which trusts its certificate and has
// no credentials. If the server was not started, it is reached in memory. Close the
// Mailer at the end.
func (s *Server) Mailer() *smtp.Mailer {
	s.prepare() // If that fails, so does DialContext.
	m := &smtp.Mailer{Addr: s.Addr, TLSConfig: s.TLSConfig, Options: smtp.Options{LMTP: s.LMTP}}
	if m.Addr == "" {
		m.Addr, m.DialContext = "localhost:587", s.DialContext
	}
	switch {
	case s.NoTLS:
		m.TLS = smtp.TLSNone
	case s.ImplicitTLS:
		m.TLS = smtp.TLSImplicit
	}
	return m
}

// Close ends the server and its sessions, and waits for them. What it received
// can still be read.
func (s *Server) Close() error {
	s.prepare()
	s.mu.Lock()
	var err error
	if !s.isClosed() {
		close(s.closed)
		if s.listener != nil {
			err = s.listener.Close()
		}
		for conn := range s.conns {
			conn.Close()
		}
	}
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Messages returns what was accepted so far, in order.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// store keeps a message, if there is room for it.
func (s *Server) store(m *Message) *Refusal {
	m.parse()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.messages) >= cmp.Or(s.MaxMessages, 1000) {
		return &Refusal{452, [3]int{4, 3, 1}, "No room for more messages"}
	}
	s.messages = append(s.messages, m)
	return nil
}

// nextMail counts the MAIL commands of all sessions.
func (s *Server) nextMail() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails++
	return s.mails
}

func (s *Server) timeout() time.Duration { return cmp.Or(s.Timeout, time.Minute) }

func (s *Server) maxBytes() int64 { return cmp.Or(s.MaxMessageBytes, 32<<20) }
