package smtp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
	"github.com/postrider/smtp/smtptest"
)

// hashSigner puts a field with a hash of the message before it.
type hashSigner struct{ signed int }

func (s *hashSigner) Sign(_ context.Context, message io.WriterTo) (io.WriterTo, error) {
	s.signed++
	hash := sha256.New()
	if _, err := message.WriteTo(hash); err != nil {
		return nil, err
	}
	return writerTo(func(w io.Writer) error {
		fmt.Fprintf(w, "X-Hash: %x\r\n", hash.Sum(nil))
		_, err := message.WriteTo(w)
		return err
	}), nil
}

// checkHash checks that a message arrived as it was signed.
func checkHash(t *testing.T, arrived string) {
	t.Helper()
	field, message, _ := strings.Cut(arrived, "\r\n")
	if want := fmt.Sprintf("X-Hash: %x", sha256.Sum256([]byte(message))); field != want {
		t.Errorf("what was signed is not what arrived: %s before %d octets, want %s", field, len(message), want)
	}
}

// TestSigner: each message is signed once, whatever is made of it: transactions,
// chunks, sessions.
func TestSigner(t *testing.T) {
	t.Parallel()
	everything := readback.Messages()["everything"]
	ready := rawLetter("Bcc: x@example.com\nSubject: x\n\n.Hello\n" + strings.Repeat("long\n", 20_000))
	for _, chunking := range []bool{false, true} {
		for _, m := range []*smtp.Message{everything, ready} {
			signer := &hashSigner{}
			inSession(t, &smtp.Options{Signer: signer, Chunking: chunking, MaxRecipients: 1}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
				m.Delivery = smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}, {Address: "eve@example.net"}}}
				if _, err := c.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				for _, err := range c.SendAll(t.Context(), slices.Values([]*smtp.Message{m, m})) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if signer.signed != 3 || len(server.mails) != 6 {
					t.Errorf("%d signatures for %d mails", signer.signed, len(server.mails))
				}
				for _, mail := range server.mails {
					checkHash(t, mail.content.String())
				}
			})
		}
	}
}

// TestMailerSigns: so is each message of a Mailer, on a new session and on a warm one.
func TestMailerSigns(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	signer := &hashSigner{}
	mailer.Options.Signer = signer
	for range 3 {
		if _, err := mailer.Send(t.Context(), readback.Messages()["everything"]); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range server.Messages() {
		checkHash(t, string(m.Data))
	}
	if len(server.Messages()) != 3 || signer.signed != 3 {
		t.Errorf("%d mails, %d signatures", len(server.Messages()), signer.signed)
	}
}

type signerFunc func(context.Context, io.WriterTo) (io.WriterTo, error)

func (f signerFunc) Sign(ctx context.Context, m io.WriterTo) (io.WriterTo, error) { return f(ctx, m) }

// TestBadSigner: nothing is sent of what was not signed, or is not what a signer
// may make of a message.
func TestBadSigner(t *testing.T) {
	t.Parallel()
	instead := func(content string) signerFunc {
		return func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
			m.WriteTo(io.Discard)
			return writerTo(func(w io.Writer) error { _, err := io.WriteString(w, content); return err }), nil
		}
	}
	behind := func(extra func(time int) string) signerFunc {
		times := 0
		return func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
			return writerTo(func(w io.Writer) error {
				_, err := m.WriteTo(w)
				times++
				io.WriteString(w, extra(times))
				return err
			}), nil
		}
	}
	always := func(extra string) signerFunc { return behind(func(int) string { return extra }) }
	once := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		var b bytes.Buffer
		_, err := m.WriteTo(&b)
		return &b, err
	}
	lossy := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		m.WriteTo(io.Discard)
		return writerTo(func(w io.Writer) error {
			var b bytes.Buffer
			b.WriteString(strings.Repeat("X-Seal: x\r\n", 100))
			m.WriteTo(&limitedWriter{&b, 100})
			_, err := w.Write(b.Bytes())
			return err
		}), nil
	}
	before := func(start string) signerFunc {
		return func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
			return writerTo(func(w io.Writer) error {
				io.WriteString(w, start)
				_, err := m.WriteTo(w)
				return err
			}), nil
		}
	}
	spooled := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		var b bytes.Buffer
		m.WriteTo(&limitedWriter{&b, 100}) // A full disk is not noticed.
		return writerTo(func(w io.Writer) error { w.Write(b.Bytes()); return nil }), nil
	}
	partly := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		r, w := io.Pipe()
		go func() {
			_, err := m.WriteTo(w)
			w.CloseWithError(err)
		}()
		io.CopyN(io.Discard, r, 100)
		go func() { // which it should not, but may
			defer r.Close()
			io.CopyN(io.Discard, r, 1000)
		}()
		return m, nil
	}
	asItIs := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) { return m, nil }
	careless := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		m.WriteTo(io.Discard)
		return writerTo(func(w io.Writer) error { m.WriteTo(w); return nil }), nil
	}
	curious := func(_ context.Context, m io.WriterTo) (io.WriterTo, error) {
		m.WriteTo(fullDisk{}) // It stops reading after the header.
		return m, nil
	}
	text, broken, brokenLater := letter("bob@example.net"), letter("bob@example.net"), letter("bob@example.net")
	broken.Attachments = []smtp.File{{Name: "a.pdf", Open: broken100}}
	brokenLater.Attachments = []smtp.File{{Name: "a.pdf", Open: failingLater("x", broken100)}}
	withFile := func(open func() (io.ReadCloser, error)) *smtp.Message {
		m := letter("bob@example.net")
		m.Attachments = []smtp.File{{Name: "a.pdf", Open: open}}
		return m
	}
	reader := strings.NewReader("four")
	cut, changed := withFile(changing("four", "thr")), withFile(changing("four", "five"))
	used := withFile(func() (io.ReadCloser, error) { return io.NopCloser(reader), nil })
	for name, test := range map[string]struct {
		signer  signerFunc
		message *smtp.Message
		sent    int // transactions
		want    string
	}{
		"no change":            {asItIs, text, 2, ""},
		"reads the header":     {curious, text, 2, ""},
		"refuses":              {func(context.Context, io.WriterTo) (io.WriterTo, error) { return nil, errDisk }, text, 0, "smtp: Options.Signer: disk error"},
		"returns nothing":      {func(context.Context, io.WriterTo) (io.WriterTo, error) { return nil, nil }, text, 0, "smtp: Options.Signer: no message"},
		"partly, and too late": {partly, text, 2, ""},
		"empty":                {instead(""), text, 0, "smtp: Options.Signer: the signed message has 0 octets"},
		"another message":      {instead("A: b\r\n\r\n"), text, 0, "smtp: Options.Signer: the signed message has 8 octets"},
		"unread":               {func(context.Context, io.WriterTo) (io.WriterTo, error) { return strings.NewReader("A: b\r\n"), nil }, text, 0, "smtp: Options.Signer: the message that was to be signed was never read"},
		"a field before":       {before("X-Seal: x\r\n y\r\n"), text, 2, ""},
		"an empty line before": {before("\r\n"), text, 0, "smtp: Options.Signer: the message does not begin with a header field"},
		"no field before":      {before("X-Seal\r\n\r\n"), text, 0, "smtp: Options.Signer: the message does not begin with a header field"},
		"blank before":         {before(" x: y\r\n"), text, 0, "smtp: Options.Signer: the message does not begin with a header field"},
		"loses the end":        {lossy, text, 0, "smtp: Options.Signer: the message was not written to its end"},
		"spooled":              {spooled, text, 0, "smtp: Options.Signer: the message that was to be signed was never read"},
		"once":                 {once, text, 1, "smtp: Options.Signer: the signed message has 0 octets"},
		"other each time":      {behind(func(time int) string { return fmt.Sprintf("%d\r\n", time) }), text, 1, "smtp: Options.Signer: the signed message does not write the same"},
		"8-bit":                {always("\xff\r\n"), text, 0, "smtp: Options.Signer: the signed message holds other octets"},
		"UTF-8":                {instead("A: ü\r\n" + strings.Repeat("A: b\r\n", 100)), text, 0, "smtp: Options.Signer: the signed message holds other octets"},
		"long":                 {always(strings.Repeat("a", 999) + "\r\n"), text, 0, "smtp: Options.Signer: the signed message holds other octets"},
		"bare LF":              {always("x\n"), text, 0, "smtp: Options.Signer: the signed message has line ends"},
		"no line end":          {always("x"), text, 0, "smtp: Options.Signer: the signed message has line ends"},
		"bare CR":              {always("a\rb\r\n"), text, 0, "a bare CR, which"},
		"a file fails":         {asItIs, broken, 0, "smtp: Attachments[0]: disk error"},
		"a file fails, unread": {careless, broken, 0, "smtp: Attachments[0]: disk error"},
		"a file fails later":   {careless, brokenLater, 0, "smtp: Attachments[0]: disk error"},
		"a file is cut":        {new(hashSigner).Sign, cut, 0, "smtp: Attachments[0]: had 4 octets, and has 3"},
		"a file has changed":   {new(hashSigner).Sign, changed, 0, "smtp: Message: is not what it was when it was signed"},
		"a reader for once":    {new(hashSigner).Sign, used, 0, "smtp: Attachments[0]: had 4 octets, and has 0"},
	} {
		t.Run(name, func(t *testing.T) {
			inSession(t, &smtp.Options{Signer: test.signer, MaxRecipients: 1}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
				m := *test.message
				m.To = append(m.To, smtp.Address{Address: "eve@example.net"})
				result, err := c.Send(t.Context(), &m)
				ended := 0
				for _, mail := range server.mails {
					if mail.ended {
						ended++
					}
				}
				if ended != test.sent || err == nil != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("%d mails were sent: %v", ended, err)
				}
				for i, r := range result.Recipients {
					if sent := i < test.sent; sent != (r.Outcome == smtp.Accepted) || !sent && r.Outcome != smtp.NotSent {
						t.Errorf("%s: %v", r.Address, r.Outcome)
					}
				}
			})
		})
	}
}

// limitedWriter takes only so many octets.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errDisk
	}
	l.left -= len(p)
	return l.w.Write(p)
}

func broken100() (io.ReadCloser, error) { return broken(100)() }

// TestSignerOfUTF8: what MAIL says of a message may be in what is signed.
func TestSignerOfUTF8(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	server := recordAs(theirs, &recorder{offers: "SMTPUTF8, SIZE 1000"})
	c := smtp.NewClient(ours, &smtp.Options{Signer: &hashSigner{}})
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := letter("bob@example.net")
	m.Subject, m.Delivery.UTF8, m.Delivery.Size = "Grüße", true, 7
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c.Quit(t.Context())
	<-server.done
	checkHash(t, strings.TrimSuffix(strings.ReplaceAll(server.content, "\r\n..", "\r\n."), ".\r\n"))
	if server.mail != "MAIL FROM:<ann@example.com> SMTPUTF8" {
		t.Error(server.mail)
	}
}

// TestPanics: whatever of the caller's own panics before MAIL, what was opened is
// closed.
func TestPanics(t *testing.T) {
	t.Parallel()
	signer := signerFunc(func(context.Context, io.WriterTo) (io.WriterTo, error) { panic("x") })
	first := &countedFile{source: opener("A: b\r\n")}
	files := []smtp.File{{Name: "a.bin", Open: first.open}}
	for name, m := range map[string]*smtp.Message{
		"signer":         {From: smtp.Address{Address: "a@b"}, To: []smtp.Address{{Address: "a@b"}}, Attachments: files},
		"signer and raw": {Raw: files[0], Delivery: smtp.Envelope{From: "<>", To: []smtp.Recipient{{Address: "a@b"}}}},
		"file": {From: smtp.Address{Address: "a@b"}, To: []smtp.Address{{Address: "a@b"}}, Attachments: append(files, smtp.File{Name: "b", Open: func() (io.ReadCloser, error) {
			panic("x")
		}})},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			(&smtp.Mailer{Options: smtp.Options{Signer: signer}}).Send(t.Context(), m)
		}()
		if first.opened != first.closed {
			t.Errorf("%s: opened %d times, closed %d times", name, first.opened, first.closed)
		}
	}
}

// TestSignerContext: the context ends the reading of a message that is signed, and
// the session can still be used.
func TestSignerContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{{Name: "a.pdf", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 10 {
				cancel()
			}
			return len(p), nil
		})), nil
	}}}
	inSession(t, &smtp.Options{Signer: &hashSigner{}}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		result, err := c.Send(ctx, m)
		if !errors.Is(err, context.Canceled) || result.Recipients[0].Outcome != smtp.NotSent || len(server.mails) != 0 || reads > 20 {
			t.Errorf("%v after %d reads, %d mails begun", err, reads, len(server.mails))
		}
		if err := c.Noop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestQueued: a prepared message in a file and its Delivery as JSON are all that a
// queue needs, and what it sends later is the same mail for the same people.
func TestQueued(t *testing.T) {
	t.Parallel()
	for name, m := range readback.Messages() {
		if m.Delivery.UTF8 {
			continue // which the server of the test does not offer
		}
		m.Delivery.EnvelopeID, m.Delivery.Return, m.Delivery.Accept = "invoice 17", smtp.ReturnHeaders, smtp.AcceptAll
		m.Delivery.To = []smtp.Recipient{{Address: "bob@example.net", Notify: smtp.NotifyFailure, OriginalRecipient: "b@example.net"}, {Address: "eve@example.net"}}
		p, err := m.Prepare()
		if err != nil {
			t.Fatal(name, err)
		}
		path := filepath.Join(t.TempDir(), "message.eml")
		if err := os.WriteFile(path, write(t, p), 0o600); err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(p.Delivery)
		if err != nil {
			t.Fatal(err)
		}
		later := &smtp.Message{Raw: smtp.FilePath(path)}
		if err := json.Unmarshal(encoded, &later.Delivery); err != nil || !reflect.DeepEqual(later.Delivery, p.Delivery) {
			t.Fatalf("%s: %s became %+v, %v", name, encoded, later.Delivery, err)
		}
		var mails []string
		for _, message := range []*smtp.Message{p, later} {
			inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
				message.Delivery.EnvelopeID, message.Delivery.Return = "", 0
				message.Delivery.To = []smtp.Recipient{{Address: "bob@example.net"}, {Address: "eve@example.net"}}
				result, err := c.Send(t.Context(), message)
				if err != nil || result.MessageID != p.MessageID {
					t.Fatal(name, result.MessageID, err)
				}
				mails = append(mails, fmt.Sprint(server.mails[0].from, server.mails[0].to, server.mails[0].content.String()))
			})
		}
		if mails[0] != mails[1] {
			t.Errorf("%s: what came from the queue is another mail", name)
		}
	}
}
