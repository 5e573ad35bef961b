package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"

	"github.com/postrider/smtp/internal/testcert"
)

// TestPeersDeliver: every peer delivers the same text, HTML and file, over two sessions in
// the clear and over two with TLS and AUTH, the second of which resumes the TLS of the first.
func TestPeersDeliver(t *testing.T) {
	t.Parallel()
	for _, p := range waiting {
		for _, secure := range []bool{false, true} {
			for _, file := range []int64{0, 200_001} {
				deliver(t, p, secure, newLetter(3, file))
			}
		}
	}
}

func deliver(t *testing.T, p *peer, secure bool, l *letter) {
	var contents [][]byte
	s := &sink{roundTrip: time.Millisecond, keep: func(content []byte) { contents = append(contents, content) }}
	to := server{}
	if secure {
		certificate, _, err := testcert.Loopback()
		if err != nil {
			t.Fatal(err)
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{certificate}}
		to.tls = clientTLS(certificate.Leaf)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	to.addr = s.addr
	for range 2 {
		if err := sendSome(p, to, l); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	s.close()
	if s.mails.Load() != 6 || len(contents) != 6 {
		t.Errorf("%s: %d mails arrived, want 6", p.name, s.mails.Load())
	}
	if (s.resumed.Load() == 1) != secure {
		t.Errorf("%s: %d sessions of TLS were resumed", p.name, s.resumed.Load())
	}
	for _, content := range contents {
		check(t, p.name, l, content)
	}
}

func sendSome(p *peer, to server, l *letter) error {
	s, err := p.open(to)
	if err != nil {
		return err
	}
	return errors.Join(s.send(l), s.send(l, l), s.close())
}

// TestPeersBuild: what is built only is the same.
func TestPeersBuild(t *testing.T) {
	t.Parallel()
	for _, p := range builders {
		for _, file := range []int64{0, 200_001} {
			var b bytes.Buffer
			l := newLetter(1, file)
			if err := p.build(l, &b); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
			check(t, p.name, l, b.Bytes())
		}
	}
}

// check reads a message back.
func check(t *testing.T, name string, l *letter, content []byte) {
	t.Helper()
	r, err := mail.CreateReader(bytes.NewReader(content))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	to, err := r.Header.AddressList("To")
	if subject, _ := r.Header.Subject(); subject != l.subject || len(to) != len(l.to) || err != nil {
		t.Errorf("%s: the subject is %q, and it is for %d, %v", name, subject, len(to), err)
	}
	want := map[string]string{"text/plain": l.text, "text/html": l.html}
	if l.file > 0 {
		data, _ := io.ReadAll(l.open())
		want["application/octet-stream"] = string(data)
	}
	for {
		part, err := r.NextPart()
		if err != nil {
			break
		}
		checkPart(t, name, part, want)
	}
	for kind := range want {
		t.Errorf("%s: there is no %s", name, kind)
	}
}

// checkPart takes what is in a part off what is wanted.
func checkPart(t *testing.T, name string, part *mail.Part, want map[string]string) {
	t.Helper()
	data, err := io.ReadAll(part.Body)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), ";")
	got := string(data)
	if strings.HasPrefix(kind, "text/") {
		got = strings.TrimRight(strings.ReplaceAll(got, "\r\n", "\n"), "\n") + "\n"
	}
	if got != want[kind] {
		t.Errorf("%s: of %s, %d octets came, want %d", name, kind, len(got), len(want[kind]))
	}
	delete(want, kind)
}

// TestReport: what was measured and what was not is written, with ratios.
func TestReport(t *testing.T) {
	t.Parallel()
	r := &report{Results: []result{
		{Row: "waits/1", Column: postrider.name, Runs: []figures{{Units: 2, Wall: 4 * far}}},
		{Row: "waits/1", Column: netSMTP.name, Runs: []figures{{Units: 1, Wall: 4 * far}}},
		{Row: "memory/25MiB", Column: jordanWright.name, Runs: []figures{{Peak: 200 << 20}}},
		{Row: "memory/1GiB", Column: jordanWright.name, Why: "memory"},
		{Row: "memory/1GiB", Column: postrider.name, Runs: []figures{{Peak: 1 << 20}}},
	}, Behaviour: []finding{{"Is it?", map[string][]string{postrider.name: {yes}, netSMTP.name: {"SendMail: no", "steps: yes"}}}}}
	text := r.markdown()
	for _, want := range []string{"| 2.00 |", "| 4.00 |", "2.0 × |", "would need 8.0 GiB", "| 1. Is it? | yes | SendMail: no<br>steps: yes | "} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if chart, err := r.chart(); err != nil || !bytes.Contains(chart, []byte(netSMTP.name)) {
		t.Errorf("the chart lacks a bar: %v", err)
	}
}

func TestSignificant(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 0.0042: "0.0042", 0.25: "0.25", 1.234: "1.23", 2.345: "2.3", 9.99: "10.0", 12.34: "12.3", 19.97: "20.0", 34.5: "35", 1234567: "1,234,567"} {
		if got := significant(x); got != want {
			t.Errorf("significant(%v) = %q, want %q", x, got, want)
		}
	}
}

// raceDetector is on. It then finds races in the Pool of jordan-wright/email, which is not asked.
var raceDetector bool

// TestBehaviour: each question has an answer for everybody, and for Postrider it is the one
// that its README promises.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	asked := builders
	if raceDetector {
		asked = slices.DeleteFunc(slices.Clone(builders), func(p *peer) bool { return p == jordanWright })
	}
	findings, err := behave(asked)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{no, yes, yes, yes, yes, "nothing", "nothing", "nothing", no, yes}
	for i, f := range findings {
		if got := f.Answers[postrider.name]; len(got) != 1 || got[0] != want[i] {
			t.Errorf("%s %q, want %q", f.Ask, got, want[i])
		}
		for _, p := range asked {
			answers := f.Answers[p.name]
			t.Logf("%s %s: %s", f.Ask, p.name, strings.Join(answers, "; "))
			if len(answers) == 0 || slices.ContainsFunc(answers, func(s string) bool { return s == "" || len(s) > 25 }) {
				t.Errorf("%s: %s has no short answer: %q", f.Ask, p.name, answers)
			}
		}
	}
}

// TestQuestionsFind: a careless caller of net/smtp does all wrong, and each question finds it.
func TestQuestionsFind(t *testing.T) {
	t.Parallel()
	careless := bySteps(false, openLeniently, writeAsItComes)
	want := []string{yes, no, "only the code", no, no, "the mail", "the mail", "name, subject, file name, file type, header", "by QUIT, loss", "no, raw UTF-8"}
	for i, q := range questions {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) {
			t.Parallel()
			if got, err := q.answer(careless, learnNetSMTP); got != want[i] || err != nil {
				t.Errorf("%s %q, %v, want %q", q.ask, got, err, want[i])
			}
		})
	}
}

// TestProofs: what is said to show the same of Postrider is there.
func TestProofs(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	for _, q := range questions {
		for _, proof := range strings.Split(strings.ReplaceAll(q.proof, "`", ""), ", ") {
			found, err := filepath.Glob("../../" + proof + ".txt")
			if !strings.Contains(source.String(), "\nfunc "+proof+"(t *testing.T)") && len(found) == 0 {
				t.Errorf("%s: there is no %s, %v", q.ask, proof, err)
			}
		}
	}
}
