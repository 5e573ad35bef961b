package smtptest

import (
	"context"

	"github.com/postrider/smtp"
)

// Recorder is an [smtp.Sender] that keeps what it is given, for tests that need no
// server and no TLS. Each mail goes through the client to the Server, in memory, so that
// results and errors are the real ones; there is no step STARTTLS or AUTH. The zero value
// is ready, needs no Close, and may be used by many goroutines at once; the fields of
// Server say what goes wrong.
type Recorder struct {
	Server
}

var _ smtp.Sender = (*Recorder)(nil)

// Send implements [smtp.Sender], each time in a session of its own.
func (r *Recorder) Send(ctx context.Context, m *smtp.Message) (*smtp.Result, error) {
	mailer := r.Mailer()
	defer mailer.Close()
	if mailer.DialContext = r.DialContext; mailer.TLS == smtp.TLSRequired {
		mailer.TLS = smtp.TLSNone // Nobody can read along.
	}
	return mailer.Send(ctx, m)
}
