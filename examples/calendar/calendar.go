package main

import (
	_ "embed"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/postrider/smtp"
)

// event is what the two mails have in common. By its UID, calendars know that they are
// about the same; of two, that with the higher Sequence counts.
type event struct {
	UID               string
	Sequence          int
	Start, End        time.Time
	Summary, Location string
	Organizer         smtp.Address // who gets the answers, as mails
	Attendees         []smtp.Address
}

// invite makes the invitation; if the event is moved, again, with the next Sequence.
func (e event) invite() (*smtp.Message, error) {
	return e.message("REQUEST", "Invitation: ", "You are invited to")
}

// cancel makes the cancellation, to the same attendees.
func (e event) cancel() (*smtp.Message, error) {
	e.Sequence++
	return e.message("CANCEL", "Cancelled: ", "This will not take place:")
}

func (e event) message(method, prefix, words string) (*smtp.Message, error) {
	var object strings.Builder
	err := calendar.Execute(&object, struct {
		event
		Method string
		Now    time.Time
	}{e, method, time.Now()})
	if err != nil {
		return nil, err
	}
	return &smtp.Message{
		From:     e.Organizer,
		To:       e.Attendees,
		Subject:  prefix + e.Summary,
		Text:     fmt.Sprintf("%s\n\n%s\n%s, %s\n", words, e.Summary, e.Start.Format(time.RFC1123), e.Location),
		Calendar: fold(object.String()), // its METHOD says what readers do with it
	}, nil
}

//go:embed event.ics
var source string

// calendar is the iCalendar object (RFC 5545). A package for iCalendar makes it as well.
var calendar = template.Must(template.New("event").Funcs(template.FuncMap{
	"utc":    func(t time.Time) string { return t.UTC().Format("20060102T150405Z") },
	"text":   strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`).Replace,
	"mailto": func(a smtp.Address) string { return "mailto:" + url.PathEscape(a.Address) },
	"name": func(a smtp.Address) string { // RFC 6868 says how quotes are written.
		if a.Name == "" {
			return ""
		}
		return `;CN="` + strings.NewReplacer("^", "^^", "\n", "^n", `"`, "^'").Replace(a.Name) + `"`
	},
}).Parse(source))

// fold breaks lines of more than 75 octets (RFC 5545, section 3.1).
func fold(object string) string {
	var folded strings.Builder
	width := 0
	for _, r := range object {
		switch n := utf8.RuneLen(r); {
		case r == '\n':
			width = 0
		case width+n > 75:
			folded.WriteString("\n ")
			width = 1 + n
		default:
			width += n
		}
		folded.WriteRune(r)
	}
	return folded.String()
}
