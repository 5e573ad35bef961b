package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// bookServer keeps a book of what it accepts, over connections that it makes itself. It
// offers PIPELINING.
type bookServer struct {
	most   int                                   // sessions that it takes at once; zero: any number
	idle   time.Duration                         // after which it ends a session; zero: never
	slow   time.Duration                         // that each content takes
	cut    func() int                            // octets, in either direction, after which the link of a session is cut; nil: it is not
	answer func(session int, verb string) string // instead of the usual one; empty: that; "gone": none, and it closes

	mu       sync.Mutex
	dials    []time.Time
	sessions int // now
	peak     int
	accepted map[string]int // by the Message-ID
	mails    []int          // of each session
}

func (s *bookServer) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	s.mails = append(s.mails, 0)
	s.sessions++
	s.peak = max(s.peak, s.sessions)
	go s.serve(theirs, len(s.dials)-1, s.most > 0 && s.sessions > s.most)
	if s.cut != nil {
		return &cutConn{Conn: ours, left: s.cut()}, nil
	}
	return ours, nil
}

// cutConn is a link that is cut after some octets.
type cutConn struct {
	net.Conn
	mu   sync.Mutex
	left int
}

// take takes n octets of those that are left, or those that are.
func (c *cutConn) take(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, c.left)
	c.left -= n
	return n
}

func (c *cutConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:c.take(len(p))])
	if err == nil && n < len(p) {
		c.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if k := c.take(n); k < n {
		c.Close()
		return k, io.EOF
	}
	return n, err
}

func (s *bookServer) mailer() *smtp.Mailer {
	return &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, DialContext: s.dial}
}

func (s *bookServer) serve(conn net.Conn, session int, tooMany bool) {
	left := false
	defer func() {
		conn.Close()
		s.leave(&left)
	}()
	if tooMany {
		fmt.Fprint(conn, "421 4.7.0 too many connections\r\n")
		return
	}
	lines := bufio.NewReader(conn)
	verb := "greeting"
	for {
		if s.idle > 0 {
			conn.SetReadDeadline(time.Now().Add(s.idle))
		}
		reply := ""
		if s.answer != nil {
			s.mu.Lock()
			reply = s.answer(session, verb)
			s.mu.Unlock()
		}
		if reply == "" {
			reply = map[string]string{"greeting": "220 mx", "EHLO": "250-mx\r\n250 PIPELINING", "DATA": "354 go", "QUIT": "221 bye"}[verb]
		}
		if reply == "" {
			reply = "250 ok"
		}
		if reply == "gone" {
			return
		}
		if verb == "QUIT" {
			s.leave(&left)
		}
		if _, err := fmt.Fprint(conn, reply+"\r\n"); err != nil || verb == "QUIT" || strings.HasPrefix(reply, "421") {
			return
		}
		if verb == "DATA" && strings.HasPrefix(reply, "354") {
			if !s.content(conn, lines, session) {
				return
			}
		}
		line, err := lines.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			conn.SetReadDeadline(time.Time{})
			return
		}
		if err != nil {
			return
		}
		verb = strings.ToUpper(strings.TrimSpace(line)[:4])
	}
}

// leave counts a session as gone, once.
func (s *bookServer) leave(left *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !*left {
		s.sessions--
		*left = true
	}
}

// content takes a mail, and tells whether the session goes on.
func (s *bookServer) content(conn net.Conn, lines *bufio.Reader, session int) bool {
	id := ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return false
		}
		if value, ok := strings.CutPrefix(line, "Message-ID: <"); ok {
			id, _, _ = strings.Cut(value, ">")
		}
		if line == ".\r\n" {
			break
		}
	}
	time.Sleep(s.slow)
	s.mu.Lock()
	reply := ""
	if s.answer != nil {
		reply = s.answer(session, "content")
	}
	if id != "" && (reply == "" || strings.HasPrefix(reply, "250") || reply == "taken, and gone") {
		if s.accepted == nil {
			s.accepted = map[string]int{}
		}
		s.accepted[id]++
		s.mails[session]++
	}
	s.mu.Unlock()
	if strings.HasSuffix(reply, "gone") {
		return false
	}
	if reply == "" {
		reply = "250 queued"
	}
	_, err := fmt.Fprint(conn, reply+"\r\n")
	return err == nil && !strings.HasPrefix(reply, "421")
}

func letters(n int) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for i := range n {
			if !yield(letterNumber(i)) {
				return
			}
		}
	}
}

func letterNumber(i int) *smtp.Message {
	m := letter("bob@example.net")
	m.MessageID = fmt.Sprintf("%d@example.com", i)
	return m
}

// sends sends n mails at once, and waits for all.
func sends(t *testing.T, mailer *smtp.Mailer, n int) {
	t.Helper()
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if _, err := mailer.Send(t.Context(), letterNumber(i)); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	group.Wait()
}

// TestMailerSendAll: each of many messages arrives once, over no more sessions than
// are allowed, and each has its result.
func TestMailerSendAll(t *testing.T) {
	t.Parallel()
	const n = 500
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	wire := &tap{}
	mailer.DialContext = wire.dial
	seen := map[string]int{}
	for result, err := range mailer.SendAll(t.Context(), letters(n)) {
		if err != nil || result.Message == nil || result.Message.MessageID != result.MessageID {
			t.Fatalf("%+v, %v", result, err)
		}
		seen[result.MessageID]++
	}
	arrived := map[string]int{}
	for _, m := range server.Messages() {
		arrived[m.Header.Get("Message-Id")]++
	}
	if len(seen) != n || len(arrived) != n || len(server.Messages()) != n {
		t.Errorf("%d results, %d messages, %d arrived", len(seen), len(arrived), len(server.Messages()))
	}
	if stats := mailer.Stats(); wire.dials > 5 || stats.Accepted != n || stats.Bytes < n*100 {
		t.Errorf("%d dials, %+v", wire.dials, stats)
	}
}

// TestPool: how long sessions are kept, and for how many mails, to the second.
func TestPool(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set   func(*smtp.Mailer)
		pause time.Duration // between ten mails
		dials int
		after time.Duration // all sessions have ended, since the last mail
	}{
		"default":           {func(*smtp.Mailer) {}, 29 * time.Second, 1, 30 * time.Second},
		"idle":              {func(*smtp.Mailer) {}, 30 * time.Second, 10, 30 * time.Second},
		"IdleTimeout":       {func(m *smtp.Mailer) { m.IdleTimeout = 5 * time.Second }, 4 * time.Second, 1, 5 * time.Second},
		"IdleTimeout over":  {func(m *smtp.Mailer) { m.IdleTimeout = 5 * time.Second }, 5 * time.Second, 10, 5 * time.Second},
		"MaxIdle":           {func(m *smtp.Mailer) { m.MaxIdle = -1 }, time.Second, 10, 0},
		"MaxMessages":       {func(m *smtp.Mailer) { m.MaxMessages = 4 }, time.Second, 3, 30 * time.Second},
		"MaxAge":            {func(m *smtp.Mailer) { m.MaxAge = 30 * time.Second }, 10 * time.Second, 4, 30 * time.Second},
		"MaxAge by default": {func(m *smtp.Mailer) { m.IdleTimeout = time.Hour }, 3 * time.Minute, 3, 7 * time.Minute},
		"any age":           {func(m *smtp.Mailer) { m.MaxAge = -1; m.IdleTimeout = time.Hour }, 59 * time.Minute, 1, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &bookServer{}
				mailer := server.mailer()
				test.set(mailer)
				for i := range 10 {
					if i > 0 {
						time.Sleep(test.pause)
						synctest.Wait()
					}
					sends(t, mailer, 1)
				}
				last := time.Now()
				for mailer.Stats().Open > 0 {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				if len(server.dials) != test.dials || time.Since(last) > test.after+time.Second || time.Since(last) < test.after {
					t.Errorf("%d dials, and all ended after %v", len(server.dials), time.Since(last))
				}
				mailer.Close()
			})
		})
	}
}

// TestMaxConns: there are no more sessions at once than are allowed, those that say
// goodbye counted, and those who wait are served in their order.
func TestMaxConns(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			server := &bookServer{slow: time.Second}
			mailer := server.mailer()
			mailer.MaxConns, mailer.MaxMessages = most, 2
			want := most
			if most == 0 {
				want = 5
			}
			var mu sync.Mutex
			var order []int
			var group sync.WaitGroup
			start := time.Now()
			for i := range 60 {
				group.Go(func() {
					if _, err := mailer.Send(t.Context(), letterNumber(i)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i/want)
				})
				synctest.Wait() // It waits now, or is being sent.
			}
			if stats := mailer.Stats(); stats.Open != want || stats.Waiting != 60-want || stats.Idle != 0 {
				t.Errorf("%+v", stats)
			}
			group.Wait()
			if server.peak != want || !slices.IsSorted(order) || time.Since(start) != time.Duration(60/want)*time.Second {
				t.Errorf("%d sessions at once, %v, in the order %v", server.peak, time.Since(start), order)
			}
			mailer.Close()
		})
	}
}

// TestWaiting: who waits for a session obeys his context, and Close.
func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{slow: time.Minute}
		mailer := server.mailer()
		mailer.MaxConns = 1
		go mailer.Send(t.Context(), letterNumber(0))
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errDisk)
		defer cancel()
		result, err := mailer.Send(ctx, letterNumber(1))
		var e *smtp.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDisk) || !errors.As(err, &e) || !e.Temporary() || result.Recipients[0].Outcome != smtp.NotSent || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		done := make(chan error)
		go func() {
			_, err := mailer.Send(t.Context(), letterNumber(2))
			done <- err
		}()
		synctest.Wait()
		mailer.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if server.accepted["0@example.com"] != 1 || len(server.accepted) != 1 || mailer.Stats().Open != 0 {
			t.Errorf("%v, %+v", server.accepted, mailer.Stats())
		}
	})
}

// TestBackOff: a server that has enough of our sessions is asked again after a second,
// then two, and so on, while the sessions that it did take do the work.
func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{most: 2, slow: 500 * time.Millisecond}
		mailer := server.mailer()
		start := time.Now()
		sends(t, mailer, 100)
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("100 mails of half a second took %v over two sessions", took)
		}
		var dials []float64
		for _, at := range server.dials {
			if at != start {
				dials = append(dials, at.Sub(start).Seconds())
			}
		}
		// Of the first five some are too many, and so is one more each time.
		if want := []float64{1, 3, 7, 15}; !slices.Equal(dials, want) || len(server.dials) > 5+4 {
			t.Errorf("dials at %v, want %v", dials, want)
		}
		mailer.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		busy := true
		server := &bookServer{slow: time.Second, answer: func(_ int, verb string) string {
			if verb == "greeting" && busy {
				return "421 4.3.2 busy"
			}
			return ""
		}}
		mailer := server.mailer()
		start := time.Now()
		for i, want := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second} {
			_, err := mailer.Send(t.Context(), letterNumber(i))
			var e *smtp.Error
			if !errors.As(err, &e) || !e.Temporary() || e.Reply.Code != 421 || time.Since(start) != want {
				t.Errorf("%v after %v, want %v", err, time.Since(start), want)
			}
		}
		busy = false
		sends(t, mailer, 20)
		if time.Since(start) != 35*time.Second || server.peak != 5 {
			t.Errorf("after %v, %d sessions at once", time.Since(start), server.peak)
		}
		mailer.Close()
	})
}

// TestShutdown: what is under way, or waits, is sent; nothing else is; then all is over.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{slow: 10 * time.Second}
		mailer := server.mailer()
		mailer.MaxConns = 1
		results := make(chan error)
		for i := range 3 {
			go func() {
				_, err := mailer.Send(t.Context(), letterNumber(i))
				results <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := mailer.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := mailer.Send(t.Context(), letterNumber(3)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		over := make(chan error)
		go func() { over <- mailer.Shutdown(t.Context()) }()
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if err := <-over; err != nil || time.Since(start) != 30*time.Second || mailer.Stats().Open != 0 || len(server.accepted) != 3 {
			t.Errorf("%v after %v, %+v", err, time.Since(start), mailer.Stats())
		}
		if err := mailer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLimiter: a mail goes when the limiter says so, and not before, over however many
// sessions; what it refuses is not sent.
func TestLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{}
		mailer := server.mailer()
		var mu sync.Mutex
		var next time.Time
		mailer.Limiter = limiterFunc(func(ctx context.Context) error {
			mu.Lock()
			next = time.Now().Add(max(time.Until(next), 0))
			at := next
			next = next.Add(time.Second)
			mu.Unlock()
			select {
			case <-time.After(time.Until(at)):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		start := time.Now()
		sends(t, mailer, 10)
		if time.Since(start) != 9*time.Second {
			t.Errorf("ten mails took %v", time.Since(start))
		}
		n := 0
		for _, err := range mailer.SendAll(t.Context(), letters(10)) {
			if n++; err != nil || time.Since(start).Truncate(10*time.Millisecond) != time.Duration(9+n)*time.Second {
				t.Errorf("mail %d after %v: %v", n, time.Since(start), err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		result, err := mailer.Send(ctx, letterNumber(99))
		if !errors.Is(err, context.DeadlineExceeded) || result.Recipients[0].Outcome != smtp.NotSent {
			t.Error(err)
		}
		mailer.Limiter = nil
		clone := mailer.Clone()
		clone.Limiter = limiterFunc(func(context.Context) error { return errDisk })
		if _, err := clone.Send(t.Context(), letterNumber(1)); !errors.Is(err, errDisk) {
			t.Error(err)
		}
		for _, err := range clone.SendAll(t.Context(), letters(2)) {
			if !errors.Is(err, errDisk) {
				t.Error(err)
			}
		}
		if clone.Stats().NotSent != 3 {
			t.Errorf("%+v", clone.Stats())
		}
		clone.Close()
		mailer.Close()
	})
}

// TestBooks: whatever a server does to its sessions, at any step, and wherever links are
// cut, each mail arrives once, or is reported as refused, not sent or unknown, as the
// books of both sides agree on.
func TestBooks(t *testing.T) {
	t.Parallel()
	mails := 10_000
	if testing.Short() {
		mails = 300
	}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 17))
				server := &bookServer{most: 2, idle: 3 * time.Second, slow: 20 * time.Millisecond, answer: func(_ int, verb string) string {
					if random.IntN(60) > 0 {
						return ""
					}
					if verb == "content" {
						return []string{"421 no", "451 later", "550 no", "gone", "taken, and gone"}[random.IntN(5)]
					}
					return []string{"421 no", "gone", "450 later"}[random.IntN(3)]
				}}
				if seed >= 4 {
					server.cut = func() int { return random.IntN(30_000) }
				}
				mailer := server.mailer()
				books := map[string]smtp.Outcome{}
				var mu sync.Mutex
				note := func(result *smtp.Result, err error) {
					mu.Lock()
					defer mu.Unlock()
					r := result.Recipients[0]
					if _, twice := books[result.MessageID]; twice || (err == nil) != (r.Outcome == smtp.Accepted) {
						t.Errorf("%s: %v, %v", result.MessageID, r.Outcome, err)
					}
					books[result.MessageID] = r.Outcome
				}
				if seed%2 == 0 {
					var group sync.WaitGroup
					next := make(chan int)
					for range 200 {
						group.Go(func() {
							for i := range next {
								note(mailer.Send(t.Context(), letterNumber(i)))
								if i%50 == 0 {
									time.Sleep(4 * time.Second)
								}
							}
						})
					}
					for i := range mails {
						next <- i
					}
					close(next)
					group.Wait()
				} else {
					for result, err := range mailer.SendAll(t.Context(), letters(mails)) {
						note(result, err)
					}
				}
				if err := mailer.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				checkBooks(t, server, books, mails)
				stats := mailer.Stats()
				if stats.Open != 0 || stats.Waiting != 0 || stats.Accepted+stats.Refused+stats.Unknown+stats.NotSent != int64(mails) {
					t.Errorf("%+v", stats)
				}
				t.Logf("%d dials, %+v", len(server.dials), stats)
			})
		})
	}
}

// checkBooks compares what a sender was told with what a server took.
func checkBooks(t *testing.T, server *bookServer, books map[string]smtp.Outcome, mails int) {
	t.Helper()
	if len(books) != mails {
		t.Errorf("%d results of %d mails", len(books), mails)
	}
	for id, outcome := range books {
		n := server.accepted[id]
		isRight := outcome == smtp.Accepted && n == 1 || outcome == smtp.Unknown && n <= 1 || (outcome == smtp.Refused || outcome == smtp.NotSent) && n == 0
		if !isRight {
			t.Errorf("%s is %v, and arrived %d times", id, outcome, n)
		}
	}
	for id := range server.accepted {
		if _, ok := books[id]; !ok {
			t.Errorf("%s arrived, and nobody knows", id)
		}
	}
}

// TestSendAllEnds: breaking off lets those end that are under way, and asks for no more;
// one bad message does not stop the others; and nothing is left.
func TestSendAllEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{slow: time.Second}
		mailer := server.mailer()
		asked, ended := 0, false
		messages := func(yield func(*smtp.Message) bool) {
			defer func() { ended = true }()
			for i := 0; ; i++ {
				asked++
				if !yield(letterNumber(i)) {
					return
				}
			}
		}
		n := 0
		for _, err := range mailer.SendAll(t.Context(), messages) {
			if n++; err != nil {
				t.Error(err)
			}
			if n == 7 {
				break
			}
		}
		if !ended || asked > 7+4*5 {
			t.Errorf("the iterator was asked for %d", asked)
		}
		if stats := mailer.Stats(); int(stats.Accepted) != 7 || len(server.accepted) < 7 || len(server.accepted) > 7+2*5+5 {
			t.Errorf("%d arrived, %+v", len(server.accepted), stats)
		}

		bad := func(yield func(*smtp.Message) bool) {
			for i, m := range []*smtp.Message{letterNumber(1), nil, {}, letterNumber(2), letter("no address"), letterNumber(3)} {
				if !yield(m) {
					t.Errorf("stopped at %d", i)
				}
			}
		}
		good, all := 0, 0
		for result, err := range mailer.SendAll(t.Context(), bad) {
			if all++; err == nil {
				good++
			}
			if result == nil {
				t.Error("no result")
			}
		}
		if good != 3 || all != 6 {
			t.Errorf("%d of %d", good, all)
		}
		mailer.Close()
		for result, err := range mailer.SendAll(t.Context(), letters(2)) {
			if all++; !errors.Is(err, net.ErrClosed) || result.Recipients[0].Outcome != smtp.NotSent {
				t.Error(err)
			}
		}
		if all != 8 {
			t.Errorf("%d results", all)
		}
	})
}

// TestSendInTheLoop: a loop over SendAll may send by the same Mailer, and take its time.
func TestSendInTheLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{}
		mailer := server.mailer()
		mailer.MaxConns = 1
		start, n := time.Now(), 0
		for range mailer.SendAll(t.Context(), letters(50)) {
			n++
			if _, err := mailer.Send(t.Context(), letterNumber(1000+n)); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		if n != 50 || len(server.accepted) != 100 || time.Since(start) > 51*time.Minute {
			t.Errorf("%d mails, %d arrived after %v", n, len(server.accepted), time.Since(start))
		}
		mailer.Close()
	})
}

// TestIdleBehindTheLimiter: a session that died while the limiter thought is replaced, and
// the limiter is asked once.
func TestIdleBehindTheLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{idle: 20 * time.Second}
		mailer := server.mailer()
		asked := 0
		mailer.Limiter = limiterFunc(func(context.Context) error {
			asked++
			time.Sleep(30 * time.Second)
			return nil
		})
		for range 4 {
			sends(t, mailer, 1)
		}
		if asked != 4 {
			t.Errorf("the limiter was asked %d times for 4 mails", asked)
		}
		mailer.Close()
	})
}

// TestLimiterPanics: in whatever goroutine that is, it is the loop that panics.
func TestLimiterPanics(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			dials := 0
			server := &bookServer{answer: func(_ int, verb string) string {
				if verb == "content" {
					return "taken, and gone"
				}
				return ""
			}}
			mailer := server.mailer()
			mailer.MaxConns = 1
			mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; dials > 1 {
					return nil, errDisk
				}
				return server.dial(ctx, network, addr)
			}
			var asked atomic.Int32
			mailer.Limiter = limiterFunc(func(ctx context.Context) error {
				if asked.Add(1) == 1 {
					return nil
				}
				<-ctx.Done()
				time.Sleep(20 * time.Millisecond)
				panic(errDisk)
			})
			defer func() {
				if recover() != errDisk {
					t.Error("the panic is gone")
				}
				mailer.Close()
			}()
			for range mailer.SendAll(t.Context(), letters(2)) {
			}
		})
	}
}

// TestFreshAmongIdle: who needs a fresh session holds nobody up for whom an idle one does.
func TestFreshAmongIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := false
		server := &bookServer{slow: time.Second, answer: func(_ int, verb string) string {
			if verb == "MAIL" && full {
				full = false
				return "452 4.3.2 enough"
			}
			return ""
		}}
		mailer := server.mailer()
		mailer.MaxConns, mailer.MaxIdle = 4, 4
		sends(t, mailer, 4)
		full = true
		start := time.Now()
		sends(t, mailer, 4)
		if took := time.Since(start); took > 3*time.Second || len(server.dials) > 6 {
			t.Errorf("%v, and %d dials", took, len(server.dials))
		}
		mailer.Close()
	})
}

// TestBreakingOff does not wait for the limiter, nor for a connection.
func TestBreakingOff(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"limiter", "dial"} {
		synctest.Test(t, func(t *testing.T) {
			server := &bookServer{}
			mailer := server.mailer()
			var asked atomic.Int32
			wait := func(ctx context.Context) error {
				if asked.Add(1) == 1 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
			if where == "limiter" {
				mailer.Limiter = limiterFunc(wait)
			} else {
				mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if err := wait(ctx); err != nil {
						return nil, err
					}
					return server.dial(ctx, network, addr)
				}
			}
			start := time.Now()
			for _, err := range mailer.SendAll(t.Context(), letters(50)) {
				if err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				break
			}
			if time.Since(start) > 1100*time.Millisecond {
				t.Errorf("%s: it took %v", where, time.Since(start))
			}
			mailer.Close()
		})
	}
}

// TestErrorsBeforeMail: what no session can send is told once, and does not stop the rest.
func TestErrorsBeforeMail(t *testing.T) {
	t.Parallel()
	server := &bookServer{answer: func(_ int, verb string) string {
		if verb == "EHLO" {
			return "250-mx\r\n250-PIPELINING\r\n250 SIZE 5000"
		}
		return ""
	}}
	mailer := server.mailer()
	defer mailer.Close()
	mailer.MaxConns = 1
	good, bad := 0, 0
	for _, err := range mailer.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
		for i := range 9 {
			m := letterNumber(i)
			switch i % 3 {
			case 0:
				m.Text = strings.Repeat("x", 6000)
			case 1:
				m.Delivery.Notify = smtp.NotifyFailure
			}
			if !yield(m) {
				return
			}
		}
	}) {
		if err == nil {
			good++
		} else {
			bad++
		}
	}
	if good != 3 || bad != 6 || len(server.accepted) != 3 {
		t.Errorf("%d good, %d bad, %d arrived", good, bad, len(server.accepted))
	}
}

// TestFewMailsASession: a server that closes, or says that it is enough, after so many
// mails of a session takes them all, over as many sessions as that needs.
func TestFewMailsASession(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"gone", "421 4.3.2 enough", "452 4.3.2 enough"} {
		for _, most := range []int{1, 2, 5} {
			for _, all := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					server := &bookServer{}
					server.answer = func(session int, verb string) string {
						if verb == "MAIL" && server.mails[session] >= most {
							return last
						}
						return ""
					}
					mailer := server.mailer()
					start := time.Now()
					if all {
						for _, err := range mailer.SendAll(t.Context(), letters(100)) {
							if err != nil {
								t.Errorf("%s after %d: %v", last, most, err)
							}
						}
					} else {
						sends(t, mailer, 100)
					}
					if len(server.accepted) != 100 || time.Since(start) > time.Minute {
						t.Errorf("%s after %d: %d arrived after %v", last, most, len(server.accepted), time.Since(start))
					}
					mailer.Close()
				})
			}
		}
	}
}

// TestQuietNight: all idle sessions died, and the mails of the morning simply go.
func TestQuietNight(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := &bookServer{idle: time.Hour, slow: time.Second}
			mailer := server.mailer()
			mailer.MaxIdle, mailer.IdleTimeout, mailer.MaxAge = 5, 24*time.Hour, -1
			sends(t, mailer, 5)
			if idle := mailer.Stats().Idle; idle != 5 {
				t.Errorf("%d sessions are idle", idle)
			}
			time.Sleep(8 * time.Hour)
			if all {
				for _, err := range mailer.SendAll(t.Context(), letters(50)) {
					if err != nil {
						t.Error(err)
					}
				}
			} else {
				sends(t, mailer, 50)
			}
			mailer.Close()
		})
	}
}

// TestBusyForever: who waits for a server that takes nobody is told so after an attempt or
// two, however many wait; and a bad day is forgotten.
func TestBusyForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := true
		server := &bookServer{answer: func(_ int, verb string) string {
			if verb == "greeting" && busy {
				return "421 busy"
			}
			return ""
		}}
		mailer := server.mailer()
		start := time.Now()
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				_, err := mailer.Send(t.Context(), letterNumber(i))
				var e *smtp.Error
				if !errors.As(err, &e) || e.Reply.Code != 421 || time.Since(start) > 3*time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		}
		group.Wait()
		busy = false
		time.Sleep(time.Hour)
		sends(t, mailer, 1)
		time.Sleep(time.Hour)
		busy = true
		if _, err := mailer.Send(t.Context(), letterNumber(1)); err == nil {
			t.Error("it was busy")
		}
		busy = false
		start = time.Now()
		sends(t, mailer, 1)
		if time.Since(start) != time.Second {
			t.Errorf("the pause was %v", time.Since(start))
		}
		mailer.Close()
	})
}

// TestPasswordMended: a refusal is the answer for those who wait, and not for ever.
func TestPasswordMended(t *testing.T) {
	t.Parallel()
	right := false
	mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, Auth: []smtp.Mechanism{smtp.Plain("ann", "secret")}}
	mailer.Options.PlaintextAuth = true
	mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		recordAs(theirs, &recorder{offers: "AUTH PLAIN", auth: func() string {
			if right {
				return "235 welcome"
			}
			return "535 5.7.8 wrong"
		}})
		return ours, nil
	}
	defer mailer.Close()
	if _, err := mailer.Send(t.Context(), letterNumber(1)); err == nil {
		t.Error("it was wrong")
	}
	right = true
	if _, err := mailer.Send(t.Context(), letterNumber(2)); err != nil {
		t.Error(err)
	}
}

// TestMailerSlowIterator: while an iterator takes its time, no content waits for its end, and
// what is done is told.
func TestMailerSlowIterator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &bookServer{}
		mailer := server.mailer()
		start := time.Now()
		n := 0
		for _, err := range mailer.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
			for i := range 5 {
				time.Sleep(20 * time.Second)
				if !yield(letterNumber(i)) {
					return
				}
			}
		}) {
			if n++; err != nil || time.Since(start) >= time.Duration(n)*20*time.Second+10*time.Millisecond {
				t.Errorf("mail %d after %v: %v", n, time.Since(start), err)
			}
		}
		if n != 5 || len(server.dials) != 1 {
			t.Errorf("%d mails over %d sessions", n, len(server.dials))
		}
		mailer.Close()
	})
}

// TestMailerSendAllPanics: a panic of the iterator, a hook or a file is one of the loop,
// and costs no session.
func TestMailerSendAllPanics(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"iterator", "hook", "dial", "file"} {
		server := &bookServer{}
		mailer := server.mailer()
		mailer.MaxConns = 1
		did := false
		check := func(there string) {
			if where == there && !did {
				did = true
				panic(errDisk)
			}
		}
		mailer.Options.Trace = &smtp.Trace{Transaction: func(context.Context, string, int) { check("hook") }}
		mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			check("dial")
			return server.dial(ctx, network, addr)
		}
		func() {
			defer func() {
				if recover() != errDisk {
					t.Errorf("%s: the panic is gone", where)
				}
			}()
			for range mailer.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
				for i := range 100 {
					m := letterNumber(i)
					m.Attachments = []smtp.File{{Name: "a", Size: 1, Open: func() (io.ReadCloser, error) {
						check("file")
						return io.NopCloser(strings.NewReader("a")), nil
					}}}
					if !yield(m) {
						return
					}
					if i == 5 {
						check("iterator")
					}
				}
			}) {
			}
		}()
		sends(t, mailer, 3)
		if open := mailer.Stats().Open; open > 1 {
			t.Errorf("%s: %d sessions", where, open)
		}
		mailer.Close()
	}
}

// TestAddresses: of a name with several addresses, those where nobody listens are passed
// over at once.
func TestAddresses(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t) // It listens on 127.0.0.1, and not on ::1.
	_, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	mailer := &smtp.Mailer{Addr: "localhost:" + port, TLSConfig: server.TLSConfig}
	defer mailer.Close()
	if err := mailer.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRace: an address that is silent costs a quarter of a second, one that refuses
// nothing, and what comes too late is closed (RFC 8305).
func TestRace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []time.Duration // of each address; negative: it refuses after that
		want    int             // index of the winner; -1: none
		after   time.Duration
	}{
		"first":       {[]time.Duration{100, 100}, 0, 100},
		"second":      {[]time.Duration{9000, 100}, 1, 350},
		"third":       {[]time.Duration{9000, 9000, 100}, 2, 600},
		"slow first":  {[]time.Duration{300, 300}, 0, 300},
		"refused":     {[]time.Duration{-10, -10, 100}, 2, 120},
		"all refused": {[]time.Duration{-10, -10}, -1, 20},
		"all silent":  {[]time.Duration{90_000, 90_000}, -1, 30_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var ips []netip.Addr
			for i := range test.answers {
				ips = append(ips, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			}
			closed := make([]atomic.Bool, len(ips))
			start := time.Now()
			conn, err := smtp.Race(ctx, ips, func(ctx context.Context, ip netip.Addr) (net.Conn, error) {
				i := int(ip.As4()[3])
				answer := test.answers[i] * time.Millisecond
				select {
				case <-time.After(max(answer, -answer)):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if answer < 0 {
					return nil, fmt.Errorf("address %d: %w", i, errDisk)
				}
				ours, _ := net.Pipe()
				return closeNotifier{ours, func() { closed[i].Store(true) }}, nil
			})
			if took := time.Since(start); took != test.after*time.Millisecond || (conn == nil) != (test.want < 0) || (err == nil) != (test.want >= 0) {
				t.Errorf("%s: %v, %v after %v", name, conn, err, took)
			}
			if conn != nil {
				conn.Close()
				if !closed[test.want].Load() {
					t.Errorf("%s: another address won", name)
				}
			} else if name == "all refused" && (!errors.Is(err, errDisk) || !strings.Contains(err.Error(), "address 0")) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	parse := netip.MustParseAddr
	got := smtp.Interleave([]netip.Addr{parse("2001:db8::1"), parse("2001:db8::2"), parse("2001:db8::3"), parse("192.0.2.1"), parse("192.0.2.2")})
	if fmt.Sprint(got) != "[2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3]" {
		t.Error(got)
	}
}

// TestVerify: all but a mail is done, and the errors are those of a mail.
func TestVerify(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	mailer.Auth = smtp.Password("user", "pencil")
	if err := mailer.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	mailer.Auth = smtp.Password("user", "wrong")
	wrong := mailer.Clone()
	var e *smtp.Error
	if err := wrong.Verify(t.Context()); !errors.As(err, &e) || e.Reply.Code != 535 {
		t.Error(err)
	}
	if len(server.Messages()) != 0 {
		t.Error("a mail arrived")
	}
}

// TestFailover: the next server gets those whom the last one certainly did not take, under
// one Message-ID, and nobody whose mail may be on its way.
func TestFailover(t *testing.T) {
	t.Parallel()
	temporary := &smtp.Error{Op: "RCPT", Reply: smtp.Reply{Code: 450}}
	permanent := &smtp.Error{Op: "RCPT", Reply: smtp.Reply{Code: 550}}
	doubtful := &smtp.Error{Op: "end of data", Unknown: true, Err: io.EOF}
	first := &scriptedSender{outcomes: map[string]error{"bob@example.net": temporary, "carol@example.net": permanent, "dave@example.net": doubtful, "eve@example.net": nil}}
	second := &scriptedSender{outcomes: map[string]error{"bob@example.net": nil}}
	third := &scriptedSender{}
	m := letter("bob@example.net", "carol@example.net", "dave@example.net", "eve@example.net")
	m.MessageID = ""
	result, err := smtp.Failover{first, second, third}.Send(t.Context(), m)
	var failed *smtp.RecipientsError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 {
		t.Errorf("%v", err)
	}
	want := []smtp.Outcome{smtp.Accepted, smtp.Refused, smtp.Unknown, smtp.Accepted}
	for i, r := range result.Recipients {
		if r.Outcome != want[i] || r.Address != m.To[i].Address {
			t.Errorf("%s: %v", r.Address, r.Outcome)
		}
	}
	if fmt.Sprint(first.to, second.to, third.to) != "[[bob@example.net carol@example.net dave@example.net eve@example.net]] [[bob@example.net]] []" {
		t.Errorf("%v %v %v", first.to, second.to, third.to)
	}
	if result.Message != m || result.MessageID == "" || first.ids[0] != result.MessageID || second.ids[0] != result.MessageID {
		t.Errorf("%q %q %q", result.MessageID, first.ids, second.ids)
	}
	if _, err := (smtp.Failover{}).Send(t.Context(), m); err == nil {
		t.Error("nobody has sent it")
	}
	var field *smtp.FieldError
	if result, err := (smtp.Failover{first}).Send(t.Context(), letter("nobody")); !errors.As(err, &field) || result == nil || len(first.to) != 1 {
		t.Error(err)
	}
	if result, err := (smtp.Failover{&scriptedSender{silent: true}, third}).Send(t.Context(), m); err == nil || result.Recipients[0].Outcome != smtp.Unknown || len(third.to) != 0 {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first.then = cancel
	if _, err := (smtp.Failover{first, third}).Send(ctx, m); err == nil || len(third.to) != 0 {
		t.Error(err)
	}
}

// scriptedSender is a Sender with a will of its own.
type scriptedSender struct {
	outcomes map[string]error
	silent   bool
	then     func()
	to       [][]string
	ids      []string
}

func (s *scriptedSender) Send(_ context.Context, m *smtp.Message) (*smtp.Result, error) {
	result := &smtp.Result{MessageID: m.MessageID}
	var to []string
	for _, r := range m.Delivery.To {
		err := s.outcomes[r.Address]
		outcome := smtp.Accepted
		var e *smtp.Error
		switch {
		case errors.As(err, &e) && e.Unknown:
			outcome = smtp.Unknown
		case err != nil:
			outcome = smtp.Refused
		}
		to = append(to, r.Address)
		result.Recipients = append(result.Recipients, smtp.RecipientResult{Recipient: r, Outcome: outcome, Err: err})
	}
	s.to, s.ids = append(s.to, to), append(s.ids, m.MessageID)
	if s.then != nil {
		s.then()
	}
	if s.silent {
		return nil, nil
	}
	return result, nil
}

// TestCopiedMailer: a copy of a Mailer that was used would share its sessions.
func TestCopiedMailer(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	copied := reflect.New(reflect.TypeFor[smtp.Mailer]()) // As vet finds an assignment.
	copied.Elem().Set(reflect.ValueOf(mailer).Elem())
	second := copied.Interface().(*smtp.Mailer)
	_, sending := second.Send(t.Context(), letter("bob@example.net"))
	_, dialling := second.Dial(t.Context())
	var all error
	for _, err := range second.SendAll(t.Context(), letters(1)) {
		all = err
	}
	for name, err := range map[string]error{
		"Send": sending, "SendAll": all, "Dial": dialling, "Verify": second.Verify(t.Context()), "Close": second.Close(), "Shutdown": second.Shutdown(t.Context()),
	} {
		var field *smtp.FieldError
		if !errors.As(err, &field) || field.Field != "Mailer" {
			t.Errorf("%s of a copy: %v", name, err)
		}
	}
	if second.Stats() != (smtp.Stats{}) {
		t.Errorf("the copy has %+v", second.Stats())
	}
	if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil || len(server.Messages()) != 2 {
		t.Errorf("the original, behind that: %v, with %d mails", err, len(server.Messages()))
	}
}

// TestClosedMailer: nothing of it can be used any more.
func TestClosedMailer(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	if err := errors.Join(mailer.Verify(t.Context()), mailer.Close(), mailer.Close()); err != nil {
		t.Fatal(err)
	}
	_, sending := mailer.Send(t.Context(), letter("bob@example.net"))
	_, dialling := mailer.Dial(t.Context())
	for name, err := range map[string]error{"Send": sending, "Dial": dialling, "Verify": mailer.Verify(t.Context())} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
