package wire_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/wire"
)

// TestUTF8Mailboxes: UTF-8 goes only where it is allowed, and what looks like another
// address does not go even there.
func TestUTF8Mailboxes(t *testing.T) {
	t.Parallel()
	for _, mailbox := range []string{"jörg@example.net", "太郎@例え.jp", `"ö b"@example.net`, "می\u200cخواهم@example.net"} {
		if _, err := wire.NewCommand("RCPT").UTF8().To(mailbox).Bytes(); err != nil {
			t.Errorf("%q: %v", mailbox, err)
		}
		if line, err := wire.NewCommand("RCPT").To(mailbox).Bytes(); err == nil {
			t.Errorf("%q became %q", mailbox, line)
		}
	}
	for _, mailbox := range []string{
		"b\u202e@example.net", "b\u2066b@example.net", "b\u0085@example.net", "b\ufeff@example.net", "b\u00a0b@example.net", "b＠c@example.net", "ü@a b", "ü@a..b", "ü@-a.b",
		"ü@a>b", "\xff@example.net", "ü@\xff.net", "ü b@example.net", "ü\r\n@example.net", "\"ü\r\n\"@example.net", strings.Repeat("ü", 33) + "@example.net", "ü@a_b.net",
	} {
		if line, err := wire.NewCommand("RCPT").UTF8().To(mailbox).Bytes(); err == nil {
			t.Errorf("%q became %q", mailbox, line)
		}
	}
	if line, err := wire.NewCommand("EHLO").Host("bücher.example").Bytes(); err == nil {
		t.Errorf("a host became %q", line)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	tests := []struct {
		command *wire.Command
		want    string
	}{
		{wire.NewCommand("NOOP"), "NOOP\r\n"},
		{wire.NewCommand("EHLO").Host("client.example.com"), "EHLO client.example.com\r\n"},
		{wire.NewCommand("EHLO").Host("[192.0.2.1]"), "EHLO [192.0.2.1]\r\n"},
		{wire.NewCommand("EHLO").Host("[IPv6:2001:db8::1]"), "EHLO [IPv6:2001:db8::1]\r\n"},
		{wire.NewCommand("MAIL").From(""), "MAIL FROM:<>\r\n"},
		{wire.NewCommand("MAIL").From("ann@example.com").Param("SIZE", "12").Param("SMTPUTF8", ""), "MAIL FROM:<ann@example.com> SIZE=12 SMTPUTF8\r\n"},
		{wire.NewCommand("RCPT").To("Postmaster"), "RCPT TO:<Postmaster>\r\n"},
		{wire.NewCommand("RCPT").To(`"a b>"@example.net`), "RCPT TO:<\"a b>\"@example.net>\r\n"},
		{wire.NewCommand("MAIL").UTF8().From("jörg@bücher.example").Param("SMTPUTF8", ""), "MAIL FROM:<jörg@bücher.example> SMTPUTF8\r\n"},
		{wire.NewCommand("RCPT").UTF8().To(`"ö b>"@[192.0.2.1]`), "RCPT TO:<\"ö b>\"@[192.0.2.1]>\r\n"},
		{wire.NewCommand("AUTH").Keyword("SCRAM-SHA-256"), "AUTH SCRAM-SHA-256\r\n"},
		{wire.NewCommand("AUTH").Keyword("PLAIN").Base64([]byte("\x00u\x00p")), "AUTH PLAIN AHUAcA==\r\n"},
		{wire.NewCommand("AUTH").Keyword("EXTERNAL").Base64(nil), "AUTH EXTERNAL =\r\n"},
	}
	for _, test := range tests {
		if got, err := test.command.Bytes(); err != nil || string(got) != test.want {
			t.Errorf("spelled %q, %v; want %q", got, err, test.want)
		}
	}
}

func TestCommandForLogs(t *testing.T) {
	t.Parallel()
	for want, command := range map[string]*wire.Command{
		"MAIL FROM:<a@b>": wire.NewCommand("MAIL").From("a@b"),
		"AUTH PLAIN ***":  wire.NewCommand("AUTH").Keyword("PLAIN").Base64([]byte("secret")),
		"***":             wire.Response([]byte("secret")),
		"*":               wire.NewCommand("*"),
	} {
		if command.String() != want {
			t.Errorf("shown as %q, want %q", command, want)
		}
	}
	plain := wire.NewCommand("AUTH").Keyword("PLAIN").Base64([]byte("\x00ann\x00secret")) // AGFubgBzZWNyZXQ=
	for said, want := range map[string]string{
		"unknown: AUTH PLAIN AGFubgBzZWNyZXQ=": "unknown: AUTH PLAIN ***",
		"unknown: AUTH PLAIN AGFubgBz":         "unknown: AUTH PLAIN ***",
		"ann's password is not secret":         "ann's password is not ***",
		"no":                                   "no",
	} {
		if got := plain.Redact(said); got != want {
			t.Errorf("%q was redacted to %q", said, got)
		}
		if got := wire.NewCommand("AUTH").Keyword("EXTERNAL").Base64(nil).Redact(said); got != said {
			t.Errorf("%q was redacted to %q, for nothing", said, got)
		}
	}
	for sent, part := range map[string]string{
		"c=biws,r=fyko+d2,p=v0X8v3Bz2T0CJGbJ":        "v0X8v3Bz2T0CJGbJ",                 // SCRAM
		"tim b913a602c7eda7a495b4e6e7334d3890":       "b913a602c7eda7a495b4e6e7334d3890", // CRAM-MD5
		"user=a@b\x01auth=Bearer ya29.token\x01\x01": "ya29.token",                       // XOAUTH2
		"\x00ann\x00correct horse\tbattery":          "correct horse\tbattery",
	} {
		if got := wire.Response([]byte(sent)).Redact("no " + part + "!"); got != "no ***!" {
			t.Errorf("%q was redacted to %q", part, got)
		}
	}
	if line, err := wire.Response(nil).Bytes(); string(line) != "\r\n" || err != nil {
		t.Errorf("an empty response is %q, %v", line, err)
	}
}

func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	hostile := []string{
		"a\r\nRSET", "a\nRSET", "a\rRSET", "a\x00", "a\x1b[2J", "a\x7f",
		"a b", "<a>", "", " ", strings.Repeat("a", 13000),
	}
	tokens := map[string]func(string) *wire.Command{
		"host":             func(s string) *wire.Command { return wire.NewCommand("EHLO").Host(s) },
		"mailbox to":       func(s string) *wire.Command { return wire.NewCommand("RCPT").To(s) },
		"domain":           func(s string) *wire.Command { return wire.NewCommand("RCPT").To("a@" + s) },
		"local part":       func(s string) *wire.Command { return wire.NewCommand("RCPT").To(s + "@example.net") },
		"parameter":        func(s string) *wire.Command { return wire.NewCommand("MAIL").From("").Param(s, "1") },
		"whole line":       func(s string) *wire.Command { return wire.ParseCommand(strings.ReplaceAll(s, " ", "\n")) },
		"mechanism":        func(s string) *wire.Command { return wire.NewCommand("AUTH").Keyword(s) },
		"smuggled in path": func(s string) *wire.Command { return wire.NewCommand("MAIL").From("a@b> SIZE=1 " + s) },
	}
	for token, command := range tokens {
		for _, value := range hostile {
			if line, err := command(value).Bytes(); err == nil {
				t.Errorf("%s %.40q was spelled: %q", token, value, line)
			}
		}
	}
	for _, value := range append(hostile, "a=b", "ä") {
		if line, err := wire.NewCommand("MAIL").From("").Param("X", value).Bytes(); err == nil && value != "" && value != "<a>" {
			t.Errorf("parameter value %.40q was spelled: %q", value, line)
		}
	}
}

func TestCheckMailbox(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	domain := strings.Repeat(strings.Repeat("b", 46)+".", 4) + "c" // 189 octets: with long, 254
	for _, ok := range []string{
		"a@b", "a.b@example.com", "a+b/c=d@example.com", `"a b"@c`, `"a\"b\\"@c`, `""@c`, `"a@b> SIZE=1"@c`,
		"a@[192.0.2.1]", "a@[IPv6:::1]", "a@xn--bcher-kva.example", long + "@example.com", "a@1.2", "Postmaster@b",
		long + "@" + domain,
	} {
		if err := wire.CheckMailbox(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@", "a@", "@b", "postmaster", "a@b@c", "a b@c", ".a@b", "a.@b", "a..b@c", "a@.b", "a@b.", "a@b..c", "a@-b", "a@b-",
		`"a"b@c`, `"a@c`, `a"@c`, `"a\"@c`, "\"a\tb\"@c", "<a@b>", "a@b>", "@x,@y:a@b", "@x:a@b", "a@b_c", "a@b c", "ä@b", "a@ä",
		"a@[192.0.2]", "a@[192.0.2.1", "a@192.0.2.1]", "a@[::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%eth0]", "a@[]",
		long + "a@example.com", long + "@c" + domain, "a@" + long + ".com", "a@" + strings.Repeat("b.", 130) + "c",
		"a\r\nRSET@b", "a@b\r\nRSET", "\"a\r\nRCPT TO:<x>\"@b", "a\x00@b",
	} {
		if wire.CheckMailbox(bad) == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

// mailboxPattern is RFC 5321, section 4.1.2, written a second time and another way.
var mailboxPattern = func() *regexp.Regexp {
	const (
		atom    = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
		quoted  = `"(?:[ !#-\[\]-~]|\\[ -~])*"`
		label   = `[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?`
		literal = `\[(?:[0-9.]+|IPv6:[0-9A-Fa-f:.]+)\]`
	)
	return regexp.MustCompile(`\A(?:` + atom + `(?:\.` + atom + `)*|` + quoted + `)@(?:` + label + `(?:\.` + label + `)*|` + literal + `)\z`)
}()

func FuzzMailbox(f *testing.F) {
	for _, seed := range [][2]string{{"ann", "example.com"}, {"a b", "example.com"}, {`a"\`, "x"}, {"a@b> SIZE=1", "[192.0.2.1]"}, {"", ""}, {"a\r\n", "b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, local, domain string) {
		mailbox := wire.JoinMailbox(local, domain)
		if wire.CheckMailbox(mailbox) != nil {
			return
		}
		if !mailboxPattern.MatchString(mailbox) {
			t.Fatalf("%q passed, and is no Mailbox", mailbox)
		}
		at := strings.LastIndexByte(mailbox, '@')
		if got := wire.UnquoteLocal(mailbox[:at]); got != local || mailbox[at+1:] != domain {
			t.Errorf("%q at %q was joined to %q and read back as %q at %q", local, domain, mailbox, got, mailbox[at+1:])
		}
	})
}

// FuzzCommand: whatever the tokens are, what comes out is an error or exactly
// one line that reads back as the one path and the one parameter.
func FuzzCommand(f *testing.F) {
	f.Add("ann@example.com", "SIZE", "1", "client.example.com")
	f.Add("a@b> SIZE=1", "X\r\nY", "a=b", "a\r\nRSET")
	f.Fuzz(func(t *testing.T, mailbox, keyword, value, host string) {
		commands := map[string]*wire.Command{
			`MAIL FROM:<(.*)> ([^ =]+)(?:=([^ =]+))?`: wire.NewCommand("MAIL").From(mailbox).Param(keyword, value),
			`RCPT TO:<(.*)> ([^ =]+)(?:=([^ =]+))?`:   wire.NewCommand("RCPT").To(mailbox).Param(keyword, value),
			`EHLO ()([^ ]+)()`:                        wire.NewCommand("EHLO").Host(host),
			`AUTH ()([^ ]+) ([^ ]+)`:                  wire.NewCommand("AUTH").Keyword(keyword).Base64([]byte(value)),
			`()([A-Za-z0-9-]+)((?: [ -~]*)?)`:         wire.ParseCommand(value),
		}
		for pattern, command := range commands {
			line, err := command.Bytes()
			if err != nil {
				continue
			}
			text, ok := strings.CutSuffix(string(line), "\r\n")
			if !ok || strings.ContainsAny(text, "\r\n\x00") {
				t.Fatalf("spelled %q, which is not one line", line)
			}
			parts := regexp.MustCompile(`\A` + pattern + `\z`).FindStringSubmatch(text)
			if parts == nil {
				t.Fatalf("spelled %q, which is not %s", line, pattern)
			}
			if strings.HasPrefix(text, "MAIL") && (parts[1] != mailbox || parts[2] != keyword || parts[3] != value) {
				t.Errorf("spelled %q from %q, %q and %q", line, mailbox, keyword, value)
			}
			if path := parts[1]; path != "" && !mailboxPattern.MatchString(path) && !strings.EqualFold(path, "postmaster") {
				t.Errorf("spelled %q, whose path is no mailbox", line)
			}
		}
	})
}
