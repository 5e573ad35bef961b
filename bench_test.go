package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

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

// BenchmarkRoundTrips reports how often a mail has to wait for the server, on a
// session that is warm, and from the dial to the acceptance of the first mail,
// with STARTTLS and AUTH.
func BenchmarkRoundTrips(b *testing.B) {
	for _, recipients := range []int{1, 100} {
		b.Run(fmt.Sprintf("warm, %d recipients", recipients), func(b *testing.B) {
			ours, theirs := net.Pipe()
			recordAs(theirs, &recorder{offers: "PIPELINING"})
			conn := &flights{Conn: ours}
			c := smtp.NewClient(conn, nil)
			defer c.Close()
			if err := c.Hello(b.Context()); err != nil {
				b.Fatal(err)
			}
			before, mails := conn.count, 0
			for b.Loop() {
				if _, err := c.Send(b.Context(), letter(addresses(recipients)...)); err != nil {
					b.Fatal(err)
				}
				mails++
			}
			b.ReportMetric(float64(conn.count-before)/float64(mails), "roundtrips/mail")
		})
	}
	b.Run("dial to accepted", func(b *testing.B) {
		server := smtptest.NewServer(b, func(s *smtptest.Server) { s.MaxMessages = 1_000_000 })
		waits, mails := 0, 0
		for b.Loop() {
			var conn *flights
			mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig, Auth: smtp.Password(server.Username, server.Password)}
			mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled, err := new(net.Dialer).DialContext(ctx, network, addr)
				conn = &flights{Conn: dialled}
				return conn, err
			}
			c, err := mailer.Dial(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Send(b.Context(), letter("bob@example.net")); err != nil {
				b.Fatal(err)
			}
			waits += conn.count + 1 // the one for the greeting comes before any writing
			mails++
			c.Close()
		}
		b.ReportMetric(float64(waits)/float64(mails), "roundtrips/mail")
	})
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
