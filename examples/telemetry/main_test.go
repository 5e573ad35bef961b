package main

import (
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

func TestRun(t *testing.T) {
	mailer := smtptest.NewServer(t).Mailer()
	defer mailer.Close()
	kit := &recipe.Kit{Mailer: mailer, From: smtp.Address{Address: "ann@example.com"}, To: smtp.Address{Address: "bob@example.net"}}
	var out strings.Builder
	if err := run(t.Context(), kit, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"send mail", "mail.message_id", "TLS 1.3", "accepted", "mail.sessions", "mail.recipients", "mail.content"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
