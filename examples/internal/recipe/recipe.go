// Package recipe is what the examples have in common and nobody needs to copy: the
// flags -url, -from and -to and, where no server is named, one of their own.
package recipe

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// Kit is what an example is given to work with.
type Kit struct {
	Mailer   *smtp.Mailer
	From, To smtp.Address
	Server   *smtptest.Server // in this process; nil: a real one was named
}

// Main runs an example until it ends or is interrupted, and shows what arrived at
// the server in this process, with the settings that configure makes, if given.
func Main(send func(context.Context, *Kit) error, configure ...func(*smtptest.Server)) {
	url := flag.String("url", "", "the server, as in smtp://user:password@host:587; empty: one in this process")
	from := flag.String("from", "Ann <ann@example.com>", "the sender")
	to := flag.String("to", "Bob <bob@example.net>", "the recipient")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	kit, err := newKit(*url, *from, *to, configure)
	if err == nil {
		err = kit.run(ctx, send)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// complete keeps Ann from writing by a real server, and to Bob.
func complete(flags *flag.FlagSet) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = f.Value.String() != "" })
	if given["url"] && !(given["from"] && given["to"]) {
		return errors.New("with -url, say who sends it and to whom: -from ann@example.com -to bob@example.net")
	}
	return nil
}

func newKit(url, from, to string, configure []func(*smtptest.Server)) (*Kit, error) {
	if err := complete(flag.CommandLine); err != nil {
		return nil, err
	}
	sender, senderErr := smtp.ParseAddress(from)
	recipient, recipientErr := smtp.ParseAddress(to)
	if err := errors.Join(senderErr, recipientErr); err != nil {
		return nil, err
	}
	kit := &Kit{From: sender, To: recipient}
	if url != "" {
		mailer, err := smtp.ParseURL(url)
		kit.Mailer = mailer
		return kit, err
	}
	kit.Server = &smtptest.Server{}
	for _, set := range configure {
		set(kit.Server)
	}
	if err := kit.Server.Start(); err != nil {
		return nil, err
	}
	kit.Mailer = kit.Server.Mailer()
	return kit, nil
}

func (k *Kit) run(ctx context.Context, send func(context.Context, *Kit) error) error {
	defer k.Mailer.Close()
	if k.Server == nil {
		err := send(ctx, k)
		if accepted := k.Mailer.Stats().Accepted; accepted > 0 {
			fmt.Printf("sent by %v, which accepted %d\n", k.Mailer, accepted) // Its String has no credentials.
		}
		return err
	}
	defer k.Server.Close()
	err := send(ctx, k)
	for _, m := range k.Server.Messages() {
		fmt.Printf("\narrived: %q, %d octets from <%s> to <%s>\n%s", m.Subject, len(m.Data), m.From, strings.Join(m.To, ">, <"), m.Tree())
	}
	return err
}
