package smtp

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/postrider/smtp/internal/wire"
)

// Address is a display name, which may be empty, and a mailbox. Quotes are added to
// a local part where they must be, but one that holds any of <>(),;:[]@" must have
// them already.
type Address = mail.Address

// ParseAddress reads an address as people write it (RFC 5322, section 3.4), with or
// without a display name, in any script. What can be read in two ways is an error. A
// local part such as "a,b" keeps its quotes, and String would quote it once more.
func ParseAddress(s string) (Address, error) {
	list, err := ParseAddressList(s)
	switch {
	case err != nil:
		return Address{}, err
	case len(list) != 1:
		return Address{}, &FieldError{"Address", fmt.Errorf("%.200q has %d addresses, and not one", s, len(list))}
	}
	return list[0], nil
}

// MustParseAddress is [ParseAddress] for addresses that are written in the program: it
// panics where that returns an error.
func MustParseAddress(s string) Address {
	address, err := ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return address
}

// ParseAddressList reads addresses with commas between them, and those in groups. The
// error, of the first that cannot be read, is a [*FieldError].
func ParseAddressList(s string) ([]Address, error) {
	pieces, err := splitAddresses(s)
	if err != nil {
		return nil, &FieldError{"Address", fmt.Errorf("%.200q: %w", s, err)}
	}
	var list []Address
	for _, piece := range pieces {
		address, err := parsePiece(piece)
		if err != nil {
			return nil, &FieldError{"Address", fmt.Errorf("%.200q: %w", piece, err)}
		}
		list = append(list, address)
	}
	return list, nil
}

// maxAddress is the longest that one address may be written, in octets, and
// maxNesting how many comments may be in one another.
const (
	maxAddress = 4 << 10
	maxNesting = 50
)

// splitter cuts a list of addresses at what stands between them.
type splitter struct {
	rest    string
	piece   []byte
	pieces  []string
	inAngle bool // between < and >
	inGroup bool
	closed  bool // a group has just ended
}

// splitAddresses returns the addresses of a list, without comments. Encoded words are
// not decoded before that: what they hold separates nothing (RFC 2047, section 5).
func splitAddresses(s string) ([]string, error) {
	s = strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(s)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return nil, errors.New("holds a control character, or is not UTF-8")
	}
	p := &splitter{rest: s}
	for p.rest != "" {
		if err := p.next(); err != nil {
			return nil, err
		}
		if len(p.piece) > maxAddress {
			return nil, fmt.Errorf("is longer than %d octets", maxAddress)
		}
	}
	if p.inGroup || p.inAngle {
		return nil, errors.New("lacks the end of a group, or a >")
	}
	p.end()
	return p.pieces, nil
}

// next takes a character, or what stands between a pair of them.
func (p *splitter) next() error {
	c := p.rest[0]
	if c == '\t' {
		c = ' '
	}
	switch {
	case p.closed && c != ' ' && c != ',' && c != '(':
		return errors.New("has no comma behind a group")
	case c == '"':
		return p.take(endOfQuoted(p.rest))
	case c == '[':
		return p.take(strings.IndexByte(p.rest, ']') + 1)
	case c == '(':
		end := endOfComment(p.rest)
		if end == 0 {
			return errors.New("has a comment without an end, or too many in one another")
		}
		p.piece, p.rest = append(p.piece, ' '), p.rest[end:]
		return nil
	case c == ',' && !p.inAngle:
		p.end()
	case c == ':' && !p.inAngle:
		return p.beginGroup()
	case c == ';' && !p.inAngle:
		if !p.inGroup {
			return errors.New("has a semicolon, where only a comma may stand")
		}
		p.end()
		p.inGroup, p.closed = false, true
	default:
		p.inAngle = c == '<' || p.inAngle && c != '>'
		p.piece = append(p.piece, c)
	}
	p.rest = p.rest[1:]
	return nil
}

// take takes n octets as they are; zero: they have no end.
func (p *splitter) take(n int) error {
	if n == 0 || n > maxAddress {
		return fmt.Errorf("has a %c without an end", p.rest[0])
	}
	p.piece, p.rest = append(p.piece, p.rest[:n]...), p.rest[n:]
	return nil
}

// end ends an address. That there is none between two commas means nothing (RFC 5322,
// section 4.4).
func (p *splitter) end() {
	if piece := trim(string(p.piece)); piece != "" {
		p.pieces = append(p.pieces, piece)
	}
	p.piece, p.closed = p.piece[:0], false
}

func (p *splitter) beginGroup() error {
	if p.inGroup {
		return errors.New("has a group within a group")
	}
	if name, err := parsePhrase(string(p.piece)); err != nil || name == "" {
		return errors.New("has a colon, which is not behind the name of a group")
	}
	p.piece, p.rest, p.inGroup = p.piece[:0], p.rest[1:], true
	return nil
}

// endOfQuoted returns how long the quoted string at the beginning of s is; zero: it
// has no end.
func endOfQuoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// endOfComment does the same for a comment, in which there may be others.
func endOfComment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			if depth++; depth > maxNesting {
				return 0
			}
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// parsePiece reads one address without comments.
func parsePiece(s string) (Address, error) {
	phrase, spec := "", s
	if begin := indexUnquoted(s, '<'); begin >= 0 {
		phrase, spec = s[:begin], s[begin+1:]
		if end := indexUnquoted(spec, '>'); end != len(spec)-1 {
			return Address{}, errors.New("does not end at the >")
		}
		spec = spec[:len(spec)-1]
	}
	name, err := parsePhrase(phrase)
	if err != nil {
		return Address{}, err
	}
	local, domain := trim(spec), ""
	if at := strings.LastIndexByte(spec, '@'); at >= 0 {
		local, domain = trim(spec[:at]), "@"+trim(spec[at+1:])
	}
	m, err := parseMailbox(local + domain)
	if err == nil { // It would add quotes.
		err = wire.CheckUTF8Mailbox(local + "@" + m.domain)
	}
	if err != nil {
		return Address{}, err
	}
	return Address{Name: name, Address: m.plain()}, nil
}

// plain spells the mailbox for an Address: without quotes, as net/mail does, where it
// can be read in one way only, and with a domain that looks like what it is.
func (m mailbox) plain() string {
	domain := m.address[strings.LastIndexByte(m.address, '@')+1:]
	if !wire.IsASCII(domain) {
		domain = unicodeDomain(m.domain)
	}
	if again, err := parseMailbox(m.local + "@" + domain); err == nil && again.local == m.local {
		return m.local + "@" + domain
	}
	return wire.JoinMailbox(m.local, domain)
}

// trim takes away the blanks of RFC 5322; in UTF-8 there are others, which mean
// something.
func trim(s string) string { return strings.Trim(s, " \t") }

// indexUnquoted returns where c first stands outside of quotes, or less than none.
func indexUnquoted(s string, c byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case c:
			return i
		case '"':
			i += max(endOfQuoted(s[i:]), 1) - 1
		case '[':
			i += max(strings.IndexByte(s[i:], ']'), 0)
		}
	}
	return -1
}

// parsePhrase reads a display name, as net/mail does before an address.
func parsePhrase(s string) (string, error) {
	if trim(s) == "" {
		return "", nil
	}
	parser := mail.AddressParser{WordDecoder: words}
	address, err := parser.Parse(s + " <a@b.c>")
	if err != nil {
		return "", fmt.Errorf("the name %q needs quotes: %w", trim(s), err)
	}
	return clean(address.Name), nil
}

// clean makes text of a stranger fit for a header field.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// words decodes encoded words in any charset; one that nobody knows leaves U+FFFD.
var words = &mime.WordDecoder{CharsetReader: func(charset string, in io.Reader) (io.Reader, error) {
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return strings.NewReader("\uFFFD"), nil
	}
	return encoding.NewDecoder().Reader(in), nil
}}

// addressesIn returns the mailboxes in all header fields of a name.
func addressesIn(header mail.Header, name string) (list []Address, err error) {
	for _, value := range header[name] {
		addresses, err := ParseAddressList(value)
		if err != nil {
			return nil, fmt.Errorf("the %s cannot be read: %w", name, errors.Unwrap(err))
		}
		list = append(list, addresses...)
	}
	return list, nil
}

// firstAddresses returns the mailboxes in the first of some fields that has any.
func firstAddresses(header mail.Header, names ...string) (list []Address, name string, err error) {
	for _, name = range names {
		if list, err = addressesIn(header, name); err != nil || len(list) > 0 {
			break
		}
	}
	return list, name, err
}
