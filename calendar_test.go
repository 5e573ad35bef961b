package smtp_test

import (
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/readback"
)

// TestCalendarMethod: the type of the part says what the calendar says, in whatever
// form it says so, and what says nothing or several things is refused.
func TestCalendarMethod(t *testing.T) {
	t.Parallel()
	const begin, end = "BEGIN:VCALENDAR\r\n", "END:VCALENDAR\r\n"
	for text, want := range map[string]string{
		readback.Calendar("REQUEST", "x"):                                                       "REQUEST",
		readback.Calendar("cancel", "x"):                                                        "CANCEL",
		"begin:vcalendar\nmethod;x-a=b:Reply\nend:vcalendar":                                    "REPLY",
		begin + "MET\r\n HOD:PUB\r\n\tLISH\r\n" + end:                                           "PUBLISH",
		begin + "BEGIN:VEVENT\r\nMETHOD:ADD\r\nEND:VEVENT\r\nMETHOD:COUNTER\r\n" + end + "\r\n": "COUNTER",
		"\uFEFF" + readback.Calendar("REQUEST", "x"):                                            "REQUEST",
		begin + "METHOD;X=\"a:b;c\";Y=d:REFRESH\r\n" + end:                                      "REFRESH",
		begin + "METHOD: REQUEST\r\n" + end:                                                     "",
		begin + "METHOD:" + strings.Repeat("A", 1000) + "\r\n" + end:                            "",
		begin + "METHOD:ADD\r\nEND:VEVENT\r\n":                                                  "",
		begin + "METHOD:ADD\r\nBEGIN:VEVENT\r\n" + end + "END:VEVENT\r\n":                       "",
		begin + "X:METHOD:REQUEST\r\n" + end:                                                    "",
		begin + end:                                                                             "",
		begin + "METHOD:\r\n" + end:                                                             "",
		begin + "METHOD:A B\r\n" + end:                                                          "",
		begin + "METHOD:A\"; x=\"\r\n" + end:                                                    "",
		begin + "METHOD:ADD\r\nMETHOD:ADD\r\n" + end:                                            "",
		begin + "METHOD:ADD\r\n":                                                                "",
		"METHOD:ADD\r\n" + end:                                                                  "",
		"BEGIN:VEVENT\r\nMETHOD:ADD\r\nEND:VEVENT\r\n":                                          "",
		readback.Calendar("ADD", "x") + readback.Calendar("ADD", "y"):                           "",
		begin + "METHOD:ADD\r\nEND:VCALENDAR\r\n" + end:                                         "",
		"Dear Bob": "",
	} {
		m := letter("bob@example.net")
		m.Calendar = text
		var out strings.Builder
		_, err := m.WriteTo(&out)
		if want == "" && (err == nil || !strings.HasPrefix(err.Error(), "smtp: Calendar: ")) || want != "" && err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if want != "" && !strings.Contains(out.String(), "Content-Type: text/calendar; method="+want+"; charset=utf-8\r\n") {
			t.Errorf("%q became\n%s", text, out.String())
		}
	}
}
