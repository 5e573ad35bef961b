package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/postrider/smtp"
)

// summary is what became of the readers.
type summary struct {
	accepted int
	refused  map[string][]string // or not sent, for good, by the reason
	again    []string            // certainly not sent, for a reason that passes: worth another run
	unknown  []string            // may have got it, and may not: another mail may be the second
}

// sendAll sends messages, which are asked for as fast as they can be sent: they may come
// from a database, row by row. What becomes of one does not stop the others.
func sendAll(ctx context.Context, mailer *smtp.Mailer, messages iter.Seq[*smtp.Message], total int, bar io.Writer) *summary {
	s := &summary{refused: map[string][]string{}}
	done := 0
	for result := range mailer.SendAll(ctx, messages) {
		s.add(result)
		done++
		drawBar(bar, done, total)
	}
	return s
}

func (s *summary) add(result *smtp.Result) {
	for _, r := range result.Recipients {
		var e *smtp.Error
		switch {
		case r.Outcome == smtp.Accepted:
			s.accepted++
		case r.Outcome == smtp.Unknown:
			s.unknown = append(s.unknown, r.Address)
		case errors.As(r.Err, &e) && e.Temporary(): // These are result.Remaining(); ctx may have ended.
			s.again = append(s.again, r.Address)
		case r.Reply.Code != 0:
			s.refused[r.Reply.String()] = append(s.refused[r.Reply.String()], r.Address)
		default: // The address is none, say.
			s.refused[r.Err.Error()] = append(s.refused[r.Err.Error()], r.Address)
		}
	}
}

// drawBar draws over what it drew before.
func drawBar(w io.Writer, done, total int) {
	fmt.Fprintf(w, "\r[%-40s] %d of %d", strings.Repeat("=", 40*done/max(total, 1)), done, total)
	if done == total {
		fmt.Fprintln(w)
	}
}

// pace is a Limiter that lets a mail go at each tick. That of golang.org/x/time/rate
// fits as well, and allows bursts.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

func (p *pace) Wait(ctx context.Context) error {
	p.mu.Lock()
	at := time.Now()
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(p.every)
	p.mu.Unlock()
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// letters makes a message for each reader, when it is its turn.
func letters(from smtp.Address, readers []smtp.Address) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for _, reader := range readers {
			m := &smtp.Message{From: from, To: []smtp.Address{reader}, Subject: "News for " + reader.Address, Text: "There is none.\n"}
			if !yield(m) {
				return
			}
		}
	}
}
