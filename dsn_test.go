package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
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
	for field, delivery := range map[string]smtp.Envelope{
		"Delivery.Notify":                  {Notify: 1 << 7},
		"Delivery.To[0].OriginalRecipient": {To: []smtp.Recipient{{Address: "bob@example.net", OriginalRecipient: "Bob <bob@example.net>"}}},
		// In UTF-8 it would be short enough.
		"Delivery.To[1].OriginalRecipient": {To: []smtp.Recipient{{Address: "bob@example.net"}, {Address: "eve@example.net", OriginalRecipient: strings.Repeat("ö", 32) + "@" + strings.Repeat("ü", 25) + "." + strings.Repeat("ü", 25) + "." + strings.Repeat("ü", 25) + ".example"}}},
	} {
		m := letter("bob@example.net")
		m.Delivery = delivery
		var wrong *smtp.FieldError
		if _, err := m.Prepare(); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
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

// TestAskedAndReported: what is asked arrives as it was meant, and what the server
// reports finds the mail again.
func TestAskedAndReported(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.Offer = []string{"SMTPUTF8"} })
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	defer mailer.Close()
	m := letter()
	m.MessageID = "a+b=c@example.com"
	m.Delivery = smtp.Envelope{EnvelopeID: "a+b=c d~!", Return: smtp.ReturnFull, To: []smtp.Recipient{
		{Address: "bob@example.net", Notify: smtp.NotifySuccess | smtp.NotifyFailure | smtp.NotifyDelay, OriginalRecipient: "bob+tag=x@example.net"},
		{Address: "carol@example.org", Notify: smtp.NotifyNever},
		{Address: "dave@example.org", OriginalRecipient: "jörg@bücher.example"},
	}}
	if _, err := mailer.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Delivery = smtp.Envelope{Notify: smtp.NotifyDelay, UTF8: true, To: []smtp.Recipient{{Address: "dave@example.org", OriginalRecipient: "jörg+x@bücher.example"}}}
	if _, err := mailer.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := server.Messages()
	want := []smtptest.Recipient{
		{Address: "bob@example.net", Notify: []string{"SUCCESS", "FAILURE", "DELAY"}, OriginalRecipient: "bob+tag=x@example.net"},
		{Address: "carol@example.org", Notify: []string{"NEVER"}},
		{Address: "dave@example.org", Notify: []string{"FAILURE", "DELAY"}, OriginalRecipient: "jörg@bücher.example"},
	}
	if got[0].EnvelopeID != "a+b=c d~!" || got[0].Return != "FULL" || !reflect.DeepEqual(got[0].Recipients, want) {
		t.Errorf("%q %q %+v", got[0].EnvelopeID, got[0].Return, got[0].Recipients)
	}
	want = []smtptest.Recipient{{Address: "dave@example.org", Notify: []string{"DELAY"}, OriginalRecipient: "jörg+x@bücher.example"}}
	if got[1].EnvelopeID != "a+b=c@example.com" || got[1].Return != "" || !reflect.DeepEqual(got[1].Recipients, want) {
		t.Errorf("%q %q %+v", got[1].EnvelopeID, got[1].Return, got[1].Recipients)
	}

	for verdict, refusal := range map[smtp.Verdict]*smtptest.Refusal{
		smtp.Delivered: nil,
		smtp.Delayed:   {Code: 450, Text: "later"},
		smtp.Failed:    {Code: 550, Status: [3]int{5, 1, 1}, Text: "no\r\nsuch user"},
	} {
		report, err := smtp.ParseReport(bytes.NewReader(got[0].Report("bob@example.net", refusal)))
		if err != nil {
			t.Fatal(err)
		}
		isWhole := report.Returned.Get("Subject") == "Hi" && strings.Contains(string(got[0].Report("bob@example.net", refusal)), "Hello.")
		if !isWhole { // It was asked for.
			t.Errorf("%v: what came back: %v", verdict, report.Returned)
		}
		r := report.Recipients[0]
		if report.EnvelopeID != "a+b=c d~!" || report.MessageID != "a+b=c@example.com" || r.Address() != "bob+tag=x@example.net" || r.Verdict != verdict || r.Temporary() != (verdict == smtp.Delayed) {
			t.Errorf("%v: %+v", verdict, report)
		}
	}
	for _, test := range []struct {
		of      string
		code    int
		isWhole bool
	}{{"", 450, false}, {"", 550, true}, {"HDRS", 550, false}} {
		got[0].Return = test.of
		report := string(got[0].Report("jörg@example.net", &smtptest.Refusal{Code: test.code}))
		if strings.Contains(report, "Hello.") != test.isWhole || !strings.Contains(report, "Final-Recipient: utf-8; jörg@example.net") {
			t.Errorf("%+v:\n%s", test, report)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a refusal of 250 was taken")
		}
	}()
	got[0].Report("bob@example.net", &smtptest.Refusal{Code: 250})
}
