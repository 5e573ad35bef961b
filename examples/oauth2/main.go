// Oauth2 sends by Gmail or Microsoft 365 (Office 365), with OAuth 2 in place of a
// password: a refresh token, which a user has once consented to, brings an access token
// for an hour, as often as one is needed.
//
//	go run ./examples/oauth2
//
// does so with a server and a token server of its own. With a real account:
//
//	export CLIENT_ID=… CLIENT_SECRET=… REFRESH_TOKEN=…
//	go run ./examples/oauth2 -provider gmail -url smtp://smtp.gmail.com:587 -from you@gmail.com -to bob@example.net
//	go run ./examples/oauth2 -provider office365 -url smtp://smtp.office365.com:587 -from you@example.com -to bob@example.net
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

func main() {
	provider := flag.String("provider", "", "gmail or office365; empty: one in this process")
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		tokenURL, ok := tokenURLs[*provider]
		if kit.Server != nil {
			own, err := startTokenServer()
			if err != nil {
				return err
			}
			defer own.Close()
			tokenURL, ok = "http://"+own.Addr().String(), true
		}
		if !ok {
			return fmt.Errorf("-provider %q is neither gmail nor office365", *provider)
		}
		source := newTokenSource(tokenURL, os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET"), os.Getenv("REFRESH_TOKEN"))
		kit.Mailer.Auth = smtp.OAuth(kit.From.Address, source.Token)
		_, err := kit.Mailer.Send(ctx, &smtp.Message{From: kit.From, To: []smtp.Address{kit.To}, Subject: "No password", Text: "It went without one.\n"})
		return err
	}, wantsTokens) // in server.go
}
