package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// recorder is a server that accepts everything and keeps what it was sent as
// content, until its end or that of the connection.
type recorder struct {
	content string
	ended   bool          // by the end of data
	verbs   string        // of the commands
	mail    string        // the last MAIL command
	offers  string        // extensions, with commas between them
	lmtp    bool          // it answers for each recipient
	auth    func() string // its reply to AUTH; nil: it welcomes everybody

	authWith func(heard []string) string // the same, from the words of all lines so far
	done     chan struct{}
}

func record(conn net.Conn) *recorder { return recordAs(conn, &recorder{}) }

func recordAs(conn net.Conn, r *recorder) *recorder {
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		defer conn.Close()
		r.serve(conn)
	}()
	return r
}

func (r *recorder) serve(conn net.Conn) {
	var content, verbs strings.Builder
	defer func() { r.content, r.verbs = content.String(), verbs.String() }()
	lines := bufio.NewReader(conn)
	reply := "220 mx.example.net"
	recipients := 0
	for {
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
			return
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		verbs.WriteString(verb + " ")
		reply = "250 ok"
		switch verb {
		case "EHLO", "LHLO":
			reply = "250-mx.example.net\r\n250-" + strings.ReplaceAll(r.offers, ", ", "\r\n250-") + "\r\n250 HELP"
		case "AUTH":
			switch reply = "235 welcome"; {
			case r.auth != nil:
				reply = r.auth()
			case r.authWith != nil:
				heard := []string{strings.TrimSpace(strings.TrimPrefix(line, "AUTH "))}
				for reply = r.authWith(heard); strings.HasPrefix(reply, "334 ") && !strings.Contains(reply, "\r"); reply = r.authWith(heard) {
					io.WriteString(conn, reply+"\r\n")
					if line, err = lines.ReadString('\n'); err != nil {
						return
					}
					heard = append(heard, strings.TrimSpace(line))
				}
			}
		case "MAIL":
			recipients = 0
			r.mail = strings.TrimSuffix(line, "\r\n")
		case "RCPT":
			recipients++
		}
		if verb == "BDAT" {
			if !r.takeChunk(line, lines, &content) {
				return
			}
			continue
		}
		if line != "DATA\r\n" {
			continue
		}
		io.WriteString(conn, "354 go ahead\r\n")
		for line != ".\r\n" {
			line, err = lines.ReadString('\n')
			content.WriteString(line)
			if err != nil {
				return
			}
		}
		r.ended = true
		if r.lmtp {
			reply = strings.TrimSuffix(strings.Repeat("250 ok\r\n", recipients), "\r\n")
		}
	}
}

func (r *recorder) takeChunk(line string, lines *bufio.Reader, content io.Writer) bool {
	var size int64
	fmt.Sscanf(line, "BDAT %d", &size)
	_, err := io.CopyN(content, lines, size)
	r.ended = r.ended || err == nil && strings.HasSuffix(line, "LAST\r\n")
	return err == nil
}

// connections makes a connection of each kind, and a server at its other end.
var connections = map[string]func(t *testing.T) (net.Conn, *recorder){
	"pipe": func(t *testing.T) (net.Conn, *recorder) {
		ours, theirs := net.Pipe()
		return ours, record(theirs)
	},
	"TCP": func(t *testing.T) (net.Conn, *recorder) { return connect(t) },
	"TLS": func(t *testing.T) (net.Conn, *recorder) {
		certificate, roots, err := testcert.Loopback()
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := tcpPair(t)
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}})
		return tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: "localhost"}), record(server)
	},
}

func connect(t *testing.T) (net.Conn, *recorder) {
	ours, theirs := tcpPair(t)
	return ours, record(theirs)
}

func tcpPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if ours, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// TestNeverHalfAMail: whatever happens while the content is written,
// unless that ended without error the server sees no end of data, and the
// caller sees the cause.
func TestNeverHalfAMail(t *testing.T) {
	t.Parallel()
	cancelled := errors.New("the user went away")
	bodies := map[string]struct {
		body func(cancel context.CancelCauseFunc, w io.Writer) error
		want []error
	}{
		"fails at once":           {func(_ context.CancelCauseFunc, w io.Writer) error { return errDisk }, []error{errDisk}},
		"fails after a line":      {func(_ context.CancelCauseFunc, w io.Writer) error { return lines(w, 1, errDisk) }, []error{errDisk}},
		"fails after many blocks": {func(_ context.CancelCauseFunc, w io.Writer) error { return lines(w, 20_000, errDisk) }, []error{errDisk}},
		"fails after an end":      {func(_ context.CancelCauseFunc, w io.Writer) error { io.WriteString(w, "x\r\n.\r\n"); return errDisk }, []error{errDisk}},
		"holds a bare CR":         {func(_ context.CancelCauseFunc, w io.Writer) error { io.WriteString(w, "x\ry\r\n"); return nil }, nil},
		"holds a bare CR and goes on": {func(_ context.CancelCauseFunc, w io.Writer) error {
			io.WriteString(w, "x\ry\r\n")
			lines(w, 2000, nil)
			return nil
		}, nil},
		"ends in a bare CR": {func(_ context.CancelCauseFunc, w io.Writer) error { io.WriteString(w, "x\r"); return nil }, nil},
		"is cancelled at once": {func(cancel context.CancelCauseFunc, w io.Writer) error {
			cancel(cancelled)
			return lines(w, 1, nil)
		}, []error{context.Canceled, cancelled}},
		"is cancelled after many blocks": {func(cancel context.CancelCauseFunc, w io.Writer) error {
			lines(w, 20_000, nil)
			cancel(cancelled)
			return nil
		}, []error{context.Canceled, cancelled}},
		"is cancelled, and then fails": {func(cancel context.CancelCauseFunc, w io.Writer) error {
			cancel(cancelled)
			return errDisk
		}, []error{errDisk, context.Canceled, cancelled}},
		"is cut off":  {func(context.CancelCauseFunc, io.Writer) error { return io.ErrUnexpectedEOF }, []error{io.ErrUnexpectedEOF}},
		"is too slow": {func(context.CancelCauseFunc, io.Writer) error { return os.ErrDeadlineExceeded }, []error{os.ErrDeadlineExceeded}},
	}
	for kind, connection := range inBothForms() {
		for name, test := range bodies {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, server := connection(t)
				begin(t, c)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				result, err := c.Data(ctx, writerTo(func(w io.Writer) error { return test.body(cancel, w) }))
				<-server.done
				checkNothingSent(t, server, result, err)
				if e := err.(*smtp.Error); e.Temporary() && !strings.HasPrefix(name, "is cancelled") || strings.Contains(err.Error(), "the server") {
					t.Errorf("the server is blamed, or it is worth another try: %v", err)
				}
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("%v does not match %v", err, want)
					}
				}
				if err := c.Noop(t.Context()); !errors.Is(err, net.ErrClosed) || errors.Is(err, errDisk) {
					t.Errorf("after that, NOOP returned %v", err)
				}
			})
		}
	}
}

// inBothForms makes sessions on each kind of connection, by DATA and by BDAT.
func inBothForms() map[string]func(t *testing.T) (*smtp.Client, *recorder) {
	sessions := map[string]func(t *testing.T) (*smtp.Client, *recorder){}
	for kind, connection := range connections {
		for form, opts := range map[string]*smtp.Options{"DATA": nil, "BDAT": {Chunking: true}} {
			sessions[kind+"/"+form] = func(t *testing.T) (*smtp.Client, *recorder) {
				conn, server := connection(t)
				server.offers = "CHUNKING"
				return smtp.NewClient(conn, opts), server
			}
		}
	}
	return sessions
}

func checkNothingSent(t *testing.T, server *recorder, result *smtp.Result, err error) {
	t.Helper()
	if server.ended || !strings.Contains(server.verbs, "BDAT") && strings.Contains("\r\n"+server.content, "\r\n.\r\n") {
		t.Error("the server saw an end of data")
	}
	var e *smtp.Error
	if !errors.As(err, &e) || e.Unknown || result.Recipients[0].Outcome != smtp.NotSent || result.Recipients[0].Err != err {
		t.Errorf("outcome %v, error %v", result.Recipients[0].Outcome, err)
	}
}

// TestPanickingBody: a panic that somebody recovers from does not make content
// of the next command.
func TestPanickingBody(t *testing.T) {
	t.Parallel()
	for kind, connection := range inBothForms() {
		for name, before := range map[string]int{"at once": 0, "after many blocks": 20_000} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, server := connection(t)
				begin(t, c)
				func() {
					defer func() { recover() }()
					c.Data(t.Context(), writerTo(func(w io.Writer) error {
						lines(w, before, nil)
						panic("no content today")
					}))
				}()
				if err := c.Reset(t.Context()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("RSET after a panic returned %v", err)
				}
				c.Close()
				<-server.done
				if server.ended || strings.Contains(server.content, "RSET") {
					t.Errorf("the server got %d octets, ended: %v", len(server.content), server.ended)
				}
			})
		}
	}
}

// TestDataAfterTheEnd: once a session is over, no body is read, and nothing of it
// can have been sent.
func TestDataAfterTheEnd(t *testing.T) {
	t.Parallel()
	for kind, connection := range inBothForms() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, server := connection(t)
			begin(t, c)
			c.Close()
			result, err := c.Data(t.Context(), writerTo(func(io.Writer) error { t.Error("the body was read"); return nil }))
			if !errors.Is(err, net.ErrClosed) || result.Recipients[0].Outcome != smtp.NotSent {
				t.Errorf("%v, %v", result.Recipients[0].Outcome, err)
			}
			<-server.done
			c = smtp.NewClient(&net.TCPConn{}, nil)
			c.Close()
			if _, err := c.Data(t.Context(), strings.NewReader("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("without a recipient: %v", err)
			}
		})
	}
}

// TestBodyCannotUseTheClient: steps taken from inside the body are refused.
func TestBodyCannotUseTheClient(t *testing.T) {
	t.Parallel()
	for kind, connection := range inBothForms() {
		c, server := connection(t)
		begin(t, c)
		result, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
			if err := c.Noop(t.Context()); err == nil {
				t.Error("NOOP was sent as content")
			}
			if _, err := c.Data(t.Context(), strings.NewReader("stray\r\n")); err == nil {
				t.Error("content was sent inside content")
			}
			_, err := io.WriteString(w, "text\r\n")
			return err
		}))
		if err != nil || result.Recipients[0].Outcome != smtp.Accepted {
			t.Errorf("%s: outcome %v, error %v", kind, result.Recipients[0].Outcome, err)
		}
		c.Quit(t.Context())
		<-server.done
		if got := strings.TrimSuffix(server.content, ".\r\n"); got != "text\r\n" {
			t.Errorf("%s: the server got %q", kind, server.content)
		}
	}
}

// TestAttachmentFailsInTheMiddle is the same for a whole message: a file that
// fails, or turns out to have another size, after its beginning was sent.
func TestAttachmentFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	for kind, connection := range inBothForms() {
		for name, file := range map[string]smtp.File{
			"early":       {Name: "a.pdf", Open: broken(100)},
			"late":        {Name: "a", Open: broken(3 << 20)},
			"wrong size":  {Name: "a", Size: 4, Open: opener("12345")},
			"in the mail": {Name: "a.eml", Type: "message/rfc822", Open: changing("Subject: x\r\n\r\n", "Subject: x\r\n\r\nGrüße\r\n")},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, server := connection(t)
				if err := c.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				m := letter("bob@example.net")
				m.Attachments = []smtp.File{file}
				result, err := c.Send(t.Context(), m)
				<-server.done
				checkNothingSent(t, server, result, err)
				var field *smtp.FieldError
				if !errors.As(err, &field) || field.Field != "Attachments[0]" || len(result.Remaining()) != 0 {
					t.Errorf("the error is %v, and %v should be tried again", err, result.Remaining())
				}
			})
		}
	}
}

// changing opens one content the first time, and another from then on.
func changing(first, second string) func() (io.ReadCloser, error) {
	opened := 0
	return func() (io.ReadCloser, error) {
		if opened++; opened == 1 {
			return opener(first)()
		}
		return opener(second)()
	}
}

// TestContent: what arrives is the body with its dots undone and its line ends
// mended, whatever the pieces in which it was written.
func TestContent(t *testing.T) {
	t.Parallel()
	for kind, connection := range inBothForms() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, server := connection(t)
			begin(t, c)
			_, err := c.Data(t.Context(), writerTo(func(w io.Writer) error {
				for i := range 20_000 {
					if _, err := fmt.Fprintf(w, ".line %d\n", i); err != nil {
						return err
					}
				}
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Quit(t.Context()); err != nil {
				t.Error(err)
			}
			<-server.done
			dot, end := "..", ".\r\n"
			if strings.HasSuffix(kind, "BDAT") {
				dot, end = ".", ""
			}
			var want strings.Builder
			for i := range 20_000 {
				fmt.Fprintf(&want, "%sline %d\r\n", dot, i)
			}
			if server.content != want.String()+end {
				t.Errorf("%d octets arrived, other than the %d that were due", len(server.content), want.Len()+len(end))
			}
		})
	}
}

// begin opens a session and a transaction with one recipient.
func begin(t *testing.T, c *smtp.Client) {
	t.Helper()
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rcpt(t.Context(), smtp.Recipient{Address: "bob@example.net"}); err != nil {
		t.Fatal(err)
	}
}

// lines writes n lines, and then returns err.
func lines(w io.Writer, n int, err error) error {
	for range n {
		if _, err := io.WriteString(w, "All work and no play makes Jack a dull boy.\r\n"); err != nil {
			return err
		}
	}
	return err
}

// writerTo is a body made by a function.
type writerTo func(io.Writer) error

func (f writerTo) WriteTo(w io.Writer) (int64, error) { return 0, f(w) }
