package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// link is a connection that delays what comes and what goes by the same time, and keeps
// its order.
type link struct {
	net.Conn
	in, out chan piece
	rest    []byte // of a piece that came
	oneWay  time.Duration
	writing sync.WaitGroup
	closing sync.Once
}

type piece struct {
	due    time.Time
	octets []byte
}

// delay makes a round trip over conn take some time; none leaves it as it is. The server
// learns half of one later that there is a client.
func delay(conn net.Conn, roundTrip time.Duration) net.Conn {
	if roundTrip == 0 {
		return conn
	}
	sleepUntil(time.Now().Add(roundTrip / 2))
	l := &link{Conn: conn, in: make(chan piece, 1024), out: make(chan piece, 1024), oneWay: roundTrip / 2}
	go l.receive()
	l.writing.Go(l.transmit)
	return l
}

func (l *link) receive() {
	defer close(l.in)
	for {
		b := make([]byte, 32<<10)
		n, err := l.Conn.Read(b)
		if err != nil {
			return
		}
		l.in <- piece{time.Now().Add(l.oneWay), b[:n]}
	}
}

func (l *link) transmit() {
	for p := range l.out {
		sleepUntil(p.due)
		l.Conn.Write(p.octets)
	}
}

// Read implements io.Reader.
func (l *link) Read(b []byte) (int, error) {
	if len(l.rest) == 0 {
		p, ok := <-l.in
		if !ok {
			return 0, io.EOF
		}
		sleepUntil(p.due)
		l.rest = p.octets
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Write implements io.Writer. The octets are on their way for a while.
func (l *link) Write(b []byte) (int, error) {
	l.out <- piece{time.Now().Add(l.oneWay), append([]byte(nil), b...)}
	return len(b), nil
}

// Close waits until all that was written has gone.
func (l *link) Close() error {
	l.closing.Do(func() {
		close(l.out)
		l.writing.Wait()
		l.Conn.Close()
		for range l.in { // What the client still said.
		}
	})
	return nil
}
