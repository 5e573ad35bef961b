package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
)

// everyControl: not a break alone, but every control character, at every position of an
// address, is seen; a check that looks at the first line, or not behind it, would miss some.
func everyControl(t *testing.T) {
	for _, list := range [][]place{envelopePlaces, addressPlaces, sessionPlaces, parameterPlaces, fieldPlaces, namePlaces} {
		for _, p := range list {
			for control := range rune(0xa0) {
				if control == '\t' || control >= ' ' && control < 0x7f {
					continue
				}
				for _, at := range []int{0, 1, len(p.good)} {
					l := newLetter()
					p.put(l, p.good[:at]+string(control)+p.good[at:])
					l.mustBeRefused(t, fmt.Sprintf("%s with %U at %d", p.name, control, at))
				}
			}
		}
	}
}

// localNames: what is no name of a host is never said behind EHLO.
func localNames(t *testing.T) {
	eachBreak(sessionPlaces[:3])(t)
	for _, p := range sessionPlaces[:3] {
		for _, name := range []string{"a b", " a", "a ", "mx RSET", "mx\tx", "a\u00a0b", "bücher.example", "a..b", "-a", "a-", "a_b", "[127.0.0.1", "[127.0.0.1]\r\nRSET", "[x]", "a;b", "<a>", `"a"`, strings.Repeat("a", 64), strings.Repeat("a.", 200) + "a"} {
			l := newLetter()
			p.put(l, name)
			l.mustBeRefused(t, p.name+" = "+quoted(name))
		}
	}
}

// localNameByHelo: nor behind HELO, to a server that knows no EHLO.
func localNameByHelo(t *testing.T) {
	for _, value := range breaks("mx.example.com") {
		ours, theirs := net.Pipe()
		wire := &tap{Conn: ours}
		go func() {
			defer theirs.Close()
			fmt.Fprint(theirs, "220 mx\r\n")
			buffer := make([]byte, 1024)
			for {
				if _, err := theirs.Read(buffer); err != nil {
					return
				}
				fmt.Fprint(theirs, "502 what?\r\n")
			}
		}()
		c := smtp.NewClient(wire, &smtp.Options{LocalName: value})
		err := c.Hello(t.Context())
		c.Close()
		if err == nil || strings.Contains(wire.String(), "mx") {
			t.Errorf("LocalName %q: %v, and the server heard %q", value, err, wire.String())
		}
	}
}

// everySerialiser: what one writer of a message refuses, no other lets pass.
func everySerialiser(t *testing.T) {
	if got := serialise(t, newLetter().message); len(got) != 7 {
		t.Fatalf("a harmless message can be written in %d ways only", len(got))
	}
	for _, list := range [][]place{addressPlaces, namePlaces, listPlaces, fieldPlaces, filePlaces} {
		for _, p := range list {
			for _, value := range []string{p.good + "\nBcc: evil@example.com", p.good + "\r\nX-Evil: 1", "\r" + p.good, p.good + "\r\n\r\nevil", p.good + "\n"} {
				l := newLetter()
				p.put(l, value)
				for way, octets := range serialise(t, l.message) {
					t.Errorf("%s = %q was written by %s: %q", p.name, value, way, beginning(string(octets)))
				}
			}
		}
	}
}

// everyParser: an address that holds a break is made by no function, in no part of it.
func everyParser(t *testing.T) {
	for _, end := range []string{"\r\n", "\n", "\r", "\x00", "\r\n\r\n", "\n ", "\r\nRCPT TO:<evil@example.com>"} {
		for _, form := range []string{"%sbob@example.net", "b%sob@example.net", "bob%s@example.net", "bob@%sexample.net", "bob@exam%sple.net", "bob@example.net%s", `"b%sob"@example.net`, `"b\%sob"@example.net`, "Bob%s <bob@example.net>", `"Bob%s" <bob@example.net>`, "Bob <bob@example.net%s>", "jörg%s@example.net", "bob@bü%scher.example"} {
			s := fmt.Sprintf(form, end)
			for name, parse := range map[string]func(string) (string, error){
				"ParseAddress": func(s string) (string, error) { a, err := smtp.ParseAddress(s); return a.Name + a.Address, err },
				"ParseAddressList": func(s string) (string, error) {
					a, err := smtp.ParseAddressList("x@example.com, " + s)
					return fmt.Sprint(a), err
				},
				"ToASCII":   smtp.ToASCII,
				"ToUnicode": smtp.ToUnicode,
				"MustParseAddress": func(s string) (address string, err error) {
					defer func() { err, _ = recover().(error) }()
					return smtp.MustParseAddress(s).Address, nil
				},
				"ReplyMessage": func(s string) (string, error) {
					m, err := smtp.ReplyMessage(mail.Header{"From": {s}})
					return fmt.Sprint(m), err
				},
			} {
				if got, err := parse(s); err == nil && (strings.ContainsAny(got, "\r\n\x00") || strings.Contains(got, "evil")) {
					t.Errorf("%s(%q) = %q", name, s, got)
				}
			}
		}
	}
	eachBreak(namePlaces, addressPlaces)(t)
}

// beyondASCII: with SMTPUTF8 and without it, a mailbox in UTF-8 is checked like any other.
func beyondASCII(t *testing.T) {
	for _, list := range [][]place{envelopePlaces, addressPlaces} {
		for _, p := range list {
			for _, good := range []string{"jörg@example.net", "太郎@例え.jp", "bob@bücher.example", `"ö b"@example.net`} {
				for _, value := range append(breaks(good), "jörg\u0085@example.net", "jörg\u2028@example.net", "j\u202eörg@example.net", "jörg@example.net> SIZE=1", "jörg@b\u3002c\r\n") {
					for _, offers := range [][]string{{"X-TEST", "SMTPUTF8"}, {"X-TEST"}} {
						l := newLetter()
						l.offer = offers
						p.put(l, value)
						l.mustBeRefused(t, p.name+" = "+quoted(value))
					}
				}
			}
		}
	}
}

// quotedLocalParts: quotes do not make a break harmless.
func quotedLocalParts(t *testing.T) {
	for _, list := range [][]place{envelopePlaces, addressPlaces} {
		for _, p := range list {
			for _, value := range []string{"\"a\r\nRCPT TO:<evil@example.com>\"@example.net", "\"a\nb\"@example.net", "\"a\rb\"@example.net", "\"a\\\r\\\nb\"@example.net", "\"a\x00b\"@example.net", "\"\r\n\"@example.net", "\"a\r\n b\"@example.net"} {
				l := newLetter()
				p.put(l, value)
				l.mustBeRefused(t, p.name+" = "+quoted(value))
			}
		}
	}
	for _, value := range []string{"\"a\r\nRCPT TO:<evil@example.com>\"@example.net", "\"a\r\n b\"@example.net", "\"a\nb\"@example.net"} {
		l := newLetter() // Here the address is one that the package reads itself, out of a header.
		l.message = &smtp.Message{Raw: smtp.FileBytes("", []byte("From: ann@example.com\r\nTo: "+value+"\r\n\r\nx\r\n"))}
		got := l.dispatch(t)
		if d, err := listen(got.octets); err != nil || len(got.mails) > 0 && (len(d.paths) != 2 || strings.Contains(fmt.Sprint(d.paths), "evil")) {
			t.Errorf("Raw to %q: %v, %v, paths %q", value, got.err, err, d.paths)
		}
	}
}

// parameterNames: what is no token is no name of a parameter, wherever there are any.
func parameterNames(t *testing.T) {
	names := []string{"a\r\nX-Evil: 1", "a\nb", "a;b", "a=b", "a b", " a", "a ", "", "a\x00", "a\"b", "a:b", "ä", "a/b", "a,b", "a(b)"}
	for _, name := range names {
		l := newLetter()
		for _, p := range []place{parameterPlaces[2], parameterPlaces[4]} {
			l := newLetter()
			p.put(l, name)
			l.mustBeRefused(t, p.name+" = "+quoted(name))
		}
		if name != "a/b" {
			l.message.Header[0].Name = name
			l.mustBeRefused(t, "the name of a field = "+quoted(name))
		}
	}
	var types []string
	for _, name := range names {
		types = append(types, "text/plain; "+name+"=c", "text/plain; x=y; "+name+"=c", "text/plain; x=\"y\"; "+name+"*=utf-8''c", "text/plain; x=y;"+name, "text/"+name, name+"/plain")
	}
	eachContained(t, append(types, breaks("text/plain")...), typePlaces)
}

// boundaries: nobody but the package chooses a boundary, and none occurs in a part.
func boundaries(t *testing.T) {
	eachContained(t, []string{
		"multipart/mixed; boundary=\"a\r\nX-Evil: 1\"", "multipart/mixed; boundary=a", "text/plain; boundary=\"a\r\n--a\"", "text/plain; charset=\"a\r\nX-Evil: 1\"", "text/plain; charset=\"a\"\r\nX-Evil: 1",
		"text/plain; name=\"a\r\n\r\nevil\"", "text/plain; boundary=\"\n\"", "message/partial; id=\"a\r\nb\"", "text/plain; x=\"\x00\"",
	}, typePlaces)
	eachBreak(fieldPlaces[4:5])(t) // From the Message-ID come the boundaries.
	l := newLetter()
	first := l.dispatch(t)
	if first.err != nil {
		t.Fatal(first.err)
	}
	var guessed []string
	for line := range strings.SplitSeq(string(first.mails[0].Data), "\r\n") {
		if strings.HasPrefix(line, "--") {
			guessed = append(guessed, line, line+"--", line+"\r\nX-Evil: 1\r\n\r\nevil")
		}
	}
	if len(guessed) == 0 {
		t.Fatal("there are no boundaries")
	}
	for _, text := range guessed { // Who has seen one mail knows those of the next with that Message-ID.
		l := newLetter()
		l.message.Text, l.message.HTML = text, text
		l.message.Attachments[0].Open, l.message.Attachments[0].Size = opener("\r\n"+text+"\r\n"), 0
		l.message.Attachments[0].Type = "message/rfc822"
		l.message.Inline[0].Open, l.message.Inline[0].Size = opener("\r\n"+text+"\r\n"), 0
		l.mustBeContained(t, "a text that holds the boundary")
	}
}

// unvalidated: what lenient checks of addresses let pass, for instance those that look at a
// line, at the first @, or at what a comment leaves.
func unvalidated(t *testing.T) {
	var values []string
	for _, value := range []string{"bob@example.net\r\n", "bob@example.net\n", "bob(\r\nRCPT TO:<evil@example.com>\r\n)@example.net", "bob@example.net\r\n .evil", "\r\n bob@example.net", "bob @example.net\r\n", "bob@(\r\n)example.net", "\"\"\r\n@example.net", "bob@[\r\n127.0.0.1]"} {
		values = append(values, value, strings.ReplaceAll(value, "\r\n", "\n"), strings.ReplaceAll(value, "\r\n", "\r"))
	}
	for _, list := range [][]place{envelopePlaces, addressPlaces} {
		for _, p := range list {
			for _, value := range values {
				l := newLetter()
				p.put(l, value)
				l.mustBeRefused(t, p.name+" = "+quoted(value))
			}
		}
	}
}

// everyShape: an address is checked in whatever form it comes.
func everyShape(t *testing.T) {
	eachBreak(envelopePlaces, addressPlaces)(t)
	everyParser(t)
	for _, value := range breaks("bob@example.net") {
		l := newLetter()
		l.message.Delivery.To[0].Address = value
		l.message.Delivery = fromJSON(t, l.message.Delivery)
		l.mustBeRefused(t, "an Envelope out of JSON: "+quoted(value))

		l = newLetter()
		l.message.To = append(l.message.To, smtp.Address{Address: value}, smtp.Address{Address: "carol@example.org"})
		l.mustBeRefused(t, "the second of three in To: "+quoted(value))

		l = newLetter()
		l.message.Delivery.To[0] = smtp.Recipient{Address: "jörg@example.net", Alternative: value}
		l.offer = []string{"X-TEST"}
		l.mustBeRefused(t, "an Alternative: "+quoted(value))
	}
}

// numbers: an option that is a number has its type, and no other way leads around that.
func numbers(t *testing.T) {
	for _, text := range []string{`{"Size": "1\r\nRCPT TO:<evil@example.com>"}`, `{"Size": "1"}`, `{"Return": "FULL\r\nRSET"}`, `{"Body": "7BIT\r\nRSET"}`, `{"Notify": "x"}`} {
		var e smtp.Envelope
		if err := json.Unmarshal([]byte(text), &e); err == nil {
			t.Errorf("%s became %+v", text, e)
		}
	}
	for _, value := range append(breaks("1"), "1 RET=FULL", "1=2", "1>", "") {
		for _, keyword := range []string{"SIZE", "size", "BODY", "X-TEST"} {
			l := newLetter()
			l.message.Delivery.Params = []smtp.Param{{Keyword: keyword, Value: value, Extension: "SIZE"}}
			l.mustBeContained(t, keyword+" = "+quoted(value))
		}
	}
	for _, size := range []int64{-1, -1 << 63, 1<<63 - 1} {
		l := newLetter()
		l.message.Delivery.Size = size
		l.mustBeContained(t, fmt.Sprint("Size = ", size))
	}
	for _, e := range []smtp.Envelope{{Return: 99}, {Notify: 0xff}, {Body: 99}, {To: []smtp.Recipient{{Address: "bob@example.net", Notify: 0x80}}}} {
		l := newLetter()
		e.From = "ann@example.com"
		if e.To == nil {
			e.To = []smtp.Recipient{{Address: "bob@example.net"}}
		}
		l.message.Delivery = e
		l.mustBeContained(t, fmt.Sprintf("%+v", e))
	}
}

// proxies: what a dialer is handed, and may write to a proxy, is a host and a port.
func proxies(t *testing.T) {
	dialled := 0
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled++
		host, port, err := net.SplitHostPort(addr)
		if err != nil || strings.ContainsFunc(host+port, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("the dialer was handed %q", addr)
		}
		return nil, net.ErrClosed
	}
	hosts := breaks("mx.example.com")
	for _, host := range append(hosts, "mx.example.com HTTP/1.1\r\nX: y", "mx.example.com HTTP/1.1", "mx%0d%0a", "mx%20x") {
		for _, addr := range []string{host + ":587", "mx.example.com:587" + host, "mx.example.com:" + host, host} {
			m := &smtp.Mailer{Addr: addr, DialContext: dial}
			if err := m.Verify(t.Context()); err == nil || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("Addr %q: %q", addr, err)
			}
			m.Close()
		}
		for _, u := range []string{"smtp://" + host + ":587", "smtp://ann:secret@" + host, "smtp://" + strings.NewReplacer("\r", "%0d", "\n", "%0A", " ", "%20", "\x00", "%00").Replace(host)} {
			if m, err := smtp.ParseURL(u); err == nil {
				m.DialContext = dial
				m.Verify(t.Context())
				m.Close()
			}
		}
	}
	dialled = 0
	m := &smtp.Mailer{Addr: "mx.example.com:587", DialContext: dial}
	if m.Verify(t.Context()); dialled != 1 {
		t.Error("a good address was not dialled")
	}
	m.Close()
}

// encoders: whatever goes into a command, it stays one line, which a grammar of another
// hand reads as that command.
func encoders(t *testing.T) {
	eachBreak(parameterPlaces, sessionPlaces)(t)
	secrets := append(breaks("pencil"), strings.Repeat("x", 9000))
	for _, s := range secrets {
		token := func(context.Context) (string, error) { return s, nil }
		for _, m := range []smtp.Mechanism{
			smtp.Plain(s, "pencil"), smtp.Plain("user", s), smtp.Login(s, "pencil"), smtp.Login("user", s), smtp.XOAUTH2(s, token), smtp.XOAUTH2("user", token), smtp.External(s), smtp.Anonymous(s),
			smtp.SASL("PLAIN"+s, func(context.Context, smtp.ServerInfo) (sasl.Client, error) {
				return sasl.NewPlainClient("", "user", "pencil"), nil
			}),
		} {
			l := newLetter()
			l.auth, l.options.PlaintextAuth = []smtp.Mechanism{m}, true
			l.offer = append(l.offer, "AUTH PLAIN LOGIN XOAUTH2 EXTERNAL ANONYMOUS")
			l.mustBeContained(t, fmt.Sprintf("%s with %.50q", quoted(m.Name()), s))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"\r", "\n", "\x00", " ", "<", ">", "\"", "\\", "@", "a", "b.c", "=", ":", ";", ",", "(", ")", "[", "]", "é", "\u202e", "\xff", ".", "-", "X-TEST", "RCPT TO:", "1"}
	for range 5_000 {
		var b strings.Builder
		for range random.IntN(8) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		for _, list := range [][]place{envelopePlaces, parameterPlaces, sessionPlaces} {
			p := list[random.IntN(len(list))]
			value := b.String()
			if random.IntN(2) == 0 {
				value = p.good[:len(p.good)/2] + value + p.good[len(p.good)/2:]
			}
			l := newLetter()
			p.put(l, value)
			l.mustBeContained(t, p.name+" = "+quoted(value))
		}
	}
}
