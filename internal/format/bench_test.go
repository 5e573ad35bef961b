package format_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/format"
)

// BenchmarkQuotedPrintable encodes text with an umlaut in each line.
func BenchmarkQuotedPrintable(b *testing.B) {
	text := strings.Repeat("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\r\n", 1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		body, err := format.NewTextBody(text, "boundary")
		if err == nil {
			err = body.Write(io.Discard)
		}
		if err != nil || body.Encoding != format.QuotedPrintable {
			b.Fatal(body.Encoding, err)
		}
	}
}

// BenchmarkFields folds what is in most headers.
func BenchmarkFields(b *testing.B) {
	var to []format.Mailbox
	for i := range 100 {
		to = append(to, format.Mailbox{Name: fmt.Sprintf("Reader Number %d", i), Address: fmt.Sprintf("reader%d@example.net", i)})
	}
	for name, make := range map[string]func() (format.Fields, error){
		"short": func() (format.Fields, error) {
			return format.ASCII.Text(format.Fields{}, "Subject", "Quarterly figures")
		},
		"encoded words": func() (format.Fields, error) {
			return format.ASCII.Text(format.Fields{}, "Subject", strings.Repeat("Größe ", 40)+"Ende")
		},
		"100 recipients": func() (format.Fields, error) { return format.ASCII.Mailboxes(format.Fields{}, "To", to) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := make(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
