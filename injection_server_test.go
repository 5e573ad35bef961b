package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/hostile"
)

// serverStrings are all places where a server's own words enter: the reply to
// each step, with %s where they stand.
var serverStrings = []struct{ step, reply string }{
	{"greeting", "220 %s"}, {"greeting", "220-%s\r\n220 mx"}, {"greeting", "554 %s"}, {"greeting", "%s"},
	{"EHLO", "250 %s"}, {"EHLO", "250-mx\r\n250 %s"}, {"EHLO", "250-mx\r\n250 SIZE %s"}, {"EHLO", "250-mx\r\n250-PIPELINING\r\n250 AUTH %s"},
	{"EHLO", "250-mx\r\n250 LIMITS RCPTMAX=%s"}, {"EHLO", "250-mx\r\n250 LIMITS %s=1"}, {"EHLO", "550 %s"}, {"EHLO", "%s"},
	{"AUTH", "535 5.7.8 %s"}, {"AUTH", "334 %s"}, {"AUTH", "235 %s"}, {"AUTH", "%s"},
	{"MAIL", "250 2.1.0 %s"}, {"MAIL", "550 5.1.8 %s"}, {"MAIL", "451-%s\r\n451 %s"}, {"MAIL", "%s"},
	{"RCPT", "250 %s"}, {"RCPT", "251 %s"}, {"RCPT", "550 5.1.1 %s"}, {"RCPT", "550 5.%s.1 x"}, {"RCPT", "%s"},
	{"DATA", "354 %s"}, {"DATA", "451 %s"}, {"DATA", "%s"},
	{".", "250 2.0.0 %s"}, {".", "554 5.7.1 %s"}, {".", "%s"},
	{"RSET", "250 %s"}, {"RSET", "421 %s"}, {"XTEST", "250 %s"}, {"XTEST", "502 %s"}, {"QUIT", "221 %s"}, {"QUIT", "%s"},
}

// TestInjectionByServers lets a server say every hostile value in every place, and
// looks at what the client then writes, at the errors, and at the log.
func TestInjectionByServers(t *testing.T) {
	t.Parallel()
	for _, place := range serverStrings {
		for _, value := range hostile.Values {
			said := strings.ReplaceAll(place.reply, "%s", value)
			var wrote, shown string
			synctest.Test(t, func(t *testing.T) { wrote, shown = talk(t, place.step, said+"\r\n") })
			checkDialogue(t, wrote)
			if strings.ContainsFunc(strings.ReplaceAll(shown, "\n", ""), unicode.IsControl) || strings.Contains(shown, "\u202e") {
				t.Errorf("%q at %s is shown as %q", said, place.step, shown)
			}
		}
	}
	t.Attr("injections", strconv.Itoa(len(serverStrings)*len(hostile.Values)))
}

// talk leads a session with a server that says something at a step, and returns
// what the client wrote and showed, in lines.
func talk(t *testing.T, step, said string) (wrote, shown string) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan string)
	go func() { done <- sayAt(theirs, step, said) }()
	var lines bytes.Buffer
	show := func(_ any, err error) {
		if err != nil {
			lines.WriteString(err.Error() + "\n")
		}
	}
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := smtp.NewClient(ours, &smtp.Options{LocalName: "client.example.com", ServerName: "localhost", Logger: log, Trace: &smtp.Trace{
		Reply: func(_ context.Context, op string, reply smtp.Reply) { fmt.Fprintln(&lines, op, reply) },
	}})
	show(nil, c.Hello(t.Context()))
	show(nil, c.Auth(t.Context(), smtp.Anonymous("x")))
	for _, m := range fuzzedMails(false) {
		show(c.Send(t.Context(), m))
	}
	show(c.Command(t.Context(), "XTEST"))
	show(nil, c.Reset(t.Context()))
	show(nil, c.Quit(t.Context()))
	return strings.NewReplacer("AUTH ANONYMOUS eA==\r\n", "", "XTEST\r\n", "").Replace(<-done), lines.String()
}

// sayAt is a server that answers all that it hears, at one step as it is told.
func sayAt(conn net.Conn, step, said string) (heard string) {
	defer conn.Close()
	say := func(at, usual string) {
		if at == step {
			usual = said
		}
		io.WriteString(conn, usual)
	}
	var all strings.Builder
	say("greeting", "220 mx\r\n")
	for lines, inContent := bufio.NewReader(conn), false; ; {
		line, err := lines.ReadString('\n')
		all.WriteString(line)
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case err != nil:
			return all.String()
		case inContent && line != ".\r\n":
		case verb == "DATA":
			inContent = true
			say(verb, "354 go\r\n")
		case verb == "EHLO":
			say(verb, "250-mx\r\n250-PIPELINING\r\n250 AUTH ANONYMOUS\r\n")
		case verb == "AUTH":
			say(verb, "235 ok\r\n")
		default:
			inContent = false
			say(verb, "250 ok\r\n")
		}
	}
}

// TestInjectionByReports puts every hostile value into every field of a report, and
// into the header that came back with it. What a report says in fields of its own is
// one line each; the text of a Diagnostic, and the headers, are as they came.
func TestInjectionByReports(t *testing.T) {
	t.Parallel()
	places := strings.Count(reportOfValues, "%s")
	for place := range places {
		for _, value := range hostile.Values {
			words := make([]any, places)
			for i := range words {
				words[i] = "x"
			}
			words[place] = strings.ReplaceAll(value, "\n", "\n ") // a fold, as far as it can be one
			report, err := smtp.ParseReport(strings.NewReader(strings.ReplaceAll(fmt.Sprintf(reportOfValues, words...), "\n", "\r\n")))
			if err != nil {
				isClean(t, err)
				continue
			}
			for path, s := range valuesIn(reflect.ValueOf(report).Elem(), "") {
				if strings.ContainsAny(s, "\r\n\x00") && !asItCame.MatchString(path) {
					t.Errorf("%q in place %d: %s is %q", value, place, path, s)
				}
			}
			for _, r := range report.Recipients {
				if strings.ContainsFunc(r.Diagnostic.String(), unicode.IsControl) {
					t.Errorf("%q in place %d is shown as %q", value, place, r.Diagnostic)
				}
			}
		}
	}
	t.Attr("injections", strconv.Itoa(places*len(hostile.Values)))
}

var asItCame = regexp.MustCompile(`Diagnostic\.Text|^(?:\.Recipients\.\d+)?\.(?:Header|Fields|Returned)`)

const reportOfValues = `From: %s <mailer-daemon@example.net>
To: ann@example.com
Subject: %s
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

%s
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; %s
Original-Envelope-Id: %s
Arrival-Date: %s
DSN-Gateway: %s
Received-From-MTA: %s

Final-Recipient: rfc822; %s
Original-Recipient: %s
Action: %s
Status: 5.1.1 (%s)
Remote-MTA: %s
Diagnostic-Code: smtp; 550 %s
Last-Attempt-Date: %s
X-Further: %s

Final-Recipient: rfc822; bob@example.net
Action: failed

--b
Content-Type: text/rfc822-headers

Message-ID: <%s>
Subject: %s
To: %s

--b--
`

// valuesIn goes through the strings below a value.
func valuesIn(v reflect.Value, path string) map[string]string {
	found := map[string]string{}
	var visit func(v reflect.Value, path string)
	visit = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.String:
			found[path] = v.String()
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem(), path)
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), fmt.Sprintf("%s.%d", path, i))
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				visit(key, path+" key")
				visit(v.MapIndex(key), path+"."+key.String())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					visit(v.Field(i), path+"."+v.Type().Field(i).Name)
				}
			}
		}
	}
	visit(v, path)
	return found
}
