package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
)

// inSession runs f with a session to a server that takes everything, by a clock
// of its own. No goroutine may be left at its end.
func inSession(t *testing.T, opts *smtp.Options, f func(t *testing.T, c *smtp.Client, server *faultyServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := &faultyServer{Conn: theirs, fault: fault{protocol: protocol{offers: "PIPELINING CHUNKING"}, in: -1, out: -1}}
		go func() {
			defer theirs.Close()
			server.serve()
		}()
		c := smtp.NewClient(ours, opts)
		defer c.Close()
		if err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(t, c, server)
	})
}

// TestSendAll: each result is that of its message, in their order, and one that
// cannot be sent does not stop the others.
func TestSendAll(t *testing.T) {
	t.Parallel()
	for _, chunking := range []bool{false, true} {
		inSession(t, &smtp.Options{Chunking: chunking}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			list := []*smtp.Message{nil, letter("a@example.net"), letter("b@"), letter("c@example.net"), {}, letter("d@example.net"), nil}
			var results []*smtp.Result
			for result, err := range c.SendAll(t.Context(), slices.Values(list)) {
				m := list[len(results)]
				good := m != nil && len(m.To) > 0 && m.To[0].Address != "b@"
				var field *smtp.FieldError
				if result.Message != m || good != (err == nil) || !good && !errors.As(err, &field) {
					t.Errorf("%+v, %v", result, err)
				}
				results = append(results, result)
			}
			if len(results) != len(list) || len(server.mails) != 3 {
				t.Errorf("%d results, %d mails", len(results), len(server.mails))
			}
			if _, err := c.Send(t.Context(), letter("e@example.net")); err != nil {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

// TestSendAllOfNothing: no message, no result, and no octet.
func TestSendAllOfNothing(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		heard := server.heard
		for result, err := range c.SendAll(t.Context(), slices.Values[[]*smtp.Message](nil)) {
			t.Errorf("%+v, %v", result, err)
		}
		if server.heard != heard {
			t.Error("something was sent")
		}
	})
}

// TestSlowIterator: a mail does not wait for the one that comes after it.
func TestSlowIterator(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		messages := func(yield func(*smtp.Message) bool) {
			for yield(letter("bob@example.net")) {
				time.Sleep(time.Minute)
			}
		}
		sent := 0
		start := time.Now()
		for _, err := range c.SendAll(t.Context(), messages) {
			late := time.Since(start) - time.Duration(sent)*time.Minute
			if err != nil || late > 10*time.Millisecond {
				t.Errorf("mail %d is %v late: %v", sent, late, err)
			}
			if sent++; sent == 4 {
				break
			}
		}
	})
}

// TestBrokenOffLoop: the files of messages that were pulled and are not sent are
// closed, and the iterator has ended.
func TestBrokenOffLoop(t *testing.T) {
	t.Parallel()
	for _, opts := range []*smtp.Options{{}, {Chunking: true}, {Disable: []string{"PIPELINING"}}} {
		inSession(t, opts, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			file := &countedFile{source: opener("x")}
			ended := false
			messages := func(yield func(*smtp.Message) bool) {
				defer func() { ended = true }()
				for {
					m := letter("bob@example.net")
					m.Attachments = []smtp.File{{Name: "a", Open: file.open}}
					if !yield(m) {
						return
					}
				}
			}
			sent := 0
			for range c.SendAll(t.Context(), messages) {
				if sent++; sent == 3 {
					break
				}
			}
			c.Quit(t.Context())
			synctest.Wait()
			delivered := 0
			for _, m := range server.mails {
				delivered += m.finals
			}
			if !ended || file.opened != file.closed || file.opened < sent || delivered != sent {
				t.Errorf("ended: %v, %d opened, %d closed, %d delivered", ended, file.opened, file.closed, delivered)
			}
		})
	}
}

// TestPanickingLoop: the loop may panic like any other.
func TestPanickingLoop(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		defer func() {
			if got := recover(); got != "enough" {
				t.Errorf("recovered %v", got)
			}
			if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after that, NOOP returned %v", err)
			}
		}()
		for range c.SendAll(t.Context(), slices.Values([]*smtp.Message{letter("a@example.net"), letter("b@example.net")})) {
			panic("enough")
		}
	})
}

// TestPanickingIterator: its panic reaches the loop, after the mails before it.
func TestPanickingIterator(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		sent := 0
		defer func() {
			if got := recover(); got != "no more" || sent != 2 {
				t.Errorf("recovered %v after %d mails", got, sent)
			}
		}()
		for _, err := range c.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
			yield(letter("a@example.net"))
			yield(letter("b@example.net"))
			panic("no more")
		}) {
			if err != nil {
				t.Error(err)
			}
			sent++
		}
	})
}

// TestCancelledSendAll: once the context has ended, every message that the
// iterator had handed over has its result, and no more are pulled.
func TestCancelledSendAll(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		pulled := 0
		messages := func(yield func(*smtp.Message) bool) {
			for pulled++; yield(letter("bob@example.net")); pulled++ {
			}
		}
		var outcomes []string
		for result, err := range c.SendAll(ctx, messages) {
			outcomes = append(outcomes, result.Recipients[0].Outcome.String())
			if len(outcomes) > 3 && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if len(outcomes) == 3 {
				cancel()
			}
		}
		if got := strings.Join(outcomes[:3], " "); got != "accepted accepted accepted" || len(outcomes) != pulled || pulled > 6 {
			t.Errorf("%d pulled, outcomes %v", pulled, outcomes)
		}
	})
}

// TestSendAllTrace: the hooks tell of each mail in its turn.
func TestSendAllTrace(t *testing.T) {
	t.Parallel()
	var told []string
	trace := &smtp.Trace{
		Transaction: func(_ context.Context, from string, _ int) { told = append(told, "from "+from) },
		Content:     func(context.Context, int64, int64) { told = append(told, "content") },
		Done: func(_ context.Context, result *smtp.Result, _ error) {
			told = append(told, "done "+result.Message.From.Address)
		},
	}
	inSession(t, &smtp.Options{Trace: trace}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		refused := letter("two@example.net")
		list := append([]*smtp.Message{refused}, slices.Collect(lettersFrom("a@example.com", "b@example.com"))...)
		for result, err := range c.SendAll(t.Context(), slices.Values(list)) {
			if (err != nil) != (result.Message == refused) {
				t.Fatal(err)
			}
		}
	})
	want := "from ann@example.com, content, from a@example.com, done ann@example.com, content, from b@example.com, done a@example.com, content, done b@example.com"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func lettersFrom(list ...string) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for _, from := range list {
			m := letter("bob@example.net")
			m.From.Address = from
			if !yield(m) {
				return
			}
		}
	}
}

// TestStepsInTheLoop: while the loop runs, the next mail may be open already. No
// step can become a part of it.
func TestStepsInTheLoop(t *testing.T) {
	t.Parallel()
	steps := map[string]func(*smtp.Client, context.Context) error{
		"Noop":  (*smtp.Client).Noop,
		"Reset": (*smtp.Client).Reset,
		"Hello": (*smtp.Client).Hello,
		"Mail": func(c *smtp.Client, ctx context.Context) error {
			_, err := c.Mail(ctx, smtp.Envelope{From: "eve@example.com"})
			return err
		},
		"Rcpt": func(c *smtp.Client, ctx context.Context) error {
			_, err := c.Rcpt(ctx, smtp.Recipient{Address: "eve@example.com"})
			return err
		},
		"Data": func(c *smtp.Client, ctx context.Context) error {
			_, err := c.Data(ctx, strings.NewReader("Subject: stray\r\n\r\n"))
			return err
		},
		"Send": func(c *smtp.Client, ctx context.Context) error {
			_, err := c.Send(ctx, letter("eve@example.com"))
			return err
		},
		"SendAll": func(c *smtp.Client, ctx context.Context) (err error) {
			for _, err = range c.SendAll(ctx, lettersFrom("eve@example.com")) {
			}
			return err
		},
	}
	for _, opts := range []*smtp.Options{{}, {Chunking: true}} {
		for name, step := range steps {
			inSession(t, opts, func(t *testing.T, c *smtp.Client, server *faultyServer) {
				start := time.Now()
				for result, err := range c.SendAll(t.Context(), lettersFrom("a@example.com", "b@example.com", "c@example.com")) {
					if err != nil || result.Recipients[0].Outcome != smtp.Accepted {
						t.Errorf("%s: %v", name, err)
					}
					if err := step(c, t.Context()); err == nil {
						t.Errorf("%s in the loop passed", name)
					}
				}
				if took := time.Since(start); took > 10*time.Millisecond || len(server.mails) != 3 {
					t.Errorf("%s: %d mails in %v", name, len(server.mails), took)
				}
				for _, m := range server.mails {
					if len(m.to) != 1 || m.to[0] != "bob@example.net" || !strings.Contains(m.content.String(), "Hello.") {
						t.Errorf("%s: %s wrote to %v: %q", name, m.from, m.to, m.content.String())
					}
				}
			})
		}
	}
}

// TestEndedInTheLoop: the connection may be closed there, politely or not. The
// mails that are left were certainly not sent.
func TestEndedInTheLoop(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*smtp.Client, context.Context){
		"Close": func(c *smtp.Client, _ context.Context) { c.Close() },
		"Quit":  func(c *smtp.Client, ctx context.Context) { c.Quit(ctx) },
	} {
		for kind, connection := range inBothForms() {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, server := connection(t)
				server.offers = "PIPELINING\r\n250 CHUNKING"
				if err := c.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				sent := 0
				for result, err := range c.SendAll(t.Context(), lettersFrom("a@example.com", "b@example.com", "c@example.com")) {
					if sent++; sent == 1 {
						end(c, t.Context())
					} else if !errors.Is(err, net.ErrClosed) || result.Recipients[0].Outcome != smtp.NotSent {
						t.Errorf("mail %d: %v, %v", sent, result.Recipients[0].Outcome, err)
					}
				}
				<-server.done
				if sent != 3 {
					t.Errorf("%d results", sent)
				}
			})
		}
	}
}

// TestNothingIsPulledAfterTheLoop: what an iterator takes from a queue is lost if
// nobody sends it.
func TestNothingIsPulledAfterTheLoop(t *testing.T) {
	t.Parallel()
	for range 50 {
		inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			pulled := 0
			messages := func(yield func(*smtp.Message) bool) {
				for pulled++; yield(letter("bob@example.net")); pulled++ {
					time.Sleep(time.Second)
				}
			}
			for range c.SendAll(t.Context(), messages) {
				break
			}
			if pulled != 2 {
				t.Errorf("%d messages were pulled for one that was sent", pulled)
			}
		})
	}
}

// TestIteratorsThatMisbehave: one that goes on after its end panics, as it does in
// any loop; one that ends its goroutine ends that of the loop.
func TestIteratorsThatMisbehave(t *testing.T) {
	t.Parallel()
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, "went on after its end") {
					t.Errorf("recovered %s", got)
				}
			}()
			for range c.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
				for {
					yield(letter("bob@example.net"))
				}
			}) {
				break
			}
		}()
	})
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		done := make(chan bool)
		go func() {
			defer close(done)
			for range c.SendAll(t.Context(), func(yield func(*smtp.Message) bool) {
				yield(letter("bob@example.net"))
				runtime.Goexit()
			}) {
			}
			done <- true
		}()
		if <-done {
			t.Error("the loop ended as if all had been sent")
		}
	})
}
