// Package examples_test runs the examples.
package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp/smtptest"
)

// shown are words of what an example is to show, where that is not what arrived.
var shown = map[string][]string{
	"attachments":   {`text/markdown "README.md"`, `"terms.txt"`, `"note.txt"`, `"stored-terms.txt"`, `"orders.csv", base64, 1188903 bytes`},
	"bounces":       {"carol@example.org: failed, for good"},
	"bulk":          {"accepted: 7\n", `refused by 550 5.1.1 "no such mailbox": reader3@example.net, reader8@example.net`, "tried again: reader6@example.net\n", "unknown: reader10@example.net\n"},
	"clientcert":    {"without a certificate: smtp: ", "certificate required", "the certificate of ann", `"By certificate"`},
	"doctor":        {"No -url and no -domain: ", "> publish one of 2048 bits", "27 ok, 2 to look at, 0 failed"},
	"dsn":           {"bob@example.net delivered", "carol@example.org delayed", "sales@example.com failed", "not taken: "},
	"international": {"taro@example.jp"},
	"notify":        {"accepted 250 2.0.0 \"OK: queued\"\nbusy: <nil>\n\nbusy: <nil>\n", "lost: bob@example.net: unknown", "lost-and-repeated: <nil>", "unwelcome: bob@example.net: refused"},
	"oauth2":        {"asked for refresh_token", `"No password"`},
	"proxy":         {"CONNECT", "sent"},
	"quickstart":    {"What arrived"},
}

// TestExamples: each runs without arguments, and shows something, and the README of the
// folder names it.
func TestExamples(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob("*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, program := range programs {
		if !strings.Contains(string(readme), "]("+filepath.ToSlash(program)+") |") {
			t.Errorf("README.md does not name %s", program)
		}
		name := filepath.Dir(program)
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
			continue // It is not of this module.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := build(t, name)
			shows(t, name, run(t, program))
			if without[name] == "" {
				sends(t, program)
			}
		})
	}
}

func build(t *testing.T, name string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func run(t *testing.T, program string, args ...string) (stdout string) {
	t.Helper()
	var stderr strings.Builder
	command := exec.CommandContext(t.Context(), program, args...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// shows looks for what an example is to show.
func shows(t *testing.T, name, stdout string) {
	t.Helper()
	words, ok := shown[name]
	if !ok {
		words = []string{"arrived: "}
	}
	for _, want := range words {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

// without are the examples that cannot send by just any server, and why.
var without = map[string]string{
	"bounces":    "it reads, as from files",
	"clientcert": "it wants a certificate",
	"doctor":     "it sends nothing",
	"oauth2":     "it wants an account",
	"steps":      "it shows STARTTLS, with a certificate that the system trusts",
}

// sends has an example send by a server that it does not know.
func sends(t *testing.T, program string) {
	t.Helper()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.NoTLS, s.LMTP = true, strings.HasSuffix(program, "lmtp")
	})
	url := "smtp://user:pencil@" + server.Addr + "?tls=none&plaintext-auth=true"
	if server.LMTP {
		url += "&lmtp=true"
	}
	if exec.CommandContext(t.Context(), program, "-url", url).Run() == nil || len(server.Messages()) > 0 {
		t.Error("by -url, made-up people write to each other")
	}
	stdout := run(t, program, "-url", url, "-from", "eve@example.com", "-to", "dave@example.net")
	if stdout == "" || strings.Contains(stdout, "pencil") {
		t.Errorf("by -url, it shows %q", stdout)
	}
	messages := server.Messages()
	if len(messages) == 0 || !slices.Contains(messages[0].To, "dave@example.net") || messages[0].Username != "user" {
		t.Errorf("by -url, what arrived is %+v", messages)
	}
}

// TestToCopy: the file with the name of an example can be copied alone, as the README of
// the folder says.
func TestToCopy(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(readme), "copy one file of ")
	list, _, _ = strings.Cut(list, ", that with")
	var names []string
	for name := range strings.SplitSeq(strings.ReplaceAll(list, " and ", ", "), ", ") {
		names = append(names, strings.Trim(name, "`"))
	}
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Dir(file)
		if filepath.Base(file) != name+".go" {
			continue
		}
		if !slices.Contains(names, name) {
			t.Errorf("README.md does not name %s", file)
		}
		names = slices.DeleteFunc(names, func(other string) bool { return other == name })
		overlay := alone(t, name)
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", os.DevNull, "./"+name).CombinedOutput(); err != nil {
			t.Errorf("%s alone: %v\n%s", file, err, out)
		}
	}
	if len(names) > 0 {
		t.Errorf("README.md names %v, which have no such file", names)
	}
}

// alone makes an overlay for go build that leaves of an example only the file with its name.
func alone(t *testing.T, name string) (overlay string) {
	t.Helper()
	folder := t.TempDir()
	files, err := filepath.Glob(name + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[string]string{}
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		switch filepath.Base(file) {
		case name + ".go":
		case "main.go":
			replaced[path] = filepath.Join(folder, "main.go")
			err = os.WriteFile(replaced[path], []byte("package main\n\nfunc main() {}\n"), 0o600)
		default:
			replaced[path] = "" // It is not there.
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
