package smtp

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/postrider/smtp/internal/wire"
)

// ToASCII returns the mailbox address in the form that any server takes: the
// domain in A-labels (RFC 5891), the local part quoted where it must be (RFC
// 5321, section 4.1.2). A local part that is not ASCII has no such form, and one
// that holds what stands between addresses is taken only in quotes: else "a, b@c"
// or "Bob <b@c" would go to somebody.
func ToASCII(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return "", fmt.Errorf("%q has no domain", address)
	}
	local, domain := wire.UnquoteLocal(address[:at]), address[at+1:]
	switch {
	case local == address[:at] && (strings.Trim(local, " ") != local || local == "" || strings.ContainsAny(local, "<>(),;:[]@")):
		return "", fmt.Errorf("%q is not one plain address; if that is what stands before the @, it needs quotes", address)
	case !isASCII(local):
		return "", fmt.Errorf("the local part of %q is not ASCII: it would need SMTPUTF8, which is not supported yet", address)
	}
	if !isASCII(domain) {
		var err error
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", fmt.Errorf("the domain of %q: %w", address, err)
		}
	}
	mailbox := wire.JoinMailbox(local, domain)
	if err := wire.CheckMailbox(mailbox); err != nil {
		return "", fmt.Errorf("%q: %w", address, err)
	}
	return mailbox, nil
}

// reversePath spells the sender of an envelope; "<>" is the null reverse-path,
// which is spelled as nothing.
func reversePath(from string) (string, error) {
	switch from {
	case "":
		return "", errors.New("no sender is given; \"<>\" is the null reverse-path")
	case "<>":
		return "", nil
	}
	return ToASCII(from)
}

// forwardPath spells a recipient of an envelope. Only postmaster needs no
// domain (RFC 5321, section 4.1.1.3).
func forwardPath(to string) (string, error) {
	if strings.EqualFold(to, "postmaster") {
		return to, nil
	}
	return ToASCII(to)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
