package smtp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postrider/smtp/internal/format"
)

// calendar makes the form of the content that is an iCalendar object, and the file
// of the same text, for readers that show no such form.
func (d *draft) calendar(text string) (form *format.Part, file File, err error) {
	text = strings.TrimPrefix(text, "\uFEFF") // as some editors write it
	method, err := calendarMethod(text)
	if err != nil {
		return nil, file, &FieldError{"Calendar", err}
	}
	body, err := format.NewTextBody(text, d.boundary)
	if err != nil {
		return nil, file, &FieldError{"Calendar", err}
	}
	form, err = textPart("Calendar", "text/calendar", body, format.Param{Name: "method", Value: method})
	file = FileBytes("invite.ics", []byte(body.Text))
	file.Type = "application/ics"
	return form, file, err
}

// unfolded undoes the folding of lines (RFC 5545, section 3.1).
var unfolded = strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "")

// methodLine is a METHOD, with parameters whose values may be quoted (RFC 5545,
// section 3.7.2), methods are those of RFC 5546, section 1.4.
var (
	methodLine = regexp.MustCompile(`(?i)^METHOD(?:;(?:[^":]|"[^"]*")*)?:(.*)$`)
	methods    = []string{"PUBLISH", "REQUEST", "REPLY", "ADD", "CANCEL", "REFRESH", "COUNTER", "DECLINECOUNTER"}
)

// calendarMethod returns the METHOD of an iCalendar object. The type of its part
// must say the same (RFC 6047, section 2.4): what readers show depends on both.
func calendarMethod(calendar string) (method string, err error) {
	var open []string // the components around a line
	over := false
	for line := range strings.Lines(unfolded.Replace(calendar)) {
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(strings.ToUpper(line), ":")
		isMethod := methodLine.FindStringSubmatch(line)
		switch {
		case line == "":
		case over, len(open) == 0 && (name != "BEGIN" || value != "VCALENDAR"):
			return "", errors.New("is not one iCalendar object: something stands before BEGIN:VCALENDAR or after its END")
		case name == "BEGIN":
			open = append(open, value)
		case name == "END" && value != open[len(open)-1]:
			return "", fmt.Errorf("has END:%s where %s ends", value, open[len(open)-1])
		case name == "END":
			open = open[:len(open)-1]
			over = len(open) == 0
		case isMethod != nil && len(open) == 1 && method != "":
			return "", errors.New("has two METHODs")
		case isMethod != nil && len(open) == 1:
			method = strings.ToUpper(isMethod[1])
		}
	}
	switch {
	case !over:
		return "", errors.New("is no iCalendar object that comes to END:VCALENDAR")
	case !slices.Contains(methods, method):
		return "", fmt.Errorf("has the METHOD %.200q; an invitation has REQUEST, and what has none is a file for Attachments", method)
	}
	return method, nil
}
