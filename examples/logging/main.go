// Logging puts the dialogue with the server into a log, as JSON, and counts its steps and
// the time that each takes. Passwords and contents are in neither; addresses are in the log.
//
//	go run ./examples/logging
package main

import (
	"context"
	"crypto/tls"
	"expvar"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

// logged makes the sessions of a Mailer write a debug record for each command and reply.
// Call it before the first mail.
func logged(mailer *smtp.Mailer) {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})
	mailer.Options.Logger = slog.New(handler).With("server", mailer.Addr)
}

// metered is a Sender that counts what happens to the mails of another. An expvar.Map
// needs no lock, and is published at /debug/vars; a library for metrics is fed likewise.
type metered struct {
	smtp.Sender
	steps, outcomes *expvar.Map
}

// newMetered meters a Mailer, before its first mail.
func newMetered(name string, mailer *smtp.Mailer) *metered {
	m := &metered{mailer, expvar.NewMap(name + ".steps"), expvar.NewMap(name + ".outcomes")}
	mailer.Options.Trace = &smtp.Trace{
		Connected: func(ctx context.Context, _ string, err error) {
			m.step(ctx, fmt.Sprintf("connect: %t", err == nil))
		},
		TLS: func(ctx context.Context, _ tls.ConnectionState, err error) {
			m.step(ctx, fmt.Sprintf("TLS: %t", err == nil))
		},
		Reply: func(ctx context.Context, op string, reply smtp.Reply) {
			verb, _, _ := strings.Cut(op, " <") // "RCPT <bob@example.net>": one counter for all.
			m.step(ctx, fmt.Sprintf("%s: %dyz", verb, reply.Code/100))
		},
		Done: func(_ context.Context, result *smtp.Result, _ error) {
			for _, r := range result.Recipients {
				m.outcomes.Add(r.Outcome.String(), 1)
			}
		},
	}
	return m
}

// clock holds when the last step of a Send was over. The hooks find it in its context.
type clock struct{ last time.Time }

type clockKey struct{}

// Send implements smtp.Sender.
func (m *metered) Send(ctx context.Context, message *smtp.Message) (*smtp.Result, error) {
	return m.Sender.Send(context.WithValue(ctx, clockKey{}, &clock{time.Now()}), message)
}

// step counts a step, and the time since the one before. What leaves in one write has its
// replies at once: the first of them bears the wait for all.
func (m *metered) step(ctx context.Context, name string) {
	m.steps.Add(name+", times", 1)
	if c, ok := ctx.Value(clockKey{}).(*clock); ok {
		now := time.Now()
		m.steps.Add(name+", microseconds", now.Sub(c.last).Microseconds())
		c.last = now
	}
}

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		if kit.Server != nil {
			kit.Mailer.Auth = smtp.Password("user", "pencil")
		}
		logged(kit.Mailer)
		sender := newMetered("smtp", kit.Mailer)
		_, err := sender.Send(ctx, &smtp.Message{From: kit.From, To: []smtp.Address{kit.To}, Subject: "Plan", Text: "Nobody else is to know."})
		for _, counters := range []*expvar.Map{sender.steps, sender.outcomes} {
			fmt.Println()
			counters.Do(func(kv expvar.KeyValue) { fmt.Printf("%-30s %s\n", kv.Key, kv.Value) })
		}
		return err
	})
}
