package main

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
)

// TestClosed: nobody waits for a Mailer that is closed, and a later program may send.
func TestClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mailer := &smtp.Mailer{Addr: "mx.example.com:587"}
		mailer.Close()
		n := &Notifier{Sender: mailer, Ledger: &memory{}, Waits: []time.Duration{time.Hour}}
		begun := time.Now()
		err := n.Send(t.Context(), &smtp.Message{
			MessageID: "order-17.shipped@example.com", From: smtp.Address{Address: "ann@example.com"},
			To: []smtp.Address{{Address: "bob@example.net"}}, Text: "Hello.",
		})
		if waited := time.Since(begun); !errors.Is(err, net.ErrClosed) || waited > 0 {
			t.Errorf("%v after %v", err, waited)
		}
		if !n.Ledger.Claim("order-17.shipped@example.com", "bob@example.net") {
			t.Error("the claim was kept")
		}
	})
}
