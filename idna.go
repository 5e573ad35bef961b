package smtp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/postrider/smtp/internal/wire"
)

// ToASCII returns an address, or a domain, in the form that any server takes: the domain
// in A-labels (RFC 5891), the local part quoted only if it must be (RFC 5321, section
// 4.1.2). A local part that is not ASCII has no such form.
func ToASCII(address string) (string, error) {
	if !strings.Contains(address, "@") {
		return checkedDomain(address)
	}
	m, err := parseMailbox(address)
	if err != nil {
		return "", err
	}
	return m.ascii()
}

// ToUnicode returns an address, or a domain, as people read it: the domain in
// U-labels. One with a label that has no such form stays as it is.
func ToUnicode(address string) (string, error) {
	if !strings.Contains(address, "@") {
		ascii, err := checkedDomain(address)
		return unicodeDomain(ascii), err
	}
	m, err := parseMailbox(address)
	if err != nil {
		return "", err
	}
	return m.utf8(), nil
}

// NeedsUTF8 tells whether mail for an address needs SMTPUTF8 (RFC 6531), since its local
// part is not ASCII; not whether the address is valid.
func NeedsUTF8(address string) bool {
	return !wire.IsASCII(address[:max(strings.LastIndexByte(address, '@'), 0)])
}

// mailbox is an address in its parts.
type mailbox struct {
	address string // as it was given, for errors
	local   string // as it is meant, without quotes
	domain  string // in A-labels, or an address literal
	joined  string // the two, with quotes where they must be
}

// parseMailbox takes an address apart. A local part that holds what stands between
// addresses is taken only in quotes: else "a, b@c" or "Bob <b@c" would go to somebody.
func parseMailbox(address string) (mailbox, error) {
	at := strings.LastIndexByte(address, '@')
	switch {
	case len(address) > maxAddress:
		return mailbox{}, fmt.Errorf("%.200q is longer than %d octets", address, maxAddress)
	case address == "":
		return mailbox{}, errors.New("is empty")
	case at < 0 && strings.ContainsAny(address, "＠﹫"):
		return mailbox{}, fmt.Errorf("%q has another character for the @", address)
	case at < 0:
		return mailbox{}, fmt.Errorf("%q has no domain", address)
	}
	m := mailbox{address: address, local: wire.UnquoteLocal(address[:at])}
	isQuoted := m.local != address[:at]
	// The grammar of RFC 5321, section 4.1.2 has an empty one in quotes; net/mail reads no list with it.
	if strings.TrimSpace(address) != address || m.local == "" || !isQuoted && needsQuotes(m.local) {
		return mailbox{}, fmt.Errorf("%q is not one plain address; %s", address, plainAdvice(address))
	}
	if len(m.local) > 1 && strings.HasPrefix(m.local, `"`) && strings.HasSuffix(m.local, `"`) { // As by mail.Address.String.
		return mailbox{}, fmt.Errorf("the local part of %q is quoted twice", address)
	}
	var err error
	if m.domain, err = asciiDomain(address[at+1:]); err != nil {
		return mailbox{}, fmt.Errorf("the domain of %q: %w", address, err)
	}
	m.joined = address
	if isQuoted || m.domain != address[at+1:] || !wire.IsDotString(m.local) {
		m.joined = wire.JoinMailbox(m.local, m.domain)
	}
	if err := wire.CheckUTF8Mailbox(m.joined); err != nil {
		return mailbox{}, fmt.Errorf("%q: %w", address, err)
	}
	return m, nil
}

// needsQuotes tells whether a local part can be taken for more than that without quotes.
func needsQuotes(local string) bool {
	return strings.Trim(local, " ") != local || strings.ContainsAny(local, `<>(),;:[]@"`)
}

// plainAdvice says what would make one of what is no plain address.
func plainAdvice(address string) string {
	switch {
	case strings.HasPrefix(address, "@"), strings.HasPrefix(address, `""@`):
		return "nothing stands before the @"
	case strings.TrimSpace(address) != address:
		return "there is white space around it"
	case strings.Contains(address, "<"):
		return "ParseAddress reads a name and an address"
	case strings.Contains(address, ","):
		return "ParseAddressList reads several; if the comma belongs to one, what stands before the @ needs quotes"
	}
	return "if that is what stands before the @, it needs quotes"
}

// ascii spells the mailbox for any server.
func (m mailbox) ascii() (string, error) {
	if !wire.IsASCII(m.local) {
		return "", fmt.Errorf("%q: the local part is not ASCII, and has no other form: it needs SMTPUTF8", m.address)
	}
	return m.joined, nil
}

// utf8 spells the mailbox for a session with SMTPUTF8, and for people. A domain that
// is too long for a path in UTF-8 stays in A-labels.
func (m mailbox) utf8() string {
	spelled := wire.JoinMailbox(m.local, unicodeDomain(m.domain))
	if wire.CheckUTF8Mailbox(spelled) != nil {
		return m.joined
	}
	return spelled
}

// spell spells the mailbox as it is shown or named in a session with SMTPUTF8, or
// without. What was given in ASCII stays so.
func (m mailbox) spell(utf8 bool) (string, error) {
	if utf8 && !wire.IsASCII(m.address) {
		return m.utf8(), nil
	}
	return m.ascii()
}

// mailboxKey is the same for addresses that mean the same mailbox: letter case counts
// in the local part alone (RFC 5321, section 2.4).
func mailboxKey(address string) string {
	m, err := parseMailbox(address)
	if err != nil {
		return strings.ToLower(address) // postmaster
	}
	if domain := strings.ToLower(m.domain); domain != m.domain {
		return wire.JoinMailbox(m.local, domain)
	}
	return m.joined
}

// lookup maps and checks as RFC 5891, section 5 wants it before a domain is looked
// up: letter case, dots of other scripts, bidi, joiners, lengths. Of hyphens, labels in
// ASCII may have more than it allows.
var lookup = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckJoiners(true),
	idna.CheckHyphens(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// maxDomain is how long a domain may be written, in octets of UTF-8. In A-labels it has
// 255 at most (RFC 5321, section 4.5.3.1.2), so at most as many characters.
const maxDomain = 1 << 10

// asciiDomain spells a domain in A-labels; what is ASCII already is not changed. The
// time that Punycode takes grows with the square of the length.
func asciiDomain(domain string) (string, error) {
	if len(domain) > maxDomain {
		return "", fmt.Errorf("it has %d octets; %d are allowed", len(domain), maxDomain)
	}
	if !utf8.ValidString(domain) {
		return "", errors.New("it is not valid UTF-8")
	}
	if !wire.IsASCII(domain) {
		ascii, err := lookup.ToASCII(domain)
		if err != nil {
			return "", explainDomain(domain, err)
		}
		for label := range strings.SplitSeq(unicodeDomain(ascii), ".") {
			if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") { // RFC 5891, section 4.2.3.1.
				return "", fmt.Errorf("its label %q begins or ends with a hyphen", label)
			}
		}
		return ascii, nil
	}
	for label := range strings.SplitSeq(strings.ToLower(domain), ".") {
		if !strings.HasPrefix(label, "xn--") {
			continue
		}
		unicode, err := idna.Punycode.ToUnicode(label)
		if again, _ := idna.Punycode.ToASCII(unicode); err != nil || again != label {
			return "", fmt.Errorf("its label %q is broken Punycode", label)
		}
	}
	return domain, nil
}

// explainDomain names the label that is wrong, if it is wrong by itself.
func explainDomain(domain string, err error) error {
	for label := range strings.FieldsFuncSeq(domain, func(r rune) bool { return strings.ContainsRune(".。．｡", r) }) {
		if _, wrong := lookup.ToASCII(label); wrong != nil {
			return fmt.Errorf("its label %q: %w", label, wrong)
		}
	}
	return err
}

func checkedDomain(domain string) (string, error) {
	ascii, err := asciiDomain(domain)
	if err != nil {
		return "", fmt.Errorf("%.200q is no domain: %w", domain, err)
	}
	if err := wire.CheckMailbox("postmaster@" + ascii); err != nil {
		return "", err
	}
	return ascii, nil
}

// unicodeDomain spells a domain in A-labels for people; one with a label that has no
// U-label stays as it is, since the two together are no domain.
func unicodeDomain(ascii string) string {
	labels := strings.Split(ascii, ".")
	for i, label := range labels {
		if !strings.HasPrefix(strings.ToLower(label), "xn--") {
			continue
		}
		unicode, err := lookup.ToUnicode(label)
		if err != nil {
			return ascii
		}
		labels[i] = unicode
	}
	return strings.Join(labels, ".")
}
