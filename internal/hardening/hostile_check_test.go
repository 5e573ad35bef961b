package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postrider/smtp"
)

// check holds a case against what must be true whatever a server does.
func (c hostileCase) check(t *testing.T, u *hostileUse, took time.Duration) {
	t.Helper()
	if most := c.bound() * time.Duration(len(u.sessions)); took > most {
		t.Errorf("%v: it took %v, and %v are the most", c, took, most)
	}
	for _, s := range u.sessions {
		if s.raw.taken > hostileMost {
			t.Errorf("%v: the client took %d octets", c, s.raw.taken)
		}
		if heard := s.clear.String(); strings.Contains(heard, "AUTH") || strings.Contains(heard, hostileSecret) {
			t.Errorf("%v: without TLS the server heard %q", c, heard)
		}
	}
	c.checkKind(t, u, took)
	c.checkWords(t, u)
	c.checkBook(t, u)
}

// hostileMost is how many octets of one session a client may take: one reply of at
// most 64 KiB, with the line that is one too many, and all the honest ones.
const hostileMost = 100_000

var hostileSecret = base64.StdEncoding.EncodeToString([]byte(hostilePassword))

// bound is how long a session may take. Every wait has the time-out of RFC 5321,
// section 4.5.3.2, a command one to be written and one to be answered, and each block
// its own. After the first that a server does not keep to, the session ends: so this
// is the sum of those that can follow each other, with what the last words of a server
// and its answer to QUIT have, 5 s each, and what it says in time.
func (c hostileCase) bound() time.Duration {
	const words = 20 * time.Second
	switch c.at.name {
	case "DATA":
		return hostileWait("DATA") + hostileWait("end") + words
	case "content", "BDAT":
		return hostileWait("content") + hostileWait("end") + words
	case "end", "second end":
		return hostileWait("end") + words
	}
	return 2*hostileWait(c.at.name) + words
}

func (c hostileCase) checkKind(t *testing.T, u *hostileUse, took time.Duration) {
	t.Helper()
	switch c.behaviour.kind(c.at.name) {
	case harmless:
		if len(u.errs) > 0 {
			t.Errorf("%v: %v", c, u.errs)
		}
	case fatal:
		if len(u.errs) == 0 && !c.mayRecover() {
			t.Errorf("%v: no error", c)
		}
	case either:
		if c.behaviour.name == "two replies" && c.isAlone() && (len(u.errs) == 0 || took > 0) {
			t.Errorf("%v: after %v, the second reply was taken for that to the next command: %v", c, took, u.errs)
		}
	}
}

// isAlone tells whether nothing but the one command can be answered at a step, so that
// a second reply in the same write is there before the next command is sent.
func (c hostileCase) isAlone() bool {
	alone := []string{"greeting", "EHLO", "MAIL", "RCPT", "second RCPT", "DATA", "NOOP", "VRFY", "RSET"}
	return !c.api.pool && !slices.Contains(c.way.offers, "PIPELINING") && slices.Contains(alone, c.at.name)
}

// mayRecover tells whether the end of a session need not be told: nothing is asked
// of it any more, or a Mailer may do the rest over another.
func (c hostileCase) mayRecover() bool {
	reads := strings.HasSuffix(c.behaviour.name, "never reads again")
	switch c.at.name {
	case "EHLO", "password":
		return reads && c.api.name == "Verify"
	case "QUIT":
		return c.api.pool || reads
	case "RSET":
		return c.api.pool
	case "end", "second end":
		return reads && c.api.pool || c.api.pool && c.at.n > 1
	}
	return c.api.pool && (c.at.n > 1 || c.behaviour.miscounts)
}

// checkWords: errors have one of the types that are promised, and nothing that was
// said is dangerous to a terminal or a log, or has the password in it.
func (c hostileCase) checkWords(t *testing.T, u *hostileUse) {
	t.Helper()
	for _, err := range u.errs {
		if !isHostileType(err) {
			t.Errorf("%v: an error of type %T: %v", c, err, err)
		}
		if problem := hostileRaw(err.Error()); problem != "" {
			t.Errorf("%v: an error holds %s: %q", c, problem, err)
		}
	}
	for _, text := range u.log.texts {
		for line := range strings.SplitSeq(text, "\n") {
			if problem := hostileRaw(line); problem != "" {
				t.Errorf("%v: the log holds %s: %q", c, problem, text)
			}
		}
	}
}

func isHostileType(err error) bool {
	return errors.As(err, new(*smtp.Error)) || errors.As(err, new(*smtp.UnsupportedError)) ||
		errors.As(err, new(*smtp.RecipientsError)) || errors.As(err, new(*smtp.FieldError))
}

// hostileRaw tells what a text holds that is not to be printed.
func hostileRaw(text string) string {
	switch {
	case !utf8.ValidString(text):
		return "what is no UTF-8"
	case strings.Contains(text, hostilePassword), strings.Contains(text, hostileSecret):
		return "the password"
	case len(text) > 1<<20:
		return "over 1 MiB"
	}
	if at := strings.IndexFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }); at >= 0 {
		return strconv.QuoteToASCII(text[at : at+1])
	}
	return ""
}

// isTaken is a complete reply of class 2, or the first of several (RFC 5321, section 4.2).
var hostileIsTaken = regexp.MustCompile(`^(?s:(2[0-9][0-9])(-[^\n]*\n(2[0-9][0-9]))*( [^\n]*)?\r?\n)`)

// checkBook holds the outcomes against what the server took on: nobody is told a
// lie, no content is half a one or another's, and nobody gets a mail twice.
func (c hostileCase) checkBook(t *testing.T, u *hostileUse) {
	t.Helper()
	book := hostileBook(u.sessions)
	for _, mail := range u.ended() {
		i := slices.IndexFunc(hostileMails(c.way), func(m *smtp.Message) bool { return m.From.Address == mail.from })
		if i < 0 || c.part(string(mail.content)) != c.part(hostileContents(c.way)[i]) {
			t.Errorf("%v: a content of %d octets from %s is not what was to be sent", c, len(mail.content), mail.from)
			continue
		}
		for _, to := range mail.to {
			if !slices.ContainsFunc(hostileMails(c.way)[i].To, func(a smtp.Address) bool { return a.Address == to }) {
				t.Errorf("%v: %s got what %s has sent", c, to, mail.from)
			}
		}
	}
	for _, result := range u.results {
		for _, r := range result.Recipients {
			c.checkRecipient(t, r, book[r.Address])
		}
	}
}

// part is what is compared of a content: the header has another form with SMTPUTF8.
func (c hostileCase) part(content string) string {
	if header, body, whole := strings.Cut(content, "\r\n\r\n"); c.way.utf8 && whole && strings.Contains(header, "Subject:") {
		return body
	}
	return content
}

// checkRecipient holds an outcome against what is in the book of a recipient.
func (c hostileCase) checkRecipient(t *testing.T, r smtp.RecipientResult, entries []hostileEntry) {
	t.Helper()
	taken := 0
	for _, entry := range entries {
		if entry.taken {
			taken++
		}
	}
	said := slices.ContainsFunc(entries, func(e hostileEntry) bool { return hostileIsTaken.MatchString(e.final) })
	switch {
	case taken > 1:
		t.Errorf("%v: %s got the mail %d times", c, r.Address, taken)
	case (r.Err == nil) != (r.Outcome == smtp.Accepted):
		t.Errorf("%v: %s is %v: %v", c, r.Address, r.Outcome, r.Err)
	case c.behaviour.miscounts:
	case r.Outcome == smtp.Accepted && !said:
		t.Errorf("%v: %s is accepted, and the server has said %+v", c, r.Address, entries)
	case taken > 0 && r.Outcome != smtp.Accepted && r.Outcome != smtp.Unknown:
		t.Errorf("%v: %s is %v, and got the mail: %v", c, r.Address, r.Outcome, r.Err)
	case r.Outcome == smtp.Unknown && len(entries) == 0 && !c.way.secure && !c.way.implicit:
		t.Errorf("%v: %s is unknown, and no end of data was heard: %v", c, r.Address, r.Err)
	}
}

// hostileEntry is what became of a mail for a recipient, as the server sees it.
type hostileEntry struct {
	taken bool
	final string
}

func hostileBook(sessions []*hostileSession) map[string][]hostileEntry {
	book := map[string][]hostileEntry{}
	for _, s := range sessions {
		for _, mail := range s.mails {
			for i, to := range mail.to {
				book[to] = append(book[to], hostileEntry{mail.taken[i], mail.finals[i]})
			}
		}
	}
	return book
}

// ended are the mails whose content came to its end.
func (u *hostileUse) ended() (list []*hostileMail) {
	for _, s := range u.sessions {
		list = append(list, s.mails...)
	}
	return list
}

func hostileContents(way hostileWay) []string {
	if way.utf8 {
		return hostileUTF8Contents()
	}
	return hostilePlainContents()
}

var (
	hostilePlainContents = sync.OnceValue(func() []string { return writeHostile(hostilePlainMails()) })
	hostileUTF8Contents  = sync.OnceValue(func() []string { return writeHostile(hostileUTF8Mails()) })
)

func writeHostile(mails []*smtp.Message) (list []string) {
	for _, m := range mails {
		var content bytes.Buffer
		if _, err := m.WriteTo(&content); err != nil {
			panic(err)
		}
		list = append(list, content.String())
	}
	return list
}

// hostileLog keeps the texts of debug records.
type hostileLog struct {
	mu    sync.Mutex
	texts []string
}

func (l *hostileLog) logger() *slog.Logger                     { return slog.New(l) }
func (l *hostileLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *hostileLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *hostileLog) WithGroup(string) slog.Handler            { return l }

func (l *hostileLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		l.texts = append(l.texts, a.Value.String())
		return true
	})
	return nil
}
