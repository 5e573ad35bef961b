package smtptest_test

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/smtp/smtptest"
)

// inClear is a server without TLS, which text can be exchanged with.
func inClear(configure func(*smtptest.Server)) *smtptest.Server {
	s := &smtptest.Server{NoTLS: true}
	if configure != nil {
		configure(s)
	}
	return s
}

// begun is the beginning of most conversations.
const begun = `
S: 220 localhost
C: EHLO client.example.com
S: 250...
`

// converse plays a client to the server in memory. Its script has lines "C: text" to
// send, with CRLF, all that follow each other in one write; "C! text" the same of a Go
// string, without CRLF; "S: text" the beginning of the reply that must come, and
// "S: (goes)". "S: 250..." takes a reply of any number of lines.
func converse(t *testing.T, server *smtptest.Server, script string) {
	t.Helper()
	conn, err := server.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	var group strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "C:":
			group.WriteString(text + "\r\n")
		case "C!":
			octets, err := strconv.Unquote(text)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			group.WriteString(octets)
		case "S:":
			send(t, conn, &group)
			if got := hear(in, strings.HasSuffix(text, "...")); !strings.HasPrefix(got, strings.TrimSuffix(text, "...")) {
				t.Fatalf("the server said %q, want %q", got, text)
			}
		}
	}
}

func send(t *testing.T, conn net.Conn, group *strings.Builder) {
	t.Helper()
	if group.Len() == 0 {
		return
	}
	if _, err := conn.Write([]byte(group.String())); err != nil {
		t.Fatal(err)
	}
	group.Reset()
}

// hear reads a line, or a whole reply.
func hear(in *bufio.Reader, whole bool) string {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "(goes)"
		}
		if !whole || len(line) > 3 && line[3] == ' ' {
			return line
		}
	}
}

// TestStrict: what the standards forbid to clients is refused, and harms nothing.
func TestStrict(t *testing.T) {
	t.Parallel()
	long := "C: NOOP " + strings.Repeat("x", 4096)
	for name, script := range map[string]string{
		"too long": begun + long + "\nS: 500 5.5.2\nC: NOOP " + strings.Repeat("x", 4089) + "\nS: 250",
		"longer than any buffer": begun + `C: NOOP ` + strings.Repeat("x", 10000) + strings.Repeat("y", 2300) + `
			S: 500 5.5.2
			C: NOOP
			S: 250`,
		"bare LF in a command": begun + `
			C! "NOOP\n"
			S: 500 5.5.2
			C: NOOP
			S: 250`,
		"bare CR in a command": begun + `
			C! "NOOP\rNOOP\r\n"
			S: 500 5.5.2`,
		"NUL in a command": begun + `
			C! "NOOP \x00\r\n"
			S: 500 5.5.2`,
		"unknown": begun + `
			C: HALLO
			S: 500 5.5.2
			C:
			S: 500 5.5.2
			C: LHLO client.example.com
			S: 500 5.5.2`,
		"no EHLO": `
			S: 220
			C: MAIL FROM:<ann@example.com>
			S: 503 5.5.1
			C: AUTH PLAIN
			S: 503 5.5.1
			C: STARTTLS
			S: 502 5.5.1`,
		"names of hosts": `
			S: 220
			C: EHLO
			S: 501
			C: HELO a_b
			S: 501
			C: EHLO a b
			S: 501
			C: HELO [192.0.2.1]
			S: 250 localhost`,
		"no extensions behind HELO": `
			S: 220
			C: HELO client.example.com
			S: 250
			C: MAIL FROM:<ann@example.com> SIZE=1
			S: 555
			C: BDAT 5 LAST
			C! "NOOP\n"
			S: 502`,
		"order": begun + `
			C: RCPT TO:<bob@example.net>
			S: 503 5.5.1
			C: DATA
			S: 503 5.5.1
			C: MAIL FROM:<ann@example.com>
			S: 250 2.1.0
			C: MAIL FROM:<ann@example.com>
			S: 503 5.5.1
			C: AUTH PLAIN
			S: 503 5.5.1
			C: DATA
			S: 554 5.5.1
			C: RSET
			S: 250 2.0.0
			C: RCPT TO:<bob@example.net>
			S: 503 5.5.1`,
		"arguments": begun + `
			C: RSET now
			S: 501 5.5.4
			C: DATA 1
			S: 501 5.5.4
			C: MAIL FROM: <ann@example.com>
			S: 501 5.5.4
			C: MAIL FROM:ann@example.com
			S: 501 5.5.4
			C: MAIL TO:<ann@example.com>
			S: 501 5.5.4
			C: MAIL FROM:<ann@example.com>SIZE=1
			S: 501 5.5.4
			C: MAIL FROM:<ann@example..com>
			S: 501 5.1.3
			C: MAIL FROM:<jörg@example.com>
			S: 553 5.6.7
			C: MAIL FROM:<> RET=HDRS RET=FULL
			S: 501 5.5.4
			C: MAIL FROM:<> RET=SOME
			S: 501 5.5.4
			C: MAIL FROM:<> ENVID=a+b
			S: 501 5.5.4
			C: MAIL FROM:<> BODY=BINARYMIME
			S: 501 5.5.4
			C: MAIL FROM:<> SIZE=-1
			S: 501 5.5.4
			C: MAIL FROM:<> SIZE=
			S: 501 5.5.4
			C: MAIL FROM:<> ENVID=a>  RET=FULL
			S: 501 5.5.4
			C: MAIL FROM:<> ENVID=a>
			S: 250
			C: RCPT TO:<>
			S: 501
			C: RCPT TO:<bob@example.net> NOTIFY=NEVER,DELAY
			S: 501
			C: RCPT TO:<bob@example.net> ORCPT=bob@example.net
			S: 501
			C: RCPT TO:<bob@example.net> RET=FULL
			S: 555
			C: RCPT TO:<Postmaster>
			S: 250
			C: RCPT TO:<"a> b\">"@example.net> NOTIFY=NEVER
			S: 250`,
		"parameters that were not offered": begun + `
			C: MAIL FROM:<ann@example.com> SMTPUTF8
			S: 555 5.5.4
			C: MAIL FROM:<ann@example.com> X=1
			S: 555 5.5.4
			C: MAIL FROM:<ann@example.com> PIPELINING
			S: 555 5.5.4
			C: MAIL FROM:<ann@example.com> NOTIFY=NEVER
			S: 555 5.5.4`,
		"SIZE above the limit": begun + `
			C: MAIL FROM:<ann@example.com> SIZE=33554433
			S: 552 5.3.4
			C: MAIL FROM:<ann@example.com> SIZE=33554432
			S: 250`,
		"something behind EHLO": `
			S: 220
			C: EHLO client.example.com
			C: MAIL FROM:<ann@example.com>
			S: 554 5.5.0 Sync
			S: (goes)`,
		"content without waiting for 354": begun + `
			C: MAIL FROM:<ann@example.com>
			C: RCPT TO:<bob@example.net>
			C: DATA
			C: Subject: x
			C: .
			S: 250
			S: 250
			S: 554 5.5.0 Sync
			S: (goes)`,
		"sizes of chunks": begun + `
			C: BDAT LAST
			S: 501
			S: (goes)`,
		"negative chunks": begun + `
			C: BDAT -1
			S: 501
			S: (goes)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := inClear(nil)
			defer server.Close()
			converse(t, server, script)
			if n := len(server.Messages()); n != 0 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

// enveloped is a transaction as far as its content.
const enveloped = begun + `
	C: MAIL FROM:<ann@example.com>
	C: RCPT TO:<bob@example.net>
	S: 250 2.1.0
	S: 250 2.1.5
`

// TestContent: what becomes of octets that may end the content, or must not be in it.
func TestContent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, script, want string }{
		{"dots", `
			C: DATA
			S: 354
			C: ..
			C: ...
			C: .x
			C! ".\r\n"
			S: 250`, ".\r\n..\r\nx\r\n"},
		{"no content", `
			C: DATA
			S: 354
			C: .
			S: 250`, ""},
		{"a long line", `
			C: DATA
			S: 354
			C: ` + strings.Repeat("x", 12287) + `
			C: .
			S: 250`, strings.Repeat("x", 12287) + "\r\n"},
		{"a line longer than the buffer", `
			C: DATA
			S: 354
			C: ` + strings.Repeat(".", 30000) + `
			C: .
			S: 250`, strings.Repeat(".", 29999) + "\r\n"},
		{"LF, dot, LF", `
			C: DATA
			S: 354
			C! "a\n.\nMAIL FROM:<eve@example.org>\r\n.\r\n"
			S: 550 5.6.0`, "refused"},
		{"LF, dot, CRLF", `
			C: DATA
			S: 354
			C! "a\n.\r\nb\r\n.\r\n"
			S: 550 5.6.0`, "refused"},
		{"CRLF, dot, LF", `
			C: DATA
			S: 354
			C! "a\r\n.\nb\r\n.\r\n"
			S: 550 5.6.0`, "refused"},
		{"CRLF, dot, CR", `
			C: DATA
			S: 354
			C! "a\r\n.\rb\r\n.\r\n"
			S: 550 5.6.0`, "refused"},
		{"CR, dot, CR", `
			C: DATA
			S: 354
			C! "a\r.\r\r\n.\r\n"
			S: 550 5.6.0`, "refused"},
		{"8 bits undeclared", `
			C: DATA
			S: 354
			C: Subject: x
			C:
			C: ü
			C: .
			S: 554 5.6.1`, "refused"},
		{"8 bits in the header", `
			C: RSET
			C: MAIL FROM:<ann@example.com> BODY=8BITMIME
			C: RCPT TO:<bob@example.net>
			C: DATA
			S: 250
			S: 250
			S: 250
			S: 354
			C: Subject: ü
			C:
			C: ü
			C: .
			S: 550 5.6.9`, "refused"},
		{"8 bits declared", `
			C: RSET
			C: MAIL FROM:<ann@example.com> BODY=8bitmime
			C: RCPT TO:<bob@example.net>
			C: DATA
			S: 250
			S: 250
			S: 250
			S: 354
			C: Subject: x
			C:
			C: ü
			C: .
			S: 250`, "Subject: x\r\n\r\nü\r\n"},
		{"chunks", `
			C! "BDAT 3\r\na\r\nBDAT 4\r\n.\r\nbBDAT 0 LAST\r\n"
			S: 250 2.0.0 3
			S: 250 2.0.0 4
			S: 250 2.0.0 OK`, "a\r\n.\r\nb"},
		{"a CRLF of two chunks", `
			C! "BDAT 2\r\na\rBDAT 1 LAST\r\n\n"
			S: 250
			S: 250`, "a\r\n"},
		{"bare LF in a chunk", `
			C! "BDAT 3\r\na\nbBDAT 1 LAST\r\nx"
			S: 550 5.6.0
			S: 503`, "refused"},
		{"bare CR at the end of a chunk", `
			C! "BDAT 2 LAST\r\na\r"
			S: 550 5.6.0`, "refused"},
		{"no mixture", `
			C: BDAT 0
			S: 250
			C: RCPT TO:<carol@example.org>
			S: 503
			C: DATA
			S: 503
			C: RSET
			S: 250
			C! "BDAT 2\r\nabBDAT 1 LAST\r\nc"
			S: 503
			S: 503`, "refused"},
		{"the next mail behind the content", `
			C: DATA
			S: 354
			C: a
			C: .
			C: RSET
			C: MAIL FROM:<ann@example.com>
			C: RCPT TO:<bob@example.net>
			C: DATA
			S: 250 2.0.0 OK
			S: 250 2.0.0
			S: 250 2.1.0
			S: 250 2.1.5
			S: 354`, "a\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := inClear(nil)
			defer server.Close()
			converse(t, server, enveloped+test.script)
			got := "refused"
			if messages := server.Messages(); len(messages) == 1 {
				got = string(messages[0].Data)
			}
			if got != test.want {
				t.Errorf("what arrived is %q", got)
			}
		})
	}
}

// TestStrictSettings: strictness that needs settings.
func TestStrictSettings(t *testing.T) {
	t.Parallel()
	withhold := func(names ...string) func(*smtptest.Server) {
		return func(s *smtptest.Server) { s.Withhold = names }
	}
	offer := func(lines ...string) func(*smtptest.Server) {
		return func(s *smtptest.Server) { s.Offer = lines }
	}
	for name, test := range map[string]struct {
		configure func(*smtptest.Server)
		script    string
	}{
		"something behind STARTTLS": {func(s *smtptest.Server) { s.NoTLS = false }, begun + `
			C: STARTTLS
			C: MAIL FROM:<ann@example.com>
			S: 554 5.5.0 Sync
			S: (goes)`},
		"a password in the clear": {func(s *smtptest.Server) { s.NoTLS = false }, begun + `
			C: AUTH PLAIN AHVzZXIAcGVuY2ls
			S: 538 5.7.11`},
		"without PIPELINING": {withhold("pipelining"), begun + `
			C: MAIL FROM:<ann@example.com>
			S: 250
			C: RCPT TO:<bob@example.net>
			C: RCPT TO:<carol@example.org>
			S: 554 5.5.0
			S: (goes)`},
		"chunks without PIPELINING": {withhold("PIPELINING"), begun + `
			C: MAIL FROM:<ann@example.com>
			S: 250
			C: RCPT TO:<bob@example.net>
			S: 250
			C: BDAT 2
			C! "\r\n"
			S: 250
			C: BDAT 2
			C! "\r\nBDAT 0 LAST\r\n"
			S: 554 5.5.0
			S: (goes)`},
		"without status": {withhold("ENHANCEDSTATUSCODES"), begun + `
			C: MAIL FROM:<ann@example.com>
			S: 250 Sender
			C: MAIL FROM:<ann@example.com>
			S: 503 That`},
		"without the rest": {withhold("CHUNKING", "8BITMIME", "DSN", "SIZE", "AUTH"), `
			S: 220
			C: EHLO client.example.com
			S: 250-localhost
			S: 250-PIPELINING
			S: 250 ENHANCEDSTATUSCODES
			C: MAIL FROM:<ann@example.com> BODY=8BITMIME
			S: 555
			C: MAIL FROM:<ann@example.com> SIZE=1
			S: 555
			C: MAIL FROM:<ann@example.com> RET=FULL
			S: 555
			C: AUTH PLAIN
			S: 502
			C! "BDAT 6\r\nQUIT\r\n"
			S: 502
			C: NOOP
			S: 250`},
		"without STARTTLS": {func(s *smtptest.Server) { s.NoTLS, s.Withhold = false, []string{"STARTTLS"} }, begun + `
			C: STARTTLS
			S: 502`},
		"others in place of the usual ones": {offer("size 7", "X-TRA 1"), `
			S: 220
			C: EHLO client.example.com
			S: 250-localhost
			S: 250-PIPELINING
			S: 250-8BITMIME
			S: 250-ENHANCEDSTATUSCODES
			S: 250-CHUNKING
			S: 250-DSN
			S: 250-AUTH PLAIN
			S: 250-size 7
			S: 250 X-TRA 1
			C: MAIL FROM:<> X-TRA=2
			S: 250`},
		"RCPTMAX": {offer("LIMITS RCPTMAX=1"), enveloped + `
			C: RCPT TO:<carol@example.org>
			S: 452 4.5.3`},
		"without mechanisms": {func(s *smtptest.Server) { s.Mechanisms = []string{} }, begun + `
			C: AUTH PLAIN
			S: 502`},
		"without AUTH, and TLS to come": {func(s *smtptest.Server) { s.NoTLS, s.Withhold = false, []string{"AUTH"} }, begun + `
			C: AUTH PLAIN
			S: 502`},
		"values of parameters": {offer("SMTPUTF8", "REQUIRETLS"), begun + `
			C: MAIL FROM:<> SMTPUTF8=1
			C: MAIL FROM:<> REQUIRETLS=1
			C: MAIL FROM:<> AUTH
			C: MAIL FROM:<> AUTH=ann
			S: 501
			S: 501
			S: 501
			S: 501
			C: MAIL FROM:<> AUTH=<>
			C: RSET
			C: MAIL FROM:<> AUTH=e+3Dmc2@example.com SMTPUTF8
			S: 250
			S: 250
			S: 250`},
		"BINARYMIME": {offer("BINARYMIME"), begun + `
			C: MAIL FROM:<> BODY=binarymime
			S: 250
			C: RCPT TO:<bob@example.net>
			S: 250
			C: DATA
			S: 503
			C! "BDAT 3 LAST\r\n\n\r\x00"
			S: 250`},
		"SMTPUTF8": {offer("SMTPUTF8"), begun + `
			C: MAIL FROM:<jörg@example.com> SMTPUTF8
			S: 250
			C: RCPT TO:<太郎@example.net> ORCPT=utf-8;\x{592A}郎@example.net
			S: 250
			C: RCPT TO:<a@example..net>
			S: 501`},
		"LMTP": {func(s *smtptest.Server) { s.LMTP = true }, `
			S: 220
			C: EHLO client.example.com
			S: 500
			C: LHLO client.example.com
			S: 250...
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<bob@example.net>
			S: 250
			C: RCPT TO:<carol@example.org>
			S: 250
			C! "BDAT 1\r\naBDAT 1 LAST\r\n\n"
			S: 250 2.0.0 1 octets
			S: 550 5.6.0
			S: 550 5.6.0
			C: MAIL FROM:<>
			C: DATA
			S: 250
			S: 503
			C: BDAT 0
			C: BDAT 0 LAST
			C: NOOP
			S: 503
			S: 250`},
		"too big, by chunks": {func(s *smtptest.Server) { s.MaxMessageBytes = 3 }, enveloped + `
			C! "BDAT 2\r\nabBDAT 2\r\ncdBDAT 1 LAST\r\ne"
			S: 250
			S: 552 5.3.4
			S: 503
			C: RCPT TO:<carol@example.org>
			S: 503
			C: MAIL FROM:<>
			S: 503
			C: RSET
			C: MAIL FROM:<>
			S: 250
			S: 250`},
		"too big, by lines": {func(s *smtptest.Server) { s.MaxMessageBytes = 3 }, enveloped + `
			C: DATA
			S: 354
			C: abcdef
			C: .
			S: 552 5.3.4`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := inClear(test.configure)
			defer server.Close()
			converse(t, server, test.script)
		})
	}
}

// TestAuthConversations: what clients do wrong in AUTH.
func TestAuthConversations(t *testing.T) {
	t.Parallel()
	server := inClear(func(s *smtptest.Server) { s.Mechanisms = []string{"PLAIN", "LOGIN"} })
	defer server.Close()
	for _, script := range []string{`
		C: AUTH CRAM-MD5
		S: 504 5.5.4
		C: AUTH PLAIN !
		S: 501 5.5.2
		C: AUTH PLAIN
		S: 334
		C: *
		S: 501 5.7.0
		C: AUTH PLAIN =
		S: 535 5.7.8
		C: AUTH LOGIN =
		S: 334 UGFzc3dvcmQ6
		C: =
		S: 501 5.5.2
		C: AUTH login dXNlcg==
		S: 334 UGFzc3dvcmQ6
		C: cGVuY2ls
		S: 235 2.7.0
		C: AUTH PLAIN
		S: 503 5.5.1`, `
		C: AUTH PLAIN ` + strings.Repeat("x", 8000) + `
		S: 535 5.7.8
		C: AUTH PLAIN
		S: 334
		C: ` + strings.Repeat("x", 8000) + `
		S: 535 5.7.8
		C: AUTH PLAIN
		C: AHVzZXIAcGVuY2ls
		S: 554 5.5.0`,
	} {
		converse(t, server, begun+script)
	}
}
