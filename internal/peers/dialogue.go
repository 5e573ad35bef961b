package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
)

// dialogue is one session of a sink. Replies are held back while there are further
// commands to read, as real servers do (RFC 2920, section 3.2).
type dialogue struct {
	sink    *sink
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	secured bool
	into    io.Writer     // where content goes
	content *bytes.Buffer // what into keeps; nil: nothing
}

func newDialogue(s *sink, conn net.Conn) *dialogue {
	d := &dialogue{sink: s, into: io.Discard}
	if s.keep != nil {
		d.content = &bytes.Buffer{}
		d.into = d.content
	}
	d.speakOver(conn)
	return d
}

func (d *dialogue) speakOver(conn net.Conn) {
	d.conn, d.r, d.w = conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
}

func (d *dialogue) say(reply string) { d.w.WriteString(reply + "\r\n") }

func (d *dialogue) run() {
	d.say("220 sink ESMTP")
	for {
		line, err := d.line()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		if err := d.answer(strings.ToUpper(verb), rest); err != nil {
			d.w.Flush()
			return
		}
	}
}

// line reads a command, once the client has all replies that it may wait for.
func (d *dialogue) line() (string, error) {
	if d.r.Buffered() == 0 {
		if err := d.w.Flush(); err != nil {
			return "", err
		}
	}
	line, err := d.r.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

func (d *dialogue) answer(verb, rest string) error {
	switch verb {
	case "EHLO":
		d.say("250-sink\r\n" + d.offers() + "250 ENHANCEDSTATUSCODES")
	case "STARTTLS":
		return d.startTLS()
	case "AUTH":
		return d.authenticate(rest)
	case "DATA":
		return d.data()
	case "BDAT":
		return d.bdat(rest)
	case "QUIT":
		d.say("221 2.0.0 bye")
		return io.EOF
	default:
		d.say("250 2.0.0 ok")
	}
	return nil
}

// offers are the extensions of a server as there are many.
func (d *dialogue) offers() string {
	offers := "250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
	switch {
	case d.secured:
		offers += "250-AUTH PLAIN\r\n"
	case d.sink.tls != nil:
		offers += "250-STARTTLS\r\n"
	}
	return offers
}

func (d *dialogue) startTLS() error {
	d.say("220 2.0.0 go on")
	if err := d.w.Flush(); err != nil {
		return err
	}
	conn := tls.Server(d.conn, d.sink.tls)
	d.secured = true
	d.speakOver(conn)
	err := conn.Handshake()
	if conn.ConnectionState().DidResume {
		d.sink.resumed.Add(1)
	}
	return err
}

// authenticate believes everybody.
func (d *dialogue) authenticate(rest string) error {
	if !strings.Contains(rest, " ") { // No initial response.
		d.say("334 ")
		if _, err := d.line(); err != nil {
			return err
		}
	}
	d.say("235 2.0.0 ok")
	return nil
}

func (d *dialogue) data() error {
	d.say("354 go on")
	if d.r.Buffered() == 0 {
		if err := d.w.Flush(); err != nil {
			return err
		}
	}
	begins := true // a line
	for {
		line, err := d.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if begins && string(line) == ".\r\n" {
			d.taken()
			return nil
		}
		if begins {
			line = bytes.TrimPrefix(line, []byte("."))
		}
		d.into.Write(line)
		begins = err == nil
	}
}

func (d *dialogue) bdat(rest string) error {
	size, last, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(d.into, d.r, n); err != nil {
		return err
	}
	if last == "" {
		d.say("250 2.0.0 ok")
		return nil
	}
	d.taken()
	return nil
}

// taken takes a mail on.
func (d *dialogue) taken() {
	d.sink.mails.Add(1)
	if d.content != nil {
		d.sink.keep(bytes.Clone(d.content.Bytes()))
		d.content.Reset()
	}
	d.say("250 2.0.0 taken")
}
