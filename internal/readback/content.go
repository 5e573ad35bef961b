// Package readback has messages of every kind that can be made, says what a reader
// should see in each, and reads them by parsers that are not ours.
package readback

import (
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postrider/smtp"
)

// Content is what a reader of a message gets to see.
type Content struct {
	Header map[string]string
	Leaves []Leaf
}

// Leaf is a part that is no multipart, with the path of multiparts above it.
type Leaf struct {
	Path, Type, Disposition, Name, ContentID, Description, Body string
}

var shownFields = []string{
	"Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Message-Id", "In-Reply-To", "References",
	"Importance", "X-Priority", "Auto-Submitted", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post",
	"List-Subscribe", "List-Help", "List-Owner", "List-Archive", "Organization", "X-Campaign", "X-Grund", "X-Field-39",
}

// Asked is what a prepared message says that a reader should see.
func Asked(m *smtp.Message) (Content, error) {
	c := Content{Header: askedHeader(m)}
	for name, value := range c.Header {
		if value == "" {
			delete(c.Header, name)
		}
	}
	var err error
	c.Leaves, err = askedLeaves(m)
	return c, err
}

func askedHeader(m *smtp.Message) map[string]string {
	h := map[string]string{
		"Date": m.Date.Format(time.RFC1123Z), "From": addresses(m.From), "Reply-To": addresses(m.ReplyTo...), "To": addresses(m.To...), "Cc": addresses(m.Cc...), "Subject": m.Subject,
		"Message-Id": identifiers(m.MessageID), "In-Reply-To": identifiers(m.InReplyTo...), "References": identifiers(m.References...),
		"Importance":       [...]string{"", "high", "low"}[m.Importance],
		"X-Priority":       [...]string{"", "1", "5"}[m.Importance],
		"Auto-Submitted":   [...]string{"", "auto-generated", "auto-replied"}[m.AutoSubmitted],
		"List-Unsubscribe": urls(m.List.Unsubscribe), "List-Post": urls(m.List.Post),
		"List-Subscribe": urls(m.List.Subscribe), "List-Help": urls(m.List.Help), "List-Owner": urls(m.List.Owner), "List-Archive": urls(m.List.Archive),
	}
	for _, field := range slices.Backward(m.Header) { // Readers return the first.
		if slices.Contains(shownFields, field.Name) {
			h[field.Name] = field.Value
		}
	}
	if m.Sender != nil {
		h["Sender"] = addresses(*m.Sender)
	}
	if name := m.List.Name; m.List.ID != "" {
		if strings.Contains(name, ",") {
			name = `"` + name + `"`
		}
		h["List-Id"] = strings.TrimSpace(name + " <" + m.List.ID + ">")
	}
	if m.List.OneClick {
		h["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	return h
}

// addresses spells them in one form, and leaves groups out.
func addresses(list ...smtp.Address) string {
	var spelled []string
	for _, a := range list {
		if a.Address == ":;" {
			continue
		}
		a.Address, _ = smtp.ToASCII(a.Address)
		if parsed, err := mail.ParseAddress(a.Address); err == nil {
			a.Address = parsed.Address
		}
		spelled = append(spelled, a.String())
	}
	return strings.Join(spelled, ", ")
}

func identifiers(list ...string) string {
	var spelled []string
	for _, id := range list {
		spelled = append(spelled, "<"+strings.Trim(id, "<>")+">")
	}
	return strings.Join(spelled, " ")
}

func urls(list []string) string {
	if len(list) == 0 || list[0] == "NO" {
		return strings.Join(list, "")
	}
	return "<" + strings.Join(list, ">, <") + ">"
}

// wanted collects leaves in their order.
type wanted struct {
	leaves []Leaf
	err    error
}

func (w *wanted) text(path, mediaType, text string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text = strings.ReplaceAll(text, "\n", "\r\n"); text != "" && !strings.HasSuffix(text, "\n") {
		text += "\r\n"
	}
	w.leaves = append(w.leaves, Leaf{Path: path, Type: mediaType + "; charset=utf-8", Body: text})
}

func (w *wanted) files(path, disposition string, list []smtp.File) {
	for _, f := range list {
		r, err := f.Open()
		if err != nil {
			w.err = err
			return
		}
		body, err := io.ReadAll(r)
		if err != nil {
			w.err = err
		}
		w.leaves = append(w.leaves, Leaf{path, typeOf(f), disposition, f.Name, f.ContentID, f.Description, string(body)})
	}
}

func askedLeaves(m *smtp.Message) ([]Leaf, error) {
	outer, inner := "", ""
	if len(m.Attachments) > 0 || m.Calendar != "" || m.HTML == "" && len(m.Inline) > 0 {
		outer = "/mixed"
	}
	isPlain := m.Text != "" || m.HTML == "" && m.Calendar == "" && len(m.Alternatives) == 0
	forms := len(m.Alternatives)
	for _, form := range []bool{isPlain, m.HTML != "", m.Calendar != ""} {
		if form {
			forms++
		}
	}
	if forms > 1 {
		inner = "/alternative"
	}
	var w wanted
	if isPlain {
		w.text(outer+inner, "text/plain", m.Text)
	}
	before, behind := aroundHTML(m.Alternatives)
	w.files(outer+inner, "", before)
	if m.HTML != "" {
		related := outer + inner
		if len(m.Inline) > 0 {
			related += "/related"
		}
		w.text(related, "text/html", m.HTML)
		w.files(related, "inline", m.Inline)
	}
	w.files(outer+inner, "", behind)
	attached := m.Attachments
	if m.Calendar != "" {
		method := m.Calendar[strings.Index(m.Calendar, "METHOD:")+len("METHOD:"):]
		method, _, _ = strings.Cut(strings.ReplaceAll(method, "\r", ""), "\n")
		w.text(outer+inner, "text/calendar; method="+method, m.Calendar)
		attached = append(attached, smtp.FileBytes("invite.ics", []byte(w.leaves[len(w.leaves)-1].Body)))
	}
	if m.HTML == "" {
		w.files(outer, "inline", m.Inline)
	}
	w.files(outer, "attachment", attached)
	return w.leaves, w.err
}

// aroundHTML splits the alternatives: forms that readers of HTML should not prefer stand
// before it.
func aroundHTML(list []smtp.File) (before, behind []smtp.File) {
	for _, file := range list {
		if strings.HasPrefix(file.Type, "text/x-amp-html") || file.Type == "text/watch-html" {
			before = append(before, file)
		} else {
			behind = append(behind, file)
		}
	}
	return before, behind
}

// typesByName are the types that files of Messages should be declared as, by the ends
// of their names.
var typesByName = []struct{ end, mediaType string }{
	{"-bit.eml", "application/octet-stream"}, {"-lf.eml", "application/octet-stream"}, {".eml", "message/rfc822"},
	{".png", "image/png"}, {".pdf", "application/pdf"}, {".ics", "application/ics"}, {".json", "application/json"},
	{"table", "text/csv; charset=utf-8"}, {"notes", "text/plain; charset=utf-8"}, {"data", "text/plain; charset=utf-8"},
	{".hidden", "text/plain; charset=utf-8"}, {"no-extension", "text/plain; charset=utf-8"},
	{"picture", "image/png"},
}

func typeOf(f smtp.File) string {
	if f.Name == "" {
		mediaType, params, _ := mime.ParseMediaType(f.Type)
		params["charset"] = "utf-8"
		return typeAnd(mediaType, params)
	}
	for _, known := range typesByName {
		if strings.HasSuffix(f.Name, known.end) {
			return known.mediaType
		}
	}
	return "application/octet-stream"
}

// typeAnd spells a type and those of its parameters that matter.
func typeAnd(mediaType string, params map[string]string) string {
	for _, name := range []string{"method", "charset"} {
		if params[name] != "" {
			mediaType += "; " + name + "=" + params[name]
		}
	}
	return mediaType
}
