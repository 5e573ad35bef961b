package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
)

// chunkTaker is a server that takes chunks, and answers each of them as reply
// says; an empty reply is none.
type chunkTaker struct {
	chunks, octets int
	reply          func(chunk int) string
	done           chan struct{}
}

func takeChunks(conn net.Conn, reply func(chunk int) string) *chunkTaker {
	s := &chunkTaker{reply: reply, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer conn.Close()
		s.serve(conn)
	}()
	return s
}

func (s *chunkTaker) serve(conn net.Conn) {
	lines := bufio.NewReader(conn)
	reply := "220 mx"
	for {
		if reply != "" {
			io.WriteString(conn, reply+"\r\n")
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		reply = "250-mx\r\n250-PIPELINING\r\n250 CHUNKING"
		var size int
		if n, _ := fmt.Sscanf(line, "BDAT %d", &size); n == 1 {
			taken, _ := io.CopyN(io.Discard, lines, int64(size))
			s.chunks++
			s.octets += int(taken)
			reply = s.reply(s.chunks)
		}
	}
}

func chunking(conn net.Conn) *smtp.Client {
	return smtp.NewClient(conn, &smtp.Options{Chunking: true})
}

// TestWindow: so many chunks are on their way without an answer, and no more; the
// wait for the answer has the time-out of a block.
func TestWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := takeChunks(theirs, func(int) string { return "" })
		c := chunking(ours)
		begin(t, c)
		start := time.Now()
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 1_000_000, nil) }))
		if took := time.Since(start); took != 3*time.Minute || !errors.Is(err, os.ErrDeadlineExceeded) || result.Recipients[0].Outcome != smtp.NotSent {
			t.Errorf("after %v: %v, %v", took, result.Recipients[0].Outcome, err)
		}
		<-server.done
		if server.chunks != 32 || server.octets > 1<<20 {
			t.Errorf("%d chunks of %d octets were on their way", server.chunks, server.octets)
		}
	})
}

// TestSlowChunks: a body that makes progress, however slowly, never times out,
// nor does a server that answers each chunk in time.
func TestSlowChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := takeChunks(theirs, func(int) string {
			time.Sleep(2 * time.Minute)
			return "250 ok"
		})
		c := chunking(ours)
		begin(t, c)
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
			for range 10 {
				time.Sleep(10 * time.Minute)
				if err := lines(w, 3000, nil); err != nil {
					return err
				}
			}
			return lines(w, 100_000, nil)
		}))
		if err != nil || result.Recipients[0].Outcome != smtp.Accepted {
			t.Errorf("%v, %v", result.Recipients[0].Outcome, err)
		}
		c.Quit(t.Context())
		<-server.done
	})
}

// TestChunkTimesOut: a chunk that is not answered ends the content, although the
// body takes its time and does not wait for room.
func TestChunkTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		takeChunks(theirs, func(int) string { return "" })
		c := chunking(ours)
		begin(t, c)
		start := time.Now()
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
			if err := lines(w, 1000, nil); err != nil {
				return err
			}
			time.Sleep(time.Hour)
			return lines(w, 1000, nil)
		}))
		if took := time.Since(start); took != time.Hour || !errors.Is(err, os.ErrDeadlineExceeded) || result.Recipients[0].Outcome != smtp.NotSent {
			t.Errorf("after %v: %v, %v", took, result.Recipients[0].Outcome, err)
		}
	})
}

// TestCancelChunks: a context that ends while chunks are on their way, or while
// the server does not read any more, ends the content at once.
func TestCancelChunks(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]int{"without answers": 1 << 30, "stalled": 100_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go func() {
					buffer := make([]byte, 4096)
					for _, reply := range []string{"220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "250 ok", "250 ok"} {
						io.WriteString(theirs, reply+"\r\n")
						theirs.Read(buffer)
					}
					io.CopyN(io.Discard, theirs, int64(reads))
				}()
				c := chunking(ours)
				begin(t, c)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				result, err := c.Data(ctx, writerTo(func(w io.Writer) error { return lines(w, 1_000_000, nil) }))
				if took := time.Since(start); took != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) || result.Recipients[0].Outcome != smtp.NotSent {
					t.Errorf("after %v: %v, %v", took, result.Recipients[0].Outcome, err)
				}
			})
		})
	}
}

// TestExtraReply: a reply too many to a chunk would be taken for that to the last.
func TestExtraReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := takeChunks(theirs, func(int) string { return "250 ok\r\n250 queued" })
		c := chunking(ours)
		begin(t, c)
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
			err := lines(w, 1000, nil)
			synctest.Wait()
			return err
		}))
		<-server.done
		if err == nil || result.Recipients[0].Outcome != smtp.NotSent || server.chunks != 1 {
			t.Errorf("%d chunks, %v, %v", server.chunks, result.Recipients[0].Outcome, err)
		}
	})
}

// TestSteadyReplies: a server that answers chunk after chunk, each in its time,
// is not hurried by the number of those that wait.
func TestSteadyReplies(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			replies := make(chan string, 100)
			server := takeChunks(theirs, func(int) string {
				replies <- "250 ok\r\n"
				return ""
			})
			c := chunking(ours)
			begin(t, c)
			go func() {
				for reply := range replies {
					time.Sleep(2 * time.Minute)
					io.WriteString(theirs, reply)
				}
			}()
			result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
				err := lines(w, 12_000, nil)
				time.Sleep(pause)
				return err
			}))
			if err != nil || result.Recipients[0].Outcome != smtp.Accepted {
				t.Errorf("%v, %v", result.Recipients[0].Outcome, err)
			}
			c.Close()
			<-server.done
			close(replies)
		})
	}
}

// TestChunkCannotBeWritten: the server gets 5 s to say why, and then the error is
// that of the writing, as it is by DATA.
func TestChunkCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, opts := range []*smtp.Options{{}, {Chunking: true}} {
		for _, room := range []int{40_000, 100_000} {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				go func() {
					buffer := make([]byte, 4096)
					for _, reply := range []string{"220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "250 ok", "250 ok", "354 go"} {
						io.WriteString(theirs, reply+"\r\n")
						if n, _ := theirs.Read(buffer); strings.HasPrefix(string(buffer[:n]), "BDAT") {
							break
						}
					}
					io.Copy(io.Discard, theirs)
				}()
				c := smtp.NewClient(&fullConn{Conn: ours, room: room}, opts)
				begin(t, c)
				start := time.Now()
				result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 10_000, nil) }))
				if took := time.Since(start); took != 5*time.Second || !errors.Is(err, errDisk) || result.Recipients[0].Outcome != smtp.NotSent {
					t.Errorf("after %v: %v, %v", took, result.Recipients[0].Outcome, err)
				}
			})
		}
	}
}

// fullConn takes so many octets.
type fullConn struct {
	net.Conn
	room int
}

func (c *fullConn) Write(p []byte) (int, error) {
	if c.room -= len(p); c.room < 0 {
		return 0, errDisk
	}
	return c.Conn.Write(p)
}

// TestHalfAChunk: a chunk that was refused and the next one, of which the server
// does not take all. A command would be taken for the rest of it.
func TestHalfAChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		heard := make(chan string, 1)
		go func() {
			buffer := make([]byte, 64<<10)
			for _, reply := range []string{"220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "250 ok", "250 ok"} {
				io.WriteString(theirs, reply+"\r\n")
				theirs.Read(buffer)
			}
			io.ReadFull(theirs, buffer[:100]) // of the last chunk; the first is in
			io.WriteString(theirs, "552 5.3.4 too big\r\n")
			time.Sleep(4 * time.Minute)
			rest, _ := io.ReadAll(theirs)
			heard <- string(rest)
		}()
		c := chunking(ours)
		begin(t, c)
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 1200, nil) }))
		c.Close()
		if rest := <-heard; rest != "" || result.Recipients[0].Outcome != smtp.Refused {
			t.Errorf("the server heard %q: %v, %v", rest, result.Recipients[0].Outcome, err)
		}
	})
}

// TestShortWrites: a connection that writes less than it was given, and says
// nothing, cannot make half a mail of a mail.
func TestShortWrites(t *testing.T) {
	t.Parallel()
	for kind, opts := range map[string]*smtp.Options{"DATA": {}, "BDAT": {Chunking: true}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ours, theirs := tcpPair(t)
			server := record(theirs)
			server.offers = "CHUNKING"
			c := smtp.NewClient(&forgetfulConn{Conn: ours}, opts)
			begin(t, c)
			result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 10_000, nil) }))
			c.Close()
			<-server.done
			if server.ended || !errors.Is(err, io.ErrShortWrite) || result.Recipients[0].Outcome != smtp.NotSent {
				t.Errorf("ended: %v, %v, %v", server.ended, result.Recipients[0].Outcome, err)
			}
		})
	}
}

// forgetfulConn loses the second half of each block.
type forgetfulConn struct{ net.Conn }

func (c *forgetfulConn) Write(p []byte) (int, error) {
	if len(p) > 10_000 {
		p = p[:len(p)/2]
	}
	return c.Conn.Write(p)
}

// TestRefusedChunk: after a refusal the body is told so, no further chunk is
// begun, and the session goes on, whether the body heeds that or not.
func TestRefusedChunk(t *testing.T) {
	t.Parallel()
	for name, heeds := range map[string]bool{"heeded": true, "ignored": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := tcpPair(t)
			server := takeChunks(theirs, func(chunk int) string {
				if chunk == 3 {
					return "452 4.3.1 no space"
				}
				return "250 ok"
			})
			c := chunking(ours)
			begin(t, c)
			stopped := false
			result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
				for range 1000 {
					if err := lines(w, 1000, nil); err != nil {
						stopped = true
						if heeds {
							return err
						}
					}
				}
				return nil
			}))
			var e *smtp.Error
			if !errors.As(err, &e) || e.Reply.Code != 452 || !e.Temporary() || e.Op != "BDAT" || result.Recipients[0].Outcome != smtp.Refused || !stopped {
				t.Errorf("%v, %v", result.Recipients[0].Outcome, err)
			}
			if err := c.Noop(t.Context()); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
			c.Quit(t.Context())
			<-server.done
			if server.chunks > 3+32 {
				t.Errorf("%d chunks were sent", server.chunks)
			}
		})
	}
}

// TestChunksAreTold: each chunk has a record of its own, and its octets are counted.
func TestChunksAreTold(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	var written, total int64
	ours, theirs := tcpPair(t)
	server := takeChunks(theirs, func(int) string { return "250 ok" })
	c := smtp.NewClient(ours, &smtp.Options{
		Chunking: true,
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Trace:    &smtp.Trace{Content: func(_ context.Context, w, t int64) { written, total = w, t }},
	})
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := letter("bob@example.net")
	m.Text = strings.Repeat("All work and no play makes Jack a dull boy.\n", 2000)
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c.Quit(t.Context())
	<-server.done
	if written != total || int(total) != server.octets {
		t.Errorf("%d of %d octets were counted, %d arrived", written, total, server.octets)
	}
	if strings.Count(log.String(), "BDAT") != server.chunks || strings.Count(log.String(), "LAST") != 1 || strings.Contains(log.String(), "dull") {
		t.Errorf("%d chunks were told as\n%s", server.chunks, log.String())
	}
}
