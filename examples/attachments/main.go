// Attachments sends a message with files from everywhere: from the disk, from an
// embed.FS, from memory, from a URL such as that of an object store, and one that is
// made while it is sent. They are streamed: however large one is, it takes no memory.
//
//	go run ./examples/attachments
//
// To send a file of your own by a real server:
//
//	go run ./examples/attachments -file q3.pdf -url smtps://user:pass@host -from ann@example.com -to bob@example.net
package main

import (
	"context"
	"embed"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

//go:embed terms.txt
var files embed.FS

// report makes the message. No file is opened yet: one that is missing, or that fails
// half-way, is an error of Send, and nobody gets half a mail.
func report(ctx context.Context, from, to smtp.Address, file string, store *http.Client) *smtp.Message {
	return &smtp.Message{
		From:    from,
		To:      []smtp.Address{to},
		Subject: "All files",
		Text:    "They are attached.\n",
		Attachments: []smtp.File{
			smtp.FilePath(file), // Its Type follows from the extension, or else from the content.
			smtp.FileFS(files, "terms.txt"),
			smtp.FileBytes("note.txt", []byte("Made in memory.\n")),
			download(ctx, store, "https://store.example.com/terms.txt"),
			export(100_000),
		},
	}
}

// download is a file at a URL. The body that http.Get returns could be read only once:
// Open asks for it anew, so that the mail can be tried again.
func download(ctx context.Context, client *http.Client, url string) smtp.File {
	return smtp.File{
		Name: "stored-" + path.Base(url),
		Type: "text/plain; charset=utf-8",
		Open: func() (io.ReadCloser, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return nil, err
			}
			response, err := client.Do(request)
			if err != nil {
				return nil, err
			}
			if response.StatusCode != http.StatusOK {
				response.Body.Close()
				return nil, fmt.Errorf("%s: %s", url, response.Status)
			}
			return response.Body, nil
		},
	}
}

// export is a table that is written while it is read. If the reader is closed before
// its end, writing fails, and the goroutine ends.
func export(rows int) smtp.File {
	return smtp.File{
		Name: "orders.csv",
		Type: "text/csv; charset=utf-8",
		Open: func() (io.ReadCloser, error) {
			r, w := io.Pipe()
			go func() {
				table := csv.NewWriter(w)
				err := table.Write([]string{"order", "amount"})
				for i := 0; i < rows && err == nil; i++ {
					err = table.Write([]string{strconv.Itoa(i), "42.00"})
				}
				table.Flush()
				w.CloseWithError(table.Error()) // nil: the end of the file
			}()
			return r, nil
		},
	}
}

func main() {
	file := flag.String("file", "README.md", "a file to attach")
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		store := &http.Client{Transport: http.NewFileTransportFS(files)} // In place of a network. Yours is http.DefaultClient.
		_, err := kit.Mailer.Send(ctx, report(ctx, kit.From, kit.To, *file, store))
		return err
	})
}
