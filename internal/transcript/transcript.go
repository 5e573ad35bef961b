// Package transcript plays a recorded conversation in the part of the server,
// and says where a client departs from it. A script is a text file:
//
//	# the rule that it shows, and where the rule comes from
//	with KEY VALUE…      a setting for whoever runs the script
//	S: text              the server sends a line
//	S! "text\x00"        the server sends the octets of a Go string
//	C: text              the client must send this line
//	C! "text\x00"        the client must send the octets of a Go string
//	C: ...               the client must send lines, up to and with a lone dot
//	C: (chunk)           the client must send BDAT and as many octets as it says
//	C: (last chunk)      the same with LAST
//	C: (waits)           the client must send nothing for a second
//	C: (goes)            the client must close without another octet
//	S: (goes)            the server closes the connection
//	S: (is silent)       the server says nothing more until the client goes
//	S: (pauses)          the server does nothing for a second, so that what it said is heard
//	S: (starts TLS)      the server does its part of a TLS handshake
//	= text               what must come of it, in the words of whoever runs it
package transcript

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Script is a conversation, and what must come of it.
type Script struct {
	Comment string
	With    map[string]string
	Want    []string

	steps []step
}

// step is a line of a script in which one side does something.
type step struct {
	line       int
	kind, text string
}

// Parse reads a script.
func Parse(text string) (*Script, error) {
	s := &Script{With: map[string]string{}}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "":
		case "#":
			s.Comment += rest + "\n"
		case "with":
			key, value, _ := strings.Cut(rest, " ")
			s.With[key] = value
		case "=":
			s.Want = append(s.Want, rest)
		case "S:", "C:":
			s.steps = append(s.steps, step{i + 1, kind, rest})
		case "S!", "C!":
			raw, err := strconv.Unquote(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %s is no Go string", i+1, rest)
			}
			s.steps = append(s.steps, step{i + 1, kind, raw})
		default:
			return nil, fmt.Errorf("line %d: %q is no step of a script", i+1, line)
		}
	}
	if s.Comment == "" {
		return nil, fmt.Errorf("line 1: the script does not say what it shows")
	}
	return s, nil
}

// Play plays the server on conn and closes it. The error names the line at which
// the client departed from the script.
func (s *Script) Play(conn net.Conn, config *tls.Config) error {
	p := &player{raw: conn, conn: conn, lines: bufio.NewReader(conn), config: config}
	defer conn.Close()
	for _, step := range s.steps {
		if err := p.play(step); err != nil {
			return fmt.Errorf("line %d: %w", step.line, err)
		}
	}
	return nil
}

type player struct {
	raw, conn net.Conn
	lines     *bufio.Reader
	config    *tls.Config
}

func (p *player) play(s step) error {
	switch s.kind + " " + s.text {
	case "S: (goes)":
		return p.raw.Close()
	case "S: (is silent)", "C: (goes)":
		return p.expectEnd()
	case "S: (pauses)":
		time.Sleep(time.Second)
		return nil
	case "S: (starts TLS)":
		over := tls.Server(p.conn, p.config)
		p.conn, p.lines = over, bufio.NewReader(over)
		return over.Handshake()
	case "C: (waits)":
		return p.expectNothing()
	case "C: ...":
		return p.expectContent()
	case "C: (chunk)":
		return p.expectChunk("BDAT %d\r\n")
	case "C: (last chunk)":
		return p.expectChunk("BDAT %d LAST\r\n")
	}
	switch s.kind {
	case "S:":
		_, err := io.WriteString(p.conn, s.text+"\r\n")
		return err
	case "S!":
		_, err := io.WriteString(p.conn, s.text)
		return err
	case "C!":
		got := make([]byte, len(s.text))
		if _, err := io.ReadFull(p.lines, got); err != nil || string(got) != s.text {
			return fmt.Errorf("client sent %q (%v), want %q", got, err, s.text)
		}
		return nil
	}
	line, err := p.lines.ReadString('\n')
	if line != s.text+"\r\n" {
		return fmt.Errorf("client sent %q (%v), want %q", line, err, s.text+"\r\n")
	}
	return nil
}

func (p *player) expectContent() error {
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("client sent %q (%w), want more content", line, err)
		}
		if line == ".\r\n" {
			return nil
		}
	}
}

func (p *player) expectChunk(format string) error {
	line, err := p.lines.ReadString('\n')
	var size int64
	if _, scanErr := fmt.Sscanf(line, format, &size); scanErr != nil {
		return fmt.Errorf("client sent %q (%v), want %q", line, err, format)
	}
	if _, err := io.CopyN(io.Discard, p.lines, size); err != nil {
		return fmt.Errorf("client sent less than the %d octets of its chunk: %w", size, err)
	}
	return nil
}

func (p *player) expectNothing() error {
	p.conn.SetReadDeadline(time.Now().Add(time.Second))
	defer p.conn.SetReadDeadline(time.Time{})
	if _, err := p.lines.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		line, _ := p.lines.ReadString('\n')
		return fmt.Errorf("client sent %q (%v), want nothing yet", line, err)
	}
	return nil
}

func (p *player) expectEnd() error {
	rest, err := io.ReadAll(p.lines)
	if len(rest) > 0 {
		return fmt.Errorf("client sent %q (%v), want nothing more", rest, err)
	}
	return nil
}
