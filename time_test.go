package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// stalling is a server that reads n octets of the content and then no more.
func stalling(conn net.Conn, n int64) {
	buffer := make([]byte, 4096)
	for _, reply := range []string{"220 mx", "250 mx", "250 ok", "250 ok"} {
		io.WriteString(conn, reply+"\r\n")
		conn.Read(buffer)
	}
	io.WriteString(conn, "354 go\r\n")
	io.CopyN(io.Discard, conn, n)
}

// TestStalledContent: a server that stops reading ends the content by the
// time-out of a block, or by the context, at once.
func TestStalledContent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		block, cancel, want time.Duration
		matches             error
	}{
		"time-out":     {0, time.Hour, 3 * time.Minute, os.ErrDeadlineExceeded}, // RFC 5321, section 4.5.3.2.5.
		"own time-out": {7 * time.Second, time.Hour, 7 * time.Second, os.ErrDeadlineExceeded},
		"cancel":       {0, 10 * time.Second, 10 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go stalling(theirs, 100_000)
				c := smtp.NewClient(ours, &smtp.Options{Timeouts: smtp.Timeouts{DataBlock: test.block}})
				begin(t, c)
				ctx, cancel := context.WithTimeout(t.Context(), test.cancel)
				defer cancel()
				start := time.Now()
				result, err := c.Data(ctx, writerTo(func(w io.Writer) error { return lines(w, 20_000, nil) }))
				if took := time.Since(start); took != test.want || !errors.Is(err, test.matches) || result.Recipients[0].Outcome != smtp.NotSent {
					t.Errorf("after %v: %v, %v", took, result.Recipients[0].Outcome, err)
				}
			})
		})
	}
}

// TestSlowContent: a body that makes progress, however slowly, never times out.
func TestSlowContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := record(theirs)
		c := smtp.NewClient(ours, nil)
		begin(t, c)
		start := time.Now()
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
			for range 100 {
				time.Sleep(10 * time.Minute)
				if err := lines(w, 1000, nil); err != nil {
					return err
				}
			}
			return nil
		}))
		if err != nil || result.Recipients[0].Outcome != smtp.Accepted || time.Since(start) != 1000*time.Minute {
			t.Errorf("after %v: %v, %v", time.Since(start), result.Recipients[0].Outcome, err)
		}
		c.Quit(t.Context())
		<-server.done
	})
}

// TestTimeouts: each wait has the time-out that the caller gives it.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	timeouts := smtp.Timeouts{Greeting: 1 * time.Second, Command: 2 * time.Second, DataInitiation: 3 * time.Second, DataBlock: 4 * time.Second, DataTermination: 5 * time.Second}
	for said, want := range map[string]time.Duration{
		"":                               timeouts.Greeting,
		"220 mx\r\n":                     timeouts.Command,
		"220 mx\r\n250 mx\r\n":           timeouts.Command,
		"220 mx\r\n250 mx\r\n250 ok\r\n": timeouts.Command,
		"220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n":                         timeouts.DataInitiation,
		"220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n":               timeouts.DataTermination,
		"220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n": timeouts.Command,
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				babbleOn(theirs, said)
				io.Copy(io.Discard, theirs)
			}()
			c := smtp.NewClient(ours, &smtp.Options{Timeouts: timeouts})
			start := time.Now()
			err := c.Hello(t.Context())
			if err == nil {
				_, err = c.Send(t.Context(), letter("bob@example.net"))
			}
			if err == nil {
				err = c.Quit(t.Context())
			}
			if took := time.Since(start); took != want || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %q, it took %v: %v", said, took, err)
			}
		})
	}
}

// TestLateCancel: a context that ends after its step, or while the next step has
// another, harms nothing.
func TestLateCancel(t *testing.T) {
	t.Parallel()
	conn, server := connect(t)
	c := smtp.NewClient(conn, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			<-done
			cancel()
		}()
		if err := c.Noop(ctx); err != nil {
			t.Fatal(err)
		}
		close(done)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
	<-server.done
}

// TestQuitEndsWithItsContext: crypto/tls would take 5 s to say goodbye to a peer
// that reads no more.
func TestQuitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			over := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true})
			buffer := make([]byte, 4096)
			for _, reply := range []string{"220 mx", "250 mx", "221 bye"} {
				io.WriteString(over, reply+"\r\n")
				if reply != "221 bye" {
					over.Read(buffer)
				}
			}
		}()
		c := smtp.NewClient(tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: "localhost"}), nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := c.Quit(ctx); err != nil || time.Since(start) != time.Second {
			t.Errorf("Quit took %v: %v", time.Since(start), err)
		}
	})
}

// TestEndOfDataFails: whether the end of data may have left decides between "not
// sent" and "unknown".
func TestEndOfDataFails(t *testing.T) {
	t.Parallel()
	for missing, want := range map[int]smtp.Outcome{0: smtp.Unknown, 1: smtp.NotSent, 10: smtp.NotSent} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go stalling(theirs, 1<<20)
			c := smtp.NewClient(&shortConn{Conn: ours, missing: missing}, nil)
			begin(t, c)
			start := time.Now()
			result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 1, nil) }))
			var e *smtp.Error
			if got := result.Recipients[0].Outcome; got != want || !errors.As(err, &e) || e.Unknown != (want == smtp.Unknown) || !errors.Is(err, errDisk) {
				t.Errorf("with %d octets missing: %v, %v", missing, got, err)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("the server had %v to say why", took)
			}
		})
	}
}

// TestAcceptedAndBroken: the end of data is written, an error comes of it all the
// same, and the server accepts the mail: so it is, and the session is over.
func TestAcceptedAndBroken(t *testing.T) {
	t.Parallel()
	for _, outcome := range []smtp.Outcome{smtp.Accepted, smtp.Refused} {
		ours, theirs := tcpPair(t)
		go babble(theirs, "220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n"+map[smtp.Outcome]string{smtp.Accepted: "250 queued\r\n", smtp.Refused: "554 no\r\n"}[outcome])
		c := smtp.NewClient(&shortConn{Conn: ours}, nil)
		begin(t, c)
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 1, nil) }))
		if got := result.Recipients[0].Outcome; got != outcome || (err == nil) != (outcome == smtp.Accepted) {
			t.Errorf("%v, %v", got, err)
		}
		if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after that, NOOP returned %v", err)
		}
	}
}

// shortConn writes all but the last octets of the content, and fails.
type shortConn struct {
	net.Conn
	missing int
}

func (c *shortConn) Write(p []byte) (int, error) {
	if p[len(p)-1] != '\n' || len(p) < 5 || string(p[len(p)-5:]) != "\r\n.\r\n" {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:len(p)-c.missing])
	return n, errDisk
}

// TestCancelLastWords: a context that ends while the server's last words are
// awaited is what ends the wait.
func TestCancelLastWords(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went away")
	for _, missing := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go stalling(theirs, 1<<20)
			c := smtp.NewClient(&shortConn{Conn: ours, missing: missing}, nil)
			begin(t, c)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, gone)
			defer cancel()
			start := time.Now()
			result, err := c.Data(ctx, writerTo(func(w io.Writer) error { return lines(w, 1, nil) }))
			if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, gone) {
				t.Errorf("after %v: %v", took, err)
			}
			if want := map[int]smtp.Outcome{0: smtp.Unknown, 1: smtp.NotSent}[missing]; result.Recipients[0].Outcome != want {
				t.Errorf("with %d octets missing: %v", missing, result.Recipients[0].Outcome)
			}
		})
	}
}

// TestLastWordsInLMTP: each recipient has its own reply, also where writing the
// end of data had failed although it has left.
func TestLastWordsInLMTP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go babble(theirs, "220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n550-no\n550 no\n250 queued\r\n")
		c := smtp.NewClient(&shortConn{Conn: ours}, &smtp.Options{LMTP: true})
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		result, err := c.Send(t.Context(), letter("a@example.net", "b@example.net", "c@example.net"))
		for i, want := range []smtp.Outcome{smtp.Refused, smtp.Accepted, smtp.Unknown} {
			if got := result.Recipients[i].Outcome; got != want {
				t.Errorf("recipient %d is %v, want %v (%v)", i, got, want, err)
			}
		}
		if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the session goes on: %v", err)
		}
	})
}

// TestStalledEndOverTLS: whether a block that was cut short under TLS held the
// end of data for the server, nobody can say.
func TestStalledEndOverTLS(t *testing.T) {
	t.Parallel()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go stalling(tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true}), 0)
		c := smtp.NewClient(tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: "localhost"}), nil)
		begin(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		result, err := c.Data(ctx, writerTo(func(w io.Writer) error { return lines(w, 1, nil) }))
		var e *smtp.Error
		if !errors.As(err, &e) || !e.Unknown || !errors.Is(err, context.DeadlineExceeded) || result.Recipients[0].Outcome != smtp.Unknown || time.Since(start) != time.Second {
			t.Errorf("after %v: %v, %v", time.Since(start), result.Recipients[0].Outcome, err)
		}
	})
}
