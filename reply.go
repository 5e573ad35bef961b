package smtp

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
)

// ReplyMessage begins a person's reply to the message with that header, as net/mail
// reads it: To, Subject, InReplyTo and References are set, From is not. An automatic
// answer goes to the Return-Path instead, from "<>" and AutoReplied, and never where
// that is empty or Auto-Submitted is not "no" (RFC 3834, sections 2 and 4).
func ReplyMessage(parent mail.Header) (*Message, error) {
	m := &Message{Subject: replySubject(parent.Get("Subject"))}
	list, name, err := firstAddresses(parent, "Reply-To", "From")
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("its %s names nobody", name)
	}
	for _, address := range list {
		m.To = append(m.To, Address{Name: clean(address.Name), Address: address.Address})
	}
	if err != nil {
		return nil, &FieldError{"To", fmt.Errorf("of a reply to a message cannot be known: %w", err)}
	}
	m.InReplyTo, m.References = thread(parent)
	return m, nil
}

// replySubject is the subject of a reply (RFC 5322, section 3.6.5).
func replySubject(subject string) string {
	if decoded, err := words.DecodeHeader(subject); err == nil {
		subject = decoded
	}
	subject = clean(subject)
	if len(subject) >= 3 && strings.EqualFold(subject[:3], "Re:") {
		return subject
	}
	return strings.TrimSpace("Re: " + subject)
}

// What a reply takes over of the identifiers of a stranger: more than readers use.
const (
	maxReferences = 50
	maxIdentifier = 500 // octets
)

// thread places a reply behind its parent (RFC 5322, section 3.6.4). Of a long
// thread the first message and the last ones are named.
func thread(parent mail.Header) (inReplyTo, references []string) {
	inReplyTo = identifiersIn(parent.Get("Message-ID"))
	inReplyTo = inReplyTo[:min(len(inReplyTo), 1)]
	references = identifiersIn(parent.Get("References"))
	if before := identifiersIn(parent.Get("In-Reply-To")); len(references) == 0 && len(before) == 1 {
		references = before
	}
	if references = append(references, inReplyTo...); len(references) > maxReferences {
		references = slices.Delete(references, 1, len(references)-maxReferences+1)
	}
	return inReplyTo, references
}

var bracketed = regexp.MustCompile(`<[!-;=?-~]+>`)

// identifiersIn returns the message identifiers in a field that a stranger wrote,
// where much else may stand, without their brackets. They need not be right, since
// readers compare them as they are.
func identifiersIn(value string) (list []string) {
	for _, id := range bracketed.FindAllString(value, -1) {
		if len(id) <= maxIdentifier {
			list = append(list, withoutBrackets(id))
		}
	}
	return list
}
