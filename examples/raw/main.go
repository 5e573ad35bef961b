// Raw sends a message that is ready (RFC 5322), as from a file that a mail reader has
// saved, to whom you say, whatever its header says.
//
//	go run ./examples/raw -from ann@example.com -to bob@example.net letter.eml
//
// Without a file it sends one of its own.
package main

import (
	"bytes"
	"context"
	"embed"
	"flag"
	"fmt"
	"os"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

// sendRaw sends a ready message as it is, but for two things: a Bcc field is taken out,
// and lines that end in a bare LF end in CRLF. The file is read while it is sent.
//
// The To, Cc and Bcc of its header do not get it, if they are not among the recipients:
// a message that is sent on must not go to its first readers again. Where Delivery lacks
// From or To, the header says them.
func sendRaw(ctx context.Context, sender smtp.Sender, file smtp.File, from string, to ...string) (*smtp.Result, error) {
	message := &smtp.Message{Raw: file, Delivery: smtp.Envelope{From: from}}
	for _, address := range to {
		message.Delivery.To = append(message.Delivery.To, smtp.Recipient{Address: address})
	}
	return sender.Send(ctx, message)
}

//go:embed letter.eml
var files embed.FS

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		file := smtp.FileFS(files, "letter.eml")
		if path := flag.Arg(0); path != "" {
			file = smtp.FilePath(path)
		}
		result, err := sendRaw(ctx, kit.Mailer, file, kit.From.Address, kit.To.Address)
		if err != nil {
			return err
		}
		fmt.Println("sent:", result.MessageID)
		if kit.Server != nil {
			arrived := kit.Server.Messages()[0]
			fmt.Println("fields of Bcc:", len(arrived.Header["Bcc"]))
			fmt.Println("lines that end in a bare LF:", bytes.Count(arrived.Data, []byte("\n"))-bytes.Count(arrived.Data, []byte("\r\n")))
			os.Stdout.Write(arrived.Data)
		}
		return nil
	})
}
