package wire

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// What a server may say in one reply. RFC 5321, section 4.5.3.1.5 allows 512
// octets a line, RFC 4954, section 4 12288 for a challenge.
const (
	maxReplyLine  = 12288 + len("334 \r\n")
	maxReplyLines = 1000
	maxReplyBytes = 64 << 10
)

// Status is an enhanced status code (RFC 3463): class, subject, detail.
// The zero value means that the server gave none.
type Status [3]int

// Reply is one reply of a server, complete. Lines are as they came, without
// code, separator, line end and enhanced status code; they are untrusted.
type Reply struct {
	Code   int
	Status Status
	Lines  []string
}

// SyntaxError says that what came is no reply (RFC 5321, section 4.2). After
// it nobody knows where the next reply begins: the session is lost.
type SyntaxError struct {
	Line    string
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("unintelligible reply: %s: %q", e.Problem, e.Line)
}

// ReplyReader reads replies, each within bounds of memory that no server can
// raise. It is our own because net/textproto's was open to endless replies
// (CVE-2025-61724) and copied raw text into errors (CVE-2026-42507).
type ReplyReader struct {
	r *bufio.Reader
}

// NewReplyReader returns a reader of the replies on r, which it reads ahead.
func NewReplyReader(r io.Reader) *ReplyReader {
	return &ReplyReader{bufio.NewReaderSize(r, 2<<10)}
}

// Buffered tells how many bytes came ahead of the replies read so far.
func (r *ReplyReader) Buffered() int { return r.r.Buffered() }

// Read reads one reply, of which redact sees each line first; nil changes none.
// A malformed one is a *SyntaxError; an end of file in the middle of one is
// io.ErrUnexpectedEOF.
func (r *ReplyReader) Read(redact func(line string) string) (Reply, error) {
	var reply Reply
	if redact == nil {
		redact = func(line string) string { return line }
	}
	for total := 0; ; {
		line, err := r.line(redact)
		if err == io.EOF && len(reply.Lines) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Reply{}, err
		}
		total += len(line)
		line = redact(line)
		code, more, text, err := parseReplyLine(line)
		switch {
		case err != nil:
			return Reply{}, err
		case len(reply.Lines) > 0 && code != reply.Code: // RFC 5321, section 4.2.1.
			return Reply{}, &SyntaxError{line, fmt.Sprintf("a line of another code inside a %d reply", reply.Code)}
		case len(reply.Lines) == maxReplyLines || total > maxReplyBytes:
			return Reply{}, &SyntaxError{line, "too long"}
		}
		reply.Code = code
		reply.Lines = append(reply.Lines, text)
		if !more {
			reply.takeStatus()
			return reply, nil
		}
	}
}

// line reads one line and strips its end. A bare LF ends a line too: some
// servers write it, and nothing else could be meant.
func (r *ReplyReader) line(redact func(string) string) (string, error) {
	line, err := r.r.ReadSlice('\n')
	for {
		switch {
		case len(line) > maxReplyLine:
			return "", &SyntaxError{beginning(redact(string(line))), fmt.Sprintf("a line of over %d octets", maxReplyLine)}
		case err == nil:
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		case err == io.EOF && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return "", err
		}
		var piece []byte
		line = slices.Clone(line) // What is read next overwrites it.
		piece, err = r.r.ReadSlice('\n')
		line = append(line, piece...)
	}
}

// beginning is what is shown of a line that is too long.
func beginning(line string) string { return line[:min(len(line), 80)] }

// parseReplyLine splits a line into code, whether more lines follow, and text.
// A code alone is taken too, as RFC 5321, section 4.2 asks of clients.
func parseReplyLine(line string) (code int, more bool, text string, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, "", &SyntaxError{line, "no reply code"}
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", &SyntaxError{line, "neither space nor hyphen after the code"}
	}
	return code, line[3] == '-', line[4:], nil
}

// takeStatus moves the enhanced status code from the lines, each of which
// repeats it (RFC 2034, section 4), to Status. It looks whether or not the
// server offered the extension: many do the one without the other, and no
// EHLO line can be mistaken for it, since a class must match the code.
func (r *Reply) takeStatus() {
	prefix, _, _ := strings.Cut(r.Lines[0], " ")
	status, ok := parseStatus(prefix)
	if !ok || status[0] != r.Code/100 {
		return
	}
	r.Status = status
	for i, line := range r.Lines {
		if line == prefix {
			r.Lines[i] = ""
		} else if text, ok := strings.CutPrefix(line, prefix+" "); ok {
			r.Lines[i] = text
		}
	}
}

// parseStatus parses an enhanced status code such as 5.1.1 (RFC 3463, section 2).
func parseStatus(s string) (Status, bool) {
	var status Status
	if len(s) > len("5.999.999") || strings.Count(s, ".") != len(status)-1 {
		return Status{}, false
	}
	for i := range status {
		var part string
		part, s, _ = strings.Cut(s, ".")
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n > 999 {
			return Status{}, false
		}
		status[i] = int(n)
	}
	return status, status[0] == 2 || status[0] == 4 || status[0] == 5
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
