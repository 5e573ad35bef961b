package wire

import (
	"bytes"
	"errors"
	"io"
)

// ErrBareCR says that content holds a CR without its LF. Sent as it is, servers
// would disagree where lines end (the smuggling of CVE-2023-51764 and its kin).
var ErrBareCR = errors.New("a bare CR, which RFC 5321, section 2.3.8 forbids")

// errEnded is for those who kept the writer: what they write would be commands.
var errEnded = errors.New("the content has ended")

// DotWriter writes the content of DATA: dots at the start of lines are doubled
// (RFC 5321, section 4.5.2), a bare LF becomes CRLF, a bare CR is refused. It
// cannot end the content: that is [EndData], which its holders do not reach.
type DotWriter struct {
	w       io.Writer
	block   []byte // what is not written yet; its capacity is the block size
	midLine bool   // the last octet did not end a line
	cr      bool   // it was a CR; whether that is bare, the next one shows
	err     error
}

// NewDotWriter returns a writer that hands w blocks of cap(block) octets, and
// uses block for them.
func NewDotWriter(w io.Writer, block []byte) *DotWriter {
	return &DotWriter{w: w, block: block[:0]}
}

// Err returns what ended the writing, if anything did.
func (d *DotWriter) Err() error { return d.err }

// Write implements io.Writer; after an error it writes nothing more.
func (d *DotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && d.err == nil; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			d.text(rest)
			break
		}
		d.text(rest[:end])
		d.endLine()
		rest = rest[end+1:]
	}
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// text writes a piece of a line. Its last octet is held back if it is a CR.
func (d *DotWriter) text(s []byte) {
	if len(s) == 0 {
		return
	}
	if d.cr {
		d.fail(ErrBareCR)
		return
	}
	if s[0] == '.' && !d.midLine {
		d.emit([]byte("."))
	}
	if s[len(s)-1] == '\r' {
		d.cr, s = true, s[:len(s)-1]
	}
	if bytes.IndexByte(s, '\r') >= 0 {
		d.fail(ErrBareCR)
		return
	}
	d.midLine = d.midLine || d.cr || len(s) > 0
	d.emit(s)
}

func (d *DotWriter) endLine() {
	d.emit([]byte("\r\n"))
	d.cr, d.midLine = false, false
}

// emit adds s to the block, and writes the block whenever it is full.
func (d *DotWriter) emit(s []byte) {
	for d.err == nil {
		n := copy(d.block[len(d.block):cap(d.block)], s)
		d.block, s = d.block[:len(d.block)+n], s[n:]
		if len(s) == 0 {
			return
		}
		_, err := d.w.Write(d.block)
		d.block = d.block[:0]
		d.fail(err)
	}
}

func (d *DotWriter) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// EndData ends the content: the line end that it may lack, and the lone dot. It
// is the only function that writes the end of data, and refuses after an error.
// Left tells, when err is not nil, whether that end may have reached the wire.
func EndData(d *DotWriter) (left bool, err error) {
	if d.cr {
		d.fail(ErrBareCR)
	}
	if d.midLine {
		d.endLine()
	}
	d.emit([]byte(".\r\n"))
	if d.err != nil {
		return false, d.err
	}
	n, err := d.w.Write(d.block)
	d.fail(err)
	d.fail(errEnded)
	return n == len(d.block), err
}
