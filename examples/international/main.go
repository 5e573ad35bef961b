// International sends one message to readers with three kinds of addresses, by a
// server that knows SMTPUTF8 and by one that does not, and shows what became of it
// for each of them. Both servers run in this program.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, further := range [][]string{{"SMTPUTF8"}, nil} {
		if err := sendBy(ctx, &smtptest.Server{Offer: further}, out); err != nil {
			return err
		}
	}
	return out.Flush()
}

// letter is for a reader in ASCII, one with a domain of another script, one whose
// whole address is of another script, and one who has an address in ASCII as well.
func letter() *smtp.Message {
	readers := []smtp.Address{
		{Name: "Bob", Address: "bob@example.net"},
		{Name: "Jörg", Address: "joerg@bücher.example"},
		{Name: "Δοκιμή", Address: "δοκιμή@παράδειγμα.example"},
		{Name: "太郎", Address: "太郎@例え.example"},
	}
	m := &smtp.Message{
		From:    smtp.Address{Name: "Ann", Address: "ann@example.com"},
		To:      readers,
		Subject: "Grüße, χαιρετισμοί, こんにちは",
		Text:    "Hello, wherever you are.\n",
	}
	for _, reader := range readers {
		m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: reader.Address})
	}
	m.Delivery.To[3].Alternative = "taro@example.jp"
	return m
}

// sendBy sends the letter by a server, and tells what became of it.
func sendBy(ctx context.Context, server *smtptest.Server, out *tabwriter.Writer) error {
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Close()
	mailer := &smtp.Mailer{Addr: server.Addr, TLSConfig: server.TLSConfig}
	defer mailer.Close()

	result, err := mailer.Send(ctx, letter())
	var some *smtp.RecipientsError // of which the result says more
	if err != nil && !errors.As(err, &some) {
		return err
	}
	fmt.Fprintf(out, "SMTPUTF8 offered: %v\n", len(server.Offer) > 0)
	for _, r := range result.Recipients {
		line := fmt.Sprintf("  %s\t%v", r.Address, r.Outcome)
		if r.Err != nil {
			line += "\t" + r.Err.Error()
		}
		fmt.Fprintln(out, line)
	}
	for _, m := range server.Messages() {
		fmt.Fprintf(out, "  named to the server:\t%s\n  the message says To:\t%s\n\n", strings.Join(m.To, ", "), m.Header.Get("To"))
	}
	return nil
}
