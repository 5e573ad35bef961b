// Clientcert sends by a server that wants a client certificate (mutual TLS) and no
// password; AUTH EXTERNAL says that the certificate is who we are.
//
//	go run ./examples/clientcert
//
// does so with a server of its own, and shows what that says without. With a real one:
//
//	go run ./examples/clientcert -cert client.pem -key key.pem -url smtp://host:587 -from ann@example.com -to bob@example.net
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"flag"
	"fmt"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

// identify gives a Mailer, before its first use, the certificate to show where a server
// asks for one. The certificate of the server is checked as ever.
func identify(mailer *smtp.Mailer, certificate tls.Certificate, external bool) {
	config := cmp.Or(mailer.TLSConfig, &tls.Config{}).Clone()
	config.Certificates = []tls.Certificate{certificate}
	mailer.TLSConfig = config
	if external { // A relay that knows its clients by their certificates may offer no AUTH at all.
		mailer.Auth = []smtp.Mechanism{smtp.External("")}
	}
}

func main() {
	certFile := flag.String("cert", "", "the file of the certificate, with those in between, as PEM")
	keyFile := flag.String("key", "", "the file of its key")
	external := flag.Bool("external", true, "authenticate by AUTH EXTERNAL")
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		var certificate tls.Certificate
		var err error
		if kit.Server == nil {
			certificate, err = tls.LoadX509KeyPair(*certFile, *keyFile)
		} else {
			certificate, err = guard(kit) // in server.go
			fmt.Println("without a certificate:", kit.Mailer.Clone().Verify(ctx))
		}
		if err != nil {
			return err
		}
		identify(kit.Mailer, certificate, *external)
		_, err = kit.Mailer.Send(ctx, &smtp.Message{From: kit.From, To: []smtp.Address{kit.To}, Subject: "By certificate", Text: "No password was needed.\n"})
		return err
	}, func(server *smtptest.Server) {
		server.NoTLS, server.Offer = true, []string{"AUTH EXTERNAL"} // The gate before it does both.
	})
}
