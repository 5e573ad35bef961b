// Package wire spells SMTP (RFC 5321) on plain readers and writers: replies,
// command lines, the content and its end. It knows the grammar and no policy;
// it is the only place that writes a CRLF to a server.
package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxCommandLine is the longest line that any extension allows, line end
// included: that of AUTH (RFC 4954, section 4).
const maxCommandLine = 12288

// Command is one line to the server under construction. Each token is checked
// against its own grammar; the first that fails is what Bytes returns, so that
// no input, wherever it came from, can become a second line or parameter.
type Command struct {
	line    []byte
	room    [80]byte // for the line, if that is short
	utf8    bool     // it may hold UTF-8
	secrets []string // parts of the line, and what they encode, that are not for logs
	err     error
}

// NewCommand starts a line with verb, which is a constant of the caller's.
func NewCommand(verb string) *Command {
	return new(Command).begin(verb)
}

// begin makes a new line of c.
func (c *Command) begin(verb string) *Command {
	*c = Command{}
	c.line = append(c.room[:0], verb...)
	return c
}

// UTF8 allows mailboxes in UTF-8 (RFC 6531), for a transaction with SMTPUTF8.
func (c *Command) UTF8() *Command {
	c.utf8 = true
	return c
}

// ParseCommand takes a whole line that somebody else has spelled: a verb, and what
// follows it in printable ASCII.
func ParseCommand(line string) *Command {
	c := &Command{line: []byte(line)}
	verb, _, _ := strings.Cut(line, " ")
	if !isKeyword(verb) {
		c.fail("%.200q is no command", line)
	}
	for i := range len(line) {
		if line[i] > '~' {
			c.fail("a command holds %q", line[i])
		}
	}
	return c
}

// From appends a reverse-path (RFC 5321, section 4.1.2); the empty mailbox is
// the null reverse-path.
func (c *Command) From(mailbox string) *Command {
	if mailbox != "" {
		c.checkMailbox(mailbox)
	}
	return c.text("FROM:<" + mailbox + ">")
}

// To appends a forward-path (RFC 5321, section 4.1.2). Only postmaster may
// stand without a domain (section 4.1.1.3).
func (c *Command) To(mailbox string) *Command {
	if !strings.EqualFold(mailbox, "postmaster") {
		c.checkMailbox(mailbox)
	}
	return c.text("TO:<" + mailbox + ">")
}

func (c *Command) checkMailbox(s string) {
	if c.utf8 {
		c.check(CheckUTF8Mailbox(s))
	} else {
		c.check(CheckMailbox(s))
	}
}

// Param appends an ESMTP parameter (RFC 5321, section 4.1.2); an empty
// value leaves out the equals sign. UTF-8 is for an ORCPT beside SMTPUTF8 (RFC
// 6533, section 3).
func (c *Command) Param(keyword, value string) *Command {
	if !isKeyword(keyword) {
		c.fail("parameter %.200q is no keyword", keyword)
	}
	for _, r := range value {
		if r <= ' ' || r == '=' || r > '~' && !(c.utf8 && keyword == "ORCPT" && r > 0x9f && r != utf8.RuneError) {
			c.fail("parameter %s holds %q", keyword, r)
		}
	}
	if value != "" {
		keyword += "=" + value
	}
	return c.text(keyword)
}

// Host appends the argument of EHLO or HELO: a domain or an address literal.
func (c *Command) Host(name string) *Command {
	if !IsASCII(name) { // RFC 6531, section 3.7.1.
		c.fail("the name %.200q of a host is not ASCII", name)
	}
	c.check(checkHost(name))
	return c.text(name)
}

// Keyword appends a name made of letters, digits, hyphens and underscores, as
// those of SASL mechanisms are (RFC 4422, section 3.1).
func (c *Command) Keyword(name string) *Command {
	if !isKeyword(strings.ReplaceAll(name, "_", "-")) {
		c.fail("%.200q is no keyword", name)
	}
	return c.text(name)
}

// Base64 appends data as base64, and no data as the equals sign that stands for
// an empty initial response (RFC 4954, section 4). It is taken for secret.
func (c *Command) Base64(data []byte) *Command {
	if len(data) == 0 {
		return c.text("=")
	}
	return c.text(c.secret(data))
}

// Response spells a line of an AUTH exchange (RFC 4954, section 4), all of which
// is taken for secret.
func Response(data []byte) *Command {
	c := &Command{}
	c.line = append(c.line, c.secret(data)...)
	return c
}

// secret encodes data, and remembers what must not be shown of it: the code, and
// what mechanisms put last: a password behind a NUL, a token behind "Bearer", a
// digest behind a space, a proof behind ",p=".
func (c *Command) secret(data []byte) string {
	code := base64.StdEncoding.EncodeToString(data)
	c.secrets = append(c.secrets, code)
	fields := strings.FieldsFunc(string(data), func(r rune) bool { return r <= 1 })
	if len(fields) == 0 {
		return code
	}
	last := fields[len(fields)-1]
	c.secrets = append(c.secrets, last)
	for _, mark := range []string{" ", ",p="} {
		if at := strings.LastIndex(last, mark); at >= 0 {
			c.secrets = append(c.secrets, last[at+len(mark):])
		}
	}
	return code
}

// Bytes returns the whole line with its CRLF, or the error of the first token
// that was refused.
func (c *Command) Bytes() ([]byte, error) { return endLine(c.line, c.err) }

// String returns the line as it may be logged.
func (c *Command) String() string {
	if c.Secret() {
		return strings.Replace(string(c.line), c.secrets[0], "***", 1)
	}
	return string(c.line)
}

// Secret tells whether there is anything in the line that is not for logs.
func (c *Command) Secret() bool { return len(c.secrets) > 0 }

// Redact takes out of s what String does not show, for servers that repeat what
// they do not understand, perhaps cut off.
func (c *Command) Redact(s string) string {
	for _, secret := range c.secrets {
		for n := len(secret); n >= min(len(secret), 8) && n >= 4; n-- {
			s = strings.ReplaceAll(s, secret[:n], "***")
		}
	}
	return s
}

func (c *Command) text(s string) *Command {
	c.line = append(append(c.line, ' '), s...)
	return c
}

func (c *Command) fail(format string, args ...any) { c.check(fmt.Errorf(format, args...)) }

func (c *Command) check(err error) {
	if c.err == nil {
		c.err = err
	}
}

// endLine is the last guard of every command: whatever the tokens let pass, a
// line holds no control character and is not longer than any server must take.
func endLine(line []byte, err error) ([]byte, error) {
	for _, b := range line {
		if err == nil && (b < ' ' || b == 0x7f) {
			err = fmt.Errorf("a command line holds the control character %q", b)
		}
	}
	if err == nil && len(line)+2 > maxCommandLine {
		err = errors.New("the command line is too long")
	}
	if err != nil {
		return nil, err
	}
	return append(line, '\r', '\n'), nil
}

func isKeyword(s string) bool {
	for i := range len(s) {
		if b := s[i]; !isLetterDigit(b) && (b != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

func isLetterDigit(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
