package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp/internal/testcert"
)

// hostileTLSWays are those of a handshake: behind STARTTLS, and from the start.
var hostileTLSWays = []hostileWay{
	{name: "STARTTLS", secure: true, offers: []string{"PIPELINING"}},
	{name: "implicit TLS", implicit: true, offers: []string{"PIPELINING"}},
}

// TestHostileHandshakes: a handshake that is hostile ends with an error, in time, and
// nothing secret was said before it.
func TestHostileHandshakes(t *testing.T) {
	t.Parallel()
	for _, way := range hostileTLSWays {
		for _, api := range hostileAPIs {
			if way.implicit && !api.pool {
				continue
			}
			t.Run(way.name+", "+api.name, func(t *testing.T) {
				t.Parallel()
				cases := 0
				for name, handshake := range hostileHandshakes() {
					way := way
					way.handshake = handshake
					kind := func(string) hostileKind { return fatal }
					hostileCase{way, api, hostileStep{"STARTTLS", 0}, hostileBehaviour{name: name, kind: kind}}.run(t)
					cases++
				}
				t.Attr("hostile-servers", strconv.Itoa(cases))
			})
		}
	}
}

// hostileHandshakes are ways not to shake hands; each tells whether it was done.
func hostileHandshakes() map[string]func(*hostileSession) bool {
	all := map[string]func(*hostileSession) bool{
		"never reads":            func(s *hostileSession) bool { s.stay(); return false },
		"reads, and is silent":   func(s *hostileSession) bool { s.drain(); s.stay(); return false },
		"closes":                 func(s *hostileSession) bool { return false },
		"reads, and closes":      func(s *hostileSession) bool { s.raw.Read(make([]byte, 4096)); return false },
		"an octet of ours a min": func(s *hostileSession) bool { s.sip(); return false },
		"a chain of 1 MiB":       hostileChain,
	}
	for name, words := range map[string]string{
		"garbage":                "\xde\xad\xbe\xef\x00\x01\x02\x03\x04\x05\x06\x07",
		"zeros":                  strings.Repeat("\x00", 100),
		"a plaintext reply":      "250 2.0.0 who needs TLS\r\n",
		"a plaintext refusal":    "454 4.7.0 TLS is not available \x1b[2J\r\n",
		"an alert":               "\x15\x03\x03\x00\x02\x02\x28",
		"an unknown alert":       "\x15\x03\x03\x00\x02\x02\xfe",
		"a warning":              "\x15\x03\x03\x00\x02\x01\x5a",
		"a record too long":      "\x16\x03\x03\xff\xff" + strings.Repeat("x", 1<<16),
		"an empty ServerHello":   "\x16\x03\x03\x00\x04\x02\x00\x00\x00",
		"a message of 16 MiB":    "\x16\x03\x03\x40\x00\x02\xff\xff\xff" + strings.Repeat("x", 1<<14-4),
		"SSL 2":                  "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
		"application data early": "\x17\x03\x03\x00\x05hello",
	} {
		all[name+", and closes"] = func(s *hostileSession) bool { s.drain(); s.say(words); return false }
		all[name+", and silence"] = func(s *hostileSession) bool { s.drain(); s.say(words); s.stay(); return false }
		all[name+", without end"] = func(s *hostileSession) bool {
			s.drain()
			for s.say(words) {
			}
			return false
		}
	}
	for _, most := range []int{1, 4, 5, 6, 9, 40, 90, 127, 128, 133, 200, 400, 700, 800, 900} {
		all[fmt.Sprintf("closes after %d octets", most)] = func(s *hostileSession) bool { return s.stopAfter(most, false) }
		all[fmt.Sprintf("stops after %d octets", most)] = func(s *hostileSession) bool { return s.stopAfter(most, true) }
	}
	all["an octet a minute"] = func(s *hostileSession) bool { return s.shakeOver(&hostileSlow{s.raw}) }
	return all
}

// drain reads on and on, so that the client can write.
func (s *hostileSession) drain() {
	s.running.Go(func() { io.Copy(io.Discard, s.raw.Conn) })
}

func (s *hostileSession) shakeOver(conn net.Conn, chain ...[]byte) bool {
	certificate, _, err := testcert.Loopback()
	if err != nil {
		panic(err)
	}
	certificate.Certificate = append(certificate.Certificate, chain...)
	over := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true})
	s.conn, s.in, s.secure = over, bufio.NewReader(over), true
	return over.Handshake() == nil
}

// hostileChain has so many certificates that they come to 1 MiB.
func hostileChain(s *hostileSession) bool {
	certificate, _, _ := testcert.Loopback()
	var chain [][]byte
	for size := 0; size < 1<<20; size += len(certificate.Certificate[0]) {
		chain = append(chain, certificate.Certificate[0])
	}
	return s.shakeOver(s.raw, chain...)
}

// stopAfter shakes hands until so many octets are said.
func (s *hostileSession) stopAfter(most int, silent bool) bool {
	s.shakeOver(&hostileCut{s.raw, most})
	if s.secure = false; silent {
		s.drain()
		s.stay()
	}
	return false
}

// hostileCut writes no more than so many octets.
type hostileCut struct {
	net.Conn
	left int
}

func (c *hostileCut) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:min(c.left, len(p))])
	if c.left -= n; err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// hostileSlow writes an octet a minute.
type hostileSlow struct{ net.Conn }

func (c *hostileSlow) Write(p []byte) (int, error) {
	for i := range p {
		time.Sleep(time.Minute)
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
