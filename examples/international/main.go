// International sends one message to readers with three kinds of addresses, by a
// server that knows SMTPUTF8 and by one that does not, and shows what became of it
// for each of them.
//
//	go run ./examples/international
//
// does so with two servers of its own. To write to people by a real one:
//
//	go run ./examples/international -url smtp://user:pass@host -from ann@example.com -to "Jörg <joerg@bücher.example>, 太郎@例え.example"
package main

import (
	"context"
	"errors"
	"flag"
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
	url := flag.String("url", "", "the server; empty: two of our own")
	from := flag.String("from", "", "the sender; empty: our own")
	to := flag.String("to", "", "the recipients, with commas between them; empty: our own")
	flag.Parse()
	if err := run(context.Background(), *url, *from, *to); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, from, to string) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	defer out.Flush()
	switch {
	case url != "" && (from == "" || to == ""):
		return errors.New("with -url, say who sends it and to whom: -from ann@example.com -to bob@example.net")
	case url != "":
		return sendByReal(ctx, url, from, to, out)
	}
	for _, further := range [][]string{{"SMTPUTF8"}, nil} {
		if err := sendByOwn(ctx, &smtptest.Server{Offer: further}, out); err != nil {
			return err
		}
	}
	return nil
}

// sendByReal reads the addresses as people write them.
func sendByReal(ctx context.Context, url, from, to string, out *tabwriter.Writer) error {
	mailer, err := smtp.ParseURL(url)
	if err != nil {
		return err
	}
	defer mailer.Close()
	sender, err := smtp.ParseAddress(from)
	if err != nil {
		return err
	}
	readers, err := smtp.ParseAddressList(to)
	if err != nil {
		return err
	}
	m := letter()
	m.From, m.To, m.Delivery.To = sender, readers, nil
	return send(ctx, mailer, m, out)
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

// sendByOwn sends the letter by a server of our own, and shows what arrived.
func sendByOwn(ctx context.Context, server *smtptest.Server, out *tabwriter.Writer) error {
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Close()
	mailer := server.Mailer()
	defer mailer.Close()
	fmt.Fprintf(out, "SMTPUTF8 offered: %v\n", len(server.Offer) > 0)
	if err := send(ctx, mailer, letter(), out); err != nil {
		return err
	}
	for _, m := range server.Messages() {
		fmt.Fprintf(out, "  named to the server:\t%s\n  the message says To:\t%s\n\n", strings.Join(m.To, ", "), m.Header.Get("To"))
	}
	return nil
}

// send tells what became of the letter for each reader.
func send(ctx context.Context, mailer *smtp.Mailer, m *smtp.Message, out *tabwriter.Writer) error {
	result, err := mailer.Send(ctx, m)
	var some *smtp.RecipientsError // of which the result says more
	if err != nil && !errors.As(err, &some) {
		return err
	}
	for _, r := range result.Recipients {
		line := fmt.Sprintf("  %s\t%v", r.Address, r.Outcome)
		if r.Err != nil {
			line += "\t" + r.Err.Error()
		}
		fmt.Fprintln(out, line)
	}
	return nil
}
