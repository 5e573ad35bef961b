package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// TestChannelBinding: SCRAM-…-PLUS is bound to the very TLS connection, and what a
// man in the middle passes on is of no use.
func TestChannelBinding(t *testing.T) {
	t.Parallel()
	for hash, generator := range map[string]scram.HashGeneratorFcn{"SCRAM-SHA-1": scram.SHA1, "SCRAM-SHA-256": scram.SHA256, "SCRAM-SHA-512": scram.SHA512} {
		for _, inBetween := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, man in the middle: %v", hash, inBetween), func(t *testing.T) {
				t.Parallel()
				ours, theirs := tcpPair(t)
				server := &scramServer{generator: generator, name: hash + "-PLUS", t: t}
				if inBetween {
					theirs = interceptTLS(t, theirs)
				}
				done := server.start(theirs)
				c := overTLS(t, ours)
				err := c.Auth(t.Context(), smtp.Password("user", "pencil")...)
				c.Close()
				<-done
				if server.mechanism != hash+"-PLUS" || (err == nil) == inBetween || server.accepted == inBetween {
					t.Errorf("by %s: %v, accepted: %v", server.mechanism, err, server.accepted)
				}
			})
		}
	}
}

// TestPlusNeedsTLS13: without it there is nothing to bind to, and the next
// mechanism is tried.
func TestPlusNeedsTLS13(t *testing.T) {
	t.Parallel()
	ours, theirs := tcpPair(t)
	server := &scramServer{generator: scram.SHA256, name: "SCRAM-SHA-256", also: " SCRAM-SHA-256-PLUS", version: tls.VersionTLS12, t: t}
	done := server.start(theirs)
	c := overTLS(t, ours)
	err := c.Auth(t.Context(), smtp.SCRAMSHA256Plus("user", "pencil"), smtp.SCRAMSHA256("user", "pencil"))
	c.Close()
	<-done
	if err != nil || !server.accepted || server.mechanism != "SCRAM-SHA-256" {
		t.Errorf("by %s: %v", server.mechanism, err)
	}
	if _, err := smtp.SCRAMSHA1Plus("user", "pencil").Start(t.Context(), smtp.ServerInfo{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// overTLS makes a session with TLS from the start, past its greeting.
func overTLS(t *testing.T, conn net.Conn) *smtp.Client {
	t.Helper()
	_, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"}), nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// interceptTLS ends the client's TLS, and speaks its own with the server: one
// that has a certificate which the client trusts.
func interceptTLS(t *testing.T, near net.Conn) (theirs net.Conn) {
	t.Helper()
	certificate, roots, err := testcert.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	far, theirs := tcpPair(t)
	clear := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{certificate}})
	onward := tls.Client(far, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	go func() {
		io.Copy(onward, clear)
		onward.Close()
	}()
	go func() {
		io.Copy(clear, onward)
		clear.Close()
	}()
	return theirs
}

// scramServer knows a user and his password, and one mechanism.
type scramServer struct {
	generator  scram.HashGeneratorFcn
	name, also string
	version    uint16 // of TLS, at most
	t          *testing.T

	mechanism string // that the client chose
	accepted  bool
}

func (s *scramServer) start(raw net.Conn) <-chan struct{} {
	certificate, _, err := testcert.Loopback()
	if err != nil {
		s.t.Fatal(err)
	}
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: s.version})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		s.serve(conn)
	}()
	return done
}

func (s *scramServer) serve(conn *tls.Conn) {
	lines := bufio.NewReader(conn)
	say := func(reply string) string {
		io.WriteString(conn, reply+"\r\n")
		line, _ := lines.ReadString('\n')
		return strings.TrimSpace(line)
	}
	say("220 mx")
	words := strings.Fields(say("250-mx\r\n250 AUTH PLAIN " + s.name + s.also))
	if len(words) < 3 {
		return
	}
	s.mechanism = words[1]
	conversation := s.conversation(conn)
	response := words[2]
	for !conversation.Done() {
		message, _ := base64.StdEncoding.DecodeString(response)
		challenge, err := conversation.Step(string(message))
		if err != nil {
			say("535 5.7.8 no")
			return
		}
		response = say("334 " + base64.StdEncoding.EncodeToString([]byte(challenge)))
	}
	s.accepted = conversation.Valid()
	say("235 welcome")
}

func (s *scramServer) conversation(conn *tls.Conn) *scram.ServerConversation {
	client, err := s.generator.NewClient("user", "pencil", "")
	if err != nil {
		s.t.Error(err)
	}
	credentials, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	if err != nil {
		s.t.Error(err)
	}
	server, err := s.generator.NewServer(func(string) (scram.StoredCredentials, error) { return credentials, nil })
	if err != nil {
		s.t.Error(err)
	}
	if !strings.HasSuffix(s.mechanism, "-PLUS") {
		return server.NewConversation()
	}
	state := conn.ConnectionState()
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		s.t.Error(err)
	}
	return server.NewConversationWithChannelBinding(binding)
}

// TestBadCredentials: what no mechanism can carry is found before anything is sent.
func TestBadCredentials(t *testing.T) {
	t.Parallel()
	for _, credentials := range [][2]string{{"", "x"}, {"x", ""}, {"a\x00b", "x"}, {"x", "a\x00b"}} {
		user, password := credentials[0], credentials[1]
		for _, mechanism := range append(smtp.Password(user, password), smtp.CRAMMD5(user, password)) {
			info := smtp.ServerInfo{TLS: &tls.ConnectionState{Version: tls.VersionTLS13}}
			if _, err := mechanism.Start(t.Context(), info); err == nil {
				t.Errorf("%s: %q passed", mechanism.Name(), credentials)
			}
		}
	}
	if _, err := smtp.SCRAMSHA256("x", "pass\u0007word").Start(t.Context(), smtp.ServerInfo{}); err == nil || strings.Contains(err.Error(), "word\"") {
		t.Errorf("a control character: %v", err)
	}
	for _, token := range []string{"", "a b", "a\x01b", "a\nb", "ä"} {
		for _, mechanism := range smtp.OAuth("ann", func(context.Context) (string, error) { return token, nil }) {
			if _, err := mechanism.Start(t.Context(), smtp.ServerInfo{}); err == nil || token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("%s: the token %q: %v", mechanism.Name(), token, err)
			}
		}
	}
	for _, user := range []string{"", "a\x01b"} {
		for _, mechanism := range smtp.OAuth(user, func(context.Context) (string, error) { return "token", nil }) {
			if _, err := mechanism.Start(t.Context(), smtp.ServerInfo{}); err == nil {
				t.Errorf("%s: the user %q passed", mechanism.Name(), user)
			}
		}
	}
}

// TestMechanismsHideSecrets: no verb shows what a mechanism or its exchange knows.
func TestMechanismsHideSecrets(t *testing.T) {
	t.Parallel()
	const secret = "tr0ub4dor&3-horse"
	mechanisms := append(smtp.Password("ann", secret), smtp.CRAMMD5("ann", secret))
	mechanisms = append(mechanisms, smtp.OAuth("ann", func(context.Context) (string, error) { return secret, nil })...)
	for _, mechanism := range mechanisms {
		client, err := mechanism.Start(t.Context(), smtp.ServerInfo{Name: "mx"})
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
		mailer := &smtp.Mailer{Auth: []smtp.Mechanism{mechanism}}
		for _, v := range []any{mechanism, client, mailer, mailer.Auth} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				if shown := fmt.Sprintf(verb, v); strings.Contains(shown, "horse") || strings.Contains(shown, fmt.Sprintf("%x", secret)) {
					t.Errorf("%s of %s is %s", verb, mechanism.Name(), shown)
				}
			}
		}
	}
}

// TestTokensAreShared: those who need a token at the same time share one request;
// a context that ends it ends it for its owner alone.
func TestTokensAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		mechanisms := smtp.OAuth("ann", func(ctx context.Context) (string, error) {
			calls++
			select {
			case <-time.After(time.Minute):
				return fmt.Sprint("token", calls), nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		start := func(ctx context.Context, i int) error {
			_, err := mechanisms[i%2].Start(ctx, smtp.ServerInfo{})
			return err
		}
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				if err := start(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if calls != 1 {
			t.Errorf("a token was asked for %d times", calls)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		group.Go(func() {
			if err := start(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i := range 10 {
			group.Go(func() {
				if err := start(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if calls != 3 {
			t.Errorf("a token was asked for %d times", calls)
		}
	})
}

// TestTokenFails: without a token there is no authentication, and the cause is told.
func TestTokenFails(t *testing.T) {
	t.Parallel()
	for _, mechanism := range smtp.OAuth("ann", func(context.Context) (string, error) { return "", errDisk }) {
		if _, err := mechanism.Start(t.Context(), smtp.ServerInfo{}); !errors.Is(err, errDisk) {
			t.Error(err)
		}
	}
}

// TestOneLoginAtATime: as long as nothing is known to work, sessions wait for the
// first to authenticate; a wrong password is not tried by each of them.
func TestOneLoginAtATime(t *testing.T) {
	t.Parallel()
	for _, right := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			attempts, under, most := 0, 0, 0
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, Auth: []smtp.Mechanism{smtp.Plain("ann", "secret")}, MaxConns: 20}
			mailer.Options.PlaintextAuth = true
			mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				recordAs(theirs, &recorder{offers: "AUTH PLAIN", auth: func() string {
					mu.Lock()
					attempts++
					under++
					most = max(most, under)
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					defer mu.Unlock()
					if under--; right {
						return "235 welcome"
					}
					return "535 5.7.8 wrong"
				}})
				return ours, nil
			}
			start := time.Now()
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					if _, err := mailer.Send(t.Context(), letter("bob@example.net")); (err == nil) != right {
						t.Error(err)
					}
				})
			}
			group.Wait()
			mailer.Close()
			if right && (attempts != 20 || most != 19 || time.Since(start) != 2*time.Second) || !right && attempts != 1 {
				t.Errorf("right: %v: %d attempts, %d at once, after %v", right, attempts, most, time.Since(start))
			}
		})
	}
}

// TestWhatWorkedComesFirst: a Mailer does not try in vain again what was in vain.
func TestWhatWorkedComesFirst(t *testing.T) {
	t.Parallel()
	var verbs []string
	mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, Auth: []smtp.Mechanism{smtp.CRAMMD5("ann", "secret"), smtp.Login("ann", "secret"), smtp.Plain("ann", "secret")}}
	mailer.Options.PlaintextAuth = true
	mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		recordAs(theirs, &recorder{offers: "AUTH PLAIN CRAM-MD5", auth: func() string {
			if verbs = append(verbs, "AUTH"); len(verbs) == 1 {
				return "504 5.5.4 unknown"
			}
			return "235 welcome"
		}})
		return ours, nil
	}
	for range 3 {
		c, err := mailer.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Quit(t.Context())
	}
	if len(verbs) != 4 {
		t.Errorf("%d attempts", len(verbs))
	}
}

// TestRepeatedSecrets: a server that repeats what it was told, in whatever way, does
// not bring it into an error, a log or a hook.
func TestRepeatedSecrets(t *testing.T) {
	t.Parallel()
	const password, token = "correct horse", "ya29.tokentokentokentoken"
	source := func(context.Context) (string, error) { return token, nil }
	for name, mechanism := range map[string]smtp.Mechanism{
		"PLAIN": smtp.Plain("ann", password), "LOGIN": smtp.Login("ann", password), "CRAM-MD5": smtp.CRAMMD5("ann", password),
		"XOAUTH2": smtp.XOAUTH2("ann", source), "OAUTHBEARER": smtp.OAuthBearer("ann", source),
	} {
		for _, format := range []string{"535 5.7.8 %s is wrong", "334/%s", "334%s", "535 %s" + strings.Repeat("x", 13_000), "235 ok\r\n334 %s", "535-a\r\n535 b %s"} {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				var said string
				recordAs(theirs, &recorder{offers: "AUTH " + name, authWith: func(heard []string) string {
					if last := heard[len(heard)-1]; len(heard) < 3 && (name == "LOGIN" || name == "CRAM-MD5" && len(heard) < 2) && last != "" {
						return "334 " + base64.StdEncoding.EncodeToString([]byte("<1@mx>"))
					}
					parts := strings.Fields(heard[len(heard)-1])
					code := parts[len(parts)-1]
					plain, _ := base64.StdEncoding.DecodeString(code)
					words := strings.FieldsFunc(string(plain), func(r rune) bool { return r <= 1 })
					said = words[len(words)-1]
					if name != "PLAIN" && name != "LOGIN" {
						said = said[strings.LastIndex(said, " ")+1:]
					}
					return fmt.Sprintf(format, said+" "+code)
				}})
				var shown strings.Builder
				c := smtp.NewClient(ours, &smtp.Options{
					PlaintextAuth: true,
					Logger:        slog.New(slog.NewTextHandler(&shown, &slog.HandlerOptions{Level: slog.LevelDebug})),
					Trace:         &smtp.Trace{Reply: func(_ context.Context, _ string, reply smtp.Reply) { fmt.Fprint(&shown, reply.Lines) }},
				})
				if err := c.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				err := c.Auth(t.Context(), mechanism)
				fmt.Fprint(&shown, err)
				_, err = c.Mail(t.Context(), smtp.Envelope{From: "ann@example.com"})
				fmt.Fprint(&shown, err)
				c.Close()
				if said == "" {
					t.Fatalf("%s: nothing was repeated", name)
				}
				for _, secret := range []string{password, token, said, base64.StdEncoding.EncodeToString([]byte(token))[:16], "Y29ycmVjdCBob3Jz"} {
					if strings.Contains(shown.String(), secret) {
						t.Errorf("%s, %.20s: %q is shown in\n%.2000s", name, format, secret, shown.String())
					}
				}
			})
		}
	}
}

// TestRefusalIsRemembered: sessions that were begun before the server refused the
// password do not try it again, whatever it does after that.
func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	for second, reply := range map[string]string{"refused": "535 5.7.8 wrong", "busy": "454 4.7.0 later", "throttled": "421 4.7.0 too many", "gone": ""} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			tries := 0
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSImplicit, Auth: []smtp.Mechanism{smtp.CRAMMD5("ann", "secret"), smtp.Plain("ann", "secret")}}
			certificate, roots, err := testcert.Loopback()
			if err != nil {
				t.Fatal(err)
			}
			mailer.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "localhost"}
			dials := 0
			mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
				mu.Lock()
				dials++
				wait := time.Duration(dials) * 10 * time.Millisecond
				mu.Unlock()
				time.Sleep(wait)
				ours, theirs := net.Pipe()
				over := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true})
				recordAs(over, &recorder{offers: "AUTH PLAIN CRAM-MD5", authWith: func(heard []string) string {
					mu.Lock()
					defer mu.Unlock()
					time.Sleep(time.Second)
					switch {
					case heard[len(heard)-1] == "CRAM-MD5":
						return "334 PDFAbXg+"
					case len(heard) == 2:
						tries++
						return "535 5.7.8 wrong"
					}
					if tries++; reply == "" {
						over.Close()
					}
					return reply
				}})
				return ours, nil
			}
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					_, err := mailer.Send(t.Context(), letter("bob@example.net"))
					var e *smtp.Error
					if !errors.As(err, &e) || e.Temporary() || e.Reply.Code != 535 {
						t.Errorf("%s: %v", second, err)
					}
				})
			}
			group.Wait()
			mailer.Close()
			if tries != 2 {
				t.Errorf("%s: the password was tried %d times", second, tries)
			}
		})
	}
}

// TestMechanismsThatCannot: what a mechanism lacks is an error, or leads on to the
// next one, and the connection is closed.
func TestMechanismsThatCannot(t *testing.T) {
	t.Parallel()
	var nobody func(context.Context) (string, error)
	long := func(context.Context) (string, error) { return strings.Repeat("x", 10_000), nil }
	for want, auth := range map[string][]smtp.Mechanism{
		"":                       {smtp.SCRAMSHA256("ann", "pass\U0001F600word"), smtp.Plain("ann", "pass\U0001F600word")},
		"no exchange":            {smtp.SASL("PLAIN", func(context.Context, smtp.ServerInfo) (sasl.Client, error) { return nil, nil })},
		"no function to start":   {smtp.SASL("PLAIN", nil)},
		"no function that":       smtp.OAuth("ann", nil),
		"there is no function t": {smtp.XOAUTH2("ann", nobody)},
		"line is too long":       {smtp.XOAUTH2("ann", long)},
		"a mechanism is nil":     {nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			var server *recorder
			mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, Auth: auth}
			mailer.Options.PlaintextAuth = true
			mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				server = recordAs(theirs, &recorder{offers: "AUTH SCRAM-SHA-256 PLAIN XOAUTH2", authWith: func(heard []string) string {
					switch heard[len(heard)-1] {
					case "XOAUTH2":
						return "334 "
					case "*":
						return "501 5.7.0 cancelled"
					}
					return "235 welcome"
				}})
				return ours, nil
			}
			_, err := mailer.Send(t.Context(), letter("bob@example.net"))
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q", err, want)
			}
			mailer.Close()
			<-server.done
		})
	}
}

// TestPanickingMechanism: the connection is closed, and others may go on.
func TestPanickingMechanism(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		panics := true
		var server *recorder
		mailer := &smtp.Mailer{Addr: "mx.example.net:25", TLS: smtp.TLSNone, Auth: []smtp.Mechanism{smtp.XOAUTH2("ann", func(context.Context) (string, error) {
			if panics {
				panic("no token today")
			}
			return "token", nil
		})}}
		mailer.Options.PlaintextAuth = true
		mailer.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			server = recordAs(theirs, &recorder{offers: "AUTH XOAUTH2"})
			return ours, nil
		}
		func() {
			defer func() { recover() }()
			mailer.Send(t.Context(), letter("bob@example.net"))
		}()
		<-server.done
		panics = false
		if _, err := mailer.Send(t.Context(), letter("bob@example.net")); err != nil {
			t.Error(err)
		}
		mailer.Close()
		<-server.done
	})
}
