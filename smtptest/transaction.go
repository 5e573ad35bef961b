package smtptest

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/smtp/internal/wire"
)

// transaction is a mail under way.
type transaction struct {
	Message
	utf8        bool     // SMTPUTF8
	chunked     bool     // a chunk has come
	refused     *Refusal // why the content is not taken, whatever follows
	interrupted bool     // by a fault in its middle
	size        int64    // of the content so far
	cr          bool     // its last octet was one
	newline     bool     // its last two were CRLF
	bare        bool     // a CR or LF stood alone
}

var (
	errSequence = &Refusal{503, [3]int{5, 5, 1}, "That command is out of order"}
	errSyntax   = &Refusal{501, [3]int{5, 5, 4}, "That argument is malformed"}
	errTooBig   = &Refusal{552, [3]int{5, 3, 4}, "The message is too big"}
	errBare     = &Refusal{550, [3]int{5, 6, 0}, "The content holds a CR or LF that stands alone"}
)

// argument is that of MAIL and RCPT: a path, in which a bracket may be quoted, and
// parameters.
var argument = regexp.MustCompile(`(?is)^(FROM|TO):<((?:"(?:[^"\\]|\\.)*"|[^">])*)>( .*)?$`)

// parse splits the argument of a command, and checks its mailbox.
func (s *session) parse(command, arg string, mailbox *string) (params map[string]string, refusal *Refusal) {
	match := argument.FindStringSubmatch(arg)
	if match == nil || (command == "MAIL") != strings.EqualFold(match[1], "FROM") {
		return nil, errSyntax
	}
	if params, refusal = s.params(command, strings.Split(match[3], " ")[1:]); refusal != nil {
		return nil, refusal
	}
	*mailbox = match[2]
	_, utf8 := params["SMTPUTF8"]
	utf8 = utf8 || s.mail != nil && s.mail.utf8
	switch {
	case *mailbox == "" && command == "MAIL", strings.EqualFold(*mailbox, "postmaster") && command == "RCPT":
		return params, nil
	case !utf8 && !wire.IsASCII(*mailbox): // RFC 6531, section 3.5.
		return nil, &Refusal{553, [3]int{5, 6, 7}, "That address needs SMTPUTF8"}
	}
	if err := wire.CheckUTF8Mailbox(*mailbox); err != nil {
		return nil, &Refusal{501, [3]int{5, 1, 3}, err.Error()}
	}
	return params, nil
}

// parameters are the ones of which the keyword is not the extension, or which must
// not stand behind any command, with both.
var parameters = map[string][2]string{
	"SIZE": {"MAIL", "SIZE"}, "BODY": {"MAIL", "8BITMIME"}, "AUTH": {"MAIL", "AUTH"},
	"RET": {"MAIL", "DSN"}, "ENVID": {"MAIL", "DSN"}, "NOTIFY": {"RCPT", "DSN"}, "ORCPT": {"RCPT", "DSN"},
	"SMTPUTF8": {"MAIL", "SMTPUTF8"}, "REQUIRETLS": {"MAIL", "REQUIRETLS"},
	"BY": {"MAIL", "DELIVERBY"}, "HOLDFOR": {"MAIL", "FUTURERELEASE"}, "HOLDUNTIL": {"MAIL", "FUTURERELEASE"},
}

// params reads parameters, of which each must belong to what was offered.
func (s *session) params(command string, words []string) (map[string]string, *Refusal) {
	params := map[string]string{}
	for _, word := range words {
		key, value, hasValue := strings.Cut(word, "=")
		key = strings.ToUpper(key)
		_, again := params[key]
		if again || key == "" || hasValue && value == "" || strings.Contains(value, "=") {
			return nil, errSyntax
		}
		of, ok := parameters[key]
		if !ok && s.server.offers(key) {
			of = [2]string{command, key}
		}
		if of[0] != command || !s.offered(of[1]) {
			return nil, &Refusal{555, [3]int{5, 5, 4}, "The parameter " + key + " is not known"}
		}
		params[key] = value
	}
	return params, nil
}

func (s *session) mailFrom(arg string) {
	mail := &transaction{}
	refusal := s.begin(mail, arg)
	if refusal == nil {
		s.message = s.server.nextMail()
		refusal = s.ask("MAIL", mail.From)
	}
	if refusal != nil {
		if s.mail == nil {
			s.reset()
		}
		s.refuse(refusal)
		return
	}
	s.mail = mail
	s.reply(250, "2.1.0", "Sender OK")
}

// begin reads MAIL.
func (s *session) begin(mail *transaction, arg string) (refusal *Refusal) {
	if !s.began || s.mail != nil {
		return errSequence
	}
	if mail.MailParams, refusal = s.parse("MAIL", arg, &mail.From); refusal != nil {
		return refusal
	}
	_, mail.utf8 = mail.MailParams["SMTPUTF8"]
	mail.Username, mail.TLS = s.username, s.isTLS()
	for key, value := range mail.MailParams {
		if refusal := s.setMailParam(mail, key, value); refusal != nil {
			return refusal
		}
	}
	return nil
}

// setMailParam checks a parameter of MAIL whose meaning is known, and keeps it.
func (s *session) setMailParam(mail *transaction, key, value string) *Refusal {
	ok := true
	switch key {
	case "SIZE": // RFC 1870, section 6.1.
		size, err := strconv.ParseUint(value, 10, 63)
		if err == nil && int64(size) > s.server.maxBytes() {
			return errTooBig
		}
		ok = err == nil
	case "BODY":
		value = strings.ToUpper(value)
		ok = value == "7BIT" || value == "8BITMIME" || value == "BINARYMIME" && s.offered("BINARYMIME")
	case "RET":
		mail.Return = strings.ToUpper(value)
		ok = mail.Return == "FULL" || mail.Return == "HDRS"
	case "ENVID":
		mail.EnvelopeID, ok = fromXText(value)
	case "SMTPUTF8", "REQUIRETLS":
		ok = value == ""
	case "AUTH": // RFC 4954, section 5.
		value, ok = fromXText(value)
		ok = ok && (value == "<>" || wire.CheckUTF8Mailbox(value) == nil)
	}
	if !ok {
		return errSyntax
	}
	return nil
}

// isBinary tells whether the content is not of lines (RFC 3030, section 3).
func (t *transaction) isBinary() bool { return strings.EqualFold(t.MailParams["BODY"], "BINARYMIME") }

// fromXText decodes what must be xtext of printable ASCII (RFC 3461, section 4).
func fromXText(s string) (string, bool) {
	decoded := wire.DecodeXText(s)
	return decoded, s != "" && wire.EncodeXText(decoded) == s
}

func (s *session) rcptTo(arg string) {
	recipient, refusal := s.recipient(arg)
	if refusal == nil {
		refusal = s.ask("RCPT", recipient.Address)
	}
	if refusal != nil {
		s.refuse(refusal)
		return
	}
	s.mail.Recipients = append(s.mail.Recipients, recipient)
	s.reply(250, "2.1.5", "Recipient OK")
}

// recipient reads RCPT.
func (s *session) recipient(arg string) (r Recipient, refusal *Refusal) {
	if s.mail == nil || s.mail.chunked || s.mail.refused != nil {
		return r, errSequence
	}
	params, refusal := s.parse("RCPT", arg, &r.Address)
	if refusal != nil {
		return r, refusal
	}
	if len(s.mail.Recipients) >= s.maxRecipients() {
		return r, &Refusal{452, [3]int{4, 5, 3}, "Too many recipients"}
	}
	ok := true
	if notify, asked := params["NOTIFY"]; asked {
		r.Notify = strings.Split(strings.ToUpper(notify), ",")
		ok = isNotify(r.Notify)
	}
	if original, asked := params["ORCPT"]; ok && asked {
		kind, address, _ := strings.Cut(original, ";")
		if strings.EqualFold(kind, "utf-8") { // RFC 6533, section 3.
			r.OriginalRecipient = wire.DecodeUTF8Address(address)
		} else {
			r.OriginalRecipient, ok = fromXText(address)
		}
		ok = ok && kind != "" && address != ""
	}
	if !ok {
		return r, errSyntax
	}
	return r, nil
}

// isNotify tells whether events can be asked for (RFC 3461, section 4.1).
func isNotify(events []string) bool {
	for _, event := range events {
		if !slices.Contains([]string{"SUCCESS", "FAILURE", "DELAY"}, event) {
			return event == "NEVER" && len(events) == 1
		}
	}
	return true
}

// maxRecipients is the least of what is set and what was offered (RFC 9422).
func (s *session) maxRecipients() int {
	limit := cmp.Or(s.server.MaxRecipients, 100)
	for word := range strings.FieldsSeq(s.extensions["LIMITS"]) {
		value, ok := strings.CutPrefix(strings.ToUpper(word), "RCPTMAX=")
		if n, err := strconv.Atoi(value); ok && err == nil {
			limit = min(limit, n)
		}
	}
	return limit
}

// mayHave tells why there can be no content now.
func (s *session) mayHave(verb string) *Refusal {
	switch {
	case s.mail == nil, s.mail.refused != nil, verb == "DATA" && (s.mail.chunked || s.mail.isBinary()):
		return errSequence
	case len(s.mail.Recipients) == 0 && s.server.LMTP: // RFC 2033, section 4.2.
		return errSequence
	case len(s.mail.Recipients) == 0: // RFC 2920, section 3.1.
		return &Refusal{554, [3]int{5, 5, 1}, "There are no valid recipients"}
	}
	return s.ask(verb, "")
}

func (s *session) data(string) {
	if refusal := s.mayHave("DATA"); refusal != nil {
		s.refuse(refusal)
		return
	}
	s.reply(354, "", "Go ahead; a lone dot ends it")
	s.mail.newline = true
	for !s.over {
		octets, err := s.in.ReadSlice('\n')
		switch isDot := s.mail.newline && bytes.HasPrefix(octets, []byte(".")); {
		case err != nil && err != bufio.ErrBufferFull:
			s.lost(err)
		case isDot && string(octets) == ".\r\n":
			s.end()
			return
		case isDot:
			s.take(octets[1:])
		default:
			s.take(octets)
		}
	}
}

// bdat takes a chunk (RFC 3030), which is read whatever the answer: its octets are
// no commands.
func (s *session) bdat(arg string) {
	count, last, isLast := strings.Cut(arg, " ")
	size, err := strconv.ParseUint(count, 10, 63)
	if err != nil || isLast && !strings.EqualFold(last, "LAST") {
		s.refuse(errSyntax)
		s.over = true // Where the next command begins, nobody knows.
		return
	}
	refusal := &Refusal{502, [3]int{5, 5, 1}, "CHUNKING is not offered"}
	if s.offered("CHUNKING") {
		refusal = s.mayHave("BDAT")
	}
	wanted := refusal == nil
	if wanted {
		s.mail.chunked = true
	}
	s.chunk(int64(size), wanted)
	if wanted && !isLast && !s.over {
		refusal = s.mail.problem(s.server.maxBytes())
	}
	switch {
	case s.over:
	case s.isHasty(false):
		s.outOfStep("BDAT")
	case wanted && isLast:
		s.end()
	case wanted && s.mail.refused != nil: // in its middle
	case refusal != nil:
		s.refuseChunk(refusal, isLast)
	default:
		s.reply(250, "2.0.0", fmt.Sprintf("%d octets", size))
	}
}

// refuseChunk refuses one, and with it all until RSET (RFC 3030, section 2).
func (s *session) refuseChunk(refusal *Refusal, isLast bool) {
	replies := 1
	if s.mail != nil {
		s.mail.refused = refusal
		if isLast && s.server.LMTP { // RFC 2033, section 4.3.
			replies = len(s.mail.Recipients)
		}
	}
	for ; replies > 0 && !s.over; replies-- {
		s.refuse(refusal)
	}
}

// chunk reads the octets of one, which may be answered on the way.
func (s *session) chunk(size int64, wanted bool) {
	for size > 0 && !s.over {
		if _, err := s.in.Peek(1); err != nil {
			s.lost(err)
			return
		}
		octets, _ := s.in.Peek(int(min(size, int64(s.in.Buffered()))))
		s.in.Discard(len(octets))
		size -= int64(len(octets))
		if wanted {
			s.take(octets)
		}
	}
}

// take keeps octets of the content, as far as there is room.
func (s *session) take(octets []byte) {
	m := s.mail
	for _, b := range octets {
		m.bare = m.bare || m.cr != (b == '\n')
		m.newline = m.cr && b == '\n'
		m.cr = b == '\r'
	}
	m.size += int64(len(octets))
	if m.size > s.server.maxBytes() {
		m.Data = nil
	} else {
		m.Data = append(m.Data, octets...)
	}
	if s.later.After > 0 && m.size >= s.later.After {
		s.interrupt()
	}
}

// problem is what is wrong with the content so far.
func (t *transaction) problem(limit int64) *Refusal {
	switch {
	case t.refused != nil:
		return t.refused
	case t.size > limit:
		return errTooBig
	case t.bare && !t.isBinary(): // RFC 5321, section 2.3.8.
		return errBare
	}
	return nil
}

// undeclared tells whether octets over 127 came without having been announced (RFC 5321,
// section 2.4; RFC 6531, section 3.5).
func (t *transaction) undeclared() *Refusal {
	header, _, _ := bytes.Cut(t.Data, []byte("\r\n\r\n"))
	body := strings.ToUpper(t.MailParams["BODY"])
	switch {
	case t.utf8:
	case is8Bit(header):
		return &Refusal{550, [3]int{5, 6, 9}, "The header needs SMTPUTF8"}
	case (body == "" || body == "7BIT") && is8Bit(t.Data):
		return &Refusal{554, [3]int{5, 6, 1}, "The content needs BODY=8BITMIME"}
	}
	return nil
}

func is8Bit(octets []byte) bool {
	return slices.ContainsFunc(octets, func(b byte) bool { return b > 0x7f })
}

// ending is how one reply to the whole content is to be.
type ending struct {
	refusal *Refusal
	fault   Fault
}

// end answers the whole content, under LMTP once for each recipient. It is stored
// before anything is said, so that who gives up waiting finds it.
func (s *session) end() {
	mail := s.mail
	defer s.reset()
	var endings []ending
	accepted := mail.Message
	accepted.Recipients = nil
	for _, recipient := range mail.Recipients {
		if len(endings) == 0 || s.server.LMTP {
			endings = append(endings, s.ending(recipient.Address))
		}
		if endings[len(endings)-1].refusal == nil {
			accepted.To = append(accepted.To, recipient.Address)
			accepted.Recipients = append(accepted.Recipients, recipient)
		}
	}
	var full *Refusal
	if len(accepted.To) > 0 {
		full = s.server.store(&accepted)
	}
	if mail.refused != nil { // In its middle, one was told.
		endings = endings[1:]
	}
	for _, ending := range endings {
		s.fault = ending.fault
		if refusal := cmp.Or(ending.refusal, full); s.over {
			return
		} else if refusal != nil {
			s.refuse(refusal)
		} else {
			s.reply(250, "2.0.0", "OK: queued")
		}
	}
}

// ending asks how the reply for a recipient is to be, unless that of the last chunk
// is settled.
func (s *session) ending(address string) ending {
	refusal := s.mail.problem(s.server.maxBytes())
	if s.mail.cr && !s.mail.isBinary() {
		refusal = errBare
	}
	refusal = cmp.Or(refusal, s.mail.undeclared())
	if !s.server.LMTP {
		address = ""
	}
	if refusal == nil && s.fault == (Fault{}) {
		refusal = s.ask("END", address)
	}
	e := ending{refusal, s.fault}
	s.fault = Fault{}
	return e
}
