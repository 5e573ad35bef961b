package format

import (
	"io"

	"github.com/emersion/go-message/textproto"
)

// Part is an entity (RFC 2045, section 2.4): header fields in their order, and
// either content or the parts of a multipart between boundaries.
type Part struct {
	Fields   []Field
	Boundary string
	Parts    []*Part
	Content  func(io.Writer) error // nil for a multipart
	Size     int64                 // of the content as it is written; less than none: not known
}

// Len returns how many octets WriteTo writes, unless the size of a content is
// not known. It is arithmetic: nothing is read.
func (p *Part) Len() (n int64, known bool) {
	for _, field := range p.Fields {
		n += int64(len(field.raw))
	}
	n += int64(len("\r\n"))
	if p.Content != nil {
		return n + p.Size, p.Size >= 0
	}
	for _, child := range p.Parts {
		length, known := child.Len()
		if !known {
			return 0, false
		}
		n += length + int64(len("\r\n--\r\n")+len(p.Boundary))
	}
	// The last boundary has two hyphens more, the first lacks a line end.
	return n + int64(len("\r\n----\r\n")+len(p.Boundary)-len("\r\n")), true
}

// WriteTo implements io.WriterTo.
func (p *Part) WriteTo(w io.Writer) (int64, error) {
	counter := &counter{w: w}
	err := textproto.WriteHeader(counter, p.header())
	if err == nil {
		err = p.writeBody(counter)
	}
	return counter.n, err
}

func (p *Part) writeBody(w io.Writer) error {
	if p.Content != nil {
		return p.Content(w)
	}
	multipart := textproto.NewMultipartWriter(w)
	if err := multipart.SetBoundary(p.Boundary); err != nil {
		return err
	}
	for _, child := range p.Parts {
		body, err := multipart.CreatePart(child.header())
		if err != nil {
			return err
		}
		if err := child.writeBody(body); err != nil {
			return err
		}
	}
	return multipart.Close()
}

// header hands the fields to go-message, which keeps them last first.
func (p *Part) header() textproto.Header {
	var h textproto.Header
	for i := len(p.Fields) - 1; i >= 0; i-- {
		h.AddRaw(p.Fields[i].raw)
	}
	return h
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
