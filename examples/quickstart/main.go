// Quickstart sends one message with text, HTML, an inline image and a file, and
// shows what was said, what arrived and what became of it.
//
//	go run ./examples/quickstart
//
// starts a server of its own. To send by a real one:
//
//	go run ./examples/quickstart -url smtps://user:pass@host -from ann@example.com -to bob@example.net
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/mail"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

//go:embed logo.png
var logo []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var to, attach list
	flags := flag.NewFlagSet("quickstart", flag.ExitOnError)
	url := flags.String("url", "", "the server, as in smtp://user:password@host:587; empty: one of our own")
	from := flags.String("from", "", "the sender")
	flags.Var(&to, "to", "a recipient; may be repeated")
	subject := flags.String("subject", "Quarterly figures", "the subject")
	flags.Var(&attach, "attach", "a file; may be repeated")
	flags.Parse(args)
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag; see -help", flags.Arg(0))
	case *url != "" && (*from == "" || len(to) == 0):
		return errors.New("with -url, say who sends it and to whom: -from ann@example.com -to bob@example.net")
	case *url == "" && *from == "":
		*from = "Ann <ann@example.com>"
	}
	if len(to) == 0 {
		to = list{"Bob <bob@example.net>", "carol@example.org"}
	}
	if len(attach) == 0 {
		directory, err := os.MkdirTemp("", "quickstart")
		if err != nil {
			return err
		}
		defer os.RemoveAll(directory)
		attach = list{filepath.Join(directory, "figures.csv")}
		if err := os.WriteFile(attach[0], []byte("quarter,figure\r\nQ3,42\r\n"), 0o600); err != nil {
			return err
		}
	}
	message, err := compose(*from, to, *subject, attach)
	if err != nil {
		return err
	}
	if *url != "" {
		mailer, err := smtp.ParseURL(*url)
		if err != nil {
			return err
		}
		return send(ctx, mailer, message, out)
	}
	return sendToOurselves(ctx, message, out)
}

// sendToOurselves starts a server, sends to it, and shows what arrived.
func sendToOurselves(ctx context.Context, message *smtp.Message, out io.Writer) error {
	server := &smtptest.Server{}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Close()
	mailer := &smtp.Mailer{
		Addr:      server.Addr,
		TLSConfig: server.TLSConfig, // A real server needs none: its certificate is trusted already.
		Auth:      smtp.Password("user", "pencil"),
	}
	if err := send(ctx, mailer, message, out); err != nil {
		return err
	}
	for _, arrived := range server.Messages() {
		fmt.Fprintf(out, "\nWhat arrived, %d bytes from <%s> for %d recipients:\n%s", len(arrived.Data), arrived.From, len(arrived.To), arrived.Tree())
	}
	return nil
}

// compose builds the message.
func compose(from string, to list, subject string, attach list) (*smtp.Message, error) {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("-from %q is no address such as ann@example.com (%w)", from, err)
	}
	message := &smtp.Message{
		From:    *sender,
		Subject: subject,
		Text:    "Dear reader,\n\nthe figures are in the attachment.\n",
		HTML:    `<p><img src="cid:logo.png" alt=""> Dear reader,</p><p>the figures are in the attachment.</p>` + "\n",
		Inline:  []smtp.File{smtp.FileBytes("logo.png", logo)},
	}
	for _, address := range to {
		recipient, err := mail.ParseAddress(address)
		if err != nil {
			return nil, fmt.Errorf("-to %q is no address such as bob@example.net (%w)", address, err)
		}
		message.To = append(message.To, *recipient)
	}
	for _, path := range attach {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("-attach: %w; check the path", err)
		}
		message.Attachments = append(message.Attachments, smtp.FilePath(path))
	}
	return message, nil
}

// send sends the message and shows the dialogue and the outcomes.
func send(ctx context.Context, mailer *smtp.Mailer, message *smtp.Message, out io.Writer) error {
	mailer.Options.Logger = slog.New(dialogue{out})
	defer mailer.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Fprintln(out, "connecting to", mailer.Addr)
	result, err := mailer.Send(ctx, message)
	if result.MessageID != "" {
		fmt.Fprintf(out, "\nMessage-ID %s:\n", result.MessageID)
	}
	for _, recipient := range result.Recipients {
		fmt.Fprintf(out, "  %-24s %s\n", recipient.Address, recipient.Outcome)
	}
	return err
}

// dialogue is a slog.Handler that shows the commands and replies of a session.
type dialogue struct{ out io.Writer }

func (d dialogue) Enabled(context.Context, slog.Level) bool { return true }

func (d dialogue) Handle(_ context.Context, record slog.Record) error {
	side := "S: "
	if record.Message == "smtp command" {
		side = "C: "
	}
	record.Attrs(func(attr slog.Attr) bool {
		for line := range strings.SplitSeq(attr.Value.String(), "\n") {
			fmt.Fprintln(d.out, side+line)
		}
		return true
	})
	return nil
}

func (d dialogue) WithAttrs([]slog.Attr) slog.Handler { return d }
func (d dialogue) WithGroup(string) slog.Handler      { return d }

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}
