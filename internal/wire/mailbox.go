package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in octets (RFC 5321, section 4.5.3.1). A path is 256 with its brackets.
const (
	maxLocalPart = 64
	maxDomain    = 255
	maxMailbox   = 254
)

// JoinMailbox spells the mailbox of a local part, as it is meant, at a domain:
// it quotes the local part if and only if it is no dot-string.
func JoinMailbox(local, domain string) string {
	if IsDotString(local) {
		return local + "@" + domain
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@` + domain
}

// CheckMailbox checks that s is exactly one Mailbox of RFC 5321, section 4.1.2,
// in ASCII: no source route, no brackets, nothing after it.
func CheckMailbox(s string) error {
	if !IsASCII(s) {
		return fmt.Errorf("%q is not ASCII", s)
	}
	return CheckUTF8Mailbox(s)
}

// CheckUTF8Mailbox checks the same of RFC 6531, section 3.3, where UTF-8 may stand.
func CheckUTF8Mailbox(s string) error {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return errors.New("the address has no domain")
	}
	local, domain := s[:at], s[at+1:]
	switch {
	case len(local) > maxLocalPart:
		return fmt.Errorf("the local part has %d octets; %d are allowed", len(local), maxLocalPart)
	case len(s) > maxMailbox:
		return fmt.Errorf("the address has %d octets; %d are allowed", len(s), maxMailbox)
	case !IsDotString(local) && !isQuotedString(local):
		return fmt.Errorf("the local part %q is neither a dot-string nor a quoted string", local)
	}
	if err := checkUTF8(s); err != nil {
		return err
	}
	return checkHost(domain)
}

// checkUTF8 refuses what would make an address look like another: octets that are
// not UTF-8, controls and what has no form of its own, as bidi overrides.
func checkUTF8(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	var before rune
	for i, r := range s {
		isJoiner := r == '\u200c' || r == '\u200d' // which some scripts need between their letters
		after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		joins := isJoiner && isLetter(before) && isLetter(after)
		if r > '~' && !joins && (unicode.In(r, unicode.C, unicode.Z) || strings.ContainsRune(lookAlikes, r)) {
			return fmt.Errorf("%q holds %U, which no address may hold", s, r)
		}
		before = r
	}
	return nil
}

// lookAlikes pass for an @, or for nothing.
const lookAlikes = "＠﹫\u115f\u1160\u3164\uffa0"

// isLetter tells whether r is of a script that is not Latin without accents.
func isLetter(r rune) bool { return r > '~' && unicode.In(r, unicode.L, unicode.M) }

// IsASCII tells whether s holds no octet over 127.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkHost checks a Domain or address-literal of RFC 5321, sections 4.1.2 and
// 4.1.3, of which labels that are not ASCII were checked by who knows IDNA.
func checkHost(s string) error {
	if strings.HasPrefix(s, "[") {
		return checkLiteral(s)
	}
	if len(s) > maxDomain {
		return fmt.Errorf("the domain has %d octets; %d are allowed", len(s), maxDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return fmt.Errorf("%q is no domain: its label %q is malformed", s, label)
		}
	}
	return nil
}

func checkLiteral(s string) error {
	inner, ok := strings.CutSuffix(s[1:], "]")
	text, isIPv6 := strings.CutPrefix(inner, "IPv6:")
	addr, err := netip.ParseAddr(text)
	if !ok || err != nil || addr.Is4() == isIPv6 || addr.Zone() != "" {
		return fmt.Errorf("%q is no address literal such as [192.0.2.1] or [IPv6:2001:db8::1]", s)
	}
	return nil
}

// isLabel: Let-dig [Ldh-str], at most 63 octets (RFC 1035, section 2.3.4), or else
// a U-label (RFC 5890, section 2.3.2.1), for which that limit is not one of octets.
func isLabel(s string) bool {
	for i := range len(s) {
		if !isLetterDigit(s[i]) && s[i] != '-' && s[i] < utf8.RuneSelf {
			return false
		}
	}
	return s != "" && (len(s) <= 63 || !IsASCII(s)) && s[0] != '-' && s[len(s)-1] != '-'
}

func IsDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAtext(atom[i]) {
				return false
			}
		}
	}
	return true
}

// isQuotedString: DQUOTE *(qtext / quoted-pair) DQUOTE, without controls.
func isQuotedString(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) {
				return false
			}
		} else if s[i] == '"' {
			return false
		}
		if s[i] < ' ' || s[i] == '\x7f' {
			return false
		}
	}
	return true
}

// UnquoteLocal returns what a local part means: a quoted string loses its
// quotes, anything else is taken as it stands.
func UnquoteLocal(s string) string {
	if !isQuotedString(s) {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isAtext: RFC 5322, section 3.2.3, and RFC 6531, section 3.3.
func isAtext(b byte) bool {
	return isLetterDigit(b) || b >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}
