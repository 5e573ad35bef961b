// Newsletter sends an issue to each of its readers, with a link of his own by which mail
// readers show a button to unsubscribe (RFC 8058), and answers the POST that the button
// makes. Large providers require both of those who send much.
//
//	go run ./examples/newsletter
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		news := newsletter{From: kit.From, ID: "news.example.com", Page: "https://example.com/leave", Key: []byte("of 32 random octets")}
		readers := []smtp.Address{kit.To}
		if kit.Server != nil {
			readers = append(readers, smtp.Address{Name: "Carol", Address: "carol@example.org"})
		}
		var failed error
		for result, err := range kit.Mailer.SendAll(ctx, news.issue("What is new", "Nothing.", readers)) {
			fmt.Println("to", result.Message.To[0].Address, "error:", err)
			failed = errors.Join(failed, err)
		}

		// One of them clicks. In your own program: http.Handle("/leave", handler).
		handler := news.leave(func(_ context.Context, reader string) error {
			fmt.Println("unsubscribed:", reader)
			return nil
		})
		link := news.link(kit.To.Address)
		for _, target := range []string{link, strings.Replace(link, "reader=", "reader=x", 1)} {
			request := httptest.NewRequest(http.MethodPost, target, strings.NewReader("List-Unsubscribe=One-Click"))
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			fmt.Printf("POST %s\n%d %s", target, answer.Code, answer.Body)
		}
		return failed
	})
}
