package wire_test

import (
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/wire"
)

// BenchmarkReplyReader reads replies of one line and of ten.
func BenchmarkReplyReader(b *testing.B) {
	for name, reply := range map[string]string{
		"one line":  "250 2.1.5 recipient ok\r\n",
		"ten lines": strings.Repeat("250-2.0.0 some of what there is to say\r\n", 9) + "250 2.0.0 and the rest\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(reply)))
			r := wire.NewReplyReader(&endless{text: reply})
			for b.Loop() {
				if _, err := r.Read(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless says the same again and again.
type endless struct{ text, rest string }

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		e.rest = e.text
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// BenchmarkCommand spells MAIL and RCPT with parameters.
func BenchmarkCommand(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.NewCommand("MAIL").From("ann@example.com").Param("SIZE", "1742").Bytes(); err != nil {
			b.Fatal(err)
		}
		if _, err := wire.NewCommand("RCPT").To("bob@example.net").Param("NOTIFY", "FAILURE,DELAY").Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
