package smtp_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/postrider/smtp"
)

func TestWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	for field, opts := range map[string]smtp.Options{
		"Options.Reports.Return": {Reports: smtp.Reports{Return: 9}},
		"Options.Reports.Notify": {Reports: smtp.Reports{Notify: smtp.NotifyNever | smtp.NotifyDelay}},
	} {
		mailer := smtp.Mailer{Addr: "mx.example.com:587", Options: opts, DialContext: notDialled(t)}
		result, err := mailer.Send(t.Context(), letter("bob@example.net"))
		var wrong *smtp.FieldError
		if !errors.As(err, &wrong) || wrong.Field != field || result.Recipients[0].Outcome != smtp.NotSent {
			t.Errorf("%s: %v", field, err)
		}
	}
	m := letter("bob@example.net")
	m.Delivery.Notify = 1 << 7
	var wrong *smtp.FieldError
	if _, err := m.Prepare(); !errors.As(err, &wrong) || wrong.Field != "Delivery.Notify" {
		t.Error(err)
	}
}

// TestPreparedAsks: a prepared message has in its Delivery what is asked, so that
// it is asked by whoever sends it.
func TestPreparedAsks(t *testing.T) {
	t.Parallel()
	m := letter("bob@example.net", "carol@example.org")
	m.Delivery = smtp.Envelope{Notify: smtp.NotifyDelay, To: []smtp.Recipient{{Address: "bob@example.net", Notify: smtp.NotifyNever}, {Address: "carol@example.org"}}}
	p, err := m.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	to := p.Delivery.To
	if to[0].Notify != smtp.NotifyNever || to[1].Notify != smtp.NotifyDelay || p.Delivery.EnvelopeID != "1@example.com" {
		t.Errorf("%+v", p.Delivery)
	}
	if m.Delivery.To[1].Notify != 0 || m.Delivery.EnvelopeID != "" {
		t.Errorf("the original was changed: %+v", m.Delivery)
	}
	for name, delivery := range map[string]smtp.Envelope{
		"nothing":      {},
		"NEVER":        {Notify: smtp.NotifyNever},
		"another name": {Notify: smtp.NotifyFailure, EnvelopeID: "17"},
	} {
		m.Delivery = delivery
		if p, err := m.Prepare(); err != nil || p.Delivery.EnvelopeID != delivery.EnvelopeID {
			t.Errorf("%s: %q, %v", name, p.Delivery.EnvelopeID, err)
		}
	}
}

func notDialled(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		t.Error("the server was dialled")
		return nil, errDisk
	}
}
