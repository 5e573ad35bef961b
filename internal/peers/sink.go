package main

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sink is a server that takes every mail and forgets it, behind a link on which a round
// trip takes some time.
type sink struct {
	addr    string
	mails   atomic.Int64 // that it took
	resumed atomic.Int64 // sessions of TLS

	roundTrip time.Duration
	tls       *tls.Config  // nil: it offers neither STARTTLS nor AUTH
	keep      func([]byte) // gets each content; nil: it is thrown away

	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
}

// start begins to serve on loopback.
func (s *sink) start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener, s.addr, s.open = listener, listener.Addr().String(), map[net.Conn]bool{}
	s.serving.Go(s.accept)
	return nil
}

func (s *sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.note(conn, true)
		s.serving.Go(func() {
			defer s.note(conn, false)
			far := delay(conn, s.roundTrip)
			defer far.Close()
			newDialogue(s, far).run()
		})
	}
}

func (s *sink) note(conn net.Conn, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open {
		s.open[conn] = true
	} else {
		delete(s.open, conn)
	}
}

// close ends all sessions, also of clients that left without a word.
func (s *sink) close() {
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.open {
		conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}
