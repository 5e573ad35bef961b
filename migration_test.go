package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/snippets"
	"github.com/postrider/smtp/smtptest"
)

// TestMigrationPage: what the page shows as After is compiled here; TestMigration runs it.
// What it shows as Before is compiled in internal/peers.
func TestMigrationPage(t *testing.T) {
	t.Parallel()
	blocks, err := snippets.Read("docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("migration_test.go")
	if err != nil {
		t.Fatal(err)
	}
	after := 0
	for _, block := range blocks {
		switch {
		case strings.HasPrefix(block.Title, "**Before**"):
		case !strings.HasPrefix(block.Title, "**After**"):
			t.Errorf("%q is neither Before nor After", block.Title)
		case !block.In(string(source)):
			t.Errorf("not compiled anywhere:\n%s", block.Code)
		default:
			after++
		}
	}
	if after != len(migrations)+3 { // the mailer of them all, and those with an authority and more sessions of their own
		t.Errorf("%d blocks of After, %d of them are run", after, len(migrations)+3)
	}
}

// migrations are the snippets of the page that send by one and the same mailer.
var migrations = []struct {
	name string
	send func(t *testing.T, mailer *smtp.Mailer) error
	want string // what arrives
}{
	{"net/smtp: text", migrateText, "[bob@example.net] Grüße text/plain\n"},
	{"net/smtp: ready octets", migrateReady, "[bob@example.net] Ready text/plain\n"},
	{"net/smtp: errors", migrateErrors, "[bob@example.net] Hi text/plain\n"},
	{"gomail: HTML, image and file", migrateHTML, "[bob@example.net archive@example.com] Figures multipart/mixed " +
		"multipart/alternative text/plain multipart/related text/html image/png application/pdf\n"},
	{"gomail: many", migrateMany, "[bob@example.net] Hi text/plain\n[eve@example.net] Hi text/plain\n"},
	{"gomail: a writer", migrateWriter, "[bob@example.net] Hi multipart/mixed text/plain text/csv\n"},
	{"gomail: a test", migrateTest, ""},
	{"go-mail: text", migrateLogin, "[bob@example.net] Hello text/plain\n"},
	{"go-mail: templates", migrateTemplate, "[bob@example.net] Hi multipart/mixed multipart/alternative text/plain " +
		"text/html application/pdf\n"},
	{"go-mail: retry", migrateRetry, "[bob@example.net] Hi text/plain\n[busy@example.net] Hi text/plain\n"},
	{"jordan-wright: text, HTML and file", migrateFile, "[bob@example.net carol@example.net] Figures multipart/mixed " +
		"multipart/alternative text/plain text/html application/pdf\n"},
	{"jordan-wright: a reader", migrateReader, "[bob@example.net] Hi multipart/mixed text/plain text/csv\n"},
	{"jordan-wright: pool", migratePool, "[bob@example.net] Hi text/plain\n"},
}

func TestMigration(t *testing.T) {
	t.Parallel()
	for _, m := range migrations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			server := migrationServer()
			defer server.Close()
			withMigrationMailer(server, func(mailer *smtp.Mailer) {
				if err := m.send(t, mailer); err != nil {
					t.Error(err)
				}
			})
			if got := arrived(t, server.Messages(), "ann@example.com"); got != m.want {
				t.Errorf("arrived:\n%swant:\n%s", got, m.want)
			}
		})
	}
}

const migrationPassword = "secret"

// migrationServer refuses the first mail to busy@, and all to nobody@.
func migrationServer() *smtptest.Server {
	return &smtptest.Server{
		Users: map[string]string{"ann@example.com": migrationPassword},
		On: func(step smtptest.Step) *smtptest.Fault {
			switch {
			case step.Command == "RCPT" && step.Address == "busy@example.net" && step.Message == 1:
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 450, Status: [3]int{4, 2, 1}, Text: "Mailbox busy"}}
			case step.Command == "RCPT" && step.Address == "nobody@example.net":
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "No such user"}}
			}
			return nil
		},
	}
}

// withMigrationMailer makes the mailer as the page does, and leads it to the server.
func withMigrationMailer(server *smtptest.Server, use func(*smtp.Mailer)) {
	password := migrationPassword

	mailer := &smtp.Mailer{Addr: "smtp.example.com:587", Auth: smtp.Password("ann@example.com", password)}
	defer mailer.Close()

	own := server.Mailer() // It knows the certificate, which is for localhost.
	mailer.DialContext, mailer.TLSConfig = server.DialContext, own.TLSConfig.Clone()
	mailer.TLSConfig.ServerName = "localhost"
	use(mailer)
}

// arrived tells of each mail whom it is for, its subject and the types of its parts.
func arrived(t *testing.T, messages []*smtptest.Message, user string) string {
	t.Helper()
	var b strings.Builder
	for _, m := range messages {
		if m.Err != nil || !m.TLS || m.Username != user {
			t.Errorf("TLS %t, user %q, %v", m.TLS, m.Username, m.Err)
		}
		fmt.Fprintf(&b, "%v %s%s\n", m.To, m.Subject, partTypes(&m.Part))
	}
	return b.String()
}

func partTypes(p *smtptest.Part) string {
	s := " " + p.Type
	for _, part := range p.Parts {
		s += partTypes(part)
	}
	return s
}

func migrateText(_ *testing.T, mailer *smtp.Mailer) error {
	_, err := mailer.Send(ctx, &smtp.Message{
		From:    smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:      []smtp.Address{{Address: "bob@example.net"}},
		Subject: "Grüße",
		Text:    "Hello, Bob.",
	})
	return err
}

func migrateReady(_ *testing.T, mailer *smtp.Mailer) error {
	ready := []byte("From: ann@example.com\r\nSubject: Ready\r\n\r\nHello.\r\n")

	_, err := mailer.Send(ctx, &smtp.Message{
		Raw:      smtp.FileBytes("", ready),
		Delivery: smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}},
	})
	return err
}

func migrateErrors(t *testing.T, mailer *smtp.Mailer) error {
	var told []string
	tell := func(a ...any) { told = append(told, fmt.Sprintln(a...)) }
	message := exampleMessage("bob@example.net", "nobody@example.net", "busy@example.net")

	result, err := mailer.Send(ctx, message)
	for _, r := range result.Recipients {
		var e *smtp.Error
		if errors.As(r.Err, &e) {
			tell(r.Address, r.Outcome, e.Reply.Code, e.Temporary())
		}
	}

	want := []string{"nobody@example.net refused 550 false\n", "busy@example.net refused 450 true\n"}
	if err == nil || !slices.Equal(told, want) {
		t.Errorf("told %q: %v", told, err)
	}
	return nil
}

// migrationFiles is a directory with the files that the snippets attach.
func migrationFiles(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"logo.png", "q3.pdf", "q3.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("..."), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func migrateHTML(t *testing.T, mailer *smtp.Mailer) error {
	dir := migrationFiles(t)

	_, err := mailer.Send(ctx, &smtp.Message{
		From:        smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:          []smtp.Address{{Address: "bob@example.net"}},
		Bcc:         []smtp.Address{{Address: "archive@example.com"}},
		Subject:     "Figures",
		Header:      smtp.Header{{Name: "X-Campaign", Value: "q3"}},
		Text:        "See the attachment.",
		HTML:        `<p><img src="cid:logo.png"> See the attachment.</p>`,
		Inline:      []smtp.File{smtp.FilePath(dir + "/logo.png")},
		Attachments: []smtp.File{smtp.FilePath(dir + "/q3.pdf")},
	})
	return err
}

func migrateMany(t *testing.T, mailer *smtp.Mailer) error {
	var failed []string
	logf := func(format string, a ...any) { failed = append(failed, fmt.Sprintf(format, a...)) }
	messages := []*smtp.Message{
		exampleMessage("bob@example.net"), exampleMessage("nobody@example.net"), exampleMessage("eve@example.net"),
	}
	mailer.MaxConns = 1 // so that the order is certain

	for result, err := range mailer.SendAll(ctx, slices.Values(messages)) {
		if err != nil {
			logf("%v: %v", result.Message.To, err) // the others go on
		}
	}

	if len(failed) != 1 || !strings.Contains(failed[0], "No such user") {
		t.Errorf("failed: %q", failed)
	}
	return nil
}

func migrateWriter(_ *testing.T, mailer *smtp.Mailer) error {
	message := exampleMessage("bob@example.net")
	writeFigures := func(w io.Writer) error {
		_, err := io.WriteString(w, "1;2\n")
		return err
	}

	message.Attachments = []smtp.File{{Name: "q3.csv", Open: func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeFigures(w)) }()
		return r, nil
	}}}

	_, err := mailer.Send(ctx, message)
	return err
}

// migrateTest needs no mailer: the code under test gets the recorder in its place.
func migrateTest(t *testing.T, _ *smtp.Mailer) error {
	message := exampleMessage("bob@example.net")

	var recorder smtptest.Recorder
	_, err := recorder.Send(ctx, message) // the code under test takes an smtp.Sender
	if got := recorder.Messages(); len(got) != 1 || got[0].Subject != "Hi" {
		t.Errorf("sent: %+v", got)
	}

	return err
}

func migrateLogin(_ *testing.T, mailer *smtp.Mailer) error {
	_, err := mailer.Send(ctx, &smtp.Message{
		From:    smtp.Address{Address: "ann@example.com"},
		To:      []smtp.Address{{Address: "bob@example.net"}},
		Subject: "Hello",
		Text:    "Hello, Bob.",
	})
	return err
}

func migrateTemplate(_ *testing.T, mailer *smtp.Mailer) error {
	message := exampleMessage("bob@example.net")
	page := template.Must(template.New("page").Parse("<p>{{.}}</p>"))
	data := "Bob & Eve"
	files := fstest.MapFS{"terms.pdf": {Data: []byte("...")}}

	var html strings.Builder
	if err := page.Execute(&html, data); err != nil {
		return err
	}
	message.HTML = html.String()
	message.Attachments = []smtp.File{smtp.FileFS(files, "terms.pdf")}

	_, err := mailer.Send(ctx, message)
	return err
}

func migrateRetry(t *testing.T, mailer *smtp.Mailer) error {
	later := func() {}
	message, err := exampleMessage("bob@example.net", "busy@example.net", "nobody@example.net").Prepare()
	if err != nil {
		return err
	}

	result, err := mailer.Send(ctx, message) // prepared: each try has the same Message-ID
	if again := result.Remaining(); len(again) > 0 {
		later()
		message.Delivery.To = again // not those who have it, or may have it
		result, err = mailer.Send(ctx, message)
	}

	if len(result.Recipients) != 1 || result.MessageID != message.MessageID {
		t.Errorf("the second try: %+v", result)
	}
	return err
}

func migrateFile(t *testing.T, mailer *smtp.Mailer) error {
	dir := migrationFiles(t)

	_, err := mailer.Send(ctx, &smtp.Message{
		From:        smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:          []smtp.Address{{Address: "bob@example.net"}},
		Cc:          []smtp.Address{{Address: "carol@example.net"}},
		Subject:     "Figures",
		Text:        "See the attachment.",
		HTML:        "<p>See the attachment.</p>",
		Attachments: []smtp.File{smtp.FilePath(dir + "/q3.pdf")},
	})
	return err
}

func migrateReader(t *testing.T, mailer *smtp.Mailer) error {
	path := migrationFiles(t) + "/q3.csv"
	message := exampleMessage("bob@example.net")

	message.Attachments = []smtp.File{{Name: "q3.csv", Type: "text/csv", Open: func() (io.ReadCloser, error) {
		return os.Open(path) // or a download: again for each try
	}}}

	_, err := mailer.Send(ctx, message)
	return err
}

func migratePool(_ *testing.T, ofAll *smtp.Mailer) error {
	message, password := exampleMessage("bob@example.net"), migrationPassword

	mailer := &smtp.Mailer{Addr: "smtp.example.com:587", Auth: smtp.Password("ann@example.com", password), MaxConns: 4}
	defer mailer.Close()

	mailer.DialContext, mailer.TLSConfig = ofAll.DialContext, ofAll.TLSConfig

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := mailer.Send(ctx, message) // from any goroutine
	return err
}

// TestMigrationAuthority: in place of InsecureSkipVerify, a certificate that is known.
func TestMigrationAuthority(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	addr, authority, message := server.Addr, server.TLSConfig.RootCAs, exampleMessage("bob@example.net")

	mailer := &smtp.Mailer{Addr: addr, TLSConfig: &tls.Config{RootCAs: authority}}
	defer mailer.Close()

	if _, err := mailer.Send(ctx, message); err != nil {
		t.Error(err)
	}
	if got := arrived(t, server.Messages(), ""); got != "[bob@example.net] Hi text/plain\n" {
		t.Errorf("arrived: %s", got)
	}
}
