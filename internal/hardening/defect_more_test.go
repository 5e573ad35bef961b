package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// defectAddressPlaces are those of addresses, and what files are called.
func defectAddressPlaces(t *testing.T) {
	for place, set := range map[string]func(m *smtp.Message, a smtp.Address){
		"From":    func(m *smtp.Message, a smtp.Address) { m.From = a },
		"Sender":  func(m *smtp.Message, a smtp.Address) { m.Sender = &a },
		"To":      func(m *smtp.Message, a smtp.Address) { m.To = []smtp.Address{a} },
		"Cc":      func(m *smtp.Message, a smtp.Address) { m.Cc = []smtp.Address{a} },
		"Bcc":     func(m *smtp.Message, a smtp.Address) { m.Bcc = []smtp.Address{a} },
		"ReplyTo": func(m *smtp.Message, a smtp.Address) { m.ReplyTo = []smtp.Address{a} },
	} {
		defectInject(t, place+" address", "a@example.com", func(m *smtp.Message, v string) { set(m, smtp.Address{Address: v}) })
		defectInject(t, place+" name", `Ann "A"`, func(m *smtp.Message, v string) { set(m, smtp.Address{Name: v, Address: "a@example.com"}) })
	}
}

func defectFilePlaces(t *testing.T) {
	for place, set := range map[string]func(m *smtp.Message, f smtp.File){
		"Inline":       func(m *smtp.Message, f smtp.File) { m.HTML, m.Inline = "<p>Hi.</p>", []smtp.File{f} },
		"Attachments":  func(m *smtp.Message, f smtp.File) { m.Attachments = []smtp.File{f} },
		"Alternatives": func(m *smtp.Message, f smtp.File) { f.Type, m.Alternatives = "text/markdown", []smtp.File{f} },
	} {
		defectInject(t, place+" name", `a;b.txt`, func(m *smtp.Message, v string) { set(m, smtp.FileBytes(v, []byte("a"))) })
	}
	defectInject(t, "Attachments type", "image/png; x=y", func(m *smtp.Message, v string) {
		m.Attachments = []smtp.File{{Name: "a", Type: v, Open: smtp.FileBytes("a", nil).Open}}
	})
}

// defectMessageIDs: each mail has a Message-ID, and it is another one each time.
func defectMessageIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		m := smallMail("bob@example.net")
		m.MessageID = ""
		header, _, _ := defectRead(t, defectWritten(t, m))
		id := header.Get("Message-Id")
		if seen[id] || !strings.HasPrefix(id, "<") || len(id) < 20 {
			t.Errorf("the Message-ID is %q", id)
		}
		seen[id] = true
	}
}

// defectShortWriter takes so many octets, and then none.
type defectShortWriter struct {
	left, after int // after is how often it was tried once more
}

func (w *defectShortWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	if w.left -= n; n < len(p) {
		w.after++
		return n, errDefect
	}
	return n, nil
}

// defectWriterFails: where writing fails, at any octet, that is the error, and nothing
// more is written.
func defectWriterFails(t *testing.T) {
	m := defectRich()
	for left := 0; left < len(defectWritten(t, m)); left += 37 {
		w := &defectShortWriter{left: left}
		if n, err := m.WriteTo(w); !errors.Is(err, errDefect) || n != int64(left) || w.after != 1 {
			t.Fatalf("after %d octets: %d, %v, and %d writes that failed", left, n, err, w.after)
		}
	}
}

// defectCauses: errors keep their causes and their fields, through the Mailer.
func defectCauses(t *testing.T) {
	_, mailer := defectServe(t, defectAt("RCPT", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such user"}}))
	_, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
	var e *smtp.Error
	if !errors.As(err, &e) || e.Op != "RCPT <bob@example.net>" || e.Reply.Code != 550 || e.Reply.Status != (smtp.EnhancedStatus{Class: 5, Subject: 1, Detail: 1}) {
		t.Errorf("%#v", err)
	}
	mailer = &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}}
	_, err = mailer.Send(t.Context(), smallMail("bob@example.net"))
	var dial *net.OpError
	if !errors.As(err, &dial) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%#v", err)
	}
	m := smallMail("bob@example.net")
	m.Attachments = []smtp.File{defectFile(10, errDefect)}
	_, mailer = defectServe(t)
	var field *smtp.FieldError
	if _, err = mailer.Send(t.Context(), m); !errors.Is(err, errDefect) || !errors.As(err, &field) || field.Field != "Attachments[0]" {
		t.Errorf("%#v", err)
	}
}

// defectManyRecipients: a hundred of them are folded into lines of a usual length.
func defectManyRecipients(t *testing.T) {
	m := smallMail()
	for i := range 100 {
		m.To = append(m.To, smtp.Address{Name: fmt.Sprintf("Recipient %d", i), Address: fmt.Sprintf("recipient%d@example.net", i)})
	}
	written := defectWritten(t, m)
	for _, line := range defectHeader(written) {
		if len(line) > 78 {
			t.Errorf("a line has %d octets", len(line))
		}
	}
	header, _, _ := defectRead(t, written)
	if got, err := header.AddressList("To"); err != nil || len(got) != 100 || *got[99] != m.To[99] {
		t.Errorf("%d recipients are read, %v", len(got), err)
	}
}

// defectCommas: a name with a comma is one name, of one recipient.
func defectCommas(t *testing.T) {
	parsed, err := smtp.ParseAddressList(`"Doe, Jörg" <joerg@example.net>, "Roe, Ann" <ann@example.net>`)
	if err != nil || len(parsed) != 2 || parsed[0].Name != "Doe, Jörg" {
		t.Fatalf("%v, %v", parsed, err)
	}
	m := smallMail()
	m.To = parsed
	got := defectArrived(t, m)
	list, err := got.Header.AddressList("To")
	if err != nil || len(list) != 2 || *list[0] != parsed[0] || *list[1] != parsed[1] || len(got.To) != 2 || strings.ContainsFunc(string(got.Data), func(r rune) bool { return r > '~' }) {
		t.Errorf("%v, %v\n%s", list, err, got.Data)
	}
}

// defectChunkMemory: chunks are streamed as well.
func defectChunkMemory(t *testing.T) {
	ours, theirs := net.Pipe()
	taken := 0
	go func() {
		buffer := make([]byte, 64<<10)
		io.WriteString(theirs, "220 mx\r\n")
		for {
			n, err := theirs.Read(buffer)
			line := string(buffer[:min(n, 80)])
			switch {
			case err != nil:
				return
			case strings.HasPrefix(line, "EHLO"):
				io.WriteString(theirs, "250-mx\r\n250 CHUNKING\r\n")
			case strings.HasPrefix(line, "BDAT"):
				var size int
				fmt.Sscanf(line, "BDAT %d", &size)
				rest := size + strings.Index(line, "\n") + 1 - n
				io.CopyBuffer(io.Discard, struct{ io.Reader }{io.LimitReader(theirs, int64(rest))}, buffer)
				taken += size
				fallthrough
			default:
				io.WriteString(theirs, "250 ok\r\n")
			}
		}
	}()
	c := smtp.NewClient(ours, &smtp.Options{Chunking: true})
	defer c.Close()
	m := smallMail("bob@example.net")
	m.Attachments = []smtp.File{defectFile(64<<20, nil)}
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := defectAllocated(func() {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
	}); n > 32<<20 || taken < 64<<20 {
		t.Errorf("%d octets were allocated, %d sent", n, taken)
	}
}

// defectBounded: many at once stay within MaxConns, and are counted right, also where
// some connections are not made.
func defectBounded(t *testing.T) {
	line, mailer := defectListen(t)
	var dials atomic.Int64
	mailer.MaxConns, mailer.MaxMessages = 3, 2
	mailer.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1)%4 == 0 {
			return nil, syscall.ECONNREFUSED
		}
		return line.dial(ctx, network, addr)
	}
	defectTogether(func(i int) {
		for range 10 {
			if _, err := mailer.Send(t.Context(), smallMail("bob@example.net")); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
			if s := mailer.Stats(); s.Open > 3 || s.Idle > s.Open {
				t.Errorf("%+v", s)
			}
		}
	})
	mailer.Close()
	s := mailer.Stats()
	if s.NotSent == 0 || s.Accepted+s.NotSent != 80 || s.Open != 0 || s.Idle != 0 || s.Waiting != 0 || line.most > 3 || len(line.Messages()) != int(s.Accepted) {
		t.Errorf("%+v, %d at most at once", s, line.most)
	}
	line.checkClosed(t)
}

// defectNotOffered: with credentials set, nothing goes to a server that takes none.
func defectNotOffered(t *testing.T) {
	for _, mechanisms := range [][]string{{}, {"CRAM-MD5"}} {
		line, mailer := defectServe(t, defectTLS, func(s *smtptest.Server) { s.Mechanisms = mechanisms })
		mailer.Auth = smtp.Password("user", "pencil")
		result, err := mailer.Send(t.Context(), smallMail("bob@example.net"))
		if !errors.Is(err, errors.ErrUnsupported) || defectOutcomes(result) != "not sent" || len(line.Messages()) != 0 {
			t.Errorf("%s, %v", defectOutcomes(result), err)
		}
	}
}

// defectNoOfferInClear: under every policy that a Mailer has, a server without STARTTLS
// does not see the password.
func defectNoOfferInClear(t *testing.T) {
	for _, policy := range []smtp.TLSPolicy{smtp.TLSRequired, smtp.TLSOpportunistic} {
		line, mailer := defectListen(t)
		mailer.TLS, mailer.Auth = policy, []smtp.Mechanism{smtp.Plain("user", "pencil")}
		err := mailer.Verify(t.Context())
		if said := line.text(); err == nil || strings.Contains(said, "AUTH") || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte("\x00user\x00pencil"))) {
			t.Errorf("%v: %v\n%s", policy, err, said)
		}
	}
}

// defectOriginals: each recipient has his own original, and his own notifications.
func defectOriginals(t *testing.T) {
	m := smallMail("bob@example.net")
	var want []string
	for i := range 5 {
		address := fmt.Sprintf("r%d@example.net", i)
		m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: address, Notify: smtp.NotifyFailure, OriginalRecipient: "was-" + address})
		want = append(want, fmt.Sprintf("{%s [FAILURE] was-%s}", address, address))
	}
	if got := fmt.Sprint(defectArrived(t, m).Recipients); got != "["+strings.Join(want, " ")+"]" {
		t.Errorf("arrived: %s", got)
	}
}
