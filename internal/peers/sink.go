// Package peers runs the same work through this package and through others, against the
// same server.
package peers

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is a server that takes every mail and forgets it, behind a link on which a round
// trip takes some time.
type Sink struct {
	Addr     string
	Mails    atomic.Int64 // that it took
	Sessions atomic.Int64 // that were ever opened

	listener net.Listener
	serving  sync.WaitGroup
}

// NewSink starts a server on loopback.
func NewSink(roundTrip time.Duration) (*Sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{Addr: listener.Addr().String(), listener: listener}
	s.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.Sessions.Add(1)
			s.serving.Go(func() { s.serve(delay(conn, roundTrip/2), conn) })
		}
	})
	return s, nil
}

// Close waits until all clients have gone.
func (s *Sink) Close() {
	s.listener.Close()
	s.serving.Wait()
}

func (s *Sink) serve(link *link, conn net.Conn) {
	defer func() {
		link.close()
		conn.Close()
		for range link.in { // What the client still said.
		}
	}()
	r := bufio.NewReader(link)
	say := func(reply string) { link.write([]byte(reply + "\r\n")) }
	say("220 sink ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "EHLO":
			say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
		case "DATA":
			say("354 go on")
			for line := ""; line != ".\r\n"; {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
			}
			s.Mails.Add(1)
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// link delays what comes and what goes by the same time, and keeps its order.
type link struct {
	in, out chan piece
	rest    []byte // of a piece that came
	oneWay  time.Duration
	writing sync.WaitGroup
}

type piece struct {
	due    time.Time
	octets []byte
}

func delay(conn net.Conn, oneWay time.Duration) *link {
	l := &link{in: make(chan piece, 1024), out: make(chan piece, 1024), oneWay: oneWay}
	go func() {
		defer close(l.in)
		for {
			b := make([]byte, 32<<10)
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			l.in <- piece{time.Now().Add(oneWay), b[:n]}
		}
	}()
	l.writing.Go(func() {
		for p := range l.out {
			time.Sleep(time.Until(p.due))
			conn.Write(p.octets)
		}
	})
	return l
}

// Read implements io.Reader.
func (l *link) Read(b []byte) (int, error) {
	if len(l.rest) == 0 {
		p, ok := <-l.in
		if !ok {
			return 0, io.EOF
		}
		time.Sleep(time.Until(p.due))
		l.rest = p.octets
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *link) write(b []byte) { l.out <- piece{time.Now().Add(l.oneWay), b} }

// close waits until all that was written has gone.
func (l *link) close() {
	close(l.out)
	l.writing.Wait()
}
