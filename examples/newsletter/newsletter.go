package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/postrider/smtp"
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
