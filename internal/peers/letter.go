package main

import (
	"fmt"
	"io"
	"math/rand/v2"
)

// letter is what is sent, in terms of no package: each peer makes its own message of it,
// each time that it is sent.
type letter struct {
	from, subject, text, html string
	to                        []string
	file                      int64 // its octets; zero: none is attached
}

const fileName = "figures.bin"

func newLetter(recipients int, file int64) *letter {
	l := &letter{
		from:    "ann@example.com",
		subject: "Quarterly figures",
		text: "Dear Bob,\n\nthe figures of the third quarter are good: we sold 1,204 dozens, which is 7 % more\n" +
			"than a year ago, and nearly all of them to readers in Zürich.\n\nWith best wishes,\nAnn\n",
		html: "<p>Dear Bob,</p>\n<p>the figures of the third quarter are <b>good</b>: we sold 1,204 dozens, which is 7 % more\n" +
			"than a year ago, and nearly all of them to readers in Zürich.</p>\n<p>With best wishes,<br>Ann</p>\n",
		file: file,
	}
	for i := range recipients {
		l.to = append(l.to, fmt.Sprintf("bob%d@example.net", i+1))
	}
	return l
}

// open returns the file, which costs next to nothing to read.
func (l *letter) open() *pattern { return &pattern{size: l.file} }

// pattern is size octets, of which the first are as random as those of a compressed file.
type pattern struct{ at, size int64 }

var block = func() []byte {
	b := make([]byte, 65521) // A prime, so that lines of base64 differ.
	random := rand.NewChaCha8([32]byte{})
	random.Read(b)
	return b
}()

// Read implements io.Reader.
func (p *pattern) Read(b []byte) (n int, err error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-p.at)]
	for n < len(b) {
		n += copy(b[n:], block[(p.at+int64(n))%int64(len(block)):])
	}
	p.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (p *pattern) Seek(offset int64, whence int) (int64, error) {
	p.at = offset + map[int]int64{io.SeekStart: 0, io.SeekCurrent: p.at, io.SeekEnd: p.size}[whence]
	return p.at, nil
}

// Close implements io.Closer.
func (p *pattern) Close() error { return nil }
