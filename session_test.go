package smtp_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
	"github.com/postrider/smtp/internal/transcript"
)

var update = flag.Bool("update", false, "rewrite what the files in testdata expect")

// TestSessions plays every conversation of testdata/session with a client, by a
// clock of its own, and compares what came of it.
func TestSessions(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			script, err := transcript.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				got := converse(t, script)
				if *update {
					rewrite(t, path, string(text), got)
				} else if !slices.Equal(got, script.Want) {
					t.Errorf("what came of it:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(script.Want, "\n"))
				}
			})
		})
	}
}

// rewrite replaces the expectations at the end of a script.
func rewrite(t *testing.T, path, text string, got []string) {
	t.Helper()
	text, _, _ = strings.Cut(strings.TrimSuffix(text, "\n")+"\n", "\n= ")
	text = strings.TrimSuffix(text, "\n") + "\n"
	for _, line := range got {
		text += "= " + line + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// converse runs a client against the script and tells what came of it: first
// what the steps before the mail returned, if it was an error, then for each
// mail its recipients and its error, then how long it took.
func converse(t *testing.T, script *transcript.Script) []string {
	t.Helper()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	departed := make(chan error, 1)
	go func() {
		departed <- script.Play(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true})
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if after, err := time.ParseDuration(script.With["cancel-after"]); err == nil {
		time.AfterFunc(after, cancel)
	}
	start := time.Now()
	var log strings.Builder
	client := smtp.NewClient(ours, &smtp.Options{
		Logger:        slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		LocalName:     "client.example.com",
		ServerName:    "localhost",
		PlaintextAuth: script.With["plaintext-auth"] == "yes",
		LMTP:          script.With["lmtp"] == "yes",
		Chunking:      script.With["chunking"] == "yes",
		Disable:       words(script.With, "disable", ""),
		Reports:       reportsOf(script.With),
	})
	report := drive(ctx, client, script.With, roots)
	if took := time.Since(start); took > 0 {
		report = append(report, "after "+took.String())
	}
	client.Close()
	if err := <-departed; err != nil {
		t.Error(err)
	}
	checkSecrets(t, log.String()+strings.Join(report, "\n"))
	return report
}

// checkSecrets looks for the credentials of all conversations, and for what
// mechanisms make of them, in what was logged and reported.
func checkSecrets(t *testing.T, shown string) {
	t.Helper()
	for _, secret := range []string{"secret", "pencil", "tanstaaf", "b913a602c7eda7a4", "vF9dft4qmTc2Nvb3RlckBhbHRh", "renewed-token", "v0X8v3Bz2T0CJGbJ", "dHzbZapWIk4jUhN"} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)/3*4]} {
			if strings.Contains(shown, form) {
				t.Errorf("%q is shown in\n%s", form, shown)
			}
		}
	}
}

// words returns the words of a setting, or the ones given if it is not there.
func words(with map[string]string, key, otherwise string) []string {
	if value, ok := with[key]; ok {
		return strings.Fields(value)
	}
	return strings.Fields(otherwise)
}

var sentAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func letter(to ...string) *smtp.Message {
	m := &smtp.Message{
		From:      smtp.Address{Address: "ann@example.com"},
		Subject:   "Hi",
		Date:      sentAt,
		MessageID: "1@example.com",
		Text:      "Hello.\n.\n",
	}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

func tellResult(report *[]string, result *smtp.Result) {
	for _, r := range result.Recipients {
		*report = append(*report, fmt.Sprintf("<%s> %v", r.Address, r.Outcome))
	}
	if result.NoReports {
		*report = append(*report, "no reports")
	}
}

// reportsOf is what a script has asked for every mail.
func reportsOf(with map[string]string) (r smtp.Reports) {
	if with["reports"] == "yes" {
		r = smtp.Reports{Return: smtp.ReturnFull, Notify: smtp.NotifyDelay}
	}
	r.BestEffort = with["best-effort"] == "yes"
	return r
}
