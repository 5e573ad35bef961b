package main

import (
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

// TestWelcome: who has no name is called by the address.
func TestWelcome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		to   smtp.Address
		want string
	}{
		{smtp.Address{Name: "Bob", Address: "bob@example.net"}, "Bob"},
		{smtp.Address{Address: "bob@example.net"}, "bob@example.net"},
	} {
		m, err := welcome(smtp.Address{Address: "ann@example.com"}, test.to, "Basic")
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != "Welcome, "+test.want || !strings.Contains(m.Text, "Dear "+test.want+",") || !strings.Contains(m.HTML, "Dear "+test.want+",") {
			t.Errorf("%v: %q, %q, %q", test.to, m.Subject, m.Text, m.HTML)
		}
	}
}
