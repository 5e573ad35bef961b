//go:build interop

package smtp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/mail"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

// What the readers in internal/interop say of a message.
type (
	pythonReading struct {
		Header  map[string]any
		Leaves  []pythonLeaf
		Defects []string
	}
	pythonLeaf  struct{ Type, Charset, Method, Disposition, Name, ID, Description, Hash string }
	nodeReading struct {
		From, To, Cc, ReplyTo  [][2]string
		Subject, ID, InReplyTo string
		References             []string
		Text, HTML             string
		Files                  []nodeFile
	}
	nodeFile struct{ Type, Disposition, Name, ID, Hash string }
)

// TestPythonReads: Python's email package sees what was asked for, and no defect.
func TestPythonReads(t *testing.T) {
	t.Parallel()
	for name, got := range readings[pythonReading](t, "python3", "read.py") {
		p, err := shapes()[name].Prepare()
		if err != nil {
			t.Fatal(err)
		}
		var leaves []pythonLeaf
		for _, l := range asked(t, p).Leaves {
			mediaType, params, _ := mime.ParseMediaType(l.Type)
			leaves = append(leaves, pythonLeaf{mediaType, params["charset"], params["method"], l.Disposition, l.Name, l.ContentID, l.Description, hashOf(l.Body)})
		}
		if !reflect.DeepEqual(got.Leaves, leaves) {
			t.Errorf("%s: Python reads\n%+v\nwant\n%+v", name, got.Leaves, leaves)
		}
		// It takes the plain form of a file name beside the extended one for a second
		// parameter, and UTF-8 in a header for a mistake.
		if got.Defects = slices.DeleteFunc(got.Defects, func(defect string) bool {
			return strings.Contains(defect, "duplicate parameter name") || p.Delivery.UTF8 && strings.Contains(defect, "UndecodableBytes")
		}); len(got.Defects) > 0 {
			t.Errorf("%s: Python finds defects: %q", name, got.Defects)
		}
		want := map[string]any{"From": mailboxes(p.From), "To": mailboxes(p.To...)}
		for name, list := range map[string][]smtp.Address{"Cc": p.Cc, "Reply-To": p.ReplyTo} {
			if len(list) > 0 {
				want[name] = mailboxes(list...)
			}
		}
		if p.Sender != nil {
			want["Sender"] = mailboxes(*p.Sender)
		}
		for name, value := range asked(t, p).Header {
			if name = strings.Replace(name, "Message-Id", "Message-ID", 1); want[name] == nil && name != "List-Id" {
				want[name] = value
			}
		}
		if !reflect.DeepEqual(got.Header, want) {
			t.Errorf("%s: Python reads\n%v\nwant\n%v", name, got.Header, want)
		}
	}
}

// TestNodeReads: mailparser sees what was asked for.
func TestNodeReads(t *testing.T) {
	t.Parallel()
	for name, got := range readings[nodeReading](t, "node", "read.js") {
		p, err := shapes()[name].Prepare()
		if err != nil {
			t.Fatal(err)
		}
		want := nodeReading{
			From: pairs(p.From), To: pairs(p.To...), Cc: pairs(p.Cc...), ReplyTo: pairs(p.ReplyTo...), Subject: p.Subject,
			ID: "<" + p.MessageID + ">", InReplyTo: asked(t, p).Header["In-Reply-To"], References: strings.Fields(asked(t, p).Header["References"]),
			Files: []nodeFile{},
		}
		for _, l := range asked(t, p).Leaves {
			mediaType, _, _ := strings.Cut(l.Type, ";")
			switch {
			case l.Disposition == "" && mediaType == "text/plain":
				want.Text = strings.ReplaceAll(l.Body, "\r\n", "\n")
			case l.Disposition == "" && mediaType == "text/html":
				want.HTML = strings.ReplaceAll(l.Body, "\r\n", "\n")
			default:
				if strings.HasSuffix(l.Name, ".eml") { // It goes by the extension.
					mediaType = "message/rfc822"
				}
				want.Files = append(want.Files, nodeFile{mediaType, l.Disposition, l.Name, l.ContentID, hashOf(l.Body)})
			}
		}
		got.Text, want.Text = strings.TrimSpace(got.Text), strings.TrimSpace(want.Text)
		got.References = append([]string{}, got.References...)
		if want.References = append([]string{}, want.References...); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: mailparser reads\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

// readings runs a reader over the golden messages.
func readings[T any](t *testing.T, program, script string) map[string]T {
	t.Helper()
	paths, err := filepath.Glob("testdata/message/*.eml")
	if err != nil || len(paths) != len(shapes()) {
		t.Fatal(len(paths), err)
	}
	command := exec.CommandContext(t.Context(), program, filepath.Join("internal", "interop", script))
	command.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	all := map[string]T{}
	for _, path := range paths {
		var one T
		if err := decoder.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".eml")] = one
	}
	return all
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// mailboxes spells addresses as JSON does what Python says of them.
func mailboxes(list ...smtp.Address) any {
	all := []any{}
	for _, pair := range pairs(list...) {
		mailbox, _ := smtp.ToASCII(pair[1])
		all = append(all, []any{pair[0], mailbox})
	}
	return all
}

// pairs spells addresses but groups as mailparser does.
func pairs(list ...smtp.Address) [][2]string {
	all := [][2]string{}
	for _, a := range list {
		if a.Address != ":;" {
			spelled := (&mail.Address{Address: a.Address}).String()
			all = append(all, [2]string{a.Name, strings.TrimSuffix(spelled[1:], ">")})
		}
	}
	return slices.Clip(all)
}
