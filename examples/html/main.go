// Html sends a message that is made from a template of html/template, with an image
// in it, and the same in plain text for those who read that.
//
//	go run ./examples/html
package main

import (
	"cmp"
	"context"
	"embed"
	"html/template"
	"strings"
	texttemplate "text/template"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

//go:embed welcome.html welcome.txt logo.png
var files embed.FS

// The two are parsed once, and may be used by many goroutines. html/template escapes
// what readers must not be able to bring in: a name such as <script>.
var (
	html = template.Must(template.ParseFS(files, "welcome.html"))
	text = texttemplate.Must(texttemplate.ParseFS(files, "welcome.txt"))
)

// welcome makes the message for a reader. The HTML shows the image by its name, as
// src="cid:logo.png".
func welcome(from, to smtp.Address, plan string) (*smtp.Message, error) {
	name := cmp.Or(to.Name, to.Address)
	data := map[string]string{"Name": name, "Plan": plan}
	var shown, plain strings.Builder
	if err := html.Execute(&shown, data); err != nil {
		return nil, err
	}
	if err := text.Execute(&plain, data); err != nil {
		return nil, err
	}
	return &smtp.Message{
		From:    from,
		To:      []smtp.Address{to},
		Subject: "Welcome, " + name,
		Text:    plain.String(),
		HTML:    shown.String(),
		Inline:  []smtp.File{smtp.FileFS(files, "logo.png")},
	}, nil
}

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		message, err := welcome(kit.From, kit.To, "Basic & more")
		if err != nil {
			return err
		}
		_, err = kit.Mailer.Send(ctx, message)
		return err
	})
}
