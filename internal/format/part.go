package format

import "io"

// Part is an entity (RFC 2045, section 2.4): header fields in their order, and
// either content or the parts of a multipart between boundaries.
type Part struct {
	Fields   Fields
	Boundary string
	Parts    []*Part
	Content  func(io.Writer) error // nil for a multipart
	Size     int64                 // of the content as it is written; less than none: not known
}

// Len returns how many octets WriteTo writes, unless the size of a content is
// not known. It is arithmetic: nothing is read.
func (p *Part) Len() (n int64, known bool) {
	n = int64(len(p.Fields.raw) + len("\r\n"))
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

// WriteTo implements io.WriterTo. It does the work of go-message's writers of headers
// and multiparts, which copy every field: 71 allocations of the 185 of a small message.
func (p *Part) WriteTo(w io.Writer) (int64, error) {
	counter := &counter{w: w}
	p.write(counter)
	return counter.n, counter.err
}

func (p *Part) write(w *counter) {
	w.Write(p.Fields.raw)
	w.text("\r\n")
	switch {
	case w.err != nil:
	case p.Content != nil:
		if err := p.Content(w); err != nil {
			w.err = err
		}
	default:
		p.writeParts(w)
	}
}

// writeParts: RFC 2046, section 5.1.1. The line end before a boundary is part of it.
func (p *Part) writeParts(w *counter) {
	lineEnd := ""
	for _, child := range p.Parts {
		w.text(lineEnd, "--", p.Boundary, "\r\n")
		child.write(w)
		lineEnd = "\r\n"
	}
	w.text(lineEnd, "--", p.Boundary, "--\r\n")
}

// counter counts what it writes, and writes nothing more after an error.
type counter struct {
	w    io.Writer
	n    int64
	err  error
	line []byte // room for text
}

func (c *counter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n, c.err = c.n+int64(n), err
	return n, err
}

func (c *counter) text(parts ...string) {
	c.line = c.line[:0]
	for _, s := range parts {
		c.line = append(c.line, s...)
	}
	c.Write(c.line)
}

// WriteString spares those who hold a string a copy of all of it.
func (c *counter) WriteString(s string) (int, error) {
	before := c.n
	for s != "" && c.err == nil {
		n := min(len(s), 4<<10)
		c.text(s[:n])
		s = s[n:]
	}
	return int(c.n - before), c.err
}
