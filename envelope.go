package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/smtp/internal/format"
	"github.com/postrider/smtp/internal/wire"
)

// Envelope is what the server is told of a mail beside its content: who sends it, and
// for whom. It is plain data, and goes through JSON unchanged.
type Envelope struct {
	From string      // the reverse-path, to which reports go; "<>": the null reverse-path; empty: not given
	To   []Recipient // nil: not given; empty: nobody, which is an error

	Accept AcceptPolicy // whether the mail goes if not every recipient is accepted

	Return     Return // how much of the mail reports bring back
	EnvelopeID string // what reports call the mail, at most 100 octets as xtext; empty: its Message-ID, if any is asked for
	Notify     Notify // the events to report of each recipient who has no Notify of his own
	BestEffort bool   // send without reports, rather than fail, where the server has no DSN; Result.NoReports tells

	RequireTLS bool    // TLS with a certificate that is checked, on the whole way (RFC 8689)
	Params     []Param // of MAIL, beyond these

	// What the content is, for those who call Mail and Data: it is not checked. Send
	// finds it out by itself, as far as that is possible without reading files.
	Body BodyType // zero: ASCII in lines of at most 998 octets
	UTF8 bool     // the header holds UTF-8 (RFC 6531), or may; not said for addresses
	Size int64    // in octets; zero: not known. That of a message to be signed is not
}

// BodyType says what a content needs the server to preserve. A server that does
// not offer to is not sent it: that is an [*UnsupportedError] before MAIL.
type BodyType uint8

// The values of [BodyType].
const (
	Body7Bit   BodyType = BodyType(format.SevenBitData)
	Body8Bit   BodyType = BodyType(format.EightBitData) // octets over 127, in lines of at most 998 octets (RFC 6152)
	BodyBinary BodyType = BodyType(format.BinaryData)   // NUL, or longer lines (RFC 3030); it needs Options.Chunking
)

// Param is a parameter of MAIL or RCPT of some extension (RFC 5321, section 4.1.2). A
// server without that is not sent it: that is an [*UnsupportedError].
type Param struct {
	Keyword   string // as in "BY"
	Value     string // as in "120;R"; empty: there is none
	Extension string // as in "DELIVERBY"; empty: it is called like the parameter
}

// AcceptPolicy says whom a mail goes to if some recipients are refused: AcceptAny (zero)
// or AcceptAll.
type AcceptPolicy uint8

// The values of [AcceptPolicy].
const (
	AcceptAny AcceptPolicy = iota // to those who were accepted
	AcceptAll                     // to nobody, unless all were accepted
)

// Recipient is one mailbox to deliver to, and what the server is to report about it.
// Like [Envelope] it is plain data.
type Recipient struct {
	Address           string // as in "bob@example.net"
	Alternative       string // an ASCII address, if Address is not and the server has no SMTPUTF8; may be empty
	Notify            Notify // the events to report; zero: that of the Envelope, else the server's own choice
	OriginalRecipient string // whom the mail was meant for before it was redirected; empty: not told

	Params []Param // of RCPT, beyond these
}

// mailOp names the step of MAIL for errors.
func (e Envelope) mailOp() string { return "MAIL <" + strings.Trim(e.From, "<>") + ">" }

// mailCommand spells MAIL (RFC 5321, section 4.1.1.2).
func (e Envelope) mailCommand() (*wire.Command, error) {
	utf8 := e.needsUTF8()
	path, err := reversePath(e.From, utf8)
	switch {
	case err != nil:
		return nil, &FieldError{"From", err}
	case e.Body > BodyBinary:
		return nil, &FieldError{"Body", errors.New("is none of Body7Bit, Body8Bit and BodyBinary")}
	case e.Size < 0:
		return nil, &FieldError{"Size", errors.New("is negative")}
	}
	command := wire.NewCommand("MAIL")
	if utf8 {
		command.UTF8()
	}
	command.From(path)
	if e.RequireTLS {
		command.Param("REQUIRETLS", "")
	}
	switch e.Body {
	case Body8Bit:
		command.Param("BODY", "8BITMIME")
	case BodyBinary:
		command.Param("BODY", "BINARYMIME")
	}
	if utf8 {
		command.Param("SMTPUTF8", "")
	}
	if err := addParams(command, e.Params); err != nil {
		return nil, err
	}
	return command, addMailStatus(command, e)
}

// addParams adds what the caller asks for by name, but for what has a field.
func addParams(command *wire.Command, params []Param) error {
	for i, param := range params {
		field := fmt.Sprintf("Params[%d]", i)
		switch strings.ToUpper(param.Keyword) {
		case "SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS":
			return &FieldError{field, fmt.Errorf("%s is not set in this way", param.Keyword)}
		}
		if _, err := command.Param(param.Keyword, param.Value).Bytes(); err != nil {
			return &FieldError{field, err}
		}
		if _, err := wire.NewCommand("EHLO").Keyword(cmp.Or(param.Extension, param.Keyword)).Bytes(); err != nil {
			return &FieldError{field + ".Extension", err}
		}
	}
	return nil
}

// reversePath spells the sender of an envelope; "<>" is the null reverse-path,
// which is spelled as nothing.
func reversePath(from string, utf8 bool) (string, error) {
	switch from {
	case "":
		return "", errors.New("no sender is given; \"<>\" is the null reverse-path")
	case "<>":
		return "", nil
	}
	m, err := parseMailbox(from)
	if err != nil {
		return "", err
	}
	return m.spell(utf8)
}

// forwardPath spells a recipient of an envelope. Only postmaster needs no
// domain (RFC 5321, section 4.1.1.3).
func forwardPath(to string, utf8 bool) (string, error) {
	if strings.EqualFold(to, "postmaster") {
		return to, nil
	}
	m, err := parseMailbox(to)
	if err != nil {
		return "", err
	}
	return m.spell(utf8)
}

// rcptCommand spells RCPT (RFC 5321, section 4.1.1.3), in a transaction with SMTPUTF8
// or without.
func (r Recipient) rcptCommand(utf8 bool) (*wire.Command, error) {
	path, err := forwardPath(r.named(utf8), utf8)
	if err != nil {
		return nil, &FieldError{"Address", err}
	}
	command := wire.NewCommand("RCPT")
	if utf8 {
		command.UTF8()
	}
	command.To(path)
	if err := addParams(command, r.Params); err != nil {
		return nil, err
	}
	return command, addRcptStatus(command, r, utf8)
}

// extensions lists the extensions that e and its recipients need.
func (e Envelope) extensions() []string {
	var needed []string
	need := func(name string, is bool) {
		if is {
			needed = append(needed, name)
		}
	}
	need("REQUIRETLS", e.RequireTLS)
	need("DSN", !e.BestEffort && e.asksReports())
	need("8BITMIME", e.Body == Body8Bit)
	need("BINARYMIME", e.Body == BodyBinary)
	need("CHUNKING", e.Body == BodyBinary)
	need("SMTPUTF8", e.needsUTF8())
	note := func(params []Param) {
		for _, param := range params {
			need(strings.ToUpper(cmp.Or(param.Extension, param.Keyword)), true)
		}
	}
	note(e.Params)
	for _, recipient := range e.To {
		note(recipient.Params)
	}
	slices.Sort(needed)
	return slices.Compact(needed)
}

// check finds what could not be sent.
func (e Envelope) check() error {
	if e.Accept > AcceptAll {
		return &FieldError{"Delivery.Accept", errors.New("is none of AcceptAny and AcceptAll")}
	}
	if _, err := e.mailCommand(); err != nil {
		return within("Delivery", err)
	}
	for i, recipient := range e.To {
		if err := recipient.check(); err != nil {
			return within(fmt.Sprintf("Delivery.To[%d]", i), err)
		}
	}
	return nil
}

func (r Recipient) check() error {
	if _, err := r.rcptCommand(true); err != nil {
		return err
	}
	if r.OriginalRecipient != "" {
		if _, err := r.original(false); err != nil { // The longest form.
			return &FieldError{"OriginalRecipient", err}
		}
	}
	if r.Alternative != "" {
		if _, err := forwardPath(r.Alternative, false); err != nil {
			return &FieldError{"Alternative", err}
		}
	}
	return nil
}

// needsUTF8 tells whether the sender or the header needs SMTPUTF8.
func (e Envelope) needsUTF8() bool { return e.UTF8 || NeedsUTF8(e.From) }

// within puts the field that err is about inside another.
func within(outer string, err error) error {
	var field *FieldError
	if errors.As(err, &field) {
		return &FieldError{outer + "." + field.Field, field.Err}
	}
	return err
}
