package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
)

// readingChecks are about what others see in the messages that were delivered.
func readingChecks() []check {
	number := len(readback.Messages())
	return []check{
		{fmt.Sprintf("%d messages, read by net/mail", number), byParser(readback.Standard)},
		{fmt.Sprintf("%d messages, read by go-message", number), byParser(readback.GoMessage)},
		{fmt.Sprintf("%d messages, read by Python's email", number), byPython},
		{fmt.Sprintf("%d messages, read by mailparser", number), byMailparser},
	}
}

// sample is a message that was sent and has come.
type sample struct {
	name string
	sent *smtp.Message // prepared
	want readback.Content
	path string // of what was delivered, with CRLF
}

// samples sends all kinds of messages, once for all the checks, and waits for them. Those
// which the server cannot take, as it lacks SMTPUTF8, are left out.
func (t *trial) samples() ([]sample, error) {
	if t.server.samples != nil {
		return t.server.samples, nil
	}
	mailer := t.mailer()
	defer mailer.Close()
	messages := readback.Messages()
	var all []sample
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		one, err := t.sample(mailer, name, messages[name])
		if errors.Is(err, errors.ErrUnsupported) && messages[name].Delivery.UTF8 {
			if proof := t.proof(t, "SMTPUTF8", err); !errors.As(proof, new(notOffered)) {
				return nil, proof
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, one)
	}
	t.server.samples = all
	return all, nil
}

func (t *trial) sample(mailer *smtp.Mailer, name string, m *smtp.Message) (sample, error) {
	m.MessageID = newID()
	if m.Delivery.From == "" {
		m.Delivery.From = "ann@test.example"
	}
	m.Delivery.To = []smtp.Recipient{{Address: "alice@test.example"}}
	p, err := m.Prepare()
	if err != nil {
		return sample{}, err
	}
	if _, err := mailer.Send(t, p); err != nil {
		return sample{}, err
	}
	paths, err := t.boxes.await(t, p.MessageID, "alice")
	if err != nil {
		return sample{}, err
	}
	delivered, err := os.ReadFile(paths[0])
	if err != nil {
		return sample{}, err
	}
	s := sample{name: name, sent: p, path: filepath.Join("/tmp", t.server.name, name+".eml")}
	s.want, err = readback.Asked(p)
	lines := bytes.ReplaceAll(bytes.ReplaceAll(delivered, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	return s, errors.Join(err, write(s.path, lines, 0o644))
}

// byParser reads the samples by a parser in Go.
func byParser(read func([]byte) (readback.Content, error)) func(*trial) error {
	return func(t *trial) error {
		samples, err := t.samples()
		for _, s := range samples {
			raw, readErr := os.ReadFile(s.path)
			if readErr != nil {
				return readErr
			}
			got, err := read(raw)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if !reflect.DeepEqual(got, s.want) {
				return fmt.Errorf("%s: it reads %+v, want %+v", s.name, got, s.want)
			}
		}
		return err
	}
}

// readings has the samples read by a program, which writes an object of JSON for each.
func readings[T any](t *trial, samples []sample, program ...string) ([]T, error) {
	var paths strings.Builder
	for _, s := range samples {
		paths.WriteString(s.path + "\n")
	}
	command := exec.CommandContext(t, program[0], program[1:]...)
	command.Stdin = strings.NewReader(paths.String())
	command.Env = append(os.Environ(), "NODE_PATH=/srv/node_modules")
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, complaints.String())
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	all := make([]T, len(samples))
	for i := range all {
		if err := decoder.Decode(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// What read.py says of a message.
type (
	pythonReading struct {
		Mailboxes map[string][][2]string
		Header    map[string]string
		Leaves    []pythonLeaf
		Defects   []string
	}
	pythonLeaf struct{ Type, Charset, Method, Disposition, Name, ID, Description, Hash string }
)

func byPython(t *trial) error {
	samples, err := t.samples()
	if err != nil {
		return err
	}
	all, err := readings[pythonReading](t, samples, "python3", "/srv/bin/read.py")
	for i, got := range all {
		// It takes the plain form of a file name beside the extended one for a second
		// parameter, and UTF-8 in a header for a mistake.
		got.Defects = slices.DeleteFunc(got.Defects, func(defect string) bool {
			return strings.Contains(defect, "duplicate parameter name") || samples[i].sent.Delivery.UTF8 && strings.Contains(defect, "UndecodableBytes")
		})
		for _, list := range got.Mailboxes {
			for i := range list {
				list[i] = comparable(list[i][0], list[i][1])
			}
		}
		if want := samples[i].forPython(); !reflect.DeepEqual(got.Leaves, want.Leaves) || !reflect.DeepEqual(got.Mailboxes, want.Mailboxes) || !reflect.DeepEqual(got.Header, want.Header) || len(got.Defects) > 0 {
			return fmt.Errorf("%s: it reads %+v, want %+v", samples[i].name, got, want)
		}
	}
	return err
}

// comparable takes the spaces out of names, since Python keeps the ones between two
// encoded words, which RFC 2047, section 6.2 says are not shown; and the quotes out of
// addresses, of which both programs leave some out.
func comparable(name, address string) [2]string {
	return [2]string{strings.ReplaceAll(name, " ", ""), strings.ReplaceAll(address, `"`, "")}
}

func (s sample) forPython() pythonReading {
	want := pythonReading{Mailboxes: map[string][][2]string{}, Header: map[string]string{}}
	for _, l := range s.want.Leaves {
		mediaType, params, _ := mime.ParseMediaType(l.Type)
		want.Leaves = append(want.Leaves, pythonLeaf{mediaType, params["charset"], params["method"], l.Disposition, l.Name, l.ContentID, l.Description, hash(l.Body)})
	}
	lists := map[string][]smtp.Address{"From": {s.sent.From}, "To": s.sent.To, "Cc": s.sent.Cc, "Reply-To": s.sent.ReplyTo}
	if s.sent.Sender != nil {
		lists["Sender"] = []smtp.Address{*s.sent.Sender}
	}
	for name, list := range lists {
		if len(list) > 0 || name == "To" {
			want.Mailboxes[name] = mailboxes(list, smtp.ToASCII)
		}
	}
	for name, value := range s.want.Header {
		if _, done := want.Mailboxes[name]; !done && name != "List-Id" {
			want.Header[strings.Replace(name, "Message-Id", "Message-ID", 1)] = value
		}
	}
	return want
}

// mailboxes are names and addresses, as a reader shows them, without groups.
func mailboxes(list []smtp.Address, shown func(string) (string, error)) [][2]string {
	all := [][2]string{}
	for _, a := range list {
		if address, err := shown(a.Address); err == nil && a.Address != ":;" {
			all = append(all, comparable(a.Name, address))
		}
	}
	return all
}

// What read.js says of a message.
type (
	mailparserReading struct {
		From, To, Cc, ReplyTo  [][2]string
		Subject, ID, InReplyTo string
		References             []string
		Text, HTML             string
		Files                  []mailparserFile
	}
	mailparserFile struct{ Type, Disposition, Name, ID, Hash string }
)

func byMailparser(t *trial) error {
	samples, err := t.samples()
	if err != nil {
		return err
	}
	all, err := readings[mailparserReading](t, samples, "node", "/srv/bin/read.js")
	for i, got := range all {
		want := samples[i].forMailparser()
		got.Text, want.Text = strings.TrimSpace(got.Text), strings.TrimSpace(want.Text)
		for _, list := range [][][2]string{got.From, got.To, got.Cc, got.ReplyTo} {
			for i := range list {
				list[i] = comparable(list[i][0], list[i][1])
			}
		}
		if got.References = append([]string{}, got.References...); !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s: it reads %+v, want %+v", samples[i].name, got, want)
		}
	}
	return err
}

func (s sample) forMailparser() mailparserReading {
	p := s.sent
	want := mailparserReading{
		From: inUnicode([]smtp.Address{p.From}), To: inUnicode(p.To), Cc: inUnicode(p.Cc), ReplyTo: inUnicode(p.ReplyTo), Subject: p.Subject,
		ID: "<" + p.MessageID + ">", InReplyTo: s.want.Header["In-Reply-To"], References: append([]string{}, strings.Fields(s.want.Header["References"])...),
		Files: []mailparserFile{},
	}
	for _, l := range s.want.Leaves {
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
			want.Files = append(want.Files, mailparserFile{mediaType, l.Disposition, l.Name, l.ContentID, hash(l.Body)})
		}
	}
	return want
}

func inUnicode(list []smtp.Address) [][2]string { return mailboxes(list, smtp.ToUnicode) }

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
