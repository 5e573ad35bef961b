package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"iter"
	"strconv"
	"strings"

	"github.com/postrider/smtp"
)

// drive takes the steps that a script asks for, as in "with do hello send quit",
// whether or not the one before has failed.
func drive(ctx context.Context, c *smtp.Client, with map[string]string, roots *x509.CertPool) (report []string) {
	for _, step := range words(with, "do", "hello send quit") {
		var result *smtp.Result
		var err error
		switch step {
		case "hello":
			err = c.Hello(ctx)
		case "starttls":
			err = c.StartTLS(ctx, &tls.Config{RootCAs: roots})
		case "auth":
			err = c.Auth(ctx, mechanismsOf(with)...)
		case "noop":
			err = c.Noop(ctx)
		case "reset":
			err = c.Reset(ctx)
		case "command":
			var reply smtp.Reply
			if reply, err = c.Command(ctx, with["command"]); err == nil {
				report = append(report, reply.String())
			}
		case "quit":
			err = c.Quit(ctx)
		case "mail":
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com"})
		case "mail-8bit", "mail-binary":
			body := smtp.Body8Bit
			if step == "mail-binary" {
				body = smtp.BodyBinary
			}
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com", Body: body, Size: 8})
		case "mail-utf8":
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com", UTF8: true})
		case "mail-from-utf8":
			_, err = c.Mail(ctx, smtp.Envelope{From: "änn@example.com"})
		case "rcpt-utf8":
			_, err = c.Rcpt(ctx, smtp.Recipient{Address: "bøb@bücher.example"})
		case "rcpt-alternative":
			_, err = c.Rcpt(ctx, smtp.Recipient{Address: "bøb@bücher.example", Alternative: "bob@bücher.example"})
		case "rcpt":
			_, err = c.Rcpt(ctx, smtp.Recipient{Address: "bob@example.net"})
		case "data":
			result, err = c.Data(ctx, strings.NewReader("Hello.\n"))
		case "send":
			result, err = c.Send(ctx, letterWith(with, words(with, "to", "bob@example.net")...))
		case "send-raw":
			text, _ := strconv.Unquote(with["raw"])
			m := &smtp.Message{Raw: smtp.FileBytes("", []byte(text))}
			m.Delivery = smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}}
			result, err = c.Send(ctx, m)
		case "send-each":
			for result, err := range c.SendAll(ctx, letterToEach(with)) {
				tellResult(&report, result)
				if err != nil {
					report = append(report, "error: "+err.Error())
				}
			}
		case "send-first":
			for result := range c.SendAll(ctx, letterToEach(with)) {
				tellResult(&report, result)
				break
			}
		case "send-params":
			result, err = c.Send(ctx, letterWithParams())
		case "send-requiretls":
			m := letter("bob@example.net")
			m.Delivery.RequireTLS = true
			result, err = c.Send(ctx, m)
		case "send-all", "send-bob":
			m := letter("bob@example.net")
			if step == "send-all" {
				m = letter("bob@example.net", "carol@example.org")
				m.Delivery.Accept = smtp.AcceptAll
			}
			result, err = c.Send(ctx, m)
		case "send-asking":
			m := letterWith(with, words(with, "to", "bob@example.net carol@example.org")...)
			m.MessageID = with["id"]
			m.Delivery.Notify = smtp.NotifySuccess | smtp.NotifyFailure
			result, err = c.Send(ctx, m)
		case "send-best-effort":
			m := letterWithStatus()
			m.Delivery.BestEffort = true
			result, err = c.Send(ctx, m)
		case "mail-best-effort":
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com", EnvelopeID: "17", BestEffort: true})
		case "mail-asking":
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com", Notify: smtp.NotifySuccess})
		case "mail-asking-wrong":
			_, err = c.Mail(ctx, smtp.Envelope{From: "ann@example.com", Notify: smtp.NotifySuccess | smtp.NotifyNever})
		case "rcpt-asking":
			_, err = c.Rcpt(ctx, smtp.Recipient{Address: "bob@example.net", Notify: smtp.NotifyNever, OriginalRecipient: "list@example.net"})
		case "send-dsn-utf8":
			m := letterWith(with)
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", Notify: smtp.NotifyFailure, OriginalRecipient: `ü + \@BÜCHER。example`}}
			result, err = c.Send(ctx, m)
		case "send-original":
			m := letter()
			m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", OriginalRecipient: "bob+list@example.net"}}
			result, err = c.Send(ctx, m)
		case "send-dsn":
			result, err = c.Send(ctx, letterWithStatus())
		default:
			report = append(report, "no such step: "+step)
		}
		if result != nil {
			tellResult(&report, result)
		}
		if err != nil {
			report = append(report, "error: "+err.Error())
		}
	}
	return report
}

// mechanismsOf are those that a script names, with the credentials of the examples
// in their RFCs.
func mechanismsOf(with map[string]string) (list []smtp.Mechanism) {
	calls := 0
	token := func(context.Context) (string, error) {
		calls++
		if with["token"] == "renewed" && calls > 1 {
			return "renewed-token-1742", nil
		}
		return "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", nil
	}
	byName := map[string][]smtp.Mechanism{
		"Password":         smtp.Password("ann", "secret"),
		"OAuth":            smtp.OAuth("user@example.com", token),
		"LOGIN":            {smtp.Login("ann", "secret")},
		"CRAM-MD5":         {smtp.CRAMMD5("tim", "tanstaaftanstaaf")},
		"SCRAM-SHA-1":      {smtp.SCRAMWithNonce("SCRAM-SHA-1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL")},
		"SCRAM-SHA-1-PLUS": {smtp.SCRAMWithNonce("SCRAM-SHA-1-PLUS", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL")},
		"SCRAM-SHA-256":    {smtp.SCRAMWithNonce("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")},
		"OAUTHBEARER":      {smtp.OAuthBearer("user@example.com", token)},
		"XOAUTH2":          {smtp.XOAUTH2("user@example.com", token)},
		"EXTERNAL":         {smtp.External("")},
		"EXTERNAL-fred":    {smtp.External("fred@example.com")},
		"ANONYMOUS":        {smtp.Anonymous("sirhc")},
		"PLAIN":            {smtp.Plain("ann", "secret")},
	}
	for _, name := range words(with, "auth", "Password") {
		list = append(list, byName[name]...)
	}
	return list
}

// letterWith is a letter as the settings of a script want it.
func letterWith(with map[string]string, to ...string) *smtp.Message {
	m := letter(to...)
	if with["accept"] == "all" {
		m.Delivery.Accept = smtp.AcceptAll
	}
	if with["from"] != "" {
		m.From.Address = with["from"]
	}
	m.Delivery.UTF8 = with["utf8"] == "yes"
	for _, address := range words(with, "deliver", "") {
		address, alternative, _ := strings.Cut(address, "/")
		m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: address, Alternative: alternative})
	}
	if lines, err := strconv.Atoi(with["lines"]); err == nil {
		m.Text = strings.Repeat("All work and no play makes Jack a dull boy.\n.\n", lines)
	}
	return m
}

// letterToEach makes one letter for each "to", or for several joined by commas.
func letterToEach(with map[string]string) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for _, to := range words(with, "to", "bob@example.net carol@example.org") {
			if !yield(letterWith(with, strings.Split(to, ",")...)) {
				return
			}
		}
	}
}

// letterWithParams asks for what has no field.
func letterWithParams() *smtp.Message {
	m := letter("bob@example.net")
	m.Delivery.Params = []smtp.Param{{Keyword: "BY", Value: "120;R", Extension: "DELIVERBY"}, {Keyword: "MT-PRIORITY", Value: "3"}, {Keyword: "AUTH", Value: "<>"}}
	m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", Params: []smtp.Param{{Keyword: "RRVS", Value: "2014-04-03T23:01:00Z"}}}}
	return m
}

// letterWithStatus asks for all that RFC 3461 has.
func letterWithStatus() *smtp.Message {
	m := letter("bob@example.net", "carol@example.org")
	m.Delivery = smtp.Envelope{Return: smtp.ReturnHeaders, EnvelopeID: "17+a", To: []smtp.Recipient{
		{Address: "bob@example.net", Notify: smtp.NotifyFailure | smtp.NotifyDelay, OriginalRecipient: "list@example.net"},
		{Address: "carol@example.org", Notify: smtp.NotifyNever},
	}}
	return m
}
