package main

import (
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp"
)

// hostileSize is how much of hostile input is read. It is below the 1 MiB from which on
// headers and reports are refused at once. What takes time that grows with its square,
// even if it does no more than to copy, takes minutes for the double, which linear
// reads, and a thirtieth of patience is enough for all else. In short mode, as with the
// race detector, it is little.
func hostileSize() int {
	if testing.Short() {
		return 1 << 14
	}
	return 1 << 19
}

const patience = 30 * time.Second

// reader is a function that takes what strangers wrote.
type reader struct {
	name string
	read func(hostile string)
}

// header makes a reader of one that takes a header.
func header(function, field string, read func(mail.Header)) reader {
	return reader{function + ", " + field, func(s string) {
		h := mail.Header{"From": {"bob@example.net"}}
		h[field] = []string{s}
		read(h)
	}}
}

// reports makes a reader of one that takes a mail with s in place of a mark, or with as
// much of s as a report may have: more than 100,000 lines are refused at once.
func reports(name, before, behind string) reader {
	return reader{name, func(s string) {
		for len(s) > hostileSize() || strings.Count(s, "\n") > 90_000 {
			s = s[:len(s)/2]
		}
		for _, parse := range []func(io.Reader) (*smtp.Report, error){smtp.ParseReport, smtp.ParseBounce} {
			parse(strings.NewReader(before + s + behind))
		}
	}}
}

const (
	reportHead = "From: MAILER-DAEMON@example.com\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\n"
	reportTail = "\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.com>\r\n\r\n--b--\r\n"
	bounceHead = "From: MAILER-DAEMON@example.com\r\nSubject: failure\r\n"
)

// addressReaders take addresses.
var addressReaders = []reader{
	{"ParseAddress", func(s string) { smtp.ParseAddress(s) }},
	{"ParseAddressList", func(s string) { smtp.ParseAddressList(s) }},
	{"ParseAddressList, in pieces", func(s string) {
		var pieces []string
		for ; len(s) > 3000; s = s[3000:] {
			pieces = append(pieces, s[:3000]+" <a@b.example>")
		}
		smtp.ParseAddressList(strings.Join(pieces, ", "))
	}},
	{"ToASCII", func(s string) { smtp.ToASCII(s) }},
	{"ToASCII, domain", func(s string) { smtp.ToASCII("a@" + s) }},
	{"ToASCII, local part", func(s string) { smtp.ToASCII(s + "@b.example") }},
	{"ToASCII, label", func(s string) { smtp.ToASCII("a@xn--" + s) }},
	{"ToUnicode", func(s string) { smtp.ToUnicode(s) }},
	{"ToUnicode, domain", func(s string) { smtp.ToUnicode("a@xn--" + s + ".example") }},
	{"NeedsUTF8", func(s string) { smtp.NeedsUTF8(s) }},
	{"ParseURL", func(s string) { smtp.ParseURL("smtp://" + s) }},
	{"ParseURL, options", func(s string) { smtp.ParseURL("smtp://mx.example.com?" + s) }},
	header("ReplyMessage", "From", func(h mail.Header) { smtp.ReplyMessage(h) }),
	header("ReplyMessage", "Reply-To", func(h mail.Header) { smtp.ReplyMessage(h) }),
	header("ParseAutoSubmitted", "From", func(h mail.Header) { smtp.ParseAutoSubmitted(h) }),
	header("ParseAutoSubmitted", "Auto-Submitted", func(h mail.Header) { smtp.ParseAutoSubmitted(h) }),
	header("ParseAutoSubmitted", "Return-Path", func(h mail.Header) { smtp.ParseAutoSubmitted(h) }),
	reports("Final-Recipient", reportHead+"Original-Recipient: rfc822;", reportTail),
	reports("Original-Recipient in UTF-8", reportHead+"Original-Recipient: utf-8;", reportTail),
	reports("X-Failed-Recipients", bounceHead+"X-Failed-Recipients: a@", "\r\n\r\ntext\r\n"),
	reports("From", "X-Failed-Recipients: bob@example.net\r\nFrom: ", "\r\n\r\ntext\r\n"),
	reports("text of Exim", bounceHead+"\r\nThe following address failed:\r\n\r\n  bob@", "\r\n"),
	reports("text of qmail", bounceHead+"\r\nHi. This is the qmail-send program\r\n\r\n<bob@example.net>:\r\n", "\r\n"),
}

// wordReaders take what encoded words may be in.
var wordReaders = []reader{
	header("ReplyMessage", "Subject", func(h mail.Header) { smtp.ReplyMessage(h) }),
	header("ReplyMessage", "From", func(h mail.Header) { smtp.ReplyMessage(h) }),
	header("ReplyMessage", "References", func(h mail.Header) { smtp.ReplyMessage(h) }),
	header("ReplyMessage", "Message-Id", func(h mail.Header) { smtp.ReplyMessage(h) }),
	{"ParseAddress, name", func(s string) { smtp.ParseAddress(s + " <a@b.example>") }},
	reports("Diagnostic-Code", reportHead+"Diagnostic-Code: smtp; 550 ", reportTail),
	reports("Diagnostic-Code, untyped", reportHead+"Diagnostic-Code: ", reportTail),
	reports("Status", reportHead+"Status: ", reportTail),
	reports("Last-Attempt-Date", reportHead+"Last-Attempt-Date: ", reportTail),
	reports("Remote-MTA", reportHead+"Remote-MTA: dns; ", reportTail),
	reports("any field", reportHead, reportTail),
	reports("Content-Type", "Content-Type: multipart/report; ", "\r\n\r\n--b\r\n"),
	reports("parts", "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n", "\r\n--b--\r\n"),
	reports("header", "", "\r\n\r\ntext"),
	reports("text", bounceHead+"\r\n", "\r\n"),
}

// addressShapes are what addresses are made of, again and again.
var addressShapes = []string{"(", "a:", ",", "a:;,", "<", "[", `"`, `\`, "@", "a@b.example,", `"a`, "()", "(a)", "a(", "<a@b>", "a.", "a@b(c)@", "a@b(c),", "(a)b", `"\`, "a <", `"a" `, " ", "\t", "a ", ";", "a;", "x", "-", "@a,", "a@", ".", "\r\n ", "é", "ä.", "xn--a.", "9b", "%41", "+3D", `\x{41}`, "a@b ", "<>", "[1]"}

// wordShapes are what encoded words are made of, and what looks like them.
var wordShapes = []string{"=?utf-8?q?a", "=?utf-8?q?=41?= ", "=?utf-8?q?=41?=", "=?a?b?", "=?", "=?utf-8?b?QUFB?= ", "=?utf-8?b?", "?=", "=?x?q?a?= ", "=?utf-7?q?a?=", "=", "=?=?", "=?utf-8?q??=", "?", "550 ", "5.1.1 ", "550-", ";", "; a=b", "; a*0=b", `; a="`, "a: b\r\n", "\r\n", "\n \n", "--b\r\n", "--b", "Action: failed\r\nFinal-Recipient: rfc822;a@b\r\n\r\n", "<a@b>", "<", "> ", "  ", "a@b: 550 x\r\n", "(", "a:"}

// distinct is a text in which few characters come twice.
func distinct(n int) string {
	var b strings.Builder
	for r := rune(0x4e00); b.Len() < n; r++ {
		if r > 0x9fa0 {
			r = 0xac00
		} else if r > 0xd7a0 {
			r = 0x20000
		}
		b.WriteRune(r)
	}
	return b.String()
}

// linear: each reader comes to an end with a lot of each shape, alone, opened and closed.
func linear(readers []reader, shapes []string) func(t *testing.T) {
	return func(t *testing.T) {
		size := 2 * hostileSize()
		hostile := []string{strings.Repeat("(", size/2) + strings.Repeat(")", size/2), strings.Repeat("a:", size/2) + strings.Repeat(";", size/2), distinct(size)}
		for _, shape := range shapes {
			hostile = append(hostile, strings.Repeat(shape, size/len(shape)))
		}
		for _, r := range readers {
			for _, text := range hostile {
				ends(t, r.name+" of "+quoted(text)[:min(len(quoted(text)), 30)], func() { r.read(text) })
			}
		}
	}
}

// ends fails if work does not come to an end.
func ends(t *testing.T, what string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s has no end", what)
	}
}

// deepNesting: nothing recurses as deep as a stranger wants.
func deepNesting(t *testing.T) {
	depth := hostileSize() / 3
	for _, pair := range [][2]string{{"(", ")"}, {"a:", ";"}, {"<", ">"}, {"[", "]"}, {`"`, `"`}, {"(a", ")"}, {"a:(", ");"}} {
		whole := strings.Repeat(pair[0], depth) + strings.Repeat(pair[1], depth)
		for _, r := range append(addressReaders, wordReaders...) {
			for _, text := range []string{whole, "Bob " + whole[:len(whole)/2] + " <bob@example.net>"} {
				ends(t, r.name+" of "+pair[0], func() { r.read(text) })
			}
		}
		half := len(whole) / 2
		for _, text := range []string{"g:" + whole + ";", whole + "bob@example.net", whole[:half] + "bob@example.net" + whole[half:], "g:" + whole[:half] + "bob@example.net" + whole[half:] + ";"} {
			if list, err := smtp.ParseAddressList(text); err == nil {
				t.Errorf("of %q nested, %q was read", pair[0], list)
			}
		}
	}
	for _, text := range []string{strings.Repeat("Content-Type: message/rfc822\r\n\r\n", depth), multiparts(depth / 10)} {
		ends(t, "nested parts", func() { smtp.ParseReport(strings.NewReader(text)) })
		ends(t, "nested parts", func() { smtp.ParseBounce(strings.NewReader(bounceHead + text)) })
	}
	_, status, _ := strings.Cut(reportHead, "text\r\n--b\r\n")
	for _, depth := range []int{1, 500} {
		if _, err := smtp.ParseReport(strings.NewReader(multiparts(depth) + status)); (err == nil) != (depth == 1) {
			t.Errorf("a report within %d multiparts: %v", depth, err)
		}
	}
}

// multiparts begins multiparts in one another, each with a boundary of its own.
func multiparts(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String()
}

// longFields: a field without a place to fold is folded, or refused, and at once; what is
// written is read back, in lines that any server takes.
func longFields(shapes ...string) func(t *testing.T) {
	return func(t *testing.T) {
		for _, list := range [][]place{namePlaces, fieldPlaces, listPlaces, filePlaces, typePlaces, addressPlaces, parameterPlaces} {
			for _, p := range list {
				for _, shape := range shapes {
					for _, size := range []int{100, 900, hostileSize()} { // Not all is folded in the same way.
						l := newLetter()
						value := distinct(size)
						if shape != "" {
							value = strings.Repeat(shape, size/len(shape))
						}
						p.put(l, value)
						ends(t, p.name+" of "+quoted(shape), func() { checkLong(t, p, l.message, value) })
					}
				}
			}
		}
	}
}

// checkLong writes a message in which a value is long.
func checkLong(t *testing.T, p place, m *smtp.Message, value string) {
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		return
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if len(line) > 998 {
			t.Errorf("%s of %q: a line of %d octets", p.name, value[:10], len(line))
		}
	}
	parsed, err := mail.ReadMessage(strings.NewReader(b.String()))
	if err != nil {
		t.Errorf("%s of %q: %v", p.name, value[:10], err)
		return
	}
	if to, err := parsed.Header.AddressList("To"); p.name == "To.Name" && (err != nil || len(to) != 1 || to[0].Name != value) {
		t.Errorf("%s of %q: read back as %d mailboxes, %v", p.name, value[:10], len(to), err)
	}
}

// longTexts: bodies of what is hardest to encode come to an end, and keep to themselves.
func longTexts(shapes ...string) func(t *testing.T) {
	return func(t *testing.T) {
		for _, shape := range shapes {
			value := strings.Repeat(shape, hostileSize()/len(shape))
			for name, put := range map[string]func(l *letter){
				"Text":     func(l *letter) { l.message.Text = value },
				"HTML":     func(l *letter) { l.message.HTML = value },
				"Calendar": func(l *letter) { l.message.Calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nX:" + value },
				"HTML beside images": func(l *letter) {
					l.message.HTML = value
					for range 20 {
						image := smtp.FileBytes(strings.Repeat("a", len(l.message.Inline))+".png", []byte("x"))
						l.message.Inline = append(l.message.Inline, image)
					}
				},
				"Raw": func(l *letter) {
					l.message = &smtp.Message{Raw: smtp.FileBytes("", []byte("To: bob@example.net\r\nFrom: ann@example.com\r\n\r\n"+value))}
				},
				"header of Raw": func(l *letter) {
					l.message = &smtp.Message{Raw: smtp.FileBytes("", []byte("To: "+strings.NewReplacer("\r", "", "\n", "").Replace(value)+"\r\nFrom: ann@example.com\r\n\r\n"))}
				},
			} {
				l := newLetter()
				put(l)
				ends(t, name+" of "+quoted(shape), func() { l.message.WriteTo(io.Discard) })
				ends(t, name+" of "+quoted(shape), func() { l.message.Prepare() })
			}
		}
	}
}
