package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/smtptest"
)

// flights is a connection that counts how often the client turned from reading
// to writing: the round trips that it had to wait for.
type flights struct {
	net.Conn
	mu    sync.Mutex
	read  bool
	count int
}

func (f *flights) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = true
	return n, err
}

func (f *flights) Write(p []byte) (int, error) {
	f.mu.Lock()
	if f.read {
		f.count++
	}
	f.read = false
	f.mu.Unlock()
	return f.Conn.Write(p)
}

// TestRoundTrips: on a warm session a mail costs two, whatever the number of its
// recipients.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, recipients := range []int{1, 10, 30} {
		ours, theirs := tcpPair(t)
		server := record(theirs)
		server.offers = "PIPELINING"
		conn := &flights{Conn: ours}
		c := smtp.NewClient(conn, nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := conn.count
		if _, err := c.Send(t.Context(), letter(addresses(recipients)...)); err != nil {
			t.Fatal(err)
		}
		if got := conn.count - before; got != 2 {
			t.Errorf("%d recipients took %d round trips", recipients, got)
		}
		c.Quit(t.Context())
		<-server.done
	}
}

// TestRoundTripsOfMany: of many mails, each costs one; the first, one more. A
// link with a delay shows it, by a clock of its own.
func TestRoundTripsOfMany(t *testing.T) {
	t.Parallel()
	const mails, roundTrip = 100, time.Second
	for _, p := range protocols {
		want := mails + 1
		switch {
		case p.secure:
			continue
		case p.bdat && p.offers == "CHUNKING":
			want = 4 * mails // MAIL, two RCPT, BDAT
		case p.offers == "":
			want = 5 * mails
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, near := net.Pipe()
				far, theirs := net.Pipe()
				go delay(near, far, roundTrip/2)
				go delay(far, near, roundTrip/2)
				server := &faultyServer{Conn: theirs, fault: fault{protocol: p, in: -1, out: -1}}
				go func() {
					defer theirs.Close()
					server.serve()
				}()
				c := smtp.NewClient(ours, &smtp.Options{LMTP: p.lmtp, Chunking: p.bdat})
				defer c.Close()
				if err := c.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				to := addresses(2)
				if p.lmtp { // For several, the next mail waits for all their replies.
					to = to[:1]
				}
				for _, err := range c.SendAll(t.Context(), slices.Values(slices.Repeat([]*smtp.Message{letter(to...)}, mails))) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if got := time.Since(start); got != time.Duration(want)*roundTrip {
					t.Errorf("%d mails took %v, want %d round trips", mails, got, want)
				}
				if len(server.mails) != mails {
					t.Errorf("%d mails arrived", len(server.mails))
				}
			})
		})
	}
}

// delay writes what it reads from one connection to the other, later.
func delay(to, from net.Conn, by time.Duration) {
	type piece struct {
		octets []byte
		due    time.Time
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			pieces <- piece{buffer[:n], time.Now().Add(by)}
		}
	}()
	defer to.Close()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		to.Write(p.octets)
	}
}

func addresses(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("reader%d@example.net", i)
	}
	return list
}

// TestManyRecipients: no list is so long, and no connection has so little room,
// that client and server wait for each other.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for kind, connection := range connections {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conn, server := connection(t)
			server.offers = "PIPELINING"
			c := smtp.NewClient(conn, &smtp.Options{MaxRecipients: n})
			if err := c.Hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := letter("everybody@example.net")
			for _, address := range addresses(n) {
				m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: address})
			}
			result, err := c.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range result.Recipients {
				if r.Outcome != smtp.Accepted || r.Address != m.Delivery.To[i].Address {
					t.Fatalf("recipient %d is %+v", i, r)
				}
			}
			c.Quit(t.Context())
			<-server.done
			if rcpts, mails := strings.Count(server.verbs, "RCPT"), strings.Count(server.verbs, "MAIL"); rcpts != n || mails != 1 {
				t.Errorf("%d recipients were named in %d transactions", rcpts, mails)
			}
		})
	}
}

// TestOneOctetAtATime: how a reply is cut into pieces does not matter.
func TestOneOctetAtATime(t *testing.T) {
	t.Parallel()
	for kind, connection := range connections {
		conn, server := connection(t)
		server.offers = "PIPELINING"
		c := smtp.NewClient(trickle{conn, iotest.OneByteReader(conn)}, nil)
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(kind, err)
		}
		if _, err := c.Send(t.Context(), letter(addresses(20)...)); err != nil {
			t.Error(kind, err)
		}
		c.Quit(t.Context())
		<-server.done
	}
}

type trickle struct {
	net.Conn
	r io.Reader
}

func (t trickle) Read(p []byte) (int, error) { return t.r.Read(p) }

// TestEndlessTalk: a server that never stops talking, wherever it begins, is
// left within bounds of time and memory.
func TestEndlessTalk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ said, talk string }{
		"greeting": {"", "220-welcome\r\n"},
		"EHLO":     {"220 mx\r\n", "250-MORE\r\n"},
		"a line":   {"220 mx\r\n", "250-" + strings.Repeat("x", 1000)},
		"MAIL":     {"220 mx\r\n250-mx\r\n250 PIPELINING\r\n", "250-ok\r\n"},
		"replies":  {"220 mx\r\n250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n"},
		"refusals": {"220 mx\r\n250-mx\r\n250 PIPELINING\r\n", "550 no\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			told := make(chan int)
			go func() {
				total := 0
				go io.Copy(io.Discard, theirs)
				io.WriteString(theirs, test.said)
				for {
					n, err := io.WriteString(theirs, test.talk)
					if total += n; err != nil {
						told <- total
						return
					}
				}
			}()
			c := smtp.NewClient(ours, nil)
			err := c.Hello(t.Context())
			if err == nil {
				_, err = c.Send(t.Context(), letter(addresses(3)...))
			}
			if err == nil {
				err = c.Noop(t.Context())
			}
			c.Close()
			if total := <-told; err == nil || total > 100_000 {
				t.Errorf("after %d octets: %v", total, err)
			}
		})
	}
}

// TestEarlyReply: a server that says no in the middle of the content is heard,
// whether it goes on reading, stops, or goes; the rest is not sent.
func TestEarlyReply(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply   string
		outcome smtp.Outcome
		want    string
	}{
		"552":     {"552 5.3.4 too big\r\n", smtp.Refused, `552 5.3.4 "too big"`},
		"452":     {"452 4.3.1 no room\r\n", smtp.Refused, `452 4.3.1 "no room"`},
		"421":     {"421 4.3.2 shutting down\r\n", smtp.Refused, `421 4.3.2 "shutting down"`},
		"250":     {"250 2.0.0 queued\r\n", smtp.NotSent, "before it was asked"},
		"garbage": {"what?\r\n", smtp.NotSent, "unintelligible"},
		"gone":    {"", smtp.NotSent, "closed the connection"},
	} {
		for _, then := range []string{"reads on", "reads no more", "goes"} {
			t.Run(name+" and "+then, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ours, theirs := net.Pipe()
					over, done := make(chan struct{}), make(chan struct{})
					var rest strings.Builder
					go func() {
						defer close(done)
						defer theirs.Close()
						lines := bufio.NewReader(theirs)
						for _, reply := range []string{"220 mx", "250 mx", "250 ok", "250 ok", "354 go"} {
							io.WriteString(theirs, reply+"\r\n")
							if reply != "354 go" {
								lines.ReadString('\n')
							}
						}
						io.CopyN(io.Discard, lines, 100_000)
						go io.WriteString(theirs, test.reply)
						switch {
						case then == "reads no more" && test.reply != "":
							<-over
						case then == "reads on" && test.reply != "":
							io.Copy(&rest, lines)
						default:
							synctest.Wait()
						}
					}()
					c := smtp.NewClient(ours, nil)
					begin(t, c)
					start := time.Now()
					result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
						for {
							if err := lines(w, 1000, nil); err != nil {
								return err
							}
						}
					}))
					close(over)
					<-done
					var e *smtp.Error
					if !errors.As(err, &e) || e.Unknown || !strings.Contains(err.Error(), test.want) || result.Recipients[0].Outcome != test.outcome {
						t.Errorf("%v, %v", result.Recipients[0].Outcome, err)
					}
					if took := time.Since(start); took > time.Second || strings.HasSuffix(rest.String(), "\r\n.\r\n") {
						t.Errorf("it took %v, and the content ended in %q", took, rest.String()[max(rest.Len()-5, 0):])
					}
					if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) {
						t.Errorf("the session goes on: %v", err)
					}
				})
			})
		}
	}
}

// TestEarlyReplyWithoutBuffers: also a content of one block is not written into a
// connection where nobody reads, since the server waits for us to hear it.
func TestEarlyReplyWithoutBuffers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var recorder smtptest.Recorder
		recorder.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command != "DATA" {
				return nil
			}
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 451}, After: 1}
		}
		m := letter("bob@example.net")
		m.Text = strings.Repeat("All work and no play makes Jack a dull boy.\n", 500)
		start := time.Now()
		result, err := recorder.Send(t.Context(), m)
		if result.Recipients[0].Outcome != smtp.Refused || time.Since(start) > 0 {
			t.Errorf("%v after %v: %v", result.Recipients[0].Outcome, time.Since(start), err)
		}
	})
}

// TestEarlyAcceptance: a server that accepts what was not all written cannot mean
// it. Over TLS nobody knows how much it had; nothing is accepted in any case.
func TestEarlyAcceptance(t *testing.T) {
	t.Parallel()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	for secure, want := range map[bool]smtp.Outcome{false: smtp.NotSent, true: smtp.Unknown} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			if secure {
				ours = tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: "localhost"})
				theirs = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}})
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				buffer := make([]byte, 4096)
				for _, reply := range []string{"220 mx", "250 mx", "250 ok", "250 ok"} {
					io.WriteString(theirs, reply+"\r\n")
					theirs.Read(buffer)
				}
				io.WriteString(theirs, "354 go\r\n")
				io.CopyN(io.Discard, theirs, 40_000)
				io.WriteString(theirs, "250 queued\r\n")
			}()
			c := smtp.NewClient(ours, nil)
			begin(t, c)
			result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error { return lines(w, 1400, nil) }))
			<-done
			if got := result.Recipients[0].Outcome; got != want || err == nil {
				t.Errorf("TLS: %v: %v, %v", secure, got, err)
			}
			theirs.Close()
		})
	}
}

// TestLongContents: the ear that is open while content is written
// takes the final reply too, and leaves the session ready for the next mail.
func TestLongContents(t *testing.T) {
	t.Parallel()
	for kind, connection := range connections {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conn, server := connection(t)
			server.offers = "PIPELINING"
			c := smtp.NewClient(conn, nil)
			if err := c.Hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := letter("bob@example.net")
			m.Attachments = []smtp.File{sized(1 << 20)}
			for range 20 {
				if _, err := c.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Send(t.Context(), letter("bob@example.net")); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Quit(t.Context()); err != nil {
				t.Error(err)
			}
			<-server.done
		})
	}
}

// TestWriteFailsBeforeReplies: what the server said before it closed is told,
// and not that the pipe is broken.
func TestWriteFailsBeforeReplies(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go func() {
		buffer := make([]byte, 4096)
		io.WriteString(theirs, "220 mx\r\n")
		theirs.Read(buffer)
		io.WriteString(theirs, "250-mx\r\n250 PIPELINING\r\n")
		theirs.Read(buffer)
		io.WriteString(theirs, "421 4.3.2 too many recipients\r\n")
		theirs.Close()
	}()
	c := smtp.NewClient(ours, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send(t.Context(), letter(addresses(5000)...))
	var e *smtp.Error
	if !errors.As(err, &e) || e.Reply.Code != 421 {
		t.Errorf("the error is %v", err)
	}
}

// TestSplitting: recipients that do not go in one transaction, or one session,
// go in several, in order, and each file is read again for each.
func TestSplitting(t *testing.T) {
	t.Parallel()
	for offers, want := range map[string]struct {
		mails    int // in all sessions
		sessions int
	}{
		"PIPELINING":                           {3, 1}, // MaxRecipients is 4
		"LIMITS RCPTMAX=2":                     {5, 1},
		"LIMITS RCPTMAX=5 MAILMAX=1":           {2, 2},
		"LIMITS RCPTDOMAINMAX=4":               {3, 3},
		"LIMITS RCPTDOMAINMAX=1 RCPTMAX=10000": {10, 10},
	} {
		t.Run(offers, func(t *testing.T) {
			t.Parallel()
			var servers []*recorder
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				server := record(theirs)
				server.offers = offers
				servers = append(servers, server)
				return ours, nil
			}}
			mailer.Options.MaxRecipients = 4
			counted := &countedFile{source: opener("x")}
			m := letter("everybody@example.net")
			m.Attachments = []smtp.File{{Name: "a", Open: counted.open}}
			for i := range 10 {
				m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: fmt.Sprintf("reader@%d.example.net", i)})
			}
			for i := range 10 { // each once more, which is answered, and not named
				m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: fmt.Sprintf("reader@%d.EXAMPLE.net", i)})
			}
			result, err := mailer.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range result.Recipients {
				if r.Outcome != smtp.Accepted || r.Address != m.Delivery.To[i].Address {
					t.Errorf("recipient %d is %+v", i, r)
				}
			}
			mailer.Close()
			mails, rcpts := 0, 0
			for _, server := range servers {
				<-server.done
				mails += strings.Count(server.verbs, "MAIL")
				rcpts += strings.Count(server.verbs, "RCPT")
			}
			if mails != want.mails || len(servers) != want.sessions || rcpts != 10 || counted.opened != mails || counted.closed != mails {
				t.Errorf("%d mails over %d sessions named %d recipients; the file was opened %d times and closed %d times", mails, len(servers), rcpts, counted.opened, counted.closed)
			}
		})
	}
}

// TestOneMessageManyClients: a thousand sends from many goroutines, each on its
// own client, share one Message; each is a mail of its own.
func TestOneMessageManyClients(t *testing.T) {
	t.Parallel()
	const clients, mails = 50, 20
	message := readback.Messages()["everything"]
	message.MessageID = ""
	before := snapshot(message)
	ids := make(chan string, clients*mails)
	var senders sync.WaitGroup
	for range clients {
		senders.Go(func() {
			ours, theirs := net.Pipe()
			server := recordAs(theirs, &recorder{offers: "PIPELINING"})
			c := smtp.NewClient(ours, nil)
			if err := c.Hello(t.Context()); err != nil {
				t.Error(err)
				return
			}
			for range mails {
				result, err := c.Send(t.Context(), message)
				if err != nil {
					t.Error(err)
				}
				ids <- result.MessageID
			}
			c.Quit(t.Context())
			<-server.done
			if got := strings.Count(server.content, "\nMessage-ID: "); got != mails {
				t.Errorf("%d mails arrived", got)
			}
		})
	}
	senders.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) != clients*mails || snapshot(message) != before {
		t.Errorf("%d identifiers; the message is now %s", len(seen), snapshot(message))
	}
}

// TestReplyBeforeItsCommand: a server that answers a long group before the client
// has begun to write what it answers is confused, or confuses.
func TestReplyBeforeItsCommand(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		buffer := make([]byte, 64<<10)
		for _, reply := range []string{"220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n"} {
			io.WriteString(theirs, reply)
			theirs.Read(buffer)
		}
		io.WriteString(theirs, strings.Repeat("250 ok\r\n", 1000)+"354 go\r\n")
	}()
	c := smtp.NewClient(ours, &smtp.Options{MaxRecipients: 1000})
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, err := c.Send(t.Context(), letter(addresses(999)...))
	if err == nil || !strings.Contains(err.Error(), "before it was asked") {
		t.Errorf("the error is %v", err)
	}
	for _, r := range result.Recipients {
		if r.Outcome != smtp.NotSent {
			t.Fatalf("%s is %v", r.Address, r.Outcome)
		}
	}
	<-done
}

// TestWriteFailsButIsAnswered: a command that was answered has its answer, but a
// connection that failed to write it is not used again.
func TestWriteFailsButIsAnswered(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go babble(theirs, "220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n")
	c := smtp.NewClient(failingNoop{ours}, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(t.Context()); err != nil {
		t.Errorf("NOOP returned %v", err)
	}
	if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the session goes on: %v", err)
	}
}

// failingNoop writes NOOP and says that it has failed to.
type failingNoop struct{ net.Conn }

func (c failingNoop) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if string(p) == "NOOP\r\n" {
		err = errDisk
	}
	return n, err
}

// TestTooLongByHand: a RCPT that is too long for any line is not sent, and nobody
// takes it for accepted.
func TestTooLongByHand(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	server := recordAs(theirs, &recorder{offers: "DSN"})
	c := smtp.NewClient(ours, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rcpt(t.Context(), smtp.Recipient{
		Address:           "bob@example.net",
		OriginalRecipient: strings.Repeat("x", 400),
		Params:            []smtp.Param{{Keyword: "X", Value: strings.Repeat("x", 12_200), Extension: "DSN"}},
	}); err == nil {
		t.Error("RCPT was sent")
	}
	if result, err := c.Data(t.Context(), strings.NewReader("text\n")); err == nil || len(result.Recipients) != 0 {
		t.Errorf("Data returned %+v, %v", result, err)
	}
	c.Quit(t.Context())
	if <-server.done; server.verbs != "EHLO MAIL QUIT " {
		t.Errorf("the server was told %s", server.verbs)
	}
}
