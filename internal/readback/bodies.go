package readback

import (
	"fmt"
	"strings"

	"github.com/postrider/smtp"
)

// texts has what text can be made of, for each of the transfer encodings.
func texts() map[string]*smtp.Message {
	text := func(s string) *smtp.Message { return with(func(m *smtp.Message) { m.Text = s }) }
	return map[string]*smtp.Message{
		"long-lines": with(func(m *smtp.Message) {
			m.Subject = strings.Repeat("all work and no play ", 20) + "end"
			m.Text = strings.Repeat("x", 2000) + "\n" + strings.Repeat("y", 998)
		}),
		"no-final-newline": text("Hello"),
		"crlf":             text("one\r\ntwo\r\n"),
		"mixed-line-ends":  text("one\r\ntwo\nthree\r\n\n\nfour"),
		"newlines-only":    text("\n\n\n"),
		"from-lines":       text("From here to there\n>From quoted\nFrom\n"),
		"spaces-at-ends":   text("two spaces  \na tab\t\n \n\t\nsoft =\n=20\n"),
		"dots":             text(".\n..\n.a\n...\nend.\n.\n"),
		"equals-signs":     text(strings.Repeat("a=b=3D ", 200) + "\n"),
		"mostly-ascii":     text(strings.Repeat("Plain words, and then ü. ", 50) + "\n"),
		"hardly-ascii":     text(strings.Repeat("日本語の文章です。", 100) + "\n"),
		"right-to-left":    text("שלום עולם\nمرحبا بالعالم\n"),
		"byte-order-mark":  text("\uFEFFHello\n"),
		"76-and-77":        text(strings.Repeat("x", 76) + "\n" + strings.Repeat("ü", 38) + "\n" + strings.Repeat("y", 77) + "\n"),
		"like-a-boundary":  text("--=_4a30277a7ca42298f0e1467c_mixed\n--=_4a30277a7ca42298f0e1467c_mixed--\n"),
		"both-encoded": with(func(m *smtp.Message) {
			m.Text, m.HTML = "Grüße, in kurzen Zeilen\n", "<p>"+strings.Repeat("日本語", 400)+"</p>"
		}),
		"long-html": with(func(m *smtp.Message) { m.HTML = "<p>" + strings.Repeat("<b>word</b>", 2000) + "</p>" }),
	}
}

// files has what attachments can be: of each length, name and type that matters.
func files() map[string]*smtp.Message {
	return map[string]*smtp.Message{
		"types": with(func(m *smtp.Message) {
			m.Attachments = []smtp.File{
				{Name: "notes", Description: "Notizen für das Gespräch", Open: opener("Grüße\n")},
				{Name: "picture", Description: "A picture", Open: opener("\x89PNG\r\n\x1a\n")},
				{Name: "data", Open: opener("x")},
				{Name: "table", Type: `text/csv; header="present"; charset=utf-8`, Open: opener("a,b\n")},
				{Name: "parts", Type: "multipart/mixed; boundary=x", Open: opener("--x--\r\n")},
			}
		}),
		"lengths": with(func(m *smtp.Message) {
			for _, n := range []int{0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000} {
				m.Attachments = append(m.Attachments, smtp.FileBytes(fmt.Sprintf("%d.bin", n), Octets[:n]))
			}
		}),
		"names": with(func(m *smtp.Message) {
			for _, name := range []string{
				"a b.pdf", `q"uote.pdf`, "semi;colon.pdf", "100%.pdf", "it's.pdf", ".hidden", "no-extension", "comma,=.pdf",
				strings.Repeat("long", 30) + ".pdf", "Größe.pdf", "Größe: 100%25 *it's* (a=b).pdf", "日本語のとても長い名前のファイルで、一行には入りません.pdf", "📎.pdf",
			} {
				m.Attachments = append(m.Attachments, smtp.FileBytes(name, []byte(name)))
			}
		}),
		"twenty": with(func(m *smtp.Message) {
			for i := range 20 {
				m.Attachments = append(m.Attachments, smtp.FileBytes(fmt.Sprintf("%d.pdf", i), Octets[:i]))
			}
		}),
		"line-ends-in-a-file": with(func(m *smtp.Message) {
			m.Attachments = []smtp.File{smtp.FileBytes("mixed.bin", []byte("a\nb\r\nc\rd\n.\n\r\n.\r\n"))}
		}),
		"message-in-message": with(func(m *smtp.Message) {
			inner := "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inmost\r\n\r\ntext\r\n--x--\r\n"
			m.Attachments = []smtp.File{{Name: "plain.eml", Type: "message/rfc822", Open: opener(inner)}}
		}),
		"described": with(func(m *smtp.Message) {
			file := smtp.FileBytes("figures.pdf", Octets[:10])
			file.Description = strings.Repeat("Was in dieser Datei steht, und warum: Größen. ", 4) + "Ende"
			m.Attachments = []smtp.File{file}
		}),
	}
}
