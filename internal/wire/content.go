package wire

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrBareCR says that content holds a CR without its LF. Sent as it is, servers
// would disagree where lines end (the smuggling of CVE-2023-51764 and its kin).
var ErrBareCR = errors.New("a bare CR, which RFC 5321, section 2.3.8 forbids")

// errEnded is for those who kept the writer: what they write would be commands.
var errEnded = errors.New("the content has ended")

// Form is how content goes over the wire.
type Form int

// The forms of content. In those of lines, a bare LF becomes CRLF, a line end is
// added to the last line where it lacks, and a bare CR is refused; in the others
// not an octet is altered.
const (
	Lines    Form = iota // to no server
	Verbatim             // to no server, and not as lines
	Dots                 // by DATA: dots at the start of lines are doubled (RFC 5321, section 4.5.2)
	Chunks               // by BDAT (RFC 3030): each block is a chunk behind its command
	Binary               // by BDAT, and not as lines
)

// Verb is the command that announces content of that form.
func (f Form) Verb() string {
	if f >= Chunks {
		return "BDAT"
	}
	return "DATA"
}

// Block is what goes over the wire at once.
type Block struct {
	Octets  []byte   // all of it; valid until the write returns
	Content int      // how many of them are content, with the dots that were added
	Command *Command // BDAT, which is among them; nil in other forms; valid as long
	Last    bool     // they end the content
}

// ContentWriter makes blocks of content. It cannot end the content: that is
// [EndData], which those who write the content do not reach.
type ContentWriter struct {
	form    Form
	write   func(Block) (int, error)
	block   []byte // what is not written yet, behind the room for a command; its capacity is the block size
	midLine bool   // the last octet did not end a line
	cr      bool   // it was a CR; whether that is bare, the next one shows
	err     error
	command Command // of the chunk under way
}

// commandRoom is kept free before a chunk for its command, so that both go in
// one write.
const commandRoom = len("BDAT 4294967295 LAST\r\n")

// NewContentWriter returns a writer that hands over blocks of at most cap(block)
// octets, and uses block for them; commands behind the end come on top of that.
func NewContentWriter(form Form, block []byte, write func(Block) (int, error)) *ContentWriter {
	w := &ContentWriter{form: form, write: write, block: block}
	w.clear()
	return w
}

// Err returns what ended the writing, if anything did.
func (w *ContentWriter) Err() error { return w.err }

// Write implements io.Writer; after an error it writes nothing more.
func (w *ContentWriter) Write(p []byte) (int, error) {
	if w.form == Binary || w.form == Verbatim {
		w.emit(p)
	} else {
		w.lines(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

func (w *ContentWriter) lines(p []byte) {
	for w.err == nil && len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.text(p)
			return
		}
		w.text(p[:end])
		w.endLine()
		p = p[end+1:]
	}
}

// text writes a piece of a line. Its last octet is held back if it is a CR.
func (w *ContentWriter) text(s []byte) {
	if len(s) == 0 {
		return
	}
	if w.cr {
		w.fail(ErrBareCR)
		return
	}
	if s[0] == '.' && !w.midLine && w.form == Dots {
		w.emit([]byte("."))
	}
	if s[len(s)-1] == '\r' {
		w.cr, s = true, s[:len(s)-1]
	}
	if bytes.IndexByte(s, '\r') >= 0 {
		w.fail(ErrBareCR)
		return
	}
	w.midLine = w.midLine || w.cr || len(s) > 0
	w.emit(s)
}

func (w *ContentWriter) endLine() {
	w.emit([]byte("\r\n"))
	w.cr, w.midLine = false, false
}

// emit adds s to the block, and hands the block over whenever there is more.
func (w *ContentWriter) emit(s []byte) {
	for w.err == nil {
		n := copy(w.block[len(w.block):cap(w.block)], s)
		w.block, s = w.block[:len(w.block)+n], s[n:]
		if len(s) == 0 {
			return
		}
		_, err := w.write(w.take(false))
		w.clear()
		w.fail(err)
	}
}

// take makes a Block of the block.
func (w *ContentWriter) take(last bool) Block {
	if w.form < Chunks {
		return Block{Octets: w.block, Content: len(w.block), Last: last}
	}
	size := len(w.block) - commandRoom
	command := w.command.begin("BDAT").Keyword(strconv.Itoa(size))
	if last {
		command.Keyword("LAST")
	}
	line, err := command.Bytes()
	w.fail(err)
	start := commandRoom - len(line)
	copy(w.block[start:], line)
	return Block{Octets: w.block[start:], Content: size, Command: command, Last: last}
}

func (w *ContentWriter) clear() {
	w.block = w.block[:0]
	if w.form >= Chunks {
		w.block = w.block[:commandRoom]
	}
}

func (w *ContentWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// EndData ends the content: the line end that it may lack and, where it goes to
// a server, the lone dot or the last chunk, with the commands that are to follow
// in the same write. It is the only function that does, and refuses after an
// error. Left tells, when err is not nil, whether the end may have gone.
func EndData(w *ContentWriter, behind []byte) (left bool, err error) {
	if w.cr {
		w.fail(ErrBareCR)
	}
	if w.midLine {
		w.endLine()
	}
	content := len(w.block)
	if w.form == Dots {
		w.emit([]byte(".\r\n"))
		content = min(content, len(w.block)) // Less, if the end has begun a new block.
	}
	if w.err != nil {
		return false, w.err
	}
	block := w.take(true)
	if w.form == Dots {
		block.Content = content
	}
	whole := len(block.Octets)
	block.Octets = append(block.Octets, behind...)
	n, err := w.write(block)
	w.fail(err)
	w.fail(errEnded)
	return n >= whole, err
}
