package smtp_test

import (
	"io"
	"net"
	"testing"

	"github.com/postrider/smtp"
)

// sized is a file of n octets that costs nothing to read.
func sized(n int64) smtp.File {
	return smtp.File{Name: "data", Size: n, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(endless{}, n)), nil
	}}
}

func small() *smtp.Message {
	m := letter("bob@example.net")
	m.HTML = "<p>Hello.</p>"
	return m
}

// BenchmarkBuild writes messages to nowhere. B/op is all that is allocated on
// the way: it does not grow with the attachment.
func BenchmarkBuild(b *testing.B) {
	for name, size := range map[string]int64{"small": 0, "25MiB": 25 << 20, "1GiB": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			m := small()
			if size > 0 {
				m.Attachments = []smtp.File{sized(size)}
				b.SetBytes(size)
			}
			b.ReportAllocs()
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
			m := small()
			if size > 0 {
				m.Attachments = []smtp.File{sized(size)}
				b.SetBytes(size)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// swallow is a server that accepts everything at no cost worth counting.
func swallow(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	reply, content := "220 mx\r\n", false
	for {
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
		n, err := conn.Read(buffer)
		for content && err == nil && (n < 5 || string(buffer[n-5:n]) != "\r\n.\r\n") {
			n, err = conn.Read(buffer)
		}
		if err != nil {
			return
		}
		reply, content = "250 ok\r\n", !content && string(buffer[:n]) == "DATA\r\n"
		if content {
			reply = "354 go\r\n"
		}
	}
}
