package peers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jordan-wright/email"
	"golang.org/x/time/rate"

	"github.com/postrider/smtp"
)

// senders are ways to send n mails over five sessions. Those that are not of this package
// are the peers that have a pool, as far as the module proxy has them.
var senders = []struct {
	name string
	send func(sink *Sink, n int) error
}{
	{"Postrider.Send", sendByMailer},
	{"Postrider.SendAll", sendAllByMailer},
	{"jordan-wright.Pool", sendByEmailPool},
}

var ctx = context.Background()

var _ smtp.Limiter = (*rate.Limiter)(nil)

// goroutines call Send at the same time.
const goroutines = 50

func mailerTo(sink *Sink) *smtp.Mailer { return &smtp.Mailer{Addr: sink.Addr, TLS: smtp.TLSNone} }

func sendByMailer(sink *Sink, n int) error {
	mailer := mailerTo(sink)
	defer mailer.Close()
	return concurrently(n, func() error {
		_, err := mailer.Send(ctx, message())
		return err
	})
}

func sendAllByMailer(sink *Sink, n int) error {
	mailer := mailerTo(sink)
	defer mailer.Close()
	for _, err := range mailer.SendAll(ctx, func(yield func(*smtp.Message) bool) {
		for range n {
			if !yield(message()) {
				return
			}
		}
	}) {
		if err != nil {
			return err
		}
	}
	return nil
}

func message() *smtp.Message {
	return &smtp.Message{
		From:    smtp.Address{Address: "ann@example.com"},
		To:      []smtp.Address{{Address: "bob@example.net"}},
		Subject: "Quarterly figures",
		Text:    "They are good.\n",
		HTML:    "<p>They are good.</p>\n",
	}
}

func sendByEmailPool(sink *Sink, n int) error {
	pool, err := email.NewPool(sink.Addr, 5, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	return concurrently(n, func() error {
		return pool.Send(&email.Email{
			From: "ann@example.com", To: []string{"bob@example.net"}, Subject: "Quarterly figures",
			Text: []byte("They are good.\n"), HTML: []byte("<p>They are good.</p>\n"),
		}, time.Minute)
	})
}

// concurrently calls send n times, and returns the first error.
func concurrently(n int, send func() error) error {
	var group sync.WaitGroup
	calls, errs := make(chan struct{}), make(chan error, goroutines)
	for range goroutines {
		group.Go(func() {
			var first error
			for range calls {
				if err := send(); err != nil && first == nil {
					first = err
				}
			}
			errs <- first
		})
	}
	for range n {
		calls <- struct{}{}
	}
	close(calls)
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestPools: every way sends every mail.
func TestPools(t *testing.T) {
	t.Parallel()
	for _, s := range senders {
		sink, err := NewSink(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.send(sink, 200); err != nil || sink.Mails.Load() != 200 {
			t.Errorf("%s: %d mails arrived, %v", s.name, sink.Mails.Load(), err)
		}
		sink.Close()
	}
}

// BenchmarkPools tells the time of a mail, among many.
func BenchmarkPools(b *testing.B) {
	for _, roundTrip := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		for _, s := range senders {
			b.Run(fmt.Sprintf("roundtrip=%v/%s", roundTrip, s.name), func(b *testing.B) {
				sink, err := NewSink(roundTrip)
				if err != nil {
					b.Fatal(err)
				}
				defer sink.Close()
				b.ReportAllocs()
				b.ResetTimer()
				if err := s.send(sink, b.N); err != nil || sink.Mails.Load() != int64(b.N) {
					b.Fatalf("%d of %d mails arrived, %v", sink.Mails.Load(), b.N, err)
				}
				b.ReportMetric(float64(sink.Sessions.Load()), "sessions")
			})
		}
	}
}
