package format

import (
	"bufio"
	"bytes"
	"io"
)

// lines reads what somebody else wrote, however it ends its lines: by LF, by CRLF or
// more CR than one, or, if there is no LF in sight, by CR.
type lines struct {
	r    *bufio.Reader
	end  byte   // of a line; zero: not known yet
	held []byte // a line that was given back; nil: none
	near int    // lines that come before a field
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 4<<10)} }

// next returns a line without its end, which is valid until the next call. Of a line
// that is too long for the buffer it returns a piece, of which more is to come.
func (l *lines) next() (line []byte, more bool, err error) {
	if l.held != nil {
		line, l.held = l.held, nil
		return line, false, nil
	}
	if l.end == 0 {
		l.end = '\n'
		if seen, _ := l.r.Peek(l.r.Size()); bytes.IndexByte(seen, '\n') < 0 && bytes.IndexByte(seen, '\r') >= 0 {
			l.end = '\r'
		}
	}
	l.near--
	line, err = l.r.ReadSlice(l.end)
	switch {
	case err == bufio.ErrBufferFull && len(line) == l.r.Size(): // A reader below may have such an error, too.
		return line, true, nil
	case err != nil && (err != io.EOF || len(line) == 0):
		return nil, false, err
	}
	return bytes.TrimRight(bytes.TrimSuffix(line, []byte{l.end}), "\r"), false, nil
}

// whole returns a whole line, which is the caller's, but for what is over the limit.
func (l *lines) whole(limit int) ([]byte, error) {
	var line []byte
	for {
		piece, more, err := l.next()
		if err != nil {
			return nil, err
		}
		line = append(line, piece[:min(len(piece), max(limit-len(line), 0))]...)
		if !more {
			return line, nil
		}
	}
}

// fieldIsNear tells whether a field comes before an empty line, in what is at hand.
func (l *lines) fieldIsNear() bool {
	if l.near > 0 { // It was seen already.
		return true
	}
	ahead, _ := l.r.Peek(l.r.Size() / 4)
	for n := 1; ; n++ {
		line, rest, ended := bytes.Cut(ahead, []byte{l.end})
		if _, _, isField := cutField(line); isField || !ended || len(bytes.TrimSpace(line)) == 0 {
			if isField && ended {
				l.near = n
			}
			return isField && ended
		}
		ahead = rest
	}
}

// part reads a text as far as a boundary (RFC 2046, section 5.1.1), with LF at the
// end of each line.
type part struct {
	*lines
	boundary []byte // with the hyphens before it; nil: there is none, and it ends with the lines
	pending  []byte // of the line that is being read
	buffer   []byte
	inLine   bool // the next piece does not begin a line
	ended    bool // a boundary was met
	last     bool // which was the closing one
}

// Read implements io.Reader.
func (p *part) Read(b []byte) (int, error) {
	for len(p.pending) == 0 {
		if p.ended {
			return 0, io.EOF
		}
		line, more, err := p.next()
		if err != nil {
			return 0, err
		}
		if !p.inLine && p.boundary != nil && p.isBoundary(line) {
			p.ended = true
			continue
		}
		p.inLine = more
		p.buffer = append(p.buffer[:0], line...)
		if !more {
			p.buffer = append(p.buffer, '\n')
		}
		p.pending = p.buffer
	}
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

func (p *part) isBoundary(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, p.boundary)
	if !ok {
		return false
	}
	rest = bytes.TrimRight(rest, " \t")
	p.last = string(rest) == "--"
	return p.last || len(rest) == 0
}
