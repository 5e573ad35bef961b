package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp/smtptest"
)

// TestSignUp looks at what arrived at a server, which ends with the test.
func TestSignUp(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := server.Mailer()
	defer mailer.Close()

	if err := SignUp(t.Context(), mailer, "Bob <bob@example.net>"); err != nil {
		t.Fatal(err)
	}
	messages := server.Messages()
	if len(messages) != 1 {
		t.Fatalf("%d messages arrived", len(messages))
	}
	got := messages[0]
	if got.From != "club@example.com" || len(got.To) != 1 || got.To[0] != "bob@example.net" {
		t.Errorf("from %s to %v", got.From, got.To)
	}
	if text := string(got.Find("text/plain").Body); got.Subject != "Welcome" || text != "Nice to have you here.\r\n" {
		t.Errorf("what arrived is\n%s", got.Data)
	}
	if got.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Error("programs may answer it")
	}
}

// TestNoSuchUser has a server that refuses a recipient.
func TestNoSuchUser(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == "RCPT" && step.Address == "nobody@example.net" {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "No such user"}}
			}
			return nil
		}
	})
	mailer := server.Mailer()
	defer mailer.Close()

	if err := SignUp(t.Context(), mailer, "nobody@example.net"); !errors.Is(err, ErrAddress) {
		t.Error(err)
	}
	if err := SignUp(t.Context(), mailer, "bob@example.net"); err != nil {
		t.Error("the next one:", err)
	}
}

// TestLinkLost has a recorder, which is a Sender without a server to start. The mail is
// taken, and the link lost before its sender is told: the outcome is Unknown.
func TestLinkLost(t *testing.T) {
	t.Parallel()
	var recorder smtptest.Recorder
	recorder.On = at("END", &smtptest.Fault{Drop: true})

	if err := SignUp(t.Context(), &recorder, "bob@example.net"); err != nil {
		t.Error(err)
	}
	if n := len(recorder.Messages()); n != 1 {
		t.Errorf("%d messages arrived", n)
	}
}

// TestOtherRefusals: what passes, and what is wrong with us, says nothing of the address.
func TestOtherRefusals(t *testing.T) {
	t.Parallel()
	for command, refusal := range map[string]smtptest.Refusal{
		"RCPT": {Code: 451, Status: [3]int{4, 7, 1}, Text: "Try again later"},
		"MAIL": {Code: 550, Status: [3]int{5, 7, 1}, Text: "Not from you"},
	} {
		var recorder smtptest.Recorder
		recorder.On = at(command, &smtptest.Fault{Refusal: &refusal})
		if err := SignUp(t.Context(), &recorder, "bob@example.net"); err == nil || errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestPatience: in a bubble of testing/synctest, an hour takes no time.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var recorder smtptest.Recorder
		recorder.On = at("MAIL", &smtptest.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		if err := SignUp(ctx, &recorder, "bob@example.net"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// at returns what a server asks for one fault, at every step of that name.
func at(command string, fault *smtptest.Fault) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if step.Command == command {
			return fault
		}
		return nil
	}
}
