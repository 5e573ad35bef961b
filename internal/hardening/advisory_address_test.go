package main

import (
	"fmt"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

// readings are addresses as people write them, with what they can only mean; those that
// mean nothing, or two things, are empty.
var readings = map[string]string{
	"a@b.example": "a@b.example", "<a@b.example>": "a@b.example", "Alice <a@b.example>": "a@b.example", `"Alice" <a@b.example>`: "a@b.example",
	`"a@b.example, x" <c@d.example>`: "c@d.example", "(evil@x) c@d.example": "c@d.example", "Alice (evil@x) <c@d.example>": "c@d.example", "c@d.example (Alice <evil@x>)": "c@d.example",
	"=?utf-8?q?a=2Cb?= <c@d.example>": "c@d.example", `"x\" <evil@x>, " <c@d.example>`: "c@d.example", "a(b)@c.example": "a@c.example", "Al (x) ice <c@d.example>": "c@d.example", "(a)(b) <c@d.example>": "c@d.example",
	"(a (b) evil@x) c@d.example": "c@d.example", `(a\) evil@x) c@d.example`: "c@d.example", "Alice (a (b) <evil@x>) <c@d.example>": "c@d.example", `"Al (ice" <c@d.example> (")`: "c@d.example",

	`"Alice"@x <a@b.example>`: "", "alice@example.org)bob@example.com": "", "a@malicious.org@important.com": "", "a@b.example <c@d.example>": "", "<a@b.example> <c@d.example>": "", "a@b.example c@d.example": "",
	"a b@c.example": "", "Alice <a@b.example": "", "Alice a@b.example>": "", "a@b.example,": "a@b.example", ",a@b.example": "a@b.example", "a@b.example, c@d.example": "", "a@b.example;": "", "x:a@b.example": "", "a@": "", "@b.example": "",
	"<a@b.example>evil": "", "<a@b.example>(evil)": "a@b.example", `"a"b@c.example`: "", `a"b"@c.example`: "", "a@b.example(": "", "a@b.example)": "", "a@[evil": "", `"a@b.example`: "", "a@b\\.example": "", "": "", "()": "",
	"<<a@b.example>>": "", "Alice <a@b.example>, ": "a@b.example", "Al<ice <a@b.example>": "", "alice@example.com\u00a0evil@x": "", "a＠b.example": "",
	`"user"@example.com(x)evil.com`: "", "user@example.com(x)evil.com": "", "a@b(c)d": "", "a@b (c) d": "", "a@b.(c)example": "",
}

// ambiguous: what can be read in two ways is an error, and what is read is what a header
// shows and the server is told.
func ambiguous(t *testing.T) {
	for text, want := range readings {
		address, err := smtp.ParseAddress(text)
		if address.Address != want || (err == nil) != (want != "") {
			t.Errorf("%q was read as %q, %v", text, address.Address, err)
		}
		for _, shape := range [][]place{envelopePlaces[:4], addressPlaces} { // It is not read as one there, either.
			for _, p := range shape {
				l := newLetter()
				p.put(l, text)
				if text != want && text != "" && text != "a b@c.example" { // Of these, one is told to be quoted.
					l.mustBeRefused(t, p.name+" = "+quoted(text))
				}
			}
		}
		if err == nil {
			sameEverywhere(t, address)
		}
	}
}

// sameEverywhere: the To that is shown has one mailbox, and the server is told that one.
func sameEverywhere(t *testing.T, address smtp.Address) {
	t.Helper()
	l := newLetter()
	l.message.To, l.message.Cc, l.message.Bcc, l.message.Delivery.To = []smtp.Address{address}, nil, nil, nil
	got := l.dispatch(t)
	d, err := listen(got.octets)
	if got.err != nil || err != nil || len(d.paths) != 2 {
		t.Errorf("to %q: %v, %v, paths %q", address, got.err, err, d.paths)
		return
	}
	shown, err := got.mails[0].Header.AddressList("To")
	told := d.paths[1].local + "@" + d.paths[1].domain
	if err != nil || len(shown) != 1 || unquoted(shown[0].Address) != unquoted(told) || unquoted(told) != unquoted(address.Address) || shown[0].Name != address.Name {
		t.Errorf("to %q: shown are %v, %v, and the server was told %q", address, shown, err, told)
	}
}

// unquoted takes the quotes off a local part.
func unquoted(address string) string {
	at := strings.LastIndexByte(address, '@')
	local := address[:at]
	if len(local) > 1 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`) {
		local = strings.NewReplacer(`\\`, `\`, `\`, "").Replace(local[1 : len(local)-1])
	}
	return local + address[at:]
}

// oneMailbox: a quoted local part stays in its quotes, and the domain behind it is the one
// that the mail goes to, without a parameter more.
func oneMailbox(t *testing.T) {
	for _, address := range []string{
		`"a@b> SIZE=1"@c.example`, `"a@evil.example"@c.example`, `"a@evil.example x"@c.example`, `"a>, <evil@x"@c.example`, `"a b"@c.example`, `"x\"y"@c.example`,
		`"a> BODY=8BITMIME"@c.example`, `"a\\"@c.example`, `"<a@evil.example>"@c.example`, `"a,b"@c.example`, `"a;b:c"@c.example`, `"(a)"@c.example`, `" "@c.example`, `"a> NOTIFY=NEVER ORCPT=rfc822;x"@c.example`,
	} {
		at := strings.LastIndexByte(address, '@')
		for _, list := range [][]place{envelopePlaces, addressPlaces} {
			for _, p := range list {
				l := newLetter()
				p.put(l, address)
				l.mustBeContained(t, p.name+" = "+address)
				got := l.dispatch(t)
				d, err := listen(got.octets)
				if err != nil || got.err != nil {
					t.Errorf("%s = %s: %v, %v", p.name, address, got.err, err)
				}
				for _, told := range d.paths {
					if strings.Contains(told.domain, "evil") || told.domain == "c.example" && told.local != address[:at] || slices.ContainsFunc(told.params, isForeign) {
						t.Errorf("%s = %s: the server was told %q", p.name, address, told)
					}
				}
			}
		}
		if parsed, err := smtp.ParseAddress("X <" + address + ">"); err != nil {
			t.Errorf("%s: %v", address, err)
		} else {
			sameEverywhere(t, parsed)
		}
	}
	for _, bare := range []string{"a@b> SIZE=1@c.example", "a@evil.example x@c.example", "a b@c.example", "a>b@c.example", "a,b@c.example", `a"b@c.example`, `"a"b"@c.example`, `"a\"@c.example`, `""a@evil.example"@c.example`} {
		for _, list := range [][]place{envelopePlaces, addressPlaces} {
			for _, p := range list {
				l := newLetter()
				p.put(l, bare)
				if got := l.dispatch(t); got.err == nil && (strings.Contains(got.octets, "evil.example>") || strings.Contains(got.octets, "SIZE=1 ") || strings.Contains(got.octets, "SIZE=1@c.example>")) {
					t.Errorf("%s = %s was sent: %q", p.name, bare, beginning(got.octets))
				}
				l.mustBeContained(t, p.name+" = "+bare)
			}
		}
	}
}

// isForeign tells whether a parameter is one that no letter has.
func isForeign(param string) bool {
	keyword, _, _ := strings.Cut(param, "=")
	return !slices.Contains([]string{"X-TEST", "ENVID", "SIZE", "ORCPT", "NOTIFY", "SMTPUTF8", "BODY"}, keyword) || param == "SIZE=1" || param == "NOTIFY=NEVER"
}

// names are what a display name may try.
var names = []string{
	"a@b.example, x", "a@b.example", "=?utf-8?q?a=2Cb?=", "=?utf-8?q?=3Cevil=40x=3E?=", `x" <evil@x>, "`, "<evil@x>", "evil@x,", ", evil@x", "a;b", "x:evil@x;", "(evil@x)", "a\\", `"`, "é, evil@x", "é <evil@x>", "ü@x", ",", "=?utf-8?b?LA==?=",
	"Müller, Jörg", "=?", "?=", "=?utf-8?q?", "日本語の長い名前", "a b  c", "x (y) z",
}

// foldedNames: lists are read back as they were, wherever they are folded.
func foldedNames(t *testing.T) {
	for width := 1; width < 90; width++ {
		for _, utf8 := range []bool{false, true} {
			m := newLetter().message
			m.To, m.Delivery.UTF8 = nil, utf8
			for i, name := range names {
				m.To = append(m.To, smtp.Address{Name: strings.Repeat("w", 1+(width+i)%90) + " " + name, Address: fmt.Sprintf("u%d@example.com", i)})
			}
			var b strings.Builder
			if _, err := m.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			parsed, err := mail.ReadMessage(strings.NewReader(b.String()))
			if err != nil {
				t.Fatal(err)
			}
			list, err := parsed.Header.AddressList("To")
			if err != nil || len(list) != len(m.To) {
				t.Fatalf("width %d: %d mailboxes were read back, %v", width, len(list), err)
			}
			again, err := smtp.ParseAddressList(parsed.Header.Get("To"))
			if err != nil || len(again) != len(m.To) {
				t.Fatalf("width %d: ParseAddressList read back %d mailboxes, %v", width, len(again), err)
			}
			for i, want := range m.To {
				if name := strings.TrimSpace(want.Name); *list[i] != (smtp.Address{Name: name, Address: want.Address}) || again[i] != *list[i] {
					t.Errorf("width %d: %q became %q, and %q", width, want, list[i], again[i])
				}
			}
			header, _, _ := strings.Cut(b.String(), "\r\n\r\n")
			for line := range strings.SplitSeq(header, "\r\n") {
				if len(line) > 998 {
					t.Errorf("a line of %d octets", len(line))
				}
			}
		}
	}
}

// refolded: what was read is written again as the same one mailbox.
func refolded(t *testing.T) {
	for _, name := range names {
		for _, spelled := range []string{
			(&mail.Address{Name: name, Address: "c@d.example"}).String(), mime.QEncoding.Encode("utf-8", name) + " <c@d.example>", mime.BEncoding.Encode("utf-8", name+"é") + " <c@d.example>",
			"=?utf-8?q?" + strings.NewReplacer("=", "=3D", "?", "=3F", " ", "_", "@", "=40", ",", "=2C", "<", "=3C", ">", "=3E", `"`, "=22", "(", "=28", ")", "=29").Replace(fmt.Sprintf("%q", name)) + "?= <c@d.example>",
		} {
			address, err := smtp.ParseAddress(spelled)
			if err != nil {
				continue // It may be no encoded word at all.
			}
			if address.Address != "c@d.example" {
				t.Errorf("%q was read as %q", spelled, address)
			}
			sameEverywhere(t, smtp.Address{Name: strings.Join(strings.Fields(address.Name), " "), Address: address.Address})
			reply, err := smtp.ReplyMessage(mail.Header{"From": {spelled}})
			if err != nil || len(reply.To) != 1 || reply.To[0].Address != "c@d.example" {
				t.Errorf("a reply to %q goes to %v, %v", spelled, reply, err)
			}
		}
	}
}

// decodedLate: what encoded words hold is never an address, or what separates them.
func decodedLate(t *testing.T) {
	for _, text := range []string{
		"=?utf-8?q?evil=40x.example?= <bob@example.net>", "=?utf-8?q?evil=40x.example=3E?= <bob@example.net>", "=?utf-8?q?a=40x.example=2C?= bob@example.net", "=?utf-8?q?=3Cevil=40x.example=3E=2C?= <bob@example.net>",
		"=?utf-8?q?evil=40x.example?=", "=?utf-8?q?evil=40x.example=3E?=@example.net", "<=?utf-8?q?evil=40x.example?=>", "=?utf-8?b?ZXZpbEB4LmV4YW1wbGU=?=@example.net", "bob@=?utf-8?q?x.example?=", "=?utf-8?q?=0D=0ARCPT_TO=3A=3Cevil=40x.example=3E?= <bob@example.net>", "=?utf-8?q?a=00b?= <bob@example.net>",
		"=?utf-8?q?=00?=@example.net", "=?iso-8859-1?q?evil=40x.example?=@example.net", "=?x?q?=3C=61=62=63=00=3E?=foobar@example.net", "=?utf-7?b?K0FHVjBhV3ctLQ==?=@example.net",
	} {
		list, err := smtp.ParseAddressList(text)
		for _, address := range list {
			if strings.Contains(address.Address, "x.example") && !strings.Contains(address.Address, "=?") || strings.ContainsAny(address.Name, "\r\n\x00") || !strings.HasSuffix(address.Address, "@example.net") {
				t.Errorf("%q was read as %q, %v", text, list, err)
			}
			sameEverywhere(t, address)
		}
		if len(list) > 1 {
			t.Errorf("%q was read as %d addresses", text, len(list))
		}
	}
}

// sourceRoutes: no route, and no relaying in a local part, is read as another address.
func sourceRoutes(t *testing.T) {
	for _, route := range []string{"@a,@b:user@c.example", "@a:user@c.example", "<@a,@b:user@c.example>", "@a.example:", "@a,@b:", "Bob <@a:user@c.example>", "@[127.0.0.1]:user@c.example", "user@@c.example"} {
		for _, parse := range []func(string) error{
			func(s string) error { _, err := smtp.ParseAddress(s); return err },
			func(s string) error { _, err := smtp.ParseAddressList("x@c.example, " + s); return err },
			func(s string) error { _, err := smtp.ToASCII(s); return err },
			func(s string) error { _, err := smtp.ToUnicode(s); return err },
			func(s string) error { _, err := smtp.ReplyMessage(mail.Header{"From": {s}}); return err },
		} {
			if parse(route) == nil {
				t.Errorf("%q was taken", route)
			}
		}
		for _, list := range [][]place{envelopePlaces, addressPlaces} {
			for _, p := range list {
				l := newLetter()
				p.put(l, route)
				l.mustBeRefused(t, p.name+" = "+route)
			}
		}
	}
}

// oneSpelling: a domain has one form, whatever it was written in, so that who compares
// with a list compares what the mail goes to.
func oneSpelling(t *testing.T) {
	same := []string{"bob@bücher.example", "bob@BÜCHER.example", "bob@bücher。example", "bob@bücher．example", "bob@ｂücher.example", "bob@bu\u0308cher.example", "bob@xn--bcher-kva.example", "bob@b\u00fccher\uff61example"}
	for _, address := range same {
		ascii, err := smtp.ToASCII(address)
		if !strings.EqualFold(ascii, "bob@xn--bcher-kva.example") {
			t.Errorf("%q: %q, %v", address, ascii, err)
		}
		l := newLetter()
		l.message.Delivery.To, l.message.Cc, l.message.Bcc, l.message.To = nil, nil, nil, []smtp.Address{{Address: address}, {Address: same[0]}, {Address: same[6]}}
		got := l.dispatch(t)
		if d, err := listen(got.octets); err != nil || got.err != nil || len(d.paths) != 2 || d.paths[1].domain != "xn--bcher-kva.example" {
			t.Errorf("%q: %v, %v, paths %q", address, got.err, err, d.paths)
		}
	}
	for _, address := range []string{"bob@xn--bcher-kvaa-.example", "bob@xn--0.example", "bob@good.example＠evil.example", "bob@good.example\u2024evil.example/", "bob@xn--.example", "bob@XN--ABC-.example", "bob@good.example%evil.example", "bob@good.example\u2100evil"} {
		if ascii, err := smtp.ToASCII(address); err == nil {
			t.Errorf("%q was taken, as %q", address, ascii)
		}
	}
	for _, text := range []string{"bob@evil.example(@good.example)", "bob@evil.example (bob@good.example)", "(bob@good.example)bob@evil.example", `"bob@good.example" <bob@evil.example>`} {
		if address, err := smtp.ParseAddress(text); err == nil && address.Address != "bob@evil.example" {
			t.Errorf("%q was read as %q", text, address.Address)
		}
	}
}
