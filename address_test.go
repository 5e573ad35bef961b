package smtp_test

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp"
)

// TestParseAddressList: what people and mail programs write, among it the examples
// of RFC 5322, appendix A.
func TestParseAddressList(t *testing.T) {
	t.Parallel()
	type list = []smtp.Address
	for s, want := range map[string]list{
		"bob@example.net":                                   {{Address: "bob@example.net"}},
		" bob@example.net ":                                 {{Address: "bob@example.net"}},
		"<bob@example.net>":                                 {{Address: "bob@example.net"}},
		"Bob <bob@example.net>":                             {{Name: "Bob", Address: "bob@example.net"}},
		"Bob<bob@example.net>":                              {{Name: "Bob", Address: "bob@example.net"}},
		`"Smith, Bob" <bob@example.net>`:                    {{Name: "Smith, Bob", Address: "bob@example.net"}},
		`Joe Q. Public <john.q.public@example.com>`:         {{Name: "Joe Q. Public", Address: "john.q.public@example.com"}},
		`"Giant; \"Big\" Box" <sysservices@example.net>`:    {{Name: `Giant; "Big" Box`, Address: "sysservices@example.net"}},
		"A Group:Ed Jones <joe@where.test>,joe@where.test;": {{Name: "Ed Jones", Address: "joe@where.test"}, {Address: "joe@where.test"}},
		"Undisclosed recipients:;":                          nil,
		"":                                                  nil,
		"a@b, Team: c@d, e@f; , g@h":                        {{Address: "a@b"}, {Address: "c@d"}, {Address: "e@f"}, {Address: "g@h"}},
		", a@b,, c@d ,":                                     {{Address: "a@b"}, {Address: "c@d"}},
		"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>": {{Name: "Pete", Address: "pete@silly.test"}},
		"(c (d)) bob (e) @ (f) example.net (g)":                          {{Address: "bob@example.net"}},
		"Bob\r\n\t<bob@example.net>":                                     {{Name: "Bob", Address: "bob@example.net"}},
		`"bob smith"@example.net`:                                        {{Address: "bob smith@example.net"}},
		"bob@exam\u00adple.BÜCHER":                                       {{Address: "bob@example.bücher"}},
		"می\u200cخواهم@example.net":                                      {{Address: "می\u200cخواهم@example.net"}},
		"bob@r3---sn-x.bücher.example":                                   {{Address: "bob@r3---sn-x.bücher.example"}},
		"bob@" + manyLabels:                                              {{Address: "bob@" + manyLabels}},
		`"bob"@example.net`:                                              {{Address: "bob@example.net"}},
		`"b\ob"@example.net`:                                             {{Address: "bob@example.net"}},
		`"a@b> SIZE=1"@example.net`:                                      {{Address: `"a@b> SIZE=1"@example.net`}},
		`<"a, b: <c>;"@example.net>`:                                     {{Address: `"a, b: <c>;"@example.net`}},
		"bob@[192.0.2.1]":                                                {{Address: "bob@[192.0.2.1]"}},
		"bob@[IPv6:2001:db8::1], a@b":                                    {{Address: "bob@[IPv6:2001:db8::1]"}, {Address: "a@b"}},
		"Jörg <jörg@bücher.example>":                                     {{Name: "Jörg", Address: "jörg@bücher.example"}},
		"山田 <太郎@例え。jp>":                                                  {{Name: "山田", Address: "太郎@例え.jp"}},
		"=?utf-8?q?a=2C_b=40c?= <d@e>":                                   {{Name: "a, b@c", Address: "d@e"}},
		"=?utf-8?q?=22=3Ceve=40x=3E?= <d@e>":                             {{Name: `"<eve@x>`, Address: "d@e"}},
		`"=?utf-8?q?x?=" <d@e>`:                                          {{Name: "=?utf-8?q?x?=", Address: "d@e"}},
		"=?utf-8?q?a=0D=0ABcc=3A_x?= <d@e>":                              {{Name: "a  Bcc: x", Address: "d@e"}},
		"=?windows-1252?q?J=F6rg?= <d@e>":                                {{Name: "Jörg", Address: "d@e"}},
	} {
		if got, err := smtp.ParseAddressList(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %q, %v; want %q", s, got, err, want)
		}
	}
}

// manyLabels is a domain that fits a path in A-labels, and not in UTF-8.
var manyLabels = strings.Repeat("例", 41) + "." + strings.Repeat("例", 41) + ".example"

// TestLongDomain: such a domain is named in A-labels, even with SMTPUTF8.
func TestLongDomain(t *testing.T) {
	t.Parallel()
	m := letter("bøb@" + manyLabels)
	server, err := sendToRecorder(t, &recorder{offers: "SMTPUTF8"}, nil, m)
	ascii, _ := smtp.ToASCII(manyLabels)
	if err != nil || !strings.Contains(server.content, "To: bøb@"+ascii+"\r\n") {
		t.Errorf("%v\n%s", err, server.content)
	}
}

// TestAddressString: what String makes of an address is the same address.
func TestAddressString(t *testing.T) {
	t.Parallel()
	special := smtp.MustParseAddress(`"a,b"@c.example`)
	if got, err := smtp.ParseAddress(special.String()); err == nil {
		t.Errorf("what is quoted twice became %q", got)
	}
	for _, s := range []string{`"bob smith"@example.net`, `Bob <bob@example.net>`, `"back\\slash"@example.net`, "jörg@bücher.example"} {
		want := smtp.MustParseAddress(s)
		if got, err := smtp.ParseAddress(want.String()); err != nil || got != want {
			t.Errorf("%q, by way of %q, became %q, %v", want, want.String(), got, err)
		}
	}
}

// TestAmbiguousAddresses: what can be read in two ways, or is an attempt to be read
// so, is refused.
func TestAmbiguousAddresses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"bob", "@example.net", "bob@", "a@b@c", "a b@c", "bob@exa mple.net", ".bob@example.net", "bo..b@example.net", "bob@example..net", "bob@example.net.",
		"Smith, Bob <bob@example.net>", "a@b <c@d>", "<a@b> c@d", "<a@b", "a@b>", "<<a@b>>", "<a@b>, <c@d", "<>", "Bob <>", "Bob bob@example.net",
		"<@a,@b:c@d>", "@a:b@c", "a%b@c@d", "a@b; c@d", "Team: a@b", "Team: a@b;; c@d", "Team: a: b@c;;", ": a@b;", "a@b: c@d;", "Team: a@b; c@d",
		`"bob@example.net`, `"bob\"@example.net`, "(bob@example.net", "bob@example.net)", "bob@[192.0.2.1", "bob@[300.0.2.1]", "bob@[2001:db8::1]", "bob@[IPv6:192.0.2.1]",
		"bob@example.net\r\nRCPT TO:<x@y>", "bob@example.net\n x", "b\x00b@example.net", "b\x7fb@example.net", "\"b\x1bb\"@example.net", "bob@exam\u0085ple.net", "\xff@example.net",
		"bob\u202e@example.net", "bob@exam\u202eple.net", "bob＠example.net", "bob＠evil.example@example.net", "bob@example.net﹫x", "b\u00a0b@example.net", "bob\u200b@example.net",
		strings.Repeat("b", 65) + "@example.net", "bob@" + strings.Repeat("b", 64) + ".net", "bob@" + strings.Repeat("b.", 130) + "net", "bob@xn--\u00fc.net", "bob@xn--zz--.net", "bob@xn--.net",
		strings.Repeat("é", 33) + "@example.net", "bob@-a.net", "bob@a_b.net", "bob@\u0378.net", "bob@a\u200db.net", "bob@אa.net", `"x"y@example.net`, `x"y"@example.net`,
		`"\"a,b\""@c.example`, " : a@b;", "(x): a@b;", `"": a@b;`, "x\u3000@b.c", "\u00a0x@b.c", "Bob <\u00a0x@b.c>", "x@\u3000b.c", "x@b.c\u2028", "\u2003,a@b", "a\u3164@b.c", "a\u200db@c.d", "\u200da@b", `Bob "x"b@c.d`,
		strings.Repeat("[]", 3000), strings.Repeat(`"" `, 3000) + "<a@b>", strings.Repeat("(", 51) + strings.Repeat(")", 51) + "a@b", strings.Repeat("a", 5000) + " <a@b>",
	} {
		var field *smtp.FieldError
		if got, err := smtp.ParseAddress(s); !errors.As(err, &field) || field.Field != "Address" {
			t.Errorf("%q is read as %+v, %v", s, got, err)
		} else if strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
			t.Errorf("the error is not fit for a log: %q", err)
		}
	}
	if got, err := smtp.ParseAddress("a@b, c@d"); err == nil {
		t.Errorf("two are read as %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("MustParseAddress does not panic")
		}
	}()
	if got := smtp.MustParseAddress("Bob <bob@example.net>"); got.Name != "Bob" {
		t.Error(got)
	}
	smtp.MustParseAddress("bob")
}

// strictPath is a path of RFC 5321, section 4.1.2 with RFC 6531, section 3.3, written
// once more.
var strictPath = regexp.MustCompile(`^<(?:` +
	`[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+(?:\.[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+)*|` +
	`"(?:[^\x00-\x1f"\\\x7f]|\\[\x20-\x7e])*")@(?:` +
	`[0-9A-Za-z\x{80}-\x{10ffff}](?:[-0-9A-Za-z\x{80}-\x{10ffff}]*[0-9A-Za-z\x{80}-\x{10ffff}])?(?:\.[0-9A-Za-z\x{80}-\x{10ffff}](?:[-0-9A-Za-z\x{80}-\x{10ffff}]*[0-9A-Za-z\x{80}-\x{10ffff}])?)*|` +
	`\[[0-9.]+\]|\[IPv6:[0-9A-Fa-f:.]+\])>$`)

// FuzzParseAddressList: what is read is one mailbox each on the wire, and is read again
// as the same when a message shows it.
func FuzzParseAddressList(f *testing.F) {
	for _, seed := range []string{"Bob <bob@example.net>, \"a b\"@c", "Team: a@b, =?utf-8?q?x?= <c@d>;, e@[192.0.2.1]", "(c) jörg@bücher.example", "a@b>, <c@d", `"a\"@b"@c`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := smtp.ParseAddressList(s)
		if err != nil || len(list) == 0 {
			return
		}
		for _, address := range list {
			spelled, err := smtp.ToUnicode(address.Address)
			if !smtp.NeedsUTF8(address.Address) && err == nil {
				spelled, err = smtp.ToASCII(address.Address)
			}
			if err != nil || !strictPath.MatchString("<"+spelled+">") || len(spelled) > 254 {
				t.Errorf("%q holds %q, which is spelled %q, %v", s, address, spelled, err)
			}
		}
		m := letter()
		m.To, m.Delivery.UTF8 = list, true
		p, err := m.Prepare()
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		header := headerOf(t, headerText(t, p))
		again, err := smtp.ParseAddressList(header.Get("To"))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q is shown as %q, and read as %q, %v", s, header.Get("To"), again, err)
		}
		for i, address := range list {
			want, _ := smtp.ToUnicode(address.Address)
			if got, _ := smtp.ToUnicode(again[i].Address); got != want || again[i].Name != address.Name {
				t.Errorf("%q is shown as %q", address, header.Get("To"))
			}
		}
	})
}

// FuzzMailbox: whatever a caller takes for an address is refused, or one mailbox on the
// wire, with the local part that was meant.
func FuzzMailbox(f *testing.F) {
	for _, seed := range []string{"bob@example.net", "a b@c", `"a\"b> X"@c`, "ö@bücher.example", "a@[IPv6:::1]", `a\b@c`, "a@b@c", "a@xn--bcher-kva.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		unicode, err := smtp.ToUnicode(address)
		if err != nil || !strings.Contains(address, "@") {
			return
		}
		ascii, err := smtp.ToASCII(address)
		if (err != nil) != smtp.NeedsUTF8(address) {
			t.Errorf("%q: ToASCII returns %v", address, err)
		}
		for _, spelled := range []string{unicode, ascii} {
			if spelled == "" {
				continue
			}
			again, err := smtp.ParseAddress(spelled)
			u, _ := smtp.ToUnicode(again.Address)
			if err != nil || !strictPath.MatchString("<"+spelled+">") || !strings.EqualFold(u, unicode) || meant(spelled) != meant(address) || meant(again.Address) != meant(address) {
				t.Errorf("%q is spelled %q, and read again as %q, %v", address, spelled, again, err)
			}
		}
	})
}

// meant is the local part of an address without its quotes.
func meant(address string) string {
	local := address[:strings.LastIndexByte(address, '@')]
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	return regexp.MustCompile(`(?s)\\(.)`).ReplaceAllString(local[1:len(local)-1], "$1")
}

func headerText(t *testing.T, m *smtp.Message) string {
	t.Helper()
	header, _, _ := strings.Cut(string(write(t, m)), "\r\n\r\n")
	return header + "\r\n"
}

// BenchmarkParseAddressList reports how much longer twice the input takes: about
// twice, for each kind of it.
func BenchmarkParseAddressList(b *testing.B) {
	for _, piece := range []string{"a@b,", "(", "()", "\"", "a:;,", "<", "[", "=?utf-8?q?x?= ", "a ", "\\", "é", "a.b", "a@[", "(a)a@b,", "a:", "\"\","} {
		b.Run(fmt.Sprintf("%q", piece), func(b *testing.B) {
			times := [2]time.Duration{}
			for b.Loop() {
				for i := range times {
					start := time.Now()
					smtp.ParseAddressList(strings.Repeat(piece, 20_000<<i))
					times[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(times[1])/float64(times[0]), "times-for-twice")
		})
	}
}

// TestDomains: the examples of RFC 3492, section 7.1, and of the mapping that precedes
// them (RFC 5895).
func TestDomains(t *testing.T) {
	t.Parallel()
	for unicode, ascii := range map[string]string{
		"ليهمابتكلموشعربي؟":               "xn--egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":                       "xn--ihqwcrb4cv8a8dqg056pqjye",
		"pročprostěnemluvíčesky":          "xn--proprostnemluvesky-uyb24dma41a",
		"למההםפשוטלאמדבריםעברית":          "xn--4dbcagdahymbxekheh6e0a7fei0b",
		"почемужеонинеговорятпорусски":    "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l",
		"tạisaohọkhôngthểchỉnóitiếngviệt": "xn--tisaohkhngthchnitingvit-kjcr8268qyxafd2f1b9g",
		"bücher.example":                  "xn--bcher-kva.example",
		"例え.jp":                           "xn--r8jz45g.jp",
		"faß.example":                     "xn--fa-hia.example",
		"example.net":                     "example.net",
	} {
		got, err := smtp.ToASCII(unicode)
		back, backErr := smtp.ToUnicode(ascii)
		if got != ascii || err != nil || back != unicode || backErr != nil {
			t.Errorf("%q became %q, %v, want %q; and that %q, %v", unicode, got, err, ascii, back, backErr)
		}
	}
	for given, want := range map[string]string{
		"BÜCHER.Example":        "xn--bcher-kva.example",
		"bücher。example":        "xn--bcher-kva.example",
		"bu\u0308cher．example":  "xn--bcher-kva.example",
		"ann@BÜCHER｡example":    "ann@xn--bcher-kva.example",
		"Ann@EXAMPLE.net":       "Ann@EXAMPLE.net",
		"XN--BCHER-KVA.example": "XN--BCHER-KVA.example",
		"xn--i-7iq.ws":          "xn--i-7iq.ws", // an emoji, which is somebody's domain
	} {
		if got, err := smtp.ToASCII(given); got != want || err != nil {
			t.Errorf("%q became %q, %v; want %q", given, got, err, want)
		}
	}
	for given, want := range map[string]string{
		"ann@xn--bcher-kva.example":    "ann@bücher.example",
		"änn@XN--BCHER-KVA.example":    "änn@bücher.example",
		`"ann"@example.net`:            "ann@example.net",
		"ann@[192.0.2.1]":              "ann@[192.0.2.1]",
		"xn--bcher-kva.xn--r8jz45g.jp": "bücher.例え.jp",
	} {
		if got, err := smtp.ToUnicode(given); got != want || err != nil {
			t.Errorf("%q is shown as %q, %v; want %q", given, got, err, want)
		}
	}
	for domain, label := range map[string]string{
		"ok.b\u202eü.example": "\"b\u202eü\"", "ok.אa.example": `"אa"`, "a\u200dü.example": "\"a\u200dü\"", "xn--zz--.example": `"xn--zz--"`, "ok.ü_.example": `"ü_"`,
		"ok." + strings.Repeat("ü", 63) + ".example": `"üüü`, "ü..example": "", "-ü.example": `"-ü"`, "\u0378.example": "\"\u0378\"", "": "", "a b.example": `"a b"`, "a/b": `"a/b"`,
	} {
		_, err := smtp.ToASCII(domain)
		if label = strings.Trim(label, `"`); err == nil || !strings.Contains(err.Error(), strings.Trim(fmt.Sprintf("%q", label), `"`)) {
			t.Errorf("%q: %v does not name %q", domain, err, label)
		}
	}
}

func TestNeedsUTF8(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"": false, "ann@example.net": false, "ann@bücher.example": false, "änn@example.net": true, `"ä"@b`: true, "bücher.example": false, "postmaster": false} {
		if got := smtp.NeedsUTF8(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

// TestHeaderForms: a header with an address that has no form in ASCII shows it where
// the transaction has SMTPUTF8, and else an encoded word in its place.
func TestHeaderForms(t *testing.T) {
	t.Parallel()
	m := letter("bob@example.net")
	m.From = smtp.Address{Name: "Ann", Address: "änn@bücher.example"}
	m.Cc = []smtp.Address{{Address: "δοκιμή@παράδειγμα.example"}, {Name: "Eve", Address: "eve@bücher.example"}}
	m.Delivery.From = "bounces@example.com"
	for offered, want := range map[string]string{
		"":                     "From: =?utf-8?q?Ann_=C3=A4nn=40b=C3=BCcher=2Eexample?= :;\r\nTo: bob@example.net\r\nCc: =?utf-8?b?zrTOv866zrnOvM6uQM+AzrHPgc6szrTOtc65zrPOvM6xLmV4YW1wbGU=?= :;,\r\n Eve <eve@xn--bcher-kva.example>\r\n",
		"SMTPUTF8":             "From: =?utf-8?q?Ann_=C3=A4nn=40b=C3=BCcher=2Eexample?= :;\r\nTo: bob@example.net\r\nCc: =?utf-8?b?zrTOv866zrnOvM6uQM+AzrHPgc6szrTOtc65zrPOvM6xLmV4YW1wbGU=?= :;,\r\n Eve <eve@xn--bcher-kva.example>\r\n",
		"SMTPUTF8, SIZE 10000": "From: Ann <änn@bücher.example>\r\nTo: bob@example.net\r\nCc: δοκιμή@παράδειγμα.example, Eve <eve@bücher.example>\r\n",
	} {
		m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net"}}
		if strings.Contains(offered, ",") { // Somebody needs it.
			m.Delivery.To = []smtp.Recipient{{Address: "δοκιμή@παράδειγμα.example"}}
		}
		server, err := sendToRecorder(t, &recorder{offers: offered}, nil, m)
		if err != nil || !strings.Contains(server.content, want) {
			t.Errorf("where %q is offered: %v\n%s", offered, err, server.content)
		}
		if size := fmt.Sprintf(" SIZE=%d", len(server.content)-len("..\r\n")); strings.Contains(offered, "SIZE") && !strings.HasSuffix(server.mail, size) {
			t.Errorf("%s before %s", server.mail, size)
		}
	}
}

// sendToRecorder sends a message to a recorder.
func sendToRecorder(t *testing.T, server *recorder, opts *smtp.Options, m *smtp.Message) (*recorder, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	recordAs(theirs, server)
	c := smtp.NewClient(ours, opts)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send(t.Context(), m)
	c.Quit(t.Context())
	<-server.done
	return server, err
}
