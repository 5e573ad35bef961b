package readback

import (
	"io"
	"maps"
	"strings"
	"time"

	"github.com/postrider/smtp"
)

// Octets is content that no text encoding could carry by chance.
var Octets = func() []byte {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}()

// Messages are those of each structure and encoding that the builder can make, by name;
// testdata/message shows what they become.
func Messages() map[string]*smtp.Message {
	all := map[string]*smtp.Message{}
	for _, group := range []map[string]*smtp.Message{structures(), headers(), texts(), files()} {
		maps.Copy(all, group)
	}
	return all
}

// with is a small message with something else about it.
func with(change func(*smtp.Message)) *smtp.Message {
	m := &smtp.Message{
		From:      smtp.Address{Address: "ann@example.com"},
		To:        []smtp.Address{{Address: "bob@example.net"}},
		Subject:   "Hi",
		Date:      time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		MessageID: "1@example.com",
		Text:      "Hello.\n.\n",
	}
	change(m)
	return m
}

func structures() map[string]*smtp.Message {
	picture := smtp.FileBytes("logo.png", Octets[:100])
	report := smtp.FileBytes("report.pdf", Octets)
	return map[string]*smtp.Message{
		"text":         with(func(*smtp.Message) {}),
		"subject-only": with(func(m *smtp.Message) { m.Text = "" }),
		"html":         with(func(m *smtp.Message) { m.Text, m.HTML = "", "<p>Hello.</p>" }),
		"alternative":  with(func(m *smtp.Message) { m.HTML = "<p>Hello.</p>" }),
		"related": with(func(m *smtp.Message) {
			m.Text, m.HTML, m.Inline = "", `<img src="cid:logo.png">`, []smtp.File{picture}
		}),
		"everything": with(func(m *smtp.Message) {
			m.HTML, m.Inline, m.Attachments = `<img src="cid:logo.png">`, []smtp.File{picture}, []smtp.File{report, smtp.FileBytes("empty.json", nil)}
		}),
		"attachment-only":     with(func(m *smtp.Message) { m.Subject, m.Text, m.Attachments = "", "", []smtp.File{report} }),
		"inline-without-html": with(func(m *smtp.Message) { m.Inline, m.Attachments = []smtp.File{picture}, []smtp.File{report} }),
		"content-id": with(func(m *smtp.Message) {
			picture.ContentID = "logo@example.com"
			m.HTML, m.Inline = `<img src="cid:logo@example.com"> cid:logo.png`, []smtp.File{picture}
		}),
		"invitation": with(func(m *smtp.Message) {
			m.HTML, m.Calendar, m.Attachments = "<p>Grüße.</p>", Calendar("REQUEST", "Grüße"), []smtp.File{report}
		}),
		"cancellation": with(func(m *smtp.Message) {
			m.Text, m.Calendar = "", strings.ReplaceAll(Calendar("CANCEL", "Gone"), "\r\n", "\n")
		}),
		"alternatives": with(func(m *smtp.Message) {
			calendar := form("text/calendar; method=REQUEST; charset=utf-8", "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n")
			amp := form("text/x-amp-html; charset=utf-8", "<!doctype html><html amp4email></html>")
			watch := form("text/watch-html", "<b>Hello.</b>")
			m.HTML, m.Alternatives, m.Attachments = "<p>Hello.</p>", []smtp.File{calendar, watch, amp}, []smtp.File{report}
		}),
		"calendar-only": with(func(m *smtp.Message) {
			m.Text, m.Alternatives = "", []smtp.File{form("text/calendar; method=REPLY", "BEGIN:VCALENDAR\r\n")}
		}),
		"attached-message": with(func(m *smtp.Message) {
			m.Attachments = []smtp.File{
				{Name: "plain.eml", Type: "message/rfc822", Open: opener("Subject: plain\r\n\r\n.text\r\n")},
				{Name: "eight-bit.eml", Type: "message/rfc822", Open: opener("Subject: 8bit\r\n\r\nGrüße\r\n")},
				{Name: "bare-lf.eml", Type: "message/rfc822", Open: opener("Subject: LF\n\ntext\n")},
			}
		}),
		"text-calendar": with(func(m *smtp.Message) { m.Calendar = Calendar("REPLY", "Yes") }),
		"all-forms": with(func(m *smtp.Message) {
			amp := form("text/x-amp-html; charset=utf-8", "<!doctype html><html amp4email></html>")
			m.HTML, m.Inline, m.Alternatives = `<img src="cid:logo.png">`, []smtp.File{picture}, []smtp.File{amp}
			m.Calendar, m.Attachments = Calendar("REQUEST", "Everything at once"), []smtp.File{report}
		}),
		"html-and-attachment": with(func(m *smtp.Message) {
			m.Text, m.HTML, m.Attachments = "", "<p>Hello.</p>", []smtp.File{report}
		}),
		"related-and-attachment": with(func(m *smtp.Message) {
			m.Text, m.HTML, m.Inline, m.Attachments = "", `<img src="cid:logo.png">`, []smtp.File{picture}, []smtp.File{report}
		}),
		"several-images": with(func(m *smtp.Message) {
			m.HTML = `<img src="cid:logo.png"><img src="cid:a%20b.png"><img src='cid:größe.png'>`
			m.Inline = []smtp.File{picture, smtp.FileBytes("a b.png", Octets[:10]), smtp.FileBytes("größe.png", Octets[:20])}
		}),
		"same-name-twice": with(func(m *smtp.Message) { m.Attachments = []smtp.File{report, report} }),
	}
}

// Calendar is an iCalendar object.
func Calendar(method, summary string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nMETHOD:" + method + "\r\nBEGIN:VEVENT\r\nUID:1@example.com\r\n" +
		"DTSTAMP:20261121T120000Z\r\nDTSTART:20261201T120000Z\r\nSUMMARY:" + summary + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

// form is content for Alternatives.
func form(mediaType, content string) smtp.File {
	file := smtp.FileBytes("", []byte(content))
	file.Type = mediaType
	return file
}

func opener(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}
