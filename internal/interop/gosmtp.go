package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// serveGoSMTP runs go-smtp in this process, by SMTP and, on a socket, by LMTP.
func serveGoSMTP(s *server) error {
	configuration := &tls.Config{Certificates: []tls.Certificate{s.identities.server}}
	newServer := func(mustLogin bool) *smtp.Server {
		server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
			return &goSession{server: s, mustLogin: mustLogin}, nil
		}))
		server.Domain, server.TLSConfig, server.AllowInsecureAuth = "go-smtp.test.example", configuration, true
		server.ErrorLog = log.New(io.Discard, "", 0)
		server.MaxMessageBytes, server.MaxRecipients = 40<<20, 1000
		server.MaxLineLength = 1 << 20 // It counts lines in chunks, too, and then hangs up.
		server.EnableSMTPUTF8, server.EnableREQUIRETLS, server.EnableBINARYMIME, server.EnableDSN = true, true, true, true
		return server
	}
	if s.lmtp {
		server := newServer(false)
		server.LMTP = true
		listener, err := net.Listen("unix", s.socket)
		if err == nil {
			go server.Serve(listener)
		}
		return err
	}
	for _, port := range []int{25, 465, 587} {
		listener, err := net.Listen("tcp", s.address(port))
		if err != nil {
			return err
		}
		if port == 465 {
			listener = tls.NewListener(listener, configuration)
		}
		go newServer(port == 587).Serve(listener)
	}
	return nil
}

// goSession delivers to Maildirs.
type goSession struct {
	server    *server
	mustLogin bool
	from      string
	declared  *smtp.MailOptions
	to        []string
}

func (s *goSession) AuthMechanisms() []string {
	return []string{sasl.Plain, sasl.OAuthBearer, sasl.Anonymous}
}

func (s *goSession) Auth(mechanism string) (sasl.Server, error) {
	let := func(right bool) error {
		if !right {
			return smtp.ErrAuthFailed
		}
		s.mustLogin = false
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error {
			return let(user == alice && password == alicePassword || user == uni && password == uniPassword)
		}), nil
	case sasl.OAuthBearer:
		return sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if let(o.Token == s.server.identities.token) != nil {
				return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
			}
			return nil
		}), nil
	}
	return sasl.NewAnonymousServer(func(string) error { return let(true) }), nil
}

func (s *goSession) Mail(from string, declared *smtp.MailOptions) error {
	s.from, s.declared = from, declared
	if s.mustLogin {
		return smtp.ErrAuthRequired
	}
	return refusals(from)
}

func (s *goSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := refusals(to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func refusals(address string) error {
	for beginning, err := range map[string]*smtp.SMTPError{
		"badsender": {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 8}, Message: "Sender rejected"},
		"nosuch":    {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"},
		"grey":      {Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, try again later"},
	} {
		if strings.HasPrefix(address, beginning) {
			return err
		}
	}
	return nil
}

func (s *goSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	for _, to := range s.to {
		if err == nil {
			err = s.put(to, data)
		}
	}
	return err
}

// LMTPData answers for each recipient.
func (s *goSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range s.to {
		status.SetStatus(to, s.put(to, data))
	}
	return nil
}

var delivered atomic.Int64

// isDeclared tells whether MAIL has said of a content what it is, of which few servers
// care.
func (s *goSession) isDeclared(data []byte) bool {
	header, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	is8Bit := func(data []byte) bool {
		return bytes.ContainsFunc(data, func(r rune) bool { return r >= utf8.RuneSelf })
	}
	return (s.declared.UTF8 || !is8Bit(header) && (s.declared.Body != "" || !is8Bit(data))) &&
		(s.declared.Body == smtp.BodyBinaryMIME || bytes.IndexByte(data, 0) < 0)
}

// put fails for the box that is broken, as that of another server would.
func (s *goSession) put(address string, data []byte) error {
	local, _, _ := strings.Cut(address, "@")
	if !s.isDeclared(data) {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "MAIL has not said what this is"}
	}
	if local == "broken" {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "The mailbox is broken"}
	}
	box, name := filepath.Join(s.server.boxes.root, local), fmt.Sprint(delivered.Add(1))
	if err := os.WriteFile(filepath.Join(box, "tmp", name), slices.Concat([]byte("Return-Path: <"+s.from+">\r\n"), data), 0o644); err != nil {
		return err
	}
	return os.Rename(filepath.Join(box, "tmp", name), filepath.Join(box, "new", name))
}

func (s *goSession) Reset() { s.to = nil }

func (s *goSession) Logout() error { return nil }
