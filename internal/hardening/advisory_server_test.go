package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// scripted is a connection to a server that answers each line as it is told, without the
// line end; to nothing it answers nothing.
func scripted(t *testing.T, answer func(line string) string) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	go func() {
		defer theirs.Close()
		lines := bufio.NewReader(theirs)
		for reply := "220 mx"; reply != ""; {
			if _, err := io.WriteString(theirs, reply+"\r\n"); err != nil {
				return
			}
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			reply = answer(strings.TrimRight(line, "\r\n"))
		}
	}()
	return ours
}

// usual is what a server says to a command.
func usual(line string) string {
	switch verb, _, _ := strings.Cut(line, " "); verb {
	case "EHLO":
		return "250-mx\r\n250-AUTH LOGIN\r\n250 8BITMIME"
	case "DATA":
		return "354 go"
	case "AUTH":
		return "334 VXNlcm5hbWU6"
	}
	return "250 ok"
}

// steps are what a server may answer in its own way, with the line that it answers then.
var steps = map[string]string{"greeting": "", "EHLO": "EHLO", "AUTH": "AUTH", "a challenge": "dXNlcg==", "MAIL": "MAIL", "RCPT": "RCPT", "DATA": "DATA", "the content": ".", "NOOP": "NOOP", "RSET": "RSET", "Command": "X-TEST", "QUIT": "QUIT"}

// session takes all steps, whatever becomes of them, and returns the errors.
func session(ctx context.Context, conn net.Conn, opts smtp.Options) []error {
	opts.PlaintextAuth = true
	c := smtp.NewClient(conn, &opts)
	defer c.Close()
	errs := []error{c.Hello(ctx), c.Auth(ctx, smtp.Login("user", secret)), c.Noop(ctx)}
	_, err := c.Command(ctx, "X-TEST")
	_, sent := c.Send(ctx, smallMail("bob@example.net"))
	return append(errs, err, sent, c.Reset(ctx), c.Quit(ctx))
}

// lead takes a server up to the place where it answers a step, and lets write go on.
func lead(conn net.Conn, at string, write func(w io.Writer) error) {
	defer conn.Close()
	if at == "" {
		go io.Copy(io.Discard, conn)
		write(conn)
		return
	}
	lines := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mx\r\n")
	content := false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(line, " ")
		content = content && line != "."
		switch {
		case content:
			continue
		case verb == at:
			go io.Copy(io.Discard, lines)
			write(conn)
			return
		case line == "dXNlcg==":
			fmt.Fprint(conn, "334 UGFzc3dvcmQ6\r\n")
		case verb != "AUTH" && !strings.Contains("EHLO DATA MAIL RCPT NOOP RSET QUIT X-TEST .", verb):
			fmt.Fprint(conn, "235 ok\r\n")
		default:
			fmt.Fprint(conn, usual(line)+"\r\n")
		}
		content = verb == "DATA"
	}
}

// endless: a server that talks without end is left after a bounded number of octets.
func endless(t *testing.T) {
	const enough = 1 << 20
	for what, endless := range map[string]string{"lines": "250-more\r\n", "empty lines": "250-\r\n", "one line": "xxxxxxxxxxxxxxxx", "a line of a reply": "250 ", "long lines": "250-" + strings.Repeat("x", 10_000) + "\r\n", "challenges": "334 QUFB\r\n", "codes of go-ahead": "354-x\r\n", "zeros": "\x00", "ends of lines": "\r\n", "lines of another code": "250-a\r\n550-b\r\n"} {
		for name, at := range steps {
			ours, theirs := net.Pipe()
			var said atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				lead(theirs, at, func(w io.Writer) error {
					for {
						if said.Load() > 8*enough {
							return nil
						}
						n, err := io.WriteString(w, strings.Repeat(endless, 4096/len(endless)+1))
						if said.Add(int64(n)); err != nil {
							return err
						}
					}
				})
			}()
			var errs []error
			ends(t, what+" at "+name, func() { errs = session(t.Context(), ours, smtp.Options{}) })
			<-done
			if said.Load() == 0 || said.Load() > enough {
				t.Errorf("endless %s at %s: %d octets were taken", what, name, said.Load())
			}
			if fmt.Sprint(errs) == fmt.Sprint(make([]error, 7)) && what != "challenges" {
				t.Errorf("endless %s at %s: there is no error", what, name)
			}
			for _, err := range errs {
				if err != nil && len(err.Error()) > 200_000 {
					t.Errorf("endless %s at %s: an error of %d octets", what, name, len(err.Error()))
				}
			}
		}
	}
}

// challenged: one that asks again after each answer is left, too.
func challenged(t *testing.T) {
	challenges := 0
	conn := scripted(t, func(line string) string {
		if strings.HasPrefix(line, "EHLO") {
			return usual(line)
		}
		if challenges++; challenges > 1000 {
			return ""
		}
		return "334 QUFB"
	})
	if session(t.Context(), conn, smtp.Options{}); challenges > 100 {
		t.Errorf("%d challenges were answered", challenges)
	}
}

// escaped: what a server says is in no error and no log as it came, if a terminal would
// obey it, or a line of a log would end there.
func escaped(t *testing.T) {
	evil := []string{"\x1b[2J\x1b]0;evil\x07", "a\rb", "a\x00b", "\u0085evil", "\u202eevil", "\x9b31m", "\b\b\b\bok", "\x7f", "evil\u2028level=ERROR", "\xff\xfe", "%s%n%!d", "\v\f"}
	for _, words := range evil {
		prompt := base64.StdEncoding.EncodeToString([]byte("password " + words))
		for _, reply := range []string{"334 " + prompt, "550 5.1.1 " + words, "450-" + words + "\r\n450 " + words, "250 " + words, words, "334 " + words, "55" + words, "421 " + words, "250-" + words + "\r\n250 " + words} {
			for name, at := range steps {
				var log bytes.Buffer
				ours, theirs := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					lead(theirs, at, func(w io.Writer) error { _, err := io.WriteString(w, reply+"\r\n"); return err })
				}()
				errs := session(t.Context(), ours, smtp.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: asItIs(&log)}))})
				<-done
				for _, err := range errs {
					if err != nil {
						checkPrintable(t, fmt.Sprintf("%q at %s: the error", reply, name), err.Error())
					}
				}
				checkPrintable(t, fmt.Sprintf("%q at %s: the log", reply, name), strings.ReplaceAll(log.String(), "\n", ""))
			}
		}
	}
}

// asItIs writes each value of a record down before the handler escapes it.
func asItIs(w io.Writer) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, a slog.Attr) slog.Attr {
		fmt.Fprintf(w, "%v ", a.Value)
		return a
	}
}

func checkPrintable(t *testing.T, where, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}) {
		t.Errorf("%s is %q", where, text)
	}
}

// verbatim: no text of a stranger, or of the caller, is taken for a format.
func verbatim(t *testing.T) {
	const format = "100%s %d %n %!x(MISSING) %v"
	conn := scripted(t, func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "550 " + format
		}
		return usual(line)
	})
	c := smtp.NewClient(conn, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), smallMail("bob@example.net")); err == nil || !strings.Contains(err.Error(), format) {
		t.Errorf("the error is %v", err)
	}
	c.Close()
	l := newLetter()
	l.message.Subject, l.message.From.Name, l.message.Header[0].Value, l.message.Text = format, format, format, format
	got := l.dispatch(t)
	if got.err != nil {
		t.Fatal(got.err)
	}
	m := got.mails[0]
	if from, err := m.Header.AddressList("From"); err != nil || m.Subject != format || from[0].Name != format || m.Header.Get("X-Campaign") != format || !strings.HasPrefix(string(m.Find("text/plain").Body), format) {
		t.Errorf("what arrived is %+v", m)
	}
	for _, list := range [][]place{envelopePlaces, addressPlaces, parameterPlaces, fieldPlaces, filePlaces, listPlaces} {
		for _, p := range list {
			l := newLetter()
			p.put(l, "%s%d\r\n%n")
			if got := l.dispatch(t); got.err == nil || strings.Contains(got.err.Error(), "%!") || !strings.Contains(got.err.Error(), "%s%d") && !strings.HasPrefix(p.name, "List") && !strings.Contains(p.name, "EnvelopeID") && !strings.Contains(p.name, "keyword") && !strings.Contains(p.name, "value of MAIL") && !strings.Contains(p.name, "value of RCPT") {
				t.Errorf("%s: %v", p.name, got.err)
			}
		}
	}
}

// limitedServer: the server for tests has limits as well.
func limitedServer(t *testing.T) {
	const limit = 64 << 10
	for how, before := range map[string]string{"DATA": "DATA\r\n", "BDAT": "BDAT 99999999999\r\n", "small chunks": "BDAT 9\r\nsubject: "} {
		server := &smtptest.Server{NoTLS: true, MaxMessageBytes: limit, MaxMessages: 3, MaxRecipients: 2}
		conn, err := server.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		replies := bufio.NewReader(conn)
		expect := func(prefix string) {
			for line := ""; !strings.HasPrefix(line, prefix); {
				if line, err = replies.ReadString('\n'); err != nil {
					t.Fatal(how, err)
				}
			}
		}
		expect("220 ")
		io.WriteString(conn, "EHLO x\r\n")
		expect("250 ")
		io.WriteString(conn, "MAIL FROM:<a@b.example>\r\n"+strings.Repeat("RCPT TO:<a@b.example>\r\n", 3)+before)
		for _, prefix := range []string{"250 ", "250 ", "250 ", "452 "} {
			expect(prefix)
		}
		if how == "DATA" {
			expect("354 ")
		}
		var rest bytes.Buffer
		heard := make(chan struct{})
		go func() { defer close(heard); io.Copy(&rest, replies) }()
		line := strings.Repeat("x", 70) + "\r\n"
		if how == "small chunks" {
			line = "BDAT 70\r\n" + strings.Repeat("x", 70)
		}
		for range 4 << 20 / len(line) {
			if _, err := io.WriteString(conn, line); err != nil {
				break
			}
		}
		switch how {
		case "BDAT": // It would wait for the rest.
			conn.Close()
		case "DATA":
			io.WriteString(conn, ".\r\nQUIT\r\n")
		default:
			io.WriteString(conn, "QUIT\r\n")
		}
		<-heard
		conn.Close()
		server.Close()
		if len(server.Messages()) > 0 || how != "BDAT" && !strings.Contains(rest.String(), "552 5.3.4") {
			t.Errorf("%s: %d messages, and the server said %q", how, len(server.Messages()), beginning(rest.String()))
		}
	}
	var recorder smtptest.Recorder
	recorder.MaxMessageBytes, recorder.MaxMessages = limit, 3
	big := smallMail("bob@example.net")
	big.Text = strings.Repeat("x ", limit)
	if _, err := recorder.Send(t.Context(), big); err == nil {
		t.Error("a mail beyond the limit was taken")
	}
	for i := range 5 {
		if _, err := recorder.Send(t.Context(), smallMail("bob@example.net")); (err == nil) != (i < 3) {
			t.Errorf("mail %d: %v", i, err)
		}
	}
}
