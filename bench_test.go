package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// sized is a file of n octets that costs nothing to read.
func sized(n int64) smtp.File {
	return smtp.File{Name: "data", Size: n, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(endless{}, n)), nil
	}}
}

// letterOf is a message with a file of size octets, if there are any.
func letterOf(b *testing.B, size int64) *smtp.Message {
	m := letter("bob@example.net")
	m.HTML = "<p>Hello.</p>"
	if size > 0 {
		m.Attachments = []smtp.File{sized(size)}
		b.SetBytes(size)
	}
	b.ReportAllocs()
	return m
}

// BenchmarkBuild writes messages to nowhere. B/op is all that is allocated on
// the way: it does not grow with the attachment.
func BenchmarkBuild(b *testing.B) {
	for name, size := range map[string]int64{"small": 0, "25MiB": 25 << 20, "1GiB": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			m := letterOf(b, size)
			for b.Loop() {
				if _, err := m.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSend sends over one session on loopback, to a server that only reads.
func BenchmarkSend(b *testing.B) {
	for name, size := range map[string]int64{"small": 0, "25MiB": 25 << 20} {
		b.Run(name, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			go func() {
				if conn, err := listener.Accept(); err == nil {
					swallow(conn)
				}
			}()
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c := smtp.NewClient(conn, nil)
			defer c.Close()
			if err := c.Hello(b.Context()); err != nil {
				b.Fatal(err)
			}
			m := letterOf(b, size)
			for b.Loop() {
				if _, err := c.Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTransaction sends a mail over net.Pipe, which has no buffers, to a server
// that only reads.
func BenchmarkTransaction(b *testing.B) {
	ours, theirs := net.Pipe()
	go swallow(theirs)
	c := smtp.NewClient(ours, nil)
	defer c.Close()
	if err := c.Hello(b.Context()); err != nil {
		b.Fatal(err)
	}
	m, err := letterOf(b, 0).Prepare()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrips reports how long a mail takes over a link with a delay, as
// a multiple of that: how often it waits for the server.
func BenchmarkRoundTrips(b *testing.B) {
	for _, chunking := range []bool{false, true} {
		form := map[bool]string{false: "DATA", true: "BDAT"}[chunking]
		for _, recipients := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s, warm, %d recipients", form, recipients), func(b *testing.B) {
				c := dial(b, farMailer(b, chunking))
				for b.Loop() {
					if _, err := c.Send(b.Context(), letter(addresses(recipients)...)); err != nil {
						b.Fatal(err)
					}
				}
				reportRoundTrips(b, 1)
			})
		}
		b.Run(form+", 100 mails by SendAll", func(b *testing.B) {
			c := dial(b, farMailer(b, chunking))
			for b.Loop() {
				for _, err := range c.SendAll(b.Context(), slices.Values(slices.Repeat([]*smtp.Message{letter("bob@example.net")}, 100))) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			reportRoundTrips(b, 100)
		})
	}
	b.Run("dial to accepted, STARTTLS and AUTH", func(b *testing.B) {
		mailer := farMailer(b, false)
		for b.Loop() {
			c := dial(b, mailer)
			if _, err := c.Send(b.Context(), letter("bob@example.net")); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
		reportRoundTrips(b, 1)
	})
}

const roundTrip = 20 * time.Millisecond

func reportRoundTrips(b *testing.B, mails int) {
	b.ReportMetric(float64(b.Elapsed())/float64(roundTrip)/float64(b.N*mails), "roundtrips/mail")
}

// farMailer sends to a server on loopback that seems to be far away.
func farMailer(b *testing.B, chunking bool) *smtp.Mailer {
	server := smtptest.NewServer(b, func(s *smtptest.Server) { s.MaxMessages = 1_000_000 })
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Auth: smtp.Password("user", "pencil")}
	mailer.Options.Chunking = chunking
	mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, delayProxy(b, addr))
		return conn, err
	}
	return mailer
}

func dial(b *testing.B, mailer *smtp.Mailer) *smtp.Client {
	c, err := mailer.Dial(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// delayProxy passes one connection on to addr, each way half a round trip later.
func delayProxy(b *testing.B, addr string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer listener.Close()
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", addr)
		if err != nil {
			near.Close()
			return
		}
		go delay(near, far, roundTrip/2)
		delay(far, near, roundTrip/2)
	}()
	return listener.Addr().String()
}

// swallow is a server that accepts everything at no cost worth counting.
func swallow(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReaderSize(conn, 64<<10)
	buffer := make([]byte, 64<<10)
	reply := "220 mx\r\n"
	for {
		if lines.Buffered() == 0 { // A group is answered at once.
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
			if strings.HasSuffix(reply, "354 go\r\n") {
				for n := 0; n < 5 || string(buffer[n-5:n]) != "\r\n.\r\n"; {
					var err error
					if n, err = conn.Read(buffer); err != nil {
						return
					}
				}
				io.WriteString(conn, "250 ok\r\n")
			}
			reply = ""
		}
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(line[:4]) {
		case "EHLO":
			reply += "250-mx\r\n250 PIPELINING\r\n"
		case "DATA":
			reply += "354 go\r\n"
		default:
			reply += "250 ok\r\n"
		}
	}
}
