package main

import (
	"net/url"
	"testing"

	"github.com/postrider/smtp"
)

// place is a string that a caller can set.
type place struct {
	name string
	good string // what is right there
	put  func(l *letter, value string)
}

// breaks are values that begin or end as they should, with what would be a line more.
func breaks(good string) (list []string) {
	for _, end := range []string{"\r\n", "\n", "\r", "\x00", "\r\n ", "\n\t", "\r\r\n", "\r\n\r\n"} {
		for _, behind := range []string{"", "RSET", "RCPT TO:<evil@example.com>", "Bcc: evil@example.com", "DATA\r\nSubject: evil\r\n\r\n.\r\n"} {
			list = append(list, good+end+behind, behind+end+good)
		}
		list = append(list, good[:len(good)/2]+end+good[len(good)/2:])
	}
	return list
}

// envelopePlaces are addresses, in the commands of a mail.
var envelopePlaces = []place{
	{"Delivery.From", "ann@example.com", func(l *letter, v string) { l.message.Delivery.From = v }},
	{"Delivery.To", "bob@example.net", func(l *letter, v string) { l.message.Delivery.To[0].Address = v }},
	{"From, without Sender", "ann@example.com", func(l *letter, v string) {
		l.message.Sender, l.message.Delivery.From, l.message.From.Address = nil, "", v
	}},
	{"To, as recipient", "bob@example.net", func(l *letter, v string) {
		l.message.Delivery.To, l.message.To[0].Address, l.message.Cc, l.message.Bcc = nil, v, nil, nil
	}},
	{"Bcc, as recipient", "bob@example.net", func(l *letter, v string) {
		l.message.Delivery.To, l.message.Bcc[0].Address, l.message.To, l.message.Cc = nil, v, nil, nil
	}},
	{"Raw", "bob@example.net", func(l *letter, v string) {
		l.message = &smtp.Message{Raw: smtp.FileBytes("", []byte("From: ann@example.com\r\n\r\nx\r\n")), Delivery: smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: v}}}}
	}},
	{"Mail", "ann@example.com", func(l *letter, v string) {
		l.step = func(t *testing.T, c *smtp.Client) error {
			_, err := c.Mail(t.Context(), smtp.Envelope{From: v})
			return err
		}
	}},
	{"Rcpt", "bob@example.net", func(l *letter, v string) {
		l.before = "MAIL "
		l.step = func(t *testing.T, c *smtp.Client) error {
			if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
				t.Fatal(err)
			}
			_, err := c.Rcpt(t.Context(), smtp.Recipient{Address: v})
			return err
		}
	}},
}

// parameterPlaces are what follows an address in a command.
var parameterPlaces = []place{
	{"EnvelopeID", "id", func(l *letter, v string) { l.message.Delivery.EnvelopeID = v }},
	{"OriginalRecipient", "rob@example.net", func(l *letter, v string) { l.message.Delivery.To[0].OriginalRecipient = v }},
	{"keyword of MAIL", "X-TEST", func(l *letter, v string) {
		l.message.Delivery.Params[0] = smtp.Param{Keyword: v, Value: "1", Extension: "X-TEST"}
	}},
	{"value of MAIL", "1", func(l *letter, v string) { l.message.Delivery.Params[0].Value = v }},
	{"keyword of RCPT", "X-TEST", func(l *letter, v string) {
		l.message.Delivery.To[0].Params[0] = smtp.Param{Keyword: v, Value: "1", Extension: "X-TEST"}
	}},
	{"value of RCPT", "1", func(l *letter, v string) { l.message.Delivery.To[0].Params[0].Value = v }},
}

// sessionPlaces are what else can be said in commands.
var sessionPlaces = []place{
	{"LocalName", "mx.example.com", func(l *letter, v string) { l.options.LocalName = v }},
	{"LocalName in LMTP", "mx.example.com", func(l *letter, v string) { l.options.LocalName, l.options.LMTP = v, true }},
	{"local-name of a URL", "mx.example.com", func(l *letter, v string) {
		m, err := smtp.ParseURL("smtp://mx.example.com?local-name=" + url.QueryEscape(v))
		l.options.LocalName = "-" // which is refused as well
		if err == nil {
			l.options = m.Options
		}
	}},
	{"Command", "NOOP a", func(l *letter, v string) {
		l.step = func(t *testing.T, c *smtp.Client) error {
			_, err := c.Command(t.Context(), v)
			return err
		}
	}},
}

// addressPlaces are addresses in the header.
var addressPlaces = []place{
	{"From", "ann@example.com", func(l *letter, v string) { l.message.From.Address = v }},
	{"Sender", "ann@example.com", func(l *letter, v string) { l.message.Sender.Address = v }},
	{"To", "bob@example.net", func(l *letter, v string) { l.message.To[0].Address = v }},
	{"Cc", "bob@example.net", func(l *letter, v string) { l.message.Cc[0].Address = v }},
	{"Bcc", "bob@example.net", func(l *letter, v string) { l.message.Bcc[0].Address = v }},
	{"ReplyTo", "bob@example.net", func(l *letter, v string) { l.message.ReplyTo[0].Address = v }},
}

// namePlaces are the display names beside them.
var namePlaces = []place{
	{"From.Name", "Ann", func(l *letter, v string) { l.message.From.Name = v }},
	{"Sender.Name", "Ann", func(l *letter, v string) { l.message.Sender.Name = v }},
	{"To.Name", "Bob", func(l *letter, v string) { l.message.To[0].Name = v }},
	{"Cc.Name", "Bob", func(l *letter, v string) { l.message.Cc[0].Name = v }},
	{"Bcc.Name", "Bob", func(l *letter, v string) { l.message.Bcc[0].Name = v }},
	{"ReplyTo.Name", "Bob", func(l *letter, v string) { l.message.ReplyTo[0].Name = v }},
	{"name of a group", "Friends", func(l *letter, v string) { l.message.To = []smtp.Address{{Name: v, Address: ":;"}} }},
}

// listPlaces are what a mailing list says of itself.
var listPlaces = []place{
	{"List.ID", "news.example.com", func(l *letter, v string) { l.message.List.ID = v }},
	{"List.Name", "News", func(l *letter, v string) { l.message.List.Name = v }},
	{"List.Unsubscribe", "https://example.com/", func(l *letter, v string) { l.message.List.Unsubscribe[0] = v }},
	{"List.Unsubscribe, the second", "mailto:x@example.com", func(l *letter, v string) { l.message.List.Unsubscribe = []string{"https://example.com/", v} }},
	{"List.Subscribe", "https://example.com/", func(l *letter, v string) { l.message.List.Subscribe[0] = v }},
	{"List.Help", "https://example.com/", func(l *letter, v string) { l.message.List.Help[0] = v }},
	{"List.Owner", "mailto:x@example.com", func(l *letter, v string) { l.message.List.Owner[0] = v }},
	{"List.Archive", "https://example.com/", func(l *letter, v string) { l.message.List.Archive[0] = v }},
	{"List.Post", "mailto:x@example.com", func(l *letter, v string) { l.message.List.Post[0] = v }},
}

// fieldPlaces are the other fields of the header.
var fieldPlaces = []place{
	{"Subject", "Hi", func(l *letter, v string) { l.message.Subject = v }},
	{"value of a field", "autumn", func(l *letter, v string) { l.message.Header[0].Value = v }},
	{"value of a field with a grammar", "one", func(l *letter, v string) { l.message.Header[1].Value = v }},
	{"name of a field", "X-Campaign", func(l *letter, v string) { l.message.Header[0].Name = v }},
	{"MessageID", "1@example.com", func(l *letter, v string) { l.message.MessageID = v }},
	{"InReplyTo", "1@example.com", func(l *letter, v string) { l.message.InReplyTo[0] = v }},
	{"References", "1@example.com", func(l *letter, v string) { l.message.References[0] = v }},
}

// filePlaces are what is said of the parts of a mail.
var filePlaces = []place{
	{"Attachments.Name", "a.txt", func(l *letter, v string) { l.message.Attachments[0].Name = v }},
	{"Attachments.Description", "notes", func(l *letter, v string) { l.message.Attachments[0].Description = v }},
	{"Attachments.ContentID", "7@example.com", func(l *letter, v string) { l.message.Attachments[0].ContentID = v }},
	{"Inline.Name", "a.txt", func(l *letter, v string) { l.message.Inline[0].Name = v }},
	{"Inline.ContentID", "7@example.com", func(l *letter, v string) { l.message.Inline[0].ContentID = v }},
	{"Alternatives.Description", "notes", func(l *letter, v string) { l.message.Alternatives[0].Description = v }},
}

// typePlaces are media types, which may have blanks around them.
var typePlaces = []place{
	{"Attachments.Type", "text/plain", func(l *letter, v string) { l.message.Attachments[0].Type = v }},
	{"Inline.Type", "text/plain", func(l *letter, v string) { l.message.Inline[0].Type = v }},
	{"Alternatives.Type", "text/plain", func(l *letter, v string) { l.message.Alternatives[0].Type = v }},
}

// eachBreak puts every break into each place; nothing of it may leave. What is right
// there does.
func eachBreak(places ...[]place) func(t *testing.T) {
	return func(t *testing.T) {
		for _, list := range places {
			for _, p := range list {
				l := newLetter()
				p.put(l, p.good)
				if got := l.dispatch(t); got.err != nil {
					t.Fatalf("%s = %q: %v", p.name, p.good, got.err)
				}
				for _, value := range breaks(p.good) {
					l := newLetter()
					p.put(l, value)
					l.mustBeRefused(t, p.name+" = "+quoted(value))
				}
			}
		}
	}
}

// eachContained puts values into each place; none may become more than a value.
func eachContained(t *testing.T, values []string, places ...[]place) {
	t.Helper()
	for _, list := range places {
		for _, p := range list {
			for _, value := range values {
				l := newLetter()
				p.put(l, value)
				l.mustBeContained(t, p.name+" = "+quoted(value))
			}
		}
	}
}
