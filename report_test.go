package smtp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/smtp"
)

// TestReports reads mails that were written for this test, from the examples of the
// RFCs, in the layouts of many servers and with what these get wrong, each with its
// expected result beside it. Those that are no reports have an error there.
func TestReports(t *testing.T) {
	t.Parallel()
	files := reportFiles(t, "written", 430)
	for _, path := range files {
		var want reportView
		readJSON(t, path, &want)
		if got := viewOf(smtp.ParseReport(readerOf(t, path))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%s\nwant:\n%s", filepath.Base(path), inJSON(t, got), inJSON(t, want))
		}
		if got := viewOf(smtp.ParseReport(iotest.OneByteReader(readerOf(t, path)))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s, octet by octet:\n%s", filepath.Base(path), inJSON(t, got))
		}
	}
}

// sentMail is what a mail asked that a server wrote a report about.
type sentMail struct {
	EnvelopeID string
	MessageID  string
	Event      string // the actions that are reported
	Recipients []struct {
		Address, OriginalRecipient string
		Notify                     []string
	}
}

// TestServerReports reads what real servers wrote about mails that this package had
// sent them, and finds these mails by all that was asked to be told.
func TestServerReports(t *testing.T) {
	t.Parallel()
	for _, path := range reportFiles(t, "servers", 90) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			var sent sentMail
			readJSON(t, path, &sent)
			report, err := smtp.ParseReport(readerOf(t, path))
			if err != nil {
				t.Fatal(err)
			}
			// OpenSMTPD keeps neither ENVID nor ORCPT, and Postfix alone says what it expands.
			forgetful := strings.HasPrefix(filepath.Base(path), "opensmtpd")
			if report.EnvelopeID != sent.EnvelopeID && !forgetful {
				t.Errorf("EnvelopeID %q, want %q", report.EnvelopeID, sent.EnvelopeID)
			}
			if report.MessageID != sent.MessageID {
				t.Errorf("MessageID %q, want %q", report.MessageID, sent.MessageID)
			}
			var events []string
			for _, r := range report.Recipients {
				events = append(events, r.Verdict.String())
				if r.Status.Class == 0 || r.Temporary() != (r.Status.Class == 4) {
					t.Errorf("%s: %v, temporary %v", r.Address(), r.Status, r.Temporary())
				}
				if !sent.names(r.Address()) && !(forgetful && sent.Recipients[0].Address == "team@test.example") {
					t.Errorf("the mail was not for %q", r.Address())
				}
			}
			slices.Sort(events)
			if got := strings.Join(slices.Compact(events), "/"); got != strings.TrimPrefix(sent.Event, "none") {
				t.Errorf("events %q, want %q", got, sent.Event)
			}
		})
	}
}

// names tells whether the mail was for an address, or for another one instead of it.
func (m sentMail) names(address string) bool {
	for _, r := range m.Recipients {
		if r.Address == address || r.OriginalRecipient == address {
			return true
		}
	}
	return false
}

func reportFiles(t testing.TB, dir string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/report/" + dir + "/*.eml")
	if err != nil || len(files) < atLeast {
		t.Fatal(len(files), err)
	}
	return files
}

func readerOf(t testing.TB, path string) io.Reader {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(strings.TrimSuffix(path, ".eml") + ".json")
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(path, err)
	}
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReportBounds: what a stranger sends has bounds, and costs no more than linear time:
// the like of these would else take minutes. A mail that cannot be read is not called no
// report.
func TestReportBounds(t *testing.T) {
	t.Parallel()
	const head = "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
	recipient := "Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.1.1\n\n"
	for name, test := range map[string]struct {
		mail string
		want string // in the error; empty: there is none
	}{
		"1 MiB in one field":       {head + "X: " + strings.Repeat("x", 1<<20), "over 1 MiB of fields"},
		"1 MiB in many fields":     {head + strings.Repeat(recipient, 20_000), "over 1 MiB of fields"},
		"1 MiB of header":          {"X: " + strings.Repeat("x", 1<<20) + "\n\n", "over 1 MiB of fields"},
		"1 MiB of folds":           {head + "X: x\n" + strings.Repeat(" x\n", 1<<19), "over 1 MiB of fields"},
		"many parts":               {"Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n", 2000), "over 1000 parts"},
		"deep multiparts":          {deep("multipart/mixed; boundary=%d", 100) + head + recipient, "not a report"},
		"deep messages":            {strings.Repeat("Content-Type: message/rfc822\n\n", 100) + head + recipient, "not a report"},
		"nested as it may be":      {strings.Repeat("Content-Type: message/rfc822\n\n", 8) + head + recipient, ""},
		"nested once more":         {strings.Repeat("Content-Type: message/rfc822\n\n", 9) + head + recipient, "not a report"},
		"likely, and early":        {"From: MAILER-DAEMON\n\n" + strings.Repeat("x\n", 100_000) + "\n" + recipient, ""},
		"likely, and too late":     {"From: MAILER-DAEMON\n\n" + strings.Repeat("x\n", 200_000) + "\n" + recipient, "not a report"},
		"just below":               {head + strings.Repeat(recipient, 10_000), ""},
		"a large returned mail":    {head + recipient + "--b\nContent-Type: message/rfc822\n\nSubject: x\n\n" + strings.Repeat("x", 8<<20), ""},
		"no recipient at all":      {head + strings.Repeat("Reporting-MTA:\n", 60_000), ""},
		"too many lines":           {head + strings.Repeat("X:\n", 100_001), "over 100,000 lines"},
		"a long boundary":          {"Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 500_000) + "\n\n" + strings.Repeat("\n", 1<<20), "not a report"},
		"a broken encoding":        {"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("x", 8192), "not a report"},
		"lines that are no fields": {"From: a\n" + strings.Repeat(strings.Repeat("a\n", 500)+"X:\n", 900), "not a report"},
		"many parts behind it":     {head + recipient + strings.Repeat("--b\n\n", 2000), ""},
		"a broken part before":     {"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\n!!!!\n" + head[strings.Index(head, "--b"):] + recipient, ""},
		"many dates":               {head + strings.Repeat("X:\n", 60_000) + strings.Repeat("Arrival-Date:\n", 30_000), ""},
		"many recipients":          {head + strings.Repeat("X:\n", 60_000) + strings.Repeat("Original-Recipient:\n", 20_000), ""},
		"many actions":             {head + recipient + strings.Repeat("X:\n", 60_000) + strings.Repeat("Action:\n\n", 15_000), ""},
		"a large line":             {strings.Repeat("x", 8<<20), "not a report"},
		"a large text of daemon":   {"From: MAILER-DAEMON\n\n" + strings.Repeat("Hello: you\n", 1<<18), "not a report"},
	} {
		report, err := smtp.ParseReport(strings.NewReader(test.mail))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if (report == nil) != (err != nil) {
			t.Errorf("%s: %v and %v", name, report, err)
		}
	}
	_, err := smtp.ParseReport(io.MultiReader(strings.NewReader(head), iotest.ErrReader(errDisk)))
	if !errors.Is(err, errDisk) || errors.Is(err, smtp.ErrNotReport) {
		t.Error(err)
	}
}

// TestReportMemory: a mail of 64 MiB, of which nothing matters, is read in the memory
// of its buffers.
func TestReportMemory(t *testing.T) {
	for name, head := range map[string]string{
		"one line":        "From: MAILER-DAEMON\n\n",
		"parts":           "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n",
		"no boundary":     "Content-Type: multipart/report; boundary=b\n\n",
		"returned":        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\n",
		"nested messages": strings.Repeat("Content-Type: message/rfc822\n\n", 8) + "Content-Type: multipart/mixed; boundary=b\n\n",
	} {
		for _, line := range []string{strings.Repeat("x", 4096), strings.Repeat("QUJD", 19) + "\n"} {
			const size = 64 << 20
			body := io.LimitReader(&repeated{line: line}, size)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := smtp.ParseReport(io.MultiReader(strings.NewReader(head), body))
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, smtp.ErrNotReport) || allocated > 4<<20 {
				t.Errorf("%s: %v, and %d octets were allocated for %d", name, err, allocated, size)
			}
			_, err = smtp.ParseBounce(io.MultiReader(strings.NewReader(head), io.LimitReader(&repeated{line: line}, size)))
			if !errors.Is(err, smtp.ErrNotReport) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// repeated repeats a line.
type repeated struct {
	line string
	at   int
}

func (e *repeated) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}

// deep nests n multiparts.
func deep(kind string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: "+kind+"\n\n--%d\n", i, i)
	}
	return b.String()
}

// FuzzParseReport: there is no panic, and what is kept has bounds.
func FuzzParseReport(f *testing.F) {
	addReports(f)
	f.Fuzz(func(t *testing.T, mail []byte) {
		report, err := smtp.ParseReport(bytes.NewReader(mail))
		if (report == nil) != (err != nil) {
			t.Fatalf("%v and %v", report, err)
		}
		if report == nil {
			return
		}
		kept := 0
		for _, fields := range append(fieldsOf(report.Recipients), report.Fields, report.Returned) {
			for name, values := range fields {
				for _, value := range values {
					kept += len(name) + len(value)
				}
			}
		}
		if kept > 4*len(mail) {
			t.Errorf("%d octets were kept of %d", kept, len(mail))
		}
		for _, r := range report.Recipients {
			if r.Verdict > smtp.Failed || r.Temporary() && r.Verdict < smtp.Delayed && r.Verdict != 0 {
				t.Errorf("%v, %v", r.Verdict, r.Temporary())
			}
		}
	})
}

func fieldsOf(recipients []smtp.RecipientReport) (list []map[string][]string) {
	for _, r := range recipients {
		list = append(list, r.Fields)
	}
	return list
}

func addReports(f *testing.F) {
	for _, dir := range []string{"written", "servers"} {
		for _, path := range reportFiles(f, dir, 90) {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// BenchmarkParseReport shows that twice the recipients take twice the time.
func BenchmarkParseReport(b *testing.B) {
	for _, n := range []int{1, 1000, 2000, 4000} {
		var mail strings.Builder
		mail.WriteString("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n")
		for range n {
			mail.WriteString("Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n\n")
		}
		b.Run(fmt.Sprintf("recipients=%d", n), func(b *testing.B) {
			b.SetBytes(int64(mail.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := smtp.ParseReport(strings.NewReader(mail.String())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
