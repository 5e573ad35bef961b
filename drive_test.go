package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/postrider/smtp"
)

// drive takes the steps that a script asks for: "with do hello starttls hello
// auth send quit", of which some may fail; the last is taken in any case.
func drive(ctx context.Context, c *smtp.Client, with map[string]string, roots *x509.CertPool) (report []string) {
	for _, step := range words(with, "do", "hello send quit") {
		var err error
		switch step {
		case "hello":
			err = c.Hello(ctx)
		case "starttls":
			err = c.StartTLS(ctx, &tls.Config{RootCAs: roots})
		case "auth":
			err = c.Auth(ctx, smtp.Password("ann", "secret")...)
		case "noop":
			err = c.Noop(ctx)
		case "reset":
			err = c.Reset(ctx)
		case "quit":
			err = c.Quit(ctx)
		case "send":
			var result *smtp.Result
			result, err = c.Send(ctx, letter(words(with, "to", "bob@example.net")...))
			tellResult(&report, result, nil)
		default:
			report = append(report, "no such step: "+step)
		}
		tell(&report, err)
	}
	return report
}
