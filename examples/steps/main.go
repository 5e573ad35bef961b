// Steps makes a session by hand, over a net.Conn: for a dialogue of one's own, such as a
// probe that tells what a server offers and whether it would take a mail. To send a mail,
// use Send of a Mailer, which does all of this right: in fewer round trips, within the
// limits of the server, with a result for each recipient.
//
//	go run ./examples/steps
//	go run ./examples/steps -url smtp://user:password@host:587 -from ann@example.com -to bob@example.net
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

// session goes from the greeting to the end, over a connection to the host of that name
// which is still in the clear. After a refusal it could go on; here that is the end.
func session(ctx context.Context, conn net.Conn, host string, config *tls.Config, auth []smtp.Mechanism, message *smtp.Message) error {
	c := smtp.NewClient(conn, &smtp.Options{ServerName: host, Trace: &smtp.Trace{Reply: show}})
	defer c.Close() // After Quit, it does nothing.

	if err := c.Hello(ctx); err != nil { // It waits for the greeting, and says EHLO.
		return err
	}
	if err := c.StartTLS(ctx, config); err != nil {
		return err
	}
	if err := c.Hello(ctx); err != nil { // What was said in the clear does not count.
		return err
	}
	if len(auth) > 0 {
		if err := c.Auth(ctx, auth...); err != nil {
			return err
		}
	}
	if size, ok := c.Extension("SIZE"); ok {
		fmt.Println("it takes up to", size, "octets")
	}
	if _, err := c.Mail(ctx, smtp.Envelope{From: message.From.Address}); err != nil {
		return err
	}
	for _, to := range message.To {
		if _, err := c.Rcpt(ctx, smtp.Recipient{Address: to.Address}); err != nil {
			return err // The others are not touched: one may go on without this one.
		}
	}
	// A probe stops here: Reset drops the mail. The content is anything that can write
	// itself; the end of data follows only if it could do so without an error.
	result, err := c.Data(ctx, message)
	for _, r := range result.Recipients {
		fmt.Println(r.Address, r.Outcome)
	}
	if err != nil {
		return err // If it is Unknown, the mail may have arrived.
	}
	return c.Quit(ctx)
}

// show is called with the reply to each step.
func show(_ context.Context, step string, reply smtp.Reply) {
	fmt.Printf("%-24s %v\n", step, reply)
}

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		mailer := kit.Mailer // It has the settings of -url.
		if kit.Server != nil {
			mailer.Auth = smtp.Password("user", "pencil")
		}
		host, _, err := net.SplitHostPort(mailer.Addr)
		if err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", mailer.Addr)
		if err != nil {
			return err
		}
		message := &smtp.Message{From: kit.From, To: []smtp.Address{kit.To}, Subject: "By hand", Text: "Step by step."}
		return session(ctx, conn, host, mailer.TLSConfig, mailer.Auth, message)
	})
}
