package smtp_test

import (
	"errors"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/postrider/smtp"
)

// The steps of a session, on a connection of one's own.
func ExampleClient() {
	server, _ := exampleServer()
	defer server.Close()

	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	c := smtp.NewClient(conn, &smtp.Options{ServerName: "localhost"})
	defer c.Close()

	steps := []func() error{
		func() error { return c.Hello(ctx) },
		func() error { return c.StartTLS(ctx, server.TLSConfig) },
		func() error { return c.Hello(ctx) }, // what was said in the clear is forgotten
		func() error { return c.Auth(ctx, smtp.Password("user", "pencil")...) },
		func() error { _, err := c.Mail(ctx, smtp.Envelope{From: "ann@example.com"}); return err },
		func() error { _, err := c.Rcpt(ctx, smtp.Recipient{Address: "bob@example.net"}); return err },
		func() error { _, err := c.Data(ctx, strings.NewReader("Subject: Hi\n\nHello.\n")); return err },
		func() error { return c.Quit(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Messages()[0].Subject)
	// Output: Hi
}

// An extension with a command of its own, such as XCLIENT, by which Postfix is told
// for whom a proxy speaks. The server begins anew, and so does the Client.
func ExampleClient_Command() {
	asProxy := func(c *smtp.Client) error {
		if _, ok := c.Extension("XCLIENT"); !ok {
			return errors.ErrUnsupported
		}
		if _, err := c.Command(ctx, "XCLIENT ADDR=192.0.2.1 NAME=client.example.com"); err != nil {
			return err
		}
		return c.Hello(ctx)
	}

	server, mailer := exampleServer() // It does not offer XCLIENT.
	defer server.Close()
	client, err := mailer.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit(ctx)
	fmt.Println(asProxy(client))
	// Output: unsupported operation
}

// Many mails over one session: one round trip each. What became of one does not
// stop the others.
func ExampleClient_SendAll() {
	server, mailer := exampleServer()
	defer server.Close()
	addresses := []string{"bob@example.net", "nobody@example.net", "carol@example.net"}

	messages := func(yield func(*smtp.Message) bool) {
		for _, address := range addresses {
			if !yield(exampleMessage(address)) {
				return
			}
		}
	}
	client, err := mailer.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit(ctx)
	for result, err := range client.SendAll(ctx, messages) {
		fmt.Println(result.Recipients[0].Address, err)
	}
	// Output:
	// bob@example.net <nil>
	// nobody@example.net smtp: RCPT <nobody@example.net>: 550 5.1.1 "No such user"
	// carol@example.net <nil>
}

// What a server answered: for programs, and for a log.
func ExampleReply() {
	server, mailer := exampleServer()
	defer server.Close()
	client, err := mailer.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit(ctx)

	if _, err := client.Mail(ctx, smtp.Envelope{From: "ann@example.com"}); err != nil {
		log.Fatal(err)
	}
	reply, err := client.Rcpt(ctx, smtp.Recipient{Address: "nobody@example.net"})
	fmt.Println(err != nil, reply.Code, reply.Status)
	fmt.Println(reply)
	// Output:
	// true 550 5.1.1
	// 550 5.1.1 "No such user"
}

// Who hands over content by Mail and Data says what is in it; Send finds that out.
func ExampleBodyType() {
	server, mailer := exampleServer()
	defer server.Close()
	client, err := mailer.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit(ctx)

	if _, err := client.Mail(ctx, smtp.Envelope{From: "ann@example.com", Body: smtp.Body8Bit}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Rcpt(ctx, smtp.Recipient{Address: "bob@example.net"}); err != nil {
		log.Fatal(err)
	}
	_, err = client.Data(ctx, strings.NewReader("Subject: Hi\nContent-Type: text/plain; charset=utf-8\n\nGrüße.\n"))
	fmt.Println(err, server.Messages()[0].MailParams["BODY"])
	// Output: <nil> 8BITMIME
}
