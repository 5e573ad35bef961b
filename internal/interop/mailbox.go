package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider/smtp"
)

// vmail owns the Maildirs.
const vmail = 3001

// boxes are the mailboxes that each server has.
func boxes() []string {
	list := []string{"alice", "bob", "uni", "jörg", "ann", "smuggled", "broken"}
	for i := range 100 {
		list = append(list, fmt.Sprintf("reader%02d", i))
	}
	return list
}

// mailbox is the Maildirs of a server, with what was delivered to them.
type mailbox struct {
	root string

	mu        sync.Mutex
	delivered map[string]*delivery // by path
}

// delivery is one copy of a mail.
type delivery struct {
	box, id string
	path    string
	claimed bool // by a check that waited for it
}

func newMailbox(root string) (*mailbox, error) {
	m := &mailbox{root: root, delivered: map[string]*delivery{}}
	for _, box := range boxes() {
		for _, part := range []string{"", "cur", "new", "tmp"} {
			path := filepath.Join(root, box, part)
			if err := os.MkdirAll(path, 0o755); err != nil {
				return nil, err
			}
			if box == "broken" {
				continue // It stays that of root, who alone could write to it.
			}
			if err := os.Chown(path, vmail, vmail); err != nil {
				return nil, err
			}
		}
	}
	return m, os.Chown(root, vmail, vmail)
}

// scan looks for what was delivered since.
func (m *mailbox) scan() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths, err := filepath.Glob(filepath.Join(m.root, "*", "new", "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if m.delivered[path] != nil {
			continue
		}
		id, err := messageID(path)
		if err != nil {
			return err
		}
		m.delivered[path] = &delivery{box: filepath.Base(filepath.Dir(filepath.Dir(path))), id: id, path: path}
	}
	return nil
}

func messageID(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	header, err := textproto.NewReader(bufio.NewReader(file)).ReadMIMEHeader()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strings.Trim(header.Get("Message-Id"), "<>"), nil
}

// await waits until the mail has come to each of the boxes, and returns the paths in
// their order. One copy too many, or one in another box, is an error.
func (m *mailbox) await(ctx context.Context, id string, boxes ...string) ([]string, error) {
	for {
		paths, err := m.claim(id, boxes)
		if paths != nil || err != nil {
			return paths, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s did not come to %d of %q", id, len(boxes)-m.count(id), boxes)
		case <-time.After(20 * time.Millisecond):
		}
		if err := m.scan(); err != nil {
			return nil, err
		}
	}
}

// claim returns the paths, or nil if some are missing.
func (m *mailbox) claim(id string, boxes []string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := make([]string, len(boxes))
	for path, d := range m.delivered {
		if d.id != id {
			continue
		}
		i := slices.Index(boxes, d.box)
		switch {
		case i < 0:
			return nil, fmt.Errorf("%s came to %s", id, d.box)
		case paths[i] != "":
			return nil, fmt.Errorf("%s came to %s twice", id, d.box)
		}
		paths[i] = path
	}
	if slices.Contains(paths, "") {
		return nil, nil
	}
	for _, path := range paths {
		m.delivered[path].claimed = true
	}
	return paths, nil
}

func (m *mailbox) count(id string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.delivered {
		if d.id == id {
			n++
		}
	}
	return n
}

// strays are deliveries that no check waited for.
func (m *mailbox) strays() (list []string, err error) {
	if err := m.scan(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.delivered {
		if !d.claimed {
			list = append(list, d.box+" got "+d.id)
		}
	}
	return list, nil
}

// sameContent compares what was delivered with what was sent: nothing but trace fields
// may have been put before it, the right sender among them by Return-Path (RFC 5321, section
// 4.4), and a Maildir has bare line feeds.
func sameContent(delivered, sent []byte, sender string) error {
	delivered, sent = normal(delivered), normal(sent)
	trace, ok := bytes.CutSuffix(delivered, sent)
	if !ok {
		return fmt.Errorf("something else arrived: %s", difference(delivered, sent))
	}
	told := false
	for line := range bytes.Lines(trace) {
		name, value, isField := strings.Cut(string(line), ":")
		if line[0] != ' ' && line[0] != '\t' && !(isField && slices.Contains(traceFields, strings.ToLower(name))) {
			return fmt.Errorf("a line was put before it: %q", line)
		}
		value = strings.Replace(value, "MAILER-DAEMON", "", 1) // as Sendmail spells nobody
		isSender := strings.EqualFold(name, "Return-Path")
		if told = told || isSender; isSender && strings.Trim(value, " <>\n") != strings.Trim(sender, "<>") {
			return fmt.Errorf("%q, and it was sent from %q", line, sender)
		}
	}
	if !told && sender != "<>" { // OpenSMTPD does not tell of nobody.
		return errors.New("it does not tell who sent it")
	}
	return nil
}

// normal has bare line feeds, and every field in one line, since Sendmail folds them anew.
func normal(message []byte) []byte {
	message = bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	header, body, _ := bytes.Cut(message, []byte("\n\n"))
	return slices.Concat(folds.ReplaceAll(header, []byte(" ")), []byte("\n\n"), body)
}

var folds = regexp.MustCompile(`\n[ \t]+`)

var traceFields = []string{"return-path", "received", "delivered-to", "x-original-to", "envelope-to"}

// difference shows the places from which on the two are not the same, read backwards.
func difference(a, b []byte) string {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	end := func(s []byte) []byte { return s[max(0, len(s)-n-60) : len(s)-n+min(n, 20)] }
	return fmt.Sprintf("%q instead of %q", end(a), end(b))
}

// unclaimed are the deliveries to a box that no check has waited for yet.
func (m *mailbox) unclaimed(box string) (list []*delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.delivered {
		if d.box == box && !d.claimed {
			list = append(list, d)
		}
	}
	return list
}

// remove makes room: the mail has been looked at.
func (m *mailbox) remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path, d := range m.delivered {
		if d.id == id && d.claimed {
			return os.Truncate(path, 0)
		}
	}
	return nil
}

// awaitReport waits for a report about a mail.
func (m *mailbox) awaitReport(ctx context.Context, box, id string) (*smtp.Report, error) {
	for ctx.Err() == nil {
		if err := m.scan(); err != nil {
			return nil, err
		}
		for _, d := range m.unclaimed(box) {
			raw, err := os.ReadFile(d.path)
			if err != nil {
				return nil, err
			}
			if r, err := smtp.ParseReport(bytes.NewReader(raw)); err == nil && r.MessageID == id {
				m.mu.Lock()
				d.claimed = true
				m.mu.Unlock()
				return r, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.New("no report came")
}
