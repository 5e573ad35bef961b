package smtptest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// at is a fault at one command.
func at(command string, fault smtptest.Fault) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if step.Command != command {
			return nil
		}
		return &fault
	}
}

func outcomes(result *smtp.Result) string {
	var all []string
	for _, r := range result.Recipients {
		all = append(all, fmt.Sprint(r.Outcome))
	}
	return strings.Join(all, ", ")
}

// TestFaults: what the sender is told, and what has arrived.
func TestFaults(t *testing.T) {
	t.Parallel()
	no, busy := &smtptest.Refusal{Code: 550, Text: "no"}, &smtptest.Refusal{Code: 421, Text: "busy"}
	for _, test := range []struct {
		command string
		fault   smtptest.Fault
		want    string
		arrived int
	}{
		{"CONNECT", smtptest.Fault{Refusal: no}, "not sent", 0},
		{"CONNECT", smtptest.Fault{Refusal: busy}, "not sent", 0},
		{"CONNECT", smtptest.Fault{Drop: true}, "not sent", 0},
		{"EHLO", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 502}}, "accepted", 1}, // by HELO
		{"EHLO", smtptest.Fault{Refusal: busy}, "not sent", 0},
		{"MAIL", smtptest.Fault{Refusal: no}, "refused", 0},
		{"MAIL", smtptest.Fault{Refusal: busy}, "refused", 0},
		{"MAIL", smtptest.Fault{Drop: true}, "not sent", 0},
		{"RCPT", smtptest.Fault{Refusal: no}, "refused", 0},
		{"DATA", smtptest.Fault{Refusal: no}, "refused", 0},
		{"DATA", smtptest.Fault{Drop: true}, "not sent", 0},
		{"DATA", smtptest.Fault{Drop: true, After: 1}, "not sent", 0},
		{"DATA", smtptest.Fault{Drop: true, After: 50_000}, "not sent", 0},
		{"DATA", smtptest.Fault{Refusal: no, After: 50_000}, "refused", 0},
		{"DATA", smtptest.Fault{Refusal: busy, After: 50_000}, "refused", 0},
		{"DATA", smtptest.Fault{Delay: time.Minute, After: 50_000}, "accepted", 1},
		{"DATA", smtptest.Fault{Delay: time.Hour, After: 50_000}, "not sent", 0},
		{"DATA", smtptest.Fault{Drop: true, After: 1_000_000}, "accepted", 1}, // It has not so many.
		{"BDAT", smtptest.Fault{Refusal: no}, "refused", 0},
		{"BDAT", smtptest.Fault{Refusal: no, After: 50_000}, "refused", 0},
		{"BDAT", smtptest.Fault{Drop: true, After: 50_000}, "not sent", 0},
		{"BDAT", smtptest.Fault{Delay: time.Second}, "accepted", 1},
		{"END", smtptest.Fault{Refusal: no}, "refused", 0},
		{"END", smtptest.Fault{Refusal: busy}, "refused", 0},
		{"END", smtptest.Fault{Drop: true}, "unknown", 1},
		{"END", smtptest.Fault{Delay: time.Minute}, "accepted", 1},
		{"END", smtptest.Fault{Delay: time.Hour}, "unknown", 1},
		{"END", smtptest.Fault{Refusal: no, Drop: true}, "unknown", 0},
		{"END", smtptest.Fault{Inject: "220 what?\r\n"}, "accepted", 1},
		{"QUIT", smtptest.Fault{Drop: true}, "accepted", 1},
	} {
		t.Run(fmt.Sprintf("%s %+v", test.command, test.fault), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := inClear(func(s *smtptest.Server) { s.On = at(test.command, test.fault) })
				defer server.Close()
				mailer := server.Mailer()
				mailer.Options.Chunking = test.command == "BDAT"
				m := letter("bob@example.net")
				m.Attachments = []smtp.File{smtp.FileBytes("data.bin", make([]byte, 200_000))}
				result, err := mailer.Send(t.Context(), m)
				mailer.Close()
				if outcomes(result) != test.want || len(server.Messages()) != test.arrived || (err == nil) != (test.want == "accepted") {
					t.Errorf("%s, and %d arrived: %v", outcomes(result), len(server.Messages()), err)
				}
			})
		})
	}
}

// TestDelayMidway: what goes wrong after so many octets does so once, of however many chunks
// they are.
func TestDelayMidway(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"DATA", "BDAT"} {
		synctest.Test(t, func(t *testing.T) {
			server := inClear(func(s *smtptest.Server) { s.On = at(command, smtptest.Fault{After: 50_000, Delay: time.Minute}) })
			defer server.Close()
			mailer := server.Mailer()
			mailer.Options.Chunking = command == "BDAT"
			defer mailer.Close()
			m := letter("bob@example.net")
			m.Attachments = []smtp.File{smtp.FileBytes("data.bin", make([]byte, 200_000))}
			began := time.Now()
			if _, err := mailer.Send(t.Context(), m); err != nil || time.Since(began) != time.Minute {
				t.Errorf("%s: it took %v: %v", command, time.Since(began), err)
			}
		})
	}
}

// TestStartTLSFaults: STARTTLS that is refused, answered by somebody in between, or
// not answered at all.
func TestStartTLSFaults(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]smtptest.Fault{
		"454":                {Refusal: &smtptest.Refusal{Code: 454, Text: "later"}},
		"EOF":                {Drop: true},
		"injecting commands": {Inject: "250 injected\r\n"},
	} {
		server := smtptest.NewServer(t, func(s *smtptest.Server) { s.On = at("STARTTLS", fault) })
		if err := sendTo(t, server, letter("bob@example.net")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v", want, err)
		}
	}
}

// TestSteps: what On is asked, and in which order.
func TestSteps(t *testing.T) {
	t.Parallel()
	var asked []string
	server := inClear(func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			asked = append(asked, strings.TrimSpace(fmt.Sprintln(step.Session, step.Message, step.Command, step.Address)))
			return nil
		}
	})
	defer server.Close()
	for range 2 {
		converse(t, server, enveloped+`
			C: RCPT TO:<carol@@example.org>
			S: 501
			C! "BDAT 1\r\na"
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<bob@example.net>
			S: 250
			C: DATA
			S: 354
			C: .
			S: 250
			C: VRFY bob
			S: 252
			C: QUIT
			S: 221
			S: (goes)`)
	}
	want := `1 0 CONNECT
1 0 EHLO
1 1 MAIL ann@example.com
1 1 RCPT bob@example.net
1 1 BDAT
1 1 RSET
1 2 MAIL
1 2 RCPT bob@example.net
1 2 DATA
1 2 END
1 0 VRFY
1 0 QUIT
`
	want += strings.NewReplacer("\n1 0", "\n2 0", "\n1 1", "\n2 3", "\n1 2", "\n2 4").Replace("\n" + want)[1:]
	if got := strings.Join(asked, "\n") + "\n"; got != want {
		t.Errorf("asked\n%swant\n%s", got, want)
	}
}

// TestFaultInReply: refusals of several lines, what stands behind a reply, greetings
// that refuse, and faults that make no sense.
func TestFaultInReply(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command string
		fault   smtptest.Fault
		script  string
	}{
		"several lines": {"NOOP", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 7, 1}, Text: "no,\r\nand no"}}, begun + `
			C: NOOP
			S: 550-5.7.1 no,
			S: 550 5.7.1 and no`},
		"behind the reply": {"RSET", smtptest.Fault{Inject: "250 more\r\n"}, begun + `
			C: RSET
			C: RSET
			S: 250 2.0.0 Forgotten
			S: 250 more
			S: 250 2.0.0 Forgotten
			S: 250 more`},
		"the greeting": {"CONNECT", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 554, Text: "no service"}}, `
			S: 554 5.0.0 no service
			C: EHLO client.example.com
			S: 503
			C: QUIT
			S: 221
			S: (goes)`},
		"421": {"RSET", smtptest.Fault{Refusal: &smtptest.Refusal{Code: 421, Text: "enough"}}, begun + `
			C: RSET
			C: RSET
			S: 421 4.0.0 enough
			S: (goes)`},
		"the replies before a drop are heard": {"RCPT", smtptest.Fault{Drop: true}, begun + `
			C: MAIL FROM:<>
			C: RCPT TO:<bob@example.net>
			S: 250
			S: (goes)`},
		"After at MAIL": {"MAIL", smtptest.Fault{After: 1, Drop: true}, begun + `
			C: MAIL FROM:<>
			S: 554 5.3.5 smtptest: a Fault at MAIL cannot have After`},
		"Drop with Inject": {"MAIL", smtptest.Fault{Inject: "x", Drop: true}, begun + `
			C: MAIL FROM:<>
			S: 554 5.3.5 smtptest: a Fault with Drop cannot have Inject`},
		"a chunk that is refused on its way": {"BDAT", smtptest.Fault{After: 3, Refusal: &smtptest.Refusal{Code: 552, Text: "no"}}, enveloped + `
			C! "BDAT 2\r\nabBDAT 2\r\ncdBDAT 1 LAST\r\ne"
			S: 250
			S: 552
			S: 503`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := inClear(func(s *smtptest.Server) { s.On = at(test.command, test.fault) })
			defer server.Close()
			converse(t, server, test.script)
		})
	}
}

// TestLMTP: each recipient has an answer of his own, and the message is for those
// whose answer was yes.
func TestLMTP(t *testing.T) {
	t.Parallel()
	for _, chunking := range []bool{false, true} {
		server := smtptest.NewServer(t, func(s *smtptest.Server) {
			s.LMTP = true
			s.On = func(step smtptest.Step) *smtptest.Fault {
				switch {
				case step.Command == "END" && step.Address == "carol@example.org":
					return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 452, Text: "full"}}
				case step.Command == "END" && step.Address == "eve@example.org":
					return &smtptest.Fault{Drop: true}
				}
				return nil
			}
		})
		mailer := server.Mailer()
		defer mailer.Close()
		mailer.Options.Chunking = chunking
		result, err := mailer.Send(t.Context(), letter("bob@example.net", "carol@example.org", "eve@example.org", "dan@example.net"))
		if err == nil || outcomes(result) != "accepted, refused, unknown, unknown" {
			t.Errorf("%s, %v", outcomes(result), err)
		}
		if got := server.Messages(); len(got) != 1 || !slices.Equal(got[0].To, []string{"bob@example.net", "eve@example.org", "dan@example.net"}) || len(got[0].Recipients) != 3 {
			t.Errorf("what arrived: %+v", got)
		}
	}
}

// TestLMTPMidway: a content that is refused in its middle, or by its last chunk, has all
// of its replies, for which a client would else wait.
func TestLMTPMidway(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"DATA", "BDAT"} {
		for after := range int64(2) {
			synctest.Test(t, func(t *testing.T) {
				server := inClear(func(s *smtptest.Server) {
					s.LMTP, s.On = true, at(command, smtptest.Fault{After: after, Refusal: &smtptest.Refusal{Code: 552, Text: "no"}})
				})
				defer server.Close()
				mailer := server.Mailer()
				mailer.Options.Chunking = command == "BDAT"
				defer mailer.Close()
				began := time.Now()
				result, err := mailer.Send(t.Context(), letter("bob@example.net", "carol@example.org"))
				if outcomes(result) != "refused, refused" || time.Since(began) > 0 {
					t.Errorf("%s after %d: %s, %v", command, after, outcomes(result), err)
				}
			})
		}
	}
}

// TestMechanisms: each of them takes the right credentials and no others.
func TestMechanisms(t *testing.T) {
	t.Parallel()
	token := func(s string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return s, nil }
	}
	mechanisms := map[string]func(user, password string) smtp.Mechanism{
		"PLAIN": smtp.Plain, "LOGIN": smtp.Login, "CRAM-MD5": smtp.CRAMMD5, "SCRAM-SHA-256": smtp.SCRAMSHA256,
		"OAUTHBEARER": func(user, password string) smtp.Mechanism { return smtp.OAuthBearer(user, token(password)) },
		"XOAUTH2":     func(user, password string) smtp.Mechanism { return smtp.XOAUTH2(user, token(password)) },
	}
	for name, mechanism := range mechanisms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.NewServer(t, func(s *smtptest.Server) {
				s.Users = map[string]string{"ann=x,y@example.com": "secret", "bob": "other"}
				s.Mechanisms = []string{name}
			})
			for password, want := range map[string]bool{"secret": true, "other": false} {
				for _, user := range []string{"ann=x,y@example.com", "eve"} {
					mailer := server.Mailer()
					mailer.Auth = []smtp.Mechanism{mechanism(user, password)}
					_, err := mailer.Send(t.Context(), letter("bob@example.net"))
					mailer.Close()
					if user == "eve" {
						want = false
					}
					var e *smtp.Error
					if (err == nil) != want || !want && (!errors.As(err, &e) || e.Reply.Code != 535 || e.Reply.Status.String() != "5.7.8") {
						t.Errorf("%s with %s: %v", user, password, err)
					}
				}
			}
			if got := server.Messages(); len(got) != 1 || got[0].Username != "ann=x,y@example.com" {
				t.Errorf("what arrived: %+v", got)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	for _, server := range []*smtptest.Server{{Mechanisms: []string{"PLAIN", "NTLM"}}, {ImplicitTLS: true, NoTLS: true}} {
		if err := server.Start(); err == nil {
			t.Errorf("it starts: %+v", server.Mechanisms)
		}
		if _, err := server.Mailer().Dial(t.Context()); err == nil {
			t.Error("it is dialled")
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestInMemory: all of it works without a network and in no time, TLS too; and when
// the server closes, no session is left, whatever it was at.
func TestInMemory(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*smtptest.Server){
		"STARTTLS": func(*smtptest.Server) {},
		"implicit": func(s *smtptest.Server) { s.ImplicitTLS = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &smtptest.Server{On: at("RCPT", smtptest.Fault{Delay: time.Hour})}
				configure(server)
				mailer := server.Mailer()
				mailer.Options.Timeouts.Command = 2 * time.Hour
				mailer.Auth = smtp.Password("user", "pencil")
				began := time.Now()
				if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != time.Hour || !server.Messages()[0].TLS {
					t.Errorf("it took %v", took)
				}
				mailer.Close()
				server.Close()
			})
		})
	}
}

// TestCloseEndsSessions: synctest fails if a goroutine is left.
func TestCloseEndsSessions(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"before EHLO":          "",
		"in a line":            "EHLO cl",
		"between commands":     "EHLO c\r\n",
		"in a delay":           "EHLO c\r\nRSET\r\n",
		"in a delay, buffered": "EHLO c\r\nRSET\r\n" + strings.Repeat("NOOP\r\n", 5000),
		"in a chunk":           "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 100\r\nabc",
		"in the content":       "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n|abc",
		"in AUTH":              "EHLO c\r\nAUTH PLAIN\r\n",
		"after QUIT":           "QUIT\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := inClear(func(s *smtptest.Server) { s.On, s.MaxConnections = at("RSET", smtptest.Fault{Delay: time.Hour}), 1 })
				conn, err := server.DialContext(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { // A client that does not wait for replies, but where it must.
					first, rest, _ := strings.Cut(said, "\r\n")
					in := bufio.NewReader(conn)
					in.ReadString('\n')
					fmt.Fprintf(conn, "%s\r\n", first)
					if rest != "" {
						for piece := range strings.SplitSeq(rest, "|") {
							hear(in, true)
							conn.Write([]byte(piece))
						}
					}
					for _, err := in.ReadByte(); err == nil; {
						_, err = in.ReadByte()
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if name != "after QUIT" {
					if _, err := server.DialContext(ctx, "", ""); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("one connection too many: %v", err)
					}
				}
				server.Close()
				server.Close()
				if _, err := server.DialContext(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}

// TestClientGoes: a client that goes ends its session, also in the middle of a delay.
func TestClientGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := inClear(func(s *smtptest.Server) { s.On, s.MaxConnections = at("EHLO", smtptest.Fault{Delay: time.Hour}), 1 })
		began := time.Now()
		for range 3 {
			conn, err := server.DialContext(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			bufio.NewReader(conn).ReadString('\n')
			fmt.Fprintf(conn, "EHLO c\r\n")
			conn.Close()
		}
		server.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestRecorderIsReal: its results and errors are those of real servers, for many at once.
func TestRecorderIsReal(t *testing.T) {
	t.Parallel()
	recorder := &smtptest.Recorder{Server: smtptest.Server{MaxRecipients: 10, On: func(step smtptest.Step) *smtptest.Fault {
		switch {
		case step.Command == "RCPT" && step.Address == "nobody@example.net":
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Text: "no such user"}}
		case step.Command == "END" && step.Message == 1:
			return &smtptest.Fault{Drop: true}
		}
		return nil
	}}}
	result, err := recorder.Send(t.Context(), letter("bob@example.net", "nobody@example.net"))
	var some *smtp.RecipientsError
	if !errors.As(err, &some) || outcomes(result) != "unknown, refused" {
		t.Errorf("%s, %v", outcomes(result), err)
	}
	var senders sync.WaitGroup
	for range 50 {
		senders.Go(func() {
			if _, err := recorder.Send(t.Context(), letter("bob@example.net")); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if n := len(recorder.Messages()); n != 51 {
		t.Errorf("%d messages are kept", n)
	}
	if _, err := recorder.Send(t.Context(), letter()); err == nil {
		t.Error("a message without recipients is taken")
	}
	recorder = &smtptest.Recorder{Server: smtptest.Server{ImplicitTLS: true, LMTP: true, Offer: []string{"SMTPUTF8"}}}
	if _, err := recorder.Send(t.Context(), letter("太郎@example.net")); err != nil || !recorder.Messages()[0].TLS || recorder.Messages()[0].MailParams["SIZE"] == "" {
		t.Errorf("%v, %+v", err, recorder.Messages())
	}
}

// FuzzServer plays any octets as a client: the server does not panic, keeps no more
// than it may, says nothing but replies, and ends, by 421 if nothing else.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\na\r\n.\r\n",
		"EHLO c\r\nMAIL FROM:<\"a>\\\"\"@b> SIZE=1 BODY=8BITMIME\r\nRCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a+2Bb\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nQUIT\r\n",
		"EHLO c\r\nAUTH CRAM-MD5\r\n=\r\nAUTH SCRAM-SHA-256 biwsbj11c2VyLHI9eA==\r\nAUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHgBAQ==\r\n\r\n",
		"HELO [IPv6:::1]\r\nVRFY\r\nNOOP \xff\r\nSTARTTLS\r\n", "EHLO c\nRSET\r", "BDAT 99999999999999 LAST\r\n", strings.Repeat("x", 20000),
	} {
		f.Add([]byte(seed), byte(7))
	}
	f.Fuzz(func(t *testing.T, said []byte, seed byte) {
		synctest.Test(t, func(t *testing.T) { playAny(t, said, seed) })
	})
}

func playAny(t *testing.T, said []byte, seed byte) {
	server := inClear(func(s *smtptest.Server) {
		s.MaxMessageBytes, s.MaxMessages, s.MaxRecipients = 1000, 3, 3
		s.Mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"}
		s.Offer, s.LMTP = []string{"SMTPUTF8", "BINARYMIME"}, seed&1 == 1
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if seed&2 == 0 || int(seed)%(len(step.Command)+1) > 0 {
				return nil
			}
			fault := &smtptest.Fault{After: int64(seed & 4), Drop: seed&8 > 0}
			if seed&16 > 0 {
				fault.Refusal = &smtptest.Refusal{Code: 552}
			}
			return fault
		}
	})
	conn, err := server.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for piece := range slices.Chunk(said, int(seed)%50+1) { // None waits for a reply.
			conn.Write(piece)
		}
		conn.Write([]byte("\r\n.\r\nQUIT\r\n"))
	}()
	for replies := bufio.NewScanner(conn); replies.Scan(); {
		if line := replies.Bytes(); len(line) < 4 || line[0] < '2' || line[0] > '5' || bytes.ContainsAny(line, "\r\x00") {
			t.Errorf("the server said %q", line)
		}
	}
	server.Close()
	for _, m := range server.Messages() {
		if len(m.Data) > 1000 || len(m.To) == 0 || len(m.To) > 3 {
			t.Errorf("kept %d octets for %q", len(m.Data), m.To)
		}
	}
}
