package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// spellings are the forms in which somebody may find the secret: as it is, half of it in
// base64 at each of the three alignments, in hexadecimal, percent-encoded, and quoted.
func spellings() []string {
	list := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), url.QueryEscape(secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")}
	for shift := range 3 {
		code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret + "xxx"))
		list = append(list, code[4:16])
	}
	return list
}

// checkSecrets: a text shows no form of the secret.
func checkSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, form := range spellings() {
		if strings.Contains(text, form) {
			t.Errorf("%s shows %q: %.500s", where, form, text)
		}
	}
}

// tracer writes down what all hooks are told.
func tracer(w io.Writer) *smtp.Trace {
	return &smtp.Trace{
		Connected:     func(_ context.Context, addr string, err error) { fmt.Fprintln(w, addr, err) },
		TLS:           func(_ context.Context, _ tls.ConnectionState, err error) { fmt.Fprintln(w, err) },
		Hello:         func(_ context.Context, extensions map[string]string, err error) { fmt.Fprintln(w, extensions, err) },
		Authenticated: func(_ context.Context, mechanism string, err error) { fmt.Fprintln(w, mechanism, err) },
		Transaction:   func(_ context.Context, from string, n int) { fmt.Fprintln(w, from, n) },
		Reply: func(_ context.Context, op string, reply smtp.Reply) {
			fmt.Fprintf(w, "%s %v %+v %q\n", op, reply, reply, reply.Lines)
		},
		Done: func(_ context.Context, result *smtp.Result, err error) { fmt.Fprintln(w, result, err) },
	}
}

// passwords: no error, log or hook shows the secret, whatever the server makes of it, and
// even if it sends back what it was sent.
func passwords(t *testing.T) {
	for name, mechanisms := range credentials() {
		for answer, reply := range map[string]func(line string) string{
			"refuses":              func(string) string { return "535 5.7.8 no" },
			"does not know it":     func(string) string { return "504 5.5.4 what?" },
			"fails":                func(string) string { return "454 4.7.0 later" },
			"echoes the line":      func(line string) string { return "535 no: " + line },
			"echoes half the line": func(line string) string { return "501 no: " + line[:min(len(line), (len(line)+30)/2)] },
			"echoes what it means": func(line string) string { return "535 no: " + printable(decoded(line)) },
			"echoes it as garbage": func(line string) string { return "no: " + line },
			"echoes two codes":     func(line string) string { return "535-no: " + line + "\r\n501 " + decoded(line) },
			"challenges":           func(line string) string { return "334 " + base64.StdEncoding.EncodeToString([]byte(line)) },
			"asks by the line":     func(line string) string { return "334 " + line[strings.LastIndexByte(line, ' ')+1:] },
			"asks, and refuses": func(line string) string {
				if strings.HasPrefix(line, "AUTH ") {
					return "334 " + line[strings.LastIndexByte(line, ' ')+1:]
				}
				return "535 no"
			},
			"is content":        func(string) string { return "235 ok" },
			"says nothing more": func(string) string { return "" },
		} {
			var shown bytes.Buffer
			opts := smtp.Options{PlaintextAuth: true, Logger: slog.New(slog.NewJSONHandler(&shown, &slog.HandlerOptions{Level: slog.Level(-100), AddSource: true})), Trace: tracer(&shown)}
			conn := scripted(t, func(line string) string {
				switch verb, _, _ := strings.Cut(line, " "); verb {
				case "EHLO":
					return "250-mx\r\n250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2 OAUTHBEARER"
				case "AUTH":
					if strings.Count(line, " ") < 2 { // Its name comes without a response.
						return "334 VXNlcm5hbWU6"
					}
				case "dXNlcg==": // the user, by LOGIN
					return "334 UGFzc3dvcmQ6"
				case "MAIL", "RCPT", "QUIT":
					return "250 ok"
				}
				return reply(line)
			})
			wire := &tap{Conn: conn}
			c := smtp.NewClient(wire, &opts)
			err := c.Hello(t.Context())
			if err == nil {
				err = c.Auth(t.Context(), mechanisms...)
			}
			fmt.Fprintf(&shown, "%v %+v %#v %s\n", err, err, err, c.Noop(t.Context()))
			c.Close()
			if !strings.Contains(wire.String(), "AUTH") || shown.Len() < 100 {
				t.Errorf("%s was not tried: %v", name, err)
			}
			checkSecrets(t, name+", where the server "+answer, shown.String())
		}
		checkSecrets(t, name, fmt.Sprintf("%v %+v %s", mechanisms, mechanisms, mechanisms))
		m := &smtp.Mailer{Addr: "mx.example.com:25", Auth: mechanisms}
		checkSecrets(t, "a Mailer with "+name, fmt.Sprintf("%v %+v %s %#v", m, m, m, m))
		m.Close()
	}
	urls(t)
}

// urls: no error of a URL shows its password, and no Mailer that comes of one.
func urls(t *testing.T) {
	escaped := url.QueryEscape(secret)
	for _, s := range []string{"smtp://user:" + escaped + "@mx.example.com", "smtp://user:" + escaped + "@", "smtp://user:" + escaped + "@mx.example.com:x", "x://user:" + escaped + "@mx", "smtp://user:" + secret + "@mx:25", "smtp://user:" + secret + "/%zz@mx", "smtp://us er:" + secret + "@mx", "smtp://mx?x=" + escaped, "smtp://mx?tls=" + escaped, "smtp://mx#" + secret, "smtp://user:\x00" + secret + "@mx", secret, "smtp://mx:" + secret, "smtp://[" + secret, "smtp://user:" + secret + "?@mx", "smtp://user:12?" + escaped + "@mx"} {
		m, err := smtp.ParseURL(s)
		checkSecrets(t, "ParseURL", fmt.Sprintf("%v %+v %#v", err, err, err))
		if err == nil && s != "smtp://mx:"+secret {
			checkSecrets(t, "the Mailer of a URL", fmt.Sprintf("%v %+v %s", m, m, m.String()))
		}
	}
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.Users = map[string]string{"user": secret} })
	m, err := smtp.ParseURL("smtp://user:" + escaped + "@" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	m.TLSConfig = server.TLSConfig
	defer m.Close()
	if err := m.Verify(t.Context()); err != nil {
		t.Error("the password of the URL is not the one: ", err)
	}
}

// decoded is what a line of AUTH means.
func decoded(line string) string {
	code := line[strings.LastIndexByte(line, ' ')+1:]
	text, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		return line
	}
	return string(text)
}

// printable makes octets fit for a reply.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
