package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// TestMain runs the program itself where a test asks for that.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART_ARGS") != "" {
		os.Args = append(os.Args[:1], strings.Split(os.Getenv("QUICKSTART_ARGS"), "\n")...)
		main()
		return
	}
	os.Exit(m.Run())
}

// quickstart runs the program and returns its two outputs and its exit status.
func quickstart(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	if len(args) == 0 {
		args = []string{"-subject=Quarterly figures"}
	}
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), "QUICKSTART_ARGS="+strings.Join(args, "\n"))
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

func TestQuickstart(t *testing.T) {
	t.Parallel()
	stdout, stderr, status := quickstart(t)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		`C: STARTTLS\n`, `C: AUTH PLAIN \*\*\*\n`, `C: RCPT TO:<bob@example.net>\n`, `S: 250 2.0.0 OK: queued\n`, `C: QUIT\nS: 221`,
		`bob@example.net +accepted\n`, `carol@example.org +accepted\n`,
		`multipart/mixed\n  multipart/alternative\n    text/plain, 7bit, 52 bytes\n    multipart/related\n      text/html, 7bit, 128 bytes\n      image/png "logo.png", base64, 187 bytes, inline, part1\..+\n  .+ "figures.csv", base64, 23 bytes, attachment\n`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "pencil") || strings.Contains(stdout, "AHVzZXIAcGVuY2ls") {
		t.Error("the password is shown")
	}
}

// TestQuickstartTo sends to a server that is not the program's own, first one
// that nobody has to trust.
func TestQuickstartTo(t *testing.T) {
	server := smtptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "notes.json")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-from", "Ann <ann@example.com>", "-to", "eve@example.net", "-to", "dan@example.net", "-subject", "Notes", "-attach", path, "-attach", path, "-url"}
	_, stderr, status := quickstart(t, append(args, "smtp://user:pencil@"+server.Addr)...)
	if status != 1 || !strings.Contains(stderr, "unknown authority") || len(server.Messages()) != 0 {
		t.Errorf("without trust: status %d, %d messages, %s", status, len(server.Messages()), stderr)
	}
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux can the environment name an authority to trust")
	}
	t.Setenv("SSL_CERT_FILE", certificateOf(t, server))

	_, stderr, status = quickstart(t, append(args, "smtp://user:guess@"+server.Addr)...)
	if status != 1 || stderr != "quickstart: smtp: AUTH PLAIN: 535 5.7.8 \"Authentication failed\": check the user name and the password\n" || len(server.Messages()) != 0 {
		t.Errorf("with a wrong password: status %d, %d messages, %s", status, len(server.Messages()), stderr)
	}
	stdout, stderr, status := quickstart(t, append(args, "smtp://user:pencil@"+server.Addr)...)
	if status != 0 || len(server.Messages()) != 1 {
		t.Fatalf("status %d, %s%s", status, stdout, stderr)
	}
	got := server.Messages()[0]
	if got.From != "ann@example.com" || len(got.To) != 2 || got.Subject != "Notes" || string(got.Find("application/json").Body) != "{}" || len(got.Parts) != 3 {
		t.Errorf("what arrived is\n%s", got.Data)
	}
}

// certificateOf asks a server for its certificate and puts it into a file.
func certificateOf(t *testing.T, server *smtptest.Server) string {
	t.Helper()
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	c, err := mailer.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state, _ := c.TLSConnectionState()
	path := filepath.Join(t.TempDir(), "root.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: state.PeerCertificates[0].Raw}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestQuickstartFails: one line that says what to do, status 1, nothing sent.
func TestQuickstartFails(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	t.Cleanup(func() {
		if len(server.Messages()) != 0 {
			t.Error("something was sent")
		}
	})
	envelope := "\n-from=ann@example.com\n-to=bob@example.net"
	for name, test := range map[string]struct{ args, want string }{
		"missing file":     {"-attach=/no/such/file", "check the path"},
		"bad recipient":    {"-to=bob", "is no address such as bob@example.net"},
		"bad sender":       {"-from=ann@", "is no address such as ann@example.com"},
		"no such domain":   {"-to=bob@exam_ple.net", "To[0]"},
		"unreachable host": {"-url=smtp://127.0.0.1:1" + envelope, "check the port"}, // tcpmux, which nobody runs
		"bad URL":          {"-url=http://example.net" + envelope, "smtps://"},
		"no TLS":           {"-url=smtps://user:pencil@" + server.Addr + envelope, "use STARTTLS"},
		"no recipient":     {"-url=smtps://example.net\n-from=ann@example.com", "-to bob@example.net"},
		"no sender":        {"-url=smtps://example.net\n-to=bob@example.net", "-from ann@example.com"},
		"no flag":          {"bob@example.net\n-url=smtps://example.net", "is no flag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := quickstart(t, strings.Split(test.args, "\n")...)
			if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d: %s", status, stderr)
			}
			if strings.Contains(stdout, "MAIL FROM") || strings.Contains(stdout+stderr, "pencil") {
				t.Errorf("it went as far as\n%s", stdout)
			}
		})
	}
}
