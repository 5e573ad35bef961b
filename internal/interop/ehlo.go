package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/textproto"
	"strings"
	"time"
)

// offers is what the server says to EHLO, after STARTTLS if it offers that: asked for
// without the package, as a proof.
func (s *server) offers(ctx context.Context) ([]string, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	text := textproto.NewConn(conn)
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, err
	}
	lines, err := s.hello(text)
	if err != nil || !strings.Contains(strings.Join(lines, "\n")+"\n", "STARTTLS\n") {
		return lines, err
	}
	if err := text.PrintfLine("STARTTLS"); err != nil {
		return nil, err
	}
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, err
	}
	over, err := s.hello(textproto.NewConn(tls.Client(conn, &tls.Config{RootCAs: s.identities.roots, ServerName: s.host + ".test.example",
		Certificates: []tls.Certificate{s.identities.client}})))
	return append([]string{"STARTTLS"}, over...), err
}

func (s *server) hello(text *textproto.Conn) ([]string, error) {
	verb := "EHLO"
	if s.lmtp {
		verb = "LHLO"
	}
	if err := text.PrintfLine("%s interop.test.example", verb); err != nil {
		return nil, err
	}
	_, message, err := text.ReadResponse(250)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	lines := strings.Split(message, "\n")
	return lines[1:], nil
}
