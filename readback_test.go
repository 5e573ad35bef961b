package smtp_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"github.com/postrider/smtp"
)

// content is what a reader of a message gets to see.
type content struct {
	Header map[string]string
	Leaves []leaf
}

// leaf is a part that is no multipart, with the path of multiparts above it.
type leaf struct {
	Path, Type, Disposition, Name, ContentID, Description, Body string
}

var shownFields = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Message-Id", "In-Reply-To", "References",
	"Importance", "X-Priority", "Auto-Submitted", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post",
}

// asked is what a message says that a reader should see.
func asked(t *testing.T, m *smtp.Message) content {
	t.Helper()
	list := func(addresses ...smtp.Address) string {
		var spelled []string
		for _, a := range addresses {
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
	ids := func(list ...string) string {
		for i := range list {
			list[i] = "<" + strings.Trim(list[i], "<>") + ">"
		}
		return strings.Join(list, " ")
	}
	c := content{Header: map[string]string{
		"From": list(m.From), "Reply-To": list(m.ReplyTo...), "To": list(m.To...), "Cc": list(m.Cc...), "Subject": m.Subject,
		"Message-Id": ids(m.MessageID), "In-Reply-To": ids(m.InReplyTo...), "References": ids(m.References...),
	}}
	if m.Sender != nil {
		c.Header["Sender"] = list(*m.Sender)
	}
	c.Header["Importance"] = [...]string{"", "high", "low"}[m.Importance]
	c.Header["X-Priority"] = [...]string{"", "1", "5"}[m.Importance]
	c.Header["Auto-Submitted"] = [...]string{"", "auto-generated", "auto-replied"}[m.AutoSubmitted]
	if m.List.ID != "" {
		c.Header["List-Id"] = m.List.Name + " <" + m.List.ID + ">"
		if strings.Contains(m.List.Name, ",") {
			c.Header["List-Id"] = `"` + m.List.Name + `" <` + m.List.ID + ">"
		}
	}
	if m.List.OneClick {
		c.Header["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	urls := func(list []string) string {
		if len(list) == 0 || list[0] == "NO" {
			return strings.Join(list, "")
		}
		return "<" + strings.Join(list, ">, <") + ">"
	}
	c.Header["List-Unsubscribe"], c.Header["List-Post"] = urls(m.List.Unsubscribe), urls(m.List.Post)
	for name, value := range c.Header {
		if value == "" {
			delete(c.Header, name)
		}
	}
	c.Leaves = askedLeaves(t, m)
	return c
}

func askedLeaves(t *testing.T, m *smtp.Message) (leaves []leaf) {
	t.Helper()
	outer, inner := "", ""
	if len(m.Attachments) > 0 || m.Calendar != "" || m.HTML == "" && len(m.Inline) > 0 {
		outer = "/mixed"
	}
	text := func(path, mediaType, text string) {
		text = strings.ReplaceAll(text, "\r\n", "\n")
		if text = strings.ReplaceAll(text, "\n", "\r\n"); text != "" && !strings.HasSuffix(text, "\n") {
			text += "\r\n"
		}
		leaves = append(leaves, leaf{Path: path, Type: mediaType + "; charset=utf-8", Body: text})
	}
	var before, behind []smtp.File // the HTML
	for _, file := range m.Alternatives {
		if strings.HasPrefix(file.Type, "text/x-amp-html") || file.Type == "text/watch-html" {
			before = append(before, file)
		} else {
			behind = append(behind, file)
		}
	}
	plain := m.Text != "" || m.HTML == "" && m.Calendar == "" && len(m.Alternatives) == 0
	forms := len(m.Alternatives)
	for _, form := range []bool{plain, m.HTML != "", m.Calendar != ""} {
		if form {
			forms++
		}
	}
	if forms > 1 {
		inner = "/alternative"
	}
	if plain {
		text(outer+inner, "text/plain", m.Text)
	}
	files := func(path, disposition string, list []smtp.File) {
		for _, f := range list {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leaf{path, typeOf(f), disposition, f.Name, f.ContentID, f.Description, string(body)})
		}
	}
	files(outer+inner, "", before)
	if m.HTML != "" {
		related := outer + inner
		if len(m.Inline) > 0 {
			related += "/related"
		}
		text(related, "text/html", m.HTML)
		files(related, "inline", m.Inline)
	}
	files(outer+inner, "", behind)
	attached := m.Attachments
	if m.Calendar != "" {
		method := m.Calendar[strings.Index(m.Calendar, "METHOD:")+len("METHOD:"):]
		method, _, _ = strings.Cut(strings.ReplaceAll(method, "\r", ""), "\n")
		text(outer+inner, "text/calendar; method="+method, m.Calendar)
		attached = append(attached, smtp.FileBytes("invite.ics", []byte(leaves[len(leaves)-1].Body)))
	}
	if m.HTML == "" {
		files(outer, "inline", m.Inline)
	}
	files(outer, "attachment", attached)
	return leaves
}

// typeOf is the type that a file of the shapes should be declared as.
func typeOf(f smtp.File) string {
	if f.Name == "" {
		mediaType, params, _ := mime.ParseMediaType(f.Type)
		params["charset"] = "utf-8"
		return typeAnd(mediaType, params)
	}
	switch f.Name {
	case "logo.png":
		return "image/png"
	case "plain.eml":
		return "message/rfc822"
	case "table":
		return "text/csv; charset=utf-8"
	case "notes", "data":
		return "text/plain; charset=utf-8"
	case "picture":
		return "image/png"
	case "invite.ics":
		return "application/ics"
	case "empty.json":
		return "application/json"
	}
	if strings.HasSuffix(f.Name, ".pdf") {
		return "application/pdf"
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

// readStandard reads a message with net/mail, mime and mime/multipart.
func readStandard(t *testing.T, raw []byte) content {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := content{Header: map[string]string{}}
	for _, name := range shownFields {
		if value := decodeField(t, name, m.Header.Get(name)); value != "" {
			c.Header[name] = value
		}
	}
	standardLeaves(t, &c, "", m.Header.Get, m.Body)
	return c
}

func decodeField(t *testing.T, name, value string) string {
	t.Helper()
	if value == "" {
		return ""
	}
	switch name {
	case "From", "Sender", "Reply-To", "To", "Cc", "Bcc":
		list, err := mail.ParseAddressList(value)
		if err != nil {
			t.Fatal(err)
		}
		var spelled []string
		for _, address := range list {
			spelled = append(spelled, address.String())
		}
		return strings.Join(spelled, ", ")
	case "List-Unsubscribe":
		return strings.ReplaceAll(value, "\r\n", "")
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func standardLeaves(t *testing.T, c *content, path string, get func(string) string, body io.Reader) {
	t.Helper()
	mediaType, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if subtype, ok := strings.CutPrefix(mediaType, "multipart/"); ok {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			standardLeaves(t, c, path+"/"+subtype, part.Header.Get, part)
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	decoded, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	l := leaf{Path: path, Type: typeAnd(mediaType, params), ContentID: strings.Trim(get("Content-Id"), "<>"), Body: string(decoded)}
	l.Description = decodeField(t, "Content-Description", get("Content-Description"))
	if disposition := get("Content-Disposition"); disposition != "" {
		var params map[string]string
		if l.Disposition, params, err = mime.ParseMediaType(disposition); err != nil {
			t.Fatal(err)
		}
		l.Name = params["filename"]
	}
	c.Leaves = append(c.Leaves, l)
}

// readGoMessage reads a message with go-message.
func readGoMessage(t *testing.T, raw []byte) content {
	t.Helper()
	entity, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := content{Header: map[string]string{}}
	for _, name := range shownFields {
		if value := decodeField(t, name, entity.Header.Get(name)); value != "" {
			c.Header[name] = value
		}
	}
	var paths []string
	err = entity.Walk(func(path []int, part *message.Entity, err error) error {
		if err != nil {
			return err
		}
		mediaType, params, err := part.Header.ContentType()
		if err != nil {
			return err
		}
		paths = append(paths[:len(path)], mediaType)
		if strings.HasPrefix(mediaType, "multipart/") {
			return nil
		}
		body, err := io.ReadAll(part.Body)
		l := leaf{Type: typeAnd(mediaType, params), ContentID: strings.Trim(part.Header.Get("Content-Id"), "<>"), Body: string(body)}
		l.Description = decodeField(t, "Content-Description", part.Header.Get("Content-Description"))
		for _, above := range paths[:len(path)] {
			l.Path += "/" + strings.TrimPrefix(above, "multipart/")
		}
		if part.Header.Has("Content-Disposition") {
			var params map[string]string
			if l.Disposition, params, err = part.Header.ContentDisposition(); err == nil {
				l.Name = params["filename"]
			}
		}
		c.Leaves = append(c.Leaves, l)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
