// Newsletter sends an issue to each of its readers, with a link of his own by which mail
// readers show a button to unsubscribe (RFC 8058), and answers the POST that the button
// makes. Large providers require both of those who send much.
//
//	go run ./examples/newsletter
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

// newsletter is what its issues have in common. The one-click counts only if the mail has
// a DKIM signature: by the server, or by Options.Signer.
type newsletter struct {
	From smtp.Address
	ID   string // "news.example.com", for good: readers sort by it
	Page string // "https://example.com/leave", where leave answers
	Key  []byte // a secret, by which links cannot be guessed
}

// issue makes a message for each reader: nobody sees another, and each has a link.
func (n newsletter) issue(subject, text string, readers []smtp.Address) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for _, reader := range readers {
			link := n.link(reader.Address)
			if !yield(&smtp.Message{
				From:    n.From,
				To:      []smtp.Address{reader},
				Subject: subject,
				Text:    text + "\n\nNo more of this: " + link + "\n",
				List:    smtp.List{ID: n.ID, Unsubscribe: []string{link}, OneClick: true},
				// Old programs know by this that nobody wants to hear who is out of office.
				Header: smtp.Header{{Name: "Precedence", Value: "bulk"}},
			}) {
				return
			}
		}
	}
}

func (n newsletter) link(reader string) string {
	return n.Page + "?" + url.Values{"reader": {reader}, "token": {n.token(reader)}}.Encode()
}

// token proves that a link is from us, without a table of those that were sent.
func (n newsletter) token(reader string) string {
	sum := hmac.New(sha256.New, n.Key)
	fmt.Fprintf(sum, "unsubscribe %q from %q", reader, n.ID)
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// leave answers at Page. The POST comes from the provider of the reader, without cookies,
// and must not be redirected. A GET unsubscribes nobody, since scanners follow links: it
// shows a button that makes the same POST.
func (n newsletter) leave(unsubscribe func(ctx context.Context, reader string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		reader := query.Get("reader")
		r.Body = http.MaxBytesReader(w, r.Body, 10_000)
		switch {
		case !hmac.Equal([]byte(query.Get("token")), []byte(n.token(reader))):
			http.Error(w, "This link is not complete.", http.StatusForbidden)
		case r.Method != http.MethodPost:
			fmt.Fprint(w, `<!DOCTYPE html><form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>`)
		case r.PostFormValue("List-Unsubscribe") != "One-Click": // A form of either type.
			http.Error(w, "This is not what the link is for.", http.StatusBadRequest)
		default:
			if err := unsubscribe(r.Context(), reader); err != nil { // It is no error to do so twice.
				http.Error(w, "Please try again later.", http.StatusInternalServerError)
				return
			}
			fmt.Fprintln(w, "You are unsubscribed.")
		}
	})
}

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
