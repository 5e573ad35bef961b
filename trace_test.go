package smtp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// TestTrace: each hook is called in its turn, with the context of the step.
func TestTrace(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "mine")
	var told []string
	tell := func(ctx context.Context, format string, args ...any) {
		if ctx.Value(key{}) != "mine" {
			t.Errorf(format+" has another context", args...)
		}
		told = append(told, fmt.Sprintf(format, args...))
	}
	var progress []int64
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	mailer.Options.Trace = &smtp.Trace{
		Connected: func(ctx context.Context, addr string, err error) {
			tell(ctx, "connected %v %v", addr == server.Addr, err)
		},
		TLS: func(ctx context.Context, state tls.ConnectionState, err error) {
			tell(ctx, "TLS %v %v", state.HandshakeComplete, err)
		},
		Hello: func(ctx context.Context, extensions map[string]string, err error) {
			tell(ctx, "hello %q %v", extensions["AUTH"], err)
			clear(extensions)
		},
		Authenticated: func(ctx context.Context, mechanism string, err error) { tell(ctx, "%s %v", mechanism, err) },
		Transaction:   func(ctx context.Context, from string, n int) { tell(ctx, "from %s to %d", from, n) },
		Content: func(ctx context.Context, written, total int64) {
			if progress == nil {
				tell(ctx, "content")
			}
			progress = append(progress, written, total)
		},
		Reply: func(ctx context.Context, op string, reply smtp.Reply) {
			if op != "QUIT" { // that of Close, which has no context
				tell(ctx, "%s: %d", op, reply.Code)
			}
		},
		Done: func(ctx context.Context, result *smtp.Result, err error) {
			tell(ctx, "done %v %v", result.Recipients[0].Outcome, err)
		},
	}
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{sized(100_000)}
	if _, err := mailer.Send(ctx, m); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"connected true <nil>", "greeting: 220", "EHLO: 250", `hello "" <nil>`, "STARTTLS: 220", "TLS true <nil>", "EHLO: 250", `hello "PLAIN" <nil>`,
		"AUTH PLAIN: 235", "PLAIN <nil>", "from ann@example.com to 1", "MAIL <ann@example.com>: 250", "RCPT <bob@example.net>: 250", "DATA: 354",
		"content", "end of data: 250", "done accepted <nil>",
	}
	if got := strings.Join(told, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	size := int64(len(server.Messages()[0].Data))
	for i := 0; i < len(progress); i += 2 {
		if progress[i+1] != size || i > 0 && progress[i] <= progress[i-2] {
			t.Errorf("progress is %d of %d octets", progress, size)
		}
	}
	if len(progress) < 8 || progress[len(progress)-2] != size {
		t.Errorf("progress ends at %d of %d octets", progress, size)
	}
}

// TestTraceTellsOfErrors: what fails is told as well.
func TestTraceTellsOfErrors(t *testing.T) {
	t.Parallel()
	var told []string
	trace := &smtp.Trace{
		Connected: func(_ context.Context, _ string, err error) {
			told = append(told, fmt.Sprint("connected ", err == nil))
		},
		TLS: func(_ context.Context, _ tls.ConnectionState, err error) {
			told = append(told, fmt.Sprint("TLS ", err == nil))
		},
		Authenticated: func(_ context.Context, _ string, err error) { told = append(told, fmt.Sprint("auth ", err == nil)) },
		Done: func(_ context.Context, _ *smtp.Result, err error) {
			told = append(told, fmt.Sprint("done ", err == nil))
		},
	}
	server := smtptest.NewServer(t)
	for _, change := range []func(*smtp.Mailer){
		func(m *smtp.Mailer) { m.Addr = "127.0.0.1:1" },
		func(m *smtp.Mailer) { m.TLSConfig = nil },
		func(m *smtp.Mailer) { m.Auth = smtp.Password("user", "guess") },
	} {
		mailer := mailerTo(t, server)
		mailer.Options.Trace = trace
		change(mailer)
		if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err == nil {
			t.Error("no error")
		}
	}
	want := "connected false, done false, connected true, TLS false, done false, connected true, TLS true, auth false, done false"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}
