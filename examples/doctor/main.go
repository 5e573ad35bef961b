// Doctor checks, step by step, a server that is to take mail on and a domain that is to
// send it, and says what is right, what is wrong and what to do about it.
//
//	go run ./examples/doctor
//
// shows that with a server and records of its own. To check real ones, of which each may
// be left out:
//
//	go run ./examples/doctor -url smtp://user:pass@host:587 -domain example.com -selector s1
//
// The exit status is 1 if something has failed. Credentials are shown nowhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/postrider/smtp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	d := &doctor{resolver: net.DefaultResolver, now: time.Now}
	healthy, err := d.run(ctx, os.Args[1:], os.Stdout, isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "")
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "doctor:", err)
		os.Exit(2)
	case !healthy:
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// patient is what is to be checked.
type patient struct {
	mailer           *smtp.Mailer // nil: no server
	domain, selector string       // empty: none
}

// doctor is how the checks reach the world, and what they have found.
type doctor struct {
	resolver resolver
	dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: by the network
	now      func() time.Time
	report
}

// run tells whether nothing has failed.
func (d *doctor) run(ctx context.Context, args []string, out io.Writer, colour bool) (healthy bool, err error) {
	p, err := parse(args)
	if err != nil {
		return false, err
	}
	if p.mailer == nil && p.domain == "" {
		fmt.Fprint(out, "No -url and no -domain: this is a demonstration, of a server in this process and made-up records.\n\n")
		server := demonstrate(d, p)
		defer server.Close()
	}
	d.examine(ctx, p)
	d.draw(out, colour)
	return d.count(fail) == 0, nil
}

func parse(args []string) (*patient, error) {
	p := &patient{}
	flags := flag.NewFlagSet("doctor", flag.ExitOnError)
	url := flags.String("url", "", "the server, as in smtp://user:password@host:587")
	flags.StringVar(&p.domain, "domain", "", "the domain of the senders, as in example.com")
	flags.StringVar(&p.selector, "selector", "", "the selector of its DKIM key, as in s1")
	flags.Parse(args)
	switch {
	case flags.NArg() > 0: // It may hold a password.
		return nil, errors.New("there is something behind the flags; see -help")
	case p.selector != "" && p.domain == "":
		return nil, errors.New("with -selector, say of which -domain")
	}
	var err error
	if *url != "" {
		if p.mailer, err = smtp.ParseURL(*url); err != nil {
			return nil, err
		}
	}
	if p.domain != "" {
		if p.domain, err = smtp.ToASCII(p.domain); err != nil {
			return nil, fmt.Errorf("-domain: %w", err)
		}
	}
	return p, nil
}

func (d *doctor) examine(ctx context.Context, p *patient) {
	if p.mailer != nil {
		d.title("Server " + p.mailer.Addr)
		d.checkServer(ctx, p.mailer)
	}
	if p.domain == "" {
		return
	}
	d.title("Domain " + p.domain)
	d.checkMX(ctx, p.domain)
	d.checkSPF(ctx, p.domain)
	d.checkDKIM(ctx, p.domain, p.selector)
	d.checkDMARC(ctx, p.domain)
}
