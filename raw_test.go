package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func rawLetter(content string) *smtp.Message {
	return &smtp.Message{
		Raw:      smtp.FileBytes("", []byte(content)),
		Delivery: smtp.Envelope{From: "ann@example.com", To: []smtp.Recipient{{Address: "bob@example.net"}}},
	}
}

// TestRawIsWritten: WriteTo writes what would be sent.
func TestRawIsWritten(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"A: b\n\nc":               "A: b\r\n\r\nc\r\n",
		"A: b\r\n\r\n.\r\n":       "A: b\r\n\r\n.\r\n",
		"A: b\r\n\r\n\xff\n":      "A: b\r\n\r\n\xff\r\n",
		"A: b\r\n\r\n\x00\n\rend": "A: b\r\n\r\n\x00\n\rend",
	} {
		var out bytes.Buffer
		n, err := rawLetter(in).WriteTo(&out)
		if out.String() != want || n != int64(len(want)) || err != nil {
			t.Errorf("%q was written as %q: %d, %v", in, out.String(), n, err)
		}
	}
}

// TestRawIsSent: what arrives is the message, by DATA and by BDAT, over a Mailer
// whose session is warm, and the result knows what it is called.
func TestRawIsSent(t *testing.T) {
	t.Parallel()
	large := "Message-ID: <17@example.com>\r\nSubject: x\r\n\r\n" + strings.Repeat("..\xc3\xbc dull\r\n", 20_000)
	for _, chunking := range []bool{false, true} {
		server := smtptest.NewServer(t)
		mailer := mailerTo(t, server)
		mailer.Options.Chunking = chunking
		m := rawLetter(large)
		for range 2 {
			result, err := mailer.Send(t.Context(), m)
			if err != nil || result.Message != m || result.MessageID != "17@example.com" {
				t.Fatalf("%+v, %v", result, err)
			}
		}
		for _, received := range server.Messages() {
			if string(received.Data) != large || received.To[0] != "bob@example.net" {
				t.Errorf("%d octets arrived for %v", len(received.Data), received.To)
			}
		}
	}
}

// TestBadRaw: what cannot be sent is found before anything is, and nothing that
// was opened stays open.
func TestBadRaw(t *testing.T) {
	t.Parallel()
	set := func(change func(*smtp.Message)) *smtp.Message {
		m := rawLetter("A: b\r\n\r\nc\r\n")
		change(m)
		return m
	}
	for want, m := range map[string]*smtp.Message{
		"smtp: Subject: is set beside Raw, which is a whole message":               set(func(m *smtp.Message) { m.Subject = "Hi" }),
		"smtp: To: is set beside Raw, which is a whole message":                    set(func(m *smtp.Message) { m.To = []smtp.Address{{Address: "bob@example.net"}} }),
		"smtp: Attachments: is set beside Raw, which is a whole message":           set(func(m *smtp.Message) { m.Attachments = []smtp.File{sized(1)} }),
		"smtp: Delivery.From: is needed, since Raw has 0 addresses in its From":    set(func(m *smtp.Message) { m.Delivery.From = "" }),
		"smtp: Delivery.To: is needed, since Raw has no recipient":                 set(func(m *smtp.Message) { m.Delivery.To = nil }),
		"smtp: Delivery.To[0].Address:":                                            set(func(m *smtp.Message) { m.Delivery.To[0].Address = "a@b\r\nRSET" }),
		"smtp: Delivery.Body:":                                                     set(func(m *smtp.Message) { m.Delivery.Body = 3 }),
		"smtp: Delivery.Size: is negative":                                         set(func(m *smtp.Message) { m.Delivery.Size = -1 }),
		"smtp: Raw.Open: is nil":                                                   set(func(m *smtp.Message) { m.Raw.Open = nil; m.Raw.Name = "a" }),
		"smtp: Raw.Size: is negative":                                              set(func(m *smtp.Message) { m.Raw.Size = -1 }),
		"smtp: Raw: has 11 octets, and not the 9223372036854775807":                set(func(m *smtp.Message) { m.Raw.Size = math.MaxInt64 }),
		"smtp: Raw: has more octets than the 10 of its Size":                       set(func(m *smtp.Message) { m.Raw.Size = 10 }),
		"smtp: Raw: has 11 octets, and not the 13 of its Size":                     set(func(m *smtp.Message) { m.Raw.Size = 13 }),
		"smtp: Raw: no reader":                                                     set(func(m *smtp.Message) { m.Raw.Open = func() (io.ReadCloser, error) { return nil, nil } }),
		"smtp: Raw: " + errDisk.Error():                                            set(func(m *smtp.Message) { m.Raw.Open = func() (io.ReadCloser, error) { return nil, errDisk } }),
		"smtp: Raw: open ":                                                         set(func(m *smtp.Message) { m.Raw = smtp.FilePath("no such file") }),
		"smtp: Raw: read ":                                                         set(func(m *smtp.Message) { m.Raw = smtp.FilePath(".") }),
		"smtp: Raw: the message does not begin with a header field":                rawLetter(""),
		"smtp: Delivery: is needed, since in Raw the To cannot be read: ":          withoutEnvelope("From: ann@example.com\nTo: bob\n\nx"),
		"smtp: Delivery: is needed, since Raw has a field Resent-To":               withoutEnvelope("From: ann@example.com\nTo: bob@example.net\nResent-To: eve@example.net\n\nx"),
		"smtp: Delivery: is needed, since the header of Raw has \"no field":        withoutEnvelope("From: ann@example.com\nno field\n\nx"),
		"smtp: Delivery.From: is needed, since Raw has 2 addresses in its F":       withoutEnvelope("From: ann@example.com, ann@example.org\nTo: bob@example.net\n\nx"),
		"smtp: Delivery.From: is needed, since Raw has 2 addresses in its S":       withoutEnvelope("Sender: a@example.com\nSender: b@example.com\nTo: bob@example.net\n\nx"),
		"smtp: Delivery: is needed, since in Raw the To cannot be read: \"=?utf-8": withoutEnvelope("From: ann@example.com\nTo: bob@example.net, =?utf-8?q?x?= <postmaster@exa_mple.net>\n\nx"),
		"smtp: Raw: the message has no header field but Bcc":                       rawLetter("Bcc: x@y\n\nbody"),
		"smtp: Delivery: is needed, since Raw has a field Resent-From":             withoutEnvelope("From: ann@example.com\nresent-from : x@y\n\nx"),
		"smtp: Raw: the message holds a bare CR at octet 14":                       rawLetter("A: b\nBcc: x@y\rX: y\n"),
		"smtp: Raw: the header has a field with the name":                          rawLetter("A: b\nBcc\u00a0: x@y\n"),
		"smtp: Raw: the header of the message has over 1048576 octets":             rawLetter("A: " + strings.Repeat("b", 1<<20)),
		"smtp: Raw: the message holds a bare CR at octet 10":                       rawLetter("A: b\r\n\r\nc\rd"),
	} {
		file := &countedFile{source: m.Raw.Open}
		if m.Raw.Open != nil {
			m.Raw.Open = file.open
		}
		_, err := m.WriteTo(io.Discard)
		var field *smtp.FieldError
		if !errors.As(err, &field) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
		if file.closed != file.opened {
			t.Errorf("%s: %d files were opened, %d closed", want, file.opened, file.closed)
		}
	}
}

// withoutEnvelope is a ready message whose header says who gets it.
func withoutEnvelope(content string) *smtp.Message {
	return &smtp.Message{Raw: smtp.FileBytes("", []byte(content))}
}

// TestRawEnvelope: without a Delivery, it is read from the header, in Prepare
// already, and where there is one, it counts.
func TestRawEnvelope(t *testing.T) {
	t.Parallel()
	const header = "From: =?koi8-r?q?=C1?= <ann@example.com>\nTo: \"Bob, the b\" <bob@example.net>, Friends: carol@example.org,\n" +
		" \"a, b <c@d>\"@example.net;\nCc: BOB@example.net, bob@EXAMPLE.net\nBcc:\nBcc: hidden@example.org (the boss)\nto: dave@example.net\n"
	everybody := []string{"bob@example.net", "carol@example.org", `"a, b <c@d>"@example.net`, "dave@example.net", "BOB@example.net", "hidden@example.org"}
	for name, test := range map[string]struct {
		header   string
		delivery smtp.Envelope
		from     string
		to       []string
	}{
		"From":       {header, smtp.Envelope{}, "ann@example.com", everybody},
		"Sender":     {"Sender: robot@example.com\n" + header, smtp.Envelope{EnvelopeID: "17"}, "robot@example.com", everybody},
		"to given":   {header, smtp.Envelope{To: []smtp.Recipient{{Address: "eve@example.org"}}}, "ann@example.com", []string{"eve@example.org"}},
		"blanks":     {"From : ann@example.com\nTO\n : bob@example.net\nbcc\t: eve@example.net\n", smtp.Envelope{}, "ann@example.com", []string{"bob@example.net", "dave@example.net", "eve@example.net"}},
		"from given": {"To: bob@example.net\n", smtp.Envelope{From: "<>"}, "<>", []string{"bob@example.net"}},
		"all given":  {"Resent-To: x\n", smtp.Envelope{From: "<>", To: []smtp.Recipient{{Address: "eve@example.org"}}}, "<>", []string{"eve@example.org"}},
	} {
		if name == "blanks" {
			test.header += "To: dave@example.net\n"
		}
		m := withoutEnvelope(test.header + "\nTo: x@example.com\n")
		m.Delivery = test.delivery
		p, err := m.Prepare()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var to []string
		for _, recipient := range p.Delivery.To {
			to = append(to, recipient.Address)
		}
		if p.Delivery.From != test.from || !slices.Equal(to, test.to) || p.Delivery.EnvelopeID != test.delivery.EnvelopeID {
			t.Errorf("%s: from %s to %q", name, p.Delivery.From, to)
		}
		if _, err := p.Prepare(); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

// TestRawWithoutBcc: Bcc does not leave, in any spelling, and nothing else is lost;
// the size that is declared is that of what is sent.
func TestRawWithoutBcc(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 900)
	for in, want := range map[string]string{
		"A: b\nBcc: x@y\nC: d\n\nBcc: z\n":                          "A: b\r\nC: d\r\n\r\nBcc: z\r\n",
		"BCC : x@y,\r\n\tz@y,\r\n \r\n  a@y\r\nA: b\r\n c\r\n\r\n":  "A: b\r\n c\r\n\r\n",
		"A: b\nresent-bcc: x@y":                                     "A: b\r\n",
		"A: b\nbcc:\nbcc: x\nBccs: c\nX-Bcc: d\n\n":                 "A: b\r\nBccs: c\r\nX-Bcc: d\r\n\r\n",
		"A: b\n Bcc: c\n\nd":                                        "A: b\r\n Bcc: c\r\n\r\nd\r\n",
		"A: b\nBcc\n : x@y\n\n":                                     "A: b\r\n\r\n",
		"Bcc: x@y\nA: b\n\n" + strings.Repeat(long+"\n", 100):       "A: b\r\n\r\n" + strings.Repeat(long+"\r\n", 100),
		"A: b\nBcc: " + strings.Repeat("x@y,\n ", 20_000) + "z\n\n": "A: b\r\n\r\n",
		"A: b\r\nBcc: x\r\n\r\n\x00\n":                              "A: b\r\n\r\n\x00\n",
	} {
		m := rawLetter(in)
		m.Raw.Open = func() (io.ReadCloser, error) { return io.NopCloser(iotest.HalfReader(strings.NewReader(in))), nil }
		var out strings.Builder
		if _, err := m.WriteTo(&out); err != nil || out.String() != want {
			t.Errorf("%.60q… became %.60q…, %v", in, out.String(), err)
		}
		inSession(t, &smtp.Options{Chunking: true}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			_, err := c.Send(t.Context(), m)
			switch {
			case strings.Contains(in, "\x00") && errors.Is(err, errors.ErrUnsupported): // BINARYMIME
			case err != nil || server.mails[0].content.String() != want:
				t.Errorf("%.60q… arrived as something else: %v", in, err)
			}
		})
	}
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	if _, err := mailer.Send(t.Context(), withoutEnvelope("From: a@example.com\nBcc: b@example.net\n\nx\n")); err != nil {
		t.Fatal(err)
	}
	got := server.Messages()[0]
	if string(got.Data) != "From: a@example.com\r\n\r\nx\r\n" || !slices.Equal(got.To, []string{"b@example.net"}) {
		t.Errorf("%q arrived for %q", got.Data, got.To)
	}
}

// TestRawFails: a message that fails in the middle, or is not what it was when
// MAIL described it, is not sent to its end.
func TestRawFails(t *testing.T) {
	t.Parallel()
	text := "A: b\r\n\r\n" + strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 2000)
	for kind, connection := range inBothForms() {
		for name, open := range map[string]func() (io.ReadCloser, error){
			"gone":      failingLater(text, func() (io.ReadCloser, error) { return nil, os.ErrNotExist }),
			"broken":    failingLater(text, broken(50_000)),
			"shorter":   changing(text, text[:len(text)-1000]),
			"longer":    changing(text, text+"x\r\n"),
			"now 8-bit": changing(text, strings.ReplaceAll(text, "dull", "d\xfcll")),
			"bare CR":   changing(text, strings.ReplaceAll(text, "dull", "d\rll")),
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, server := connection(t)
				if err := c.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				m := rawLetter("")
				m.Raw = smtp.File{Open: open}
				result, err := c.Send(t.Context(), m)
				c.Close()
				<-server.done
				if server.ended || err == nil || result.Recipients[0].Outcome != smtp.NotSent {
					t.Errorf("ended: %v, %v, %v", server.ended, result.Recipients[0].Outcome, err)
				}
			})
		}
	}
}

// failingLater opens content once, and then what another function opens.
func failingLater(content string, then func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	opened := 0
	return func() (io.ReadCloser, error) {
		if opened++; opened == 1 {
			return opener(content)()
		}
		return then()
	}
}

// TestRawAgain: a message for more recipients than go in one transaction is opened
// again for each, and closed.
func TestRawAgain(t *testing.T) {
	t.Parallel()
	for times, fails := range map[int]bool{10: false, 2: true} {
		inSession(t, &smtp.Options{MaxRecipients: 1}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
			m := rawLetter("A: b\r\n\r\nc\r\n")
			open := m.Raw.Open
			file := &countedFile{source: func() (io.ReadCloser, error) {
				if times--; times < 0 {
					return nil, errDisk
				}
				return open()
			}}
			m.Raw.Open = file.open
			m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: "carol@example.org"})
			result, err := c.Send(t.Context(), m)
			if fails != errors.Is(err, errDisk) || result.Recipients[0].Outcome != smtp.Accepted || fails != (result.Recipients[1].Outcome == smtp.NotSent) {
				t.Errorf("%v, %v", result.Recipients, err)
			}
			if file.opened != file.closed {
				t.Errorf("%d times opened, %d times closed", file.opened, file.closed)
			}
		})
	}
}

// TestEndlessRaw: what never ends is read until it exceeds its size, or until the
// context ends.
func TestEndlessRaw(t *testing.T) {
	t.Parallel()
	read := 0
	ctx, cancel := context.WithCancel(t.Context())
	endlessly := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			for n, err := io.WriteString(w, "A: b\r\n\r\n"); err == nil; n, err = io.WriteString(w, "endless\r\n") {
				if read += n; read > 1<<20 {
					cancel()
				}
			}
		}()
		return r, nil
	}
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		m := rawLetter("")
		m.Raw = smtp.File{Open: endlessly, Size: 100}
		var field *smtp.FieldError
		if _, err := c.Send(t.Context(), m); !errors.As(err, &field) || read > 1000 {
			t.Errorf("%d octets were read: %v", read, err)
		}
		m.Raw.Size = 0
		if result, err := c.Send(ctx, m); !errors.As(err, &field) || !errors.Is(err, context.Canceled) || result.Recipients[0].Outcome != smtp.NotSent {
			t.Errorf("%v, %v", result.Recipients, err)
		}
		if err := c.Noop(t.Context()); err != nil {
			t.Errorf("the session is over: %v", err)
		}
	})
}

// TestEndlessAttachedMessage: the same for a message in a message, which is read to
// see whether it can go as it is.
func TestEndlessAttachedMessage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{{Name: "a.eml", Type: "message/rfc822", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 10 {
				cancel()
			}
			return copy(p, "endless\r\n"), nil
		})), nil
	}}}
	inSession(t, nil, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		var field *smtp.FieldError
		if _, err := c.Send(ctx, m); !errors.As(err, &field) || !errors.Is(err, context.Canceled) || reads > 20 {
			t.Errorf("after %d reads: %v", reads, err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestRawIsWhatItIs: what the envelope says of its body does not change how it is
// sent.
func TestRawIsWhatItIs(t *testing.T) {
	t.Parallel()
	inSession(t, &smtp.Options{Chunking: true}, func(t *testing.T, c *smtp.Client, server *faultyServer) {
		m := rawLetter("A: b\n\nc\n")
		m.Delivery.Body = smtp.BodyBinary
		if _, err := c.Send(t.Context(), m); err != nil || server.mails[0].content.String() != "A: b\r\n\r\nc\r\n" {
			t.Errorf("%q, %v", server.mails[0].content.String(), err)
		}
	})
}

// TestRawIsAskedForInUTF8: what the caller knows of the parts of a message counts.
func TestRawIsAskedForInUTF8(t *testing.T) {
	t.Parallel()
	for offers, want := range map[string]string{"SMTPUTF8": "MAIL FROM:<ann@example.com> SMTPUTF8", "DSN": ""} {
		m := rawLetter("A: b\r\n\r\nc\r\n")
		m.Delivery.UTF8 = true
		server, err := sendToRecorder(t, &recorder{offers: offers}, nil, m)
		if server.mail != want || (want == "") != errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("where %s is offered: %q, %v", offers, server.mail, err)
		}
	}
}

// TestSignedInUTF8: of a header in two forms, the one with the address is signed.
func TestSignedInUTF8(t *testing.T) {
	t.Parallel()
	m := letter("bøb@example.net")
	server, err := sendToRecorder(t, &recorder{offers: "SMTPUTF8"}, &smtp.Options{Signer: &hashSigner{}}, m)
	if err != nil || !strings.Contains(server.content, "\r\nTo: bøb@example.net\r\n") {
		t.Errorf("%v\n%s", err, server.content)
	}
	if _, err := sendToRecorder(t, &recorder{}, &smtp.Options{Signer: &hashSigner{}}, m); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// TestRawWriterFails: the error of the writer is the writer's.
func TestRawWriterFails(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"A: b\r\n\r\nc", "A: b\r\n\r\n" + strings.Repeat("long\r\n", 100_000), "A: b\r\n\r\n\x00"} {
		if _, err := rawLetter(content).WriteTo(fullDisk{}); err != errDisk {
			t.Errorf("%d octets: %v", len(content), err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errDisk }

// TestRawPrepared: a prepared one is sent like any other, and nothing was read yet.
func TestRawPrepared(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := mailerTo(t, server)
	m := rawLetter("A: b\r\n\r\nc\r\n")
	file := &countedFile{source: m.Raw.Open}
	m.Raw.Open = file.open
	prepared, err := m.Prepare()
	if err != nil || file.opened != 0 {
		t.Fatal(err, file.opened)
	}
	if _, err := mailer.Send(t.Context(), prepared); err != nil || file.opened != file.closed {
		t.Fatal(err, file)
	}
}
