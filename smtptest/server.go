// Package smtptest has an SMTP server for the tests of code that sends mail, in
// the way that net/http/httptest has one for HTTP. It listens on loopback, has
// a certificate made on the fly, and keeps and parses what it was sent:
//
//	server := smtptest.NewServer(t)
//	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
//	// … run the code under test with mailer …
//	messages := server.Messages()
package smtptest

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"github.com/postrider/smtp/internal/testcert"
)

// Server is the server. Set the fields of its first part before Start; those of
// the second tell how to reach it. Close it at the end.
type Server struct {
	Username, Password string // of the one account; authentication is offered, and not required; empty: user, pencil

	ImplicitTLS bool // TLS from the start, as on port 465; otherwise STARTTLS
	NoTLS       bool // neither; credentials are then taken in the clear
	SMTPUTF8    bool // addresses and headers in UTF-8 are taken (RFC 6531)

	// Refuse, if not nil, is asked for the answer to MAIL and RCPT, with the
	// address, and to DATA, at its end, without one; nil accepts. It may be
	// called by several sessions at once.
	Refuse func(command, address string) *Refusal

	MaxMessageBytes int64 // zero: 32 MiB
	MaxMessages     int   // kept in all, then it answers 452; zero: 1000
	MaxRecipients   int   // of a message; zero: 100
	MaxConnections  int   // at once, the others wait; zero: 100

	Timeout time.Duration // for each wait for a client; zero: 1 min

	Addr      string      // host and port
	TLSConfig *tls.Config // for clients: it trusts the certificate of the server

	server   *smtp.Server
	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	messages []*Message
}

// Refusal is the answer of a server that does not accept.
type Refusal struct {
	Code   int    // 4yz or 5yz
	Status [3]int // the enhanced status code; zero: one that says nothing more than Code
	Text   string
}

// TB is the part of testing.TB that is needed here.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// NewServer starts a server with the settings that configure makes, if given.
// It is closed when the test ends.
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

// Start listens on a free port of the loopback interface.
func (s *Server) Start() error {
	if s.server != nil {
		return errors.New("smtptest: the server has been started before")
	}
	s.Username, s.Password = cmp.Or(s.Username, "user"), cmp.Or(s.Password, "pencil")
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Addr = listener.Addr().String()
	s.TLSConfig = &tls.Config{RootCAs: roots}
	listener = netutil.LimitListener(listener, cmp.Or(s.MaxConnections, 100))

	s.server = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.server.Domain = "localhost"
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	s.server.MaxMessageBytes = cmp.Or(s.MaxMessageBytes, 32<<20)
	s.server.MaxRecipients = cmp.Or(s.MaxRecipients, 100)
	s.server.ReadTimeout = cmp.Or(s.Timeout, time.Minute)
	s.server.WriteTimeout = s.server.ReadTimeout
	s.server.AllowInsecureAuth = s.NoTLS
	s.server.EnableDSN = true
	s.server.EnableSMTPUTF8 = s.SMTPUTF8
	if !s.NoTLS {
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	if s.ImplicitTLS {
		listener = tls.NewListener(listener, s.server.TLSConfig)
	}
	s.listener = listener
	s.serving.Go(func() { s.server.Serve(listener) })
	return nil
}

// Close ends the server and its sessions. What it received can still be read.
func (s *Server) Close() error {
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	s.listener.Close() // go-smtp does not know of it yet, if Serve has only just begun.
	s.serving.Wait()
	return err
}

// Messages returns what was accepted so far, in order.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// session is one connection, for go-smtp.
type session struct {
	server   *Server
	conn     *smtp.Conn
	username string
	from     string
	options  smtp.MailOptions
	to       []Recipient
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, nil
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != s.server.Username || password != s.server.Password {
			return smtp.ErrAuthFailed
		}
		s.username = username
		return nil
	}), nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	s.from, s.options = from, *options
	return s.ask("MAIL", from)
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, options *smtp.RcptOptions) error {
	err := s.ask("RCPT", to)
	if err == nil {
		recipient := Recipient{Address: to, OriginalRecipient: options.OriginalRecipient}
		for _, event := range options.Notify {
			recipient.Notify = append(recipient.Notify, string(event))
		}
		s.to = append(s.to, recipient)
	}
	return err
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.ask("DATA", ""); err != nil {
		return err
	}
	message := &Message{
		From: s.from, Recipients: s.to, Username: s.username, Data: data,
		EnvelopeID: s.options.EnvelopeID, Return: string(s.options.Return),
	}
	for _, recipient := range s.to {
		message.To = append(message.To, recipient.Address)
	}
	_, message.TLS = s.conn.TLSConnectionState()
	message.parse()
	return s.server.store(message)
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.options, s.to = "", smtp.MailOptions{}, nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

func (s *session) ask(command, address string) error {
	if s.server.Refuse == nil {
		return nil
	}
	refusal := s.server.Refuse(command, address)
	if refusal == nil {
		return nil
	}
	if !refusal.isRefusal() {
		refusal = &Refusal{Code: 554, Text: fmt.Sprintf("smtptest: a Refusal cannot have the code %d", refusal.Code)}
	}
	return &smtp.SMTPError{Code: refusal.Code, EnhancedCode: smtp.EnhancedCode(refusal.status()), Message: refusal.Text}
}

func (r *Refusal) isRefusal() bool { return r.Code >= 400 && r.Code <= 599 }

func (r *Refusal) status() [3]int {
	if r.Status == [3]int{} {
		return [3]int{r.Code / 100, 0, 0}
	}
	return r.Status
}

var errFull = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "No room for more messages"}

func (s *Server) store(m *Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.messages) >= cmp.Or(s.MaxMessages, 1000) {
		return errFull
	}
	s.messages = append(s.messages, m)
	return nil
}
