package smtp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider/smtp/internal/format"
)

// calendar makes the form of the content that is an iCalendar object, and the file
// of the same text, for readers that show no such form.
func (d *draft) calendar(text string) (form *format.Part, file File, err error) {
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

// calendarMethod returns the METHOD of an iCalendar object. The type of its part
// must say the same (RFC 6047, section 2.4): what readers show depends on both.
func calendarMethod(calendar string) (method string, err error) {
	depth, over := 0, false
	for line := range strings.Lines(unfolded.Replace(calendar)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ = strings.Cut(strings.ToUpper(name), ";")
		value = strings.ToUpper(value)
		switch {
		case name == "":
		case over, depth == 0 && (name != "BEGIN" || value != "VCALENDAR"):
			return "", errors.New("is not one iCalendar object: something stands before BEGIN:VCALENDAR or after its END")
		case name == "BEGIN":
			depth++
		case name == "END":
			depth--
			over = depth == 0
		case name == "METHOD" && depth == 1 && method != "":
			return "", errors.New("has two METHODs")
		case name == "METHOD" && depth == 1:
			method = value
		}
	}
	switch {
	case !over:
		return "", errors.New("is no iCalendar object that comes to END:VCALENDAR")
	case method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "":
		return "", fmt.Errorf("has the METHOD %q; an invitation has REQUEST, and what has none is a file for Attachments", method)
	}
	return method, nil
}
