package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
		m := defectLetter("bob@example.net")
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
	for left := range len(defectWritten(t, m)) {
		w := &defectShortWriter{left: left}
		if n, err := m.WriteTo(w); !errors.Is(err, errDefect) || n != int64(left) || w.after != 1 {
			t.Fatalf("after %d octets: %d, %v, and %d writes that failed", left, n, err, w.after)
		}
	}
}

// defectCauses: errors keep their causes and their fields, through the Mailer.
func defectCauses(t *testing.T) {
	_, mailer := defectServe(t, defectAt("RCPT", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such user"}}))
	_, err := mailer.Send(t.Context(), defectLetter("bob@example.net"))
	var e *smtp.Error
	if !errors.As(err, &e) || e.Op != "RCPT <bob@example.net>" || e.Reply.Code != 550 || e.Reply.Status != (smtp.EnhancedStatus{Class: 5, Subject: 1, Detail: 1}) {
		t.Errorf("%#v", err)
	}
	mailer = &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}}
	_, err = mailer.Send(t.Context(), defectLetter("bob@example.net"))
	var dial *net.OpError
	if !errors.As(err, &dial) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%#v", err)
	}
	m := defectLetter("bob@example.net")
	m.Attachments = []smtp.File{defectFile(10, errDefect)}
	_, mailer = defectServe(t)
	var field *smtp.FieldError
	if _, err = mailer.Send(t.Context(), m); !errors.Is(err, errDefect) || !errors.As(err, &field) || field.Field != "Attachments[0]" {
		t.Errorf("%#v", err)
	}
}

// defectManyRecipients: a hundred of them are folded into lines of a usual length.
func defectManyRecipients(t *testing.T) {
	m := defectLetter()
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
	parsed, err := smtp.ParseAddressList(`"Doe, Jörg" <joerg@example.net>, Ann <ann@example.net>`)
	if err != nil || len(parsed) != 2 || parsed[0].Name != "Doe, Jörg" {
		t.Fatalf("%v, %v", parsed, err)
	}
	m := defectLetter()
	m.To = parsed
	got := defectArrived(t, m)
	list, err := got.Header.AddressList("To")
	if err != nil || len(list) != 2 || *list[0] != parsed[0] || len(got.To) != 2 || strings.ContainsFunc(string(got.Data), func(r rune) bool { return r > '~' }) {
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
	m := defectLetter("bob@example.net")
	m.Attachments = []smtp.File{defectFile(64<<20, nil)}
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := defectAllocated(func() {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
	}); n > 8<<20 || taken < 64<<20 {
		t.Errorf("%d octets were allocated, %d sent", n, taken)
	}
}

// defectBounded: many at once stay within MaxConns, and are counted right.
func defectBounded(t *testing.T) {
	line, mailer := defectListen(t)
	mailer.MaxConns = 3
	defectTogether(func(i int) {
		for range 10 {
			if _, err := mailer.Send(t.Context(), defectLetter("bob@example.net")); err != nil {
				t.Error(err)
			}
			if s := mailer.Stats(); s.Open > 3 || s.Idle > s.Open {
				t.Errorf("%+v", s)
			}
		}
	})
	mailer.Close()
	s := mailer.Stats()
	if s.Accepted != 80 || s.Open != 0 || s.Idle != 0 || s.Waiting != 0 || line.most > 3 || len(line.Messages()) != 80 {
		t.Errorf("%+v, %d at most at once", s, line.most)
	}
	line.checkClosed(t)
}

// defectNotOffered: with credentials set, nothing goes to a server that takes none.
func defectNotOffered(t *testing.T) {
	for _, mechanisms := range [][]string{{}, {"CRAM-MD5"}} {
		line, mailer := defectServe(t, defectTLS, func(s *smtptest.Server) { s.Mechanisms = mechanisms })
		mailer.Auth = smtp.Password("user", "pencil")
		result, err := mailer.Send(t.Context(), defectLetter("bob@example.net"))
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

// defectStuck: while one mail is stuck, whoever waits behind it leaves when his context
// ends, and the Mailer answers and closes.
func defectStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, mailer := defectServe(t, defectAt("END", smtptest.Fault{Delay: time.Hour}))
		mailer.MaxConns = 1
		stuck := make(chan error)
		go func() {
			_, err := mailer.Send(t.Context(), defectLetter("bob@example.net"))
			stuck <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		result, err := mailer.Send(ctx, defectLetter("carol@example.net"))
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || defectOutcomes(result) != "not sent" || mailer.Stats().Open != 1 {
			t.Errorf("after %v: %s, %v", took, defectOutcomes(result), err)
		}
		if mailer.Close(); time.Since(start) > 6*time.Second {
			t.Errorf("Close took %v", time.Since(start))
		}
		if err := <-stuck; err == nil {
			t.Error("the mail was accepted")
		}
		line.checkClosed(t)
	})
}

// defectOriginals: each recipient has his own original, and his own notifications.
func defectOriginals(t *testing.T) {
	m := defectLetter("bob@example.net")
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

// defectLateDial: a server that is silent, and a dial that ends late, leave neither a
// connection nor a goroutine: the bubble would tell.
func defectLateDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, mailer := defectServe(t, defectAt("CONNECT", smtptest.Fault{Delay: time.Hour}))
		mailer.Options.Timeouts = smtp.Timeouts{Connect: time.Second, Greeting: time.Second}
		if _, err := mailer.Send(t.Context(), defectLetter("bob@example.net")); err == nil {
			t.Error("it was sent")
		}
		late := mailer.Clone()
		late.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(3 * time.Second) // It does not look at its context.
			return line.dial(context.WithoutCancel(ctx), network, addr)
		}
		if _, err := late.Send(t.Context(), defectLetter("bob@example.net")); err == nil {
			t.Error("it was sent")
		}
		late.Close()
		line.checkClosed(t)
	})
}

// defectUnreachable: a server that cannot be reached is an error, for Send, SendAll and
// Failover, and the mail is worth another try.
func defectUnreachable(t *testing.T) {
	mailer := &smtp.Mailer{Addr: "mx.example.net:25", DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	}}
	m := defectLetter("bob@example.net")
	check := func(result *smtp.Result, err error) {
		t.Helper()
		if !errors.Is(err, syscall.EHOSTUNREACH) || defectOutcomes(result) != "not sent" || len(result.Remaining()) != 1 {
			t.Errorf("%s, %v", defectOutcomes(result), err)
		}
	}
	check(mailer.Send(t.Context(), m))
	check(smtp.Failover{mailer, mailer.Clone()}.Send(t.Context(), m))
	yielded := 0
	for result, err := range mailer.SendAll(t.Context(), func(yield func(*smtp.Message) bool) { yield(m) }) {
		check(result, err)
		yielded++
	}
	if yielded != 1 || mailer.Verify(t.Context()) == nil {
		t.Errorf("%d results", yielded)
	}
}

// defectBuiltFirst: what cannot be built is found before MAIL.
func defectBuiltFirst(t *testing.T) {
	for i, break1 := range []func(m *smtp.Message){
		func(m *smtp.Message) { m.From = smtp.Address{} },
		func(m *smtp.Message) { m.To[0].Address = "no address" },
		func(m *smtp.Message) { m.To = nil },
		func(m *smtp.Message) { m.Header = smtp.Header{{Name: "X:", Value: "1"}} },
		func(m *smtp.Message) { m.Text = "a bare\rCR" },
		func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a.txt"}} },
		func(m *smtp.Message) { m.Attachments = []smtp.File{{Name: "a.txt", Open: defectNoFile}} },
		func(m *smtp.Message) { m.MessageID = "no id" },
	} {
		line, mailer := defectServe(t)
		m := defectLetter("bob@example.net")
		break1(m)
		if _, err := mailer.Send(t.Context(), m); err == nil || strings.Contains(line.text(), "MAIL") || len(line.Messages()) != 0 {
			t.Errorf("%d: %v\n%s", i, err, line.text())
		}
	}
}

func defectNoFile() (io.ReadCloser, error) { return nil, errDefect }

// defectOwnErrors: of many that fail at once, each has the error of his own mail.
func defectOwnErrors(t *testing.T) {
	_, mailer := defectListen(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command != "RCPT" {
				return nil
			}
			return &smtptest.Fault{Drop: strings.HasPrefix(step.Address, "even"), Refusal: &smtptest.Refusal{Code: 550, Text: step.Address}}
		}
	})
	defectTogether(func(i int) {
		address := fmt.Sprintf("%s%d@example.net", []string{"even", "odd"}[i%2], i)
		_, err := mailer.Send(t.Context(), defectLetter(address))
		var e *smtp.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), address) && i%2 == 1 || (e.Reply.Code == 550) != (i%2 == 1) {
			t.Errorf("%s: %v", address, err)
		}
	})
}

// defectAnyCase: extensions are found in any letter case, with their parameters.
func defectAnyCase(t *testing.T) {
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250-pipelining\nS: 250-dSn\nS: 250 auth plain\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 welcome\n"+
		"C: MAIL FROM:<ann@example.com> ENVID=7\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 554 no\nC: RSET\nS: 250 ok\nC: (goes)", smtp.Options{PlaintextAuth: true}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if err := c.Auth(t.Context(), smtp.Plain("ann", "secret")); err != nil {
			t.Error(err)
		}
		m := defectLetter("bob@example.net")
		m.Delivery.EnvelopeID = "7"
		c.Send(t.Context(), m)
	})
	defectPlay(t, "C: %s\nS: 250-mx\nS: 250 Size 40\nC: (goes)", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		c.Hello(t.Context())
		if params, ok := c.Extension("siZE"); !ok || params != "40" {
			t.Errorf("SIZE is %q, %v", params, ok)
		}
		if _, err := c.Send(t.Context(), defectLetter("bob@example.net")); err == nil {
			t.Error("a mail went to a server that it is too large for")
		}
	})
}

// defectNeeded: neither SMTPUTF8 nor BODY goes with a mail that does not need it,
// whatever the server offers.
func defectNeeded(t *testing.T) {
	m := defectRich()
	m.Subject, m.Text = "Grüße", "Grüße\n"
	params := defectArrived(t, m, func(s *smtptest.Server) { s.Offer = []string{"SMTPUTF8", "BINARYMIME"} }).MailParams
	for name := range params {
		if name != "SIZE" {
			t.Errorf("MAIL has %s", name)
		}
	}
}

// defectByHand: step by step, the result names each recipient with what became of
// him, and the refusal of one does not end the transaction.
func defectByHand(t *testing.T) {
	line, mailer := defectServe(t, func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if strings.HasPrefix(step.Address, "bad") {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550}}
			}
			return nil
		}
	})
	c := defectDial(t, mailer)
	defectBegin(t, c)
	var e *smtp.Error
	if reply, err := c.Rcpt(t.Context(), smtp.Recipient{Address: "bad@example.net"}); !errors.As(err, &e) || reply.Code != 550 {
		t.Errorf("%v, %v", reply, err)
	}
	c.Rcpt(t.Context(), smtp.Recipient{Address: "carol@example.net"})
	result, err := c.Data(t.Context(), strings.NewReader("Hello.\n"))
	var failed *smtp.RecipientsError
	if !errors.As(err, &failed) || defectOutcomes(result) != "accepted, refused, accepted" || result.Recipients[2].Address != "carol@example.net" || len(line.Messages()) != 1 {
		t.Errorf("%s, %v", defectOutcomes(result), err)
	}
}

// defectEHLO: why EHLO was refused is told, and HELO does not hide it.
func defectEHLO(t *testing.T) {
	for _, code := range []int{550, 554, 504, 421, 451} {
		defectPlay(t, fmt.Sprintf("C: %%s\nS: %d go away, bad reputation", code), smtp.Options{}, func(t *testing.T, c *smtp.Client) {
			err := c.Hello(t.Context())
			var e *smtp.Error
			if !errors.As(err, &e) || e.Op != "EHLO" || e.Reply.Code != code || !strings.Contains(err.Error(), "bad reputation") {
				t.Error(err)
			}
		})
	}
	defectPlay(t, "C: %s\nS: 502 unknown\nC: HELO client.example.com\nS: 554 bad reputation", smtp.Options{}, func(t *testing.T, c *smtp.Client) {
		if err := c.Hello(t.Context()); err == nil || !strings.Contains(err.Error(), "HELO: 554") {
			t.Error(err)
		}
	})
}
