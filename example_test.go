package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	gotoken "go/token"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/snippets"
	"github.com/postrider/smtp/smtptest"
)

var ctx = context.Background()

func Example() {
	mailer := &smtp.Mailer{Addr: "smtp.example.com:587", Auth: smtp.Password("ann@example.com", os.Getenv("PASSWORD"))}
	defer mailer.Close()
	_, err := mailer.Send(ctx, &smtp.Message{
		From:        smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:          []smtp.Address{{Address: "bob@example.net"}},
		Subject:     "Quarterly figures",
		Text:        "See the attachment.",
		HTML:        "<p>See the attachment.</p>",
		Attachments: []smtp.File{smtp.FilePath("q3.pdf")},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A Sender is all that code needs which sends mail; a test hands it a recorder.
func ExampleSender() {
	recorder := &smtptest.Recorder{}
	recorder.On = func(step smtptest.Step) *smtptest.Fault {
		if step.Command == "END" && step.Message == 2 {
			return &smtptest.Fault{Drop: true} // The second mail is taken, but its sender is not told.
		}
		return nil
	}
	fmt.Println(signUp(ctx, recorder, "bob@example.net"))
	var e *smtp.Error
	if errors.As(signUp(ctx, recorder, "carol@example.org"), &e) && e.Unknown {
		fmt.Println("a second try may be a second mail")
	}
	fmt.Println(len(recorder.Messages()), "arrived")
	// Output:
	// <nil>
	// a second try may be a second mail
	// 2 arrived
}

func exampleMessage(to ...string) *smtp.Message {
	m := &smtp.Message{From: smtp.Address{Address: "ann@example.com"}, Subject: "Hi", Text: "Hello."}
	for _, address := range to {
		m.To = append(m.To, smtp.Address{Address: address})
	}
	return m
}

// exampleServer knows bob, and a mailbox that is full. It may offer further extensions.
func exampleServer(offer ...string) (*smtptest.Server, *smtp.Mailer) {
	server := &smtptest.Server{Offer: offer, On: func(step smtptest.Step) *smtptest.Fault {
		switch {
		case step.Command == "RCPT" && strings.HasPrefix(step.Address, "nobody@"):
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "No such user"}}
		case step.Command == "RCPT" && strings.HasPrefix(step.Address, "full@"):
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 452, Status: [3]int{4, 2, 2}, Text: "Mailbox full"}}
		}
		return nil
	}}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	return server, server.Mailer()
}

// TestSignUp is a recipe: a test of code that sends mail.
func TestSignUp(t *testing.T) {
	server := smtptest.NewServer(t)
	mailer := server.Mailer()
	defer mailer.Close()

	if err := signUp(t.Context(), mailer, "bob@example.net"); err != nil {
		t.Fatal(err)
	}
	if got := server.Messages(); len(got) != 1 || got[0].To[0] != "bob@example.net" || got[0].Subject != "Welcome" {
		t.Errorf("what arrived: %+v", got)
	}
}

func signUp(ctx context.Context, sender smtp.Sender, address string) error {
	message := exampleMessage(address)
	message.Subject = "Welcome"
	_, err := sender.Send(ctx, message)
	return err
}

// TestExamples: each exported type has an example, and each example is run.
func TestExamples(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, path := range exampleFiles(t) {
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, example := range doc.Examples(file) {
			name, _, _ := strings.Cut(example.Name, "_")
			shown[name] = true
			if example.Output == "" && name != "" { // That of the package is for a server that is not there.
				t.Errorf("Example%s shows no output: without one it is not even run", example.Name)
			}
		}
	}
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() && !shown[spec.Name.Name] {
				t.Errorf("there is no example of %s", spec.Name.Name)
			}
			return true
		})
	})
}

// TestReadme: every block of Go in the README is code that these tests compile.
func TestReadme(t *testing.T) {
	t.Parallel()
	blocks, err := snippets.Read("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, path := range exampleFiles(t) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
	}
	for _, block := range blocks {
		if !block.In(sources.String()) {
			t.Errorf("not compiled anywhere:\n%s", block.Code)
		}
	}
	if strings.Count(blocks[0].Code, "\n") > 12 {
		t.Error("the first example is too long")
	}
}

func exampleFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("example*_test.go")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	return paths
}
