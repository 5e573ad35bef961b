package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/testcert"
)

// hostileWay is how mails go over a session, and what the server offers.
type hostileWay struct {
	name       string
	offers     []string
	lmtp, bdat bool
	secure     bool // STARTTLS and AUTH
	implicit   bool // TLS from the start, and AUTH
	all        bool // behaviours, and the way of short mode
	utf8       bool // the mails need SMTPUTF8
	lie        func(secure bool, hello int) string
	handshake  func(s *hostileSession) bool
}

var hostileWays = []hostileWay{
	{name: "step by step"},
	{name: "pipelined", offers: []string{"PIPELINING"}, all: true},
	{name: "LMTP", offers: []string{"PIPELINING"}, lmtp: true},
	{name: "BDAT", offers: []string{"CHUNKING"}, bdat: true},
	{name: "BDAT pipelined", offers: []string{"PIPELINING", "CHUNKING"}, bdat: true},
	{name: "BDAT in LMTP", offers: []string{"PIPELINING", "CHUNKING"}, bdat: true, lmtp: true},
	{name: "pipelined, STARTTLS and AUTH", offers: []string{"PIPELINING"}, secure: true},
}

// ehlo is the reply to the n-th EHLO.
func (w hostileWay) ehlo(secure bool, n int) string {
	if w.lie != nil {
		return w.lie(secure, n)
	}
	return hostileEHLO(w.offered(secure)...)
}

func (w hostileWay) offered(secure bool) []string {
	offers := slices.Clone(w.offers)
	switch {
	case w.secure && !secure:
		offers = append(offers, "STARTTLS")
	case secure:
		offers = append(offers, "AUTH LOGIN")
	}
	return append(offers, "HELP")
}

func hostileEHLO(offers ...string) string {
	lines := append([]string{"mx.example.com at your service"}, offers...)
	return "250-" + strings.Join(lines[:len(lines)-1], "\r\n250-") + "\r\n250 " + lines[len(lines)-1]
}

// TestHostileServers behaves in every way at every step of every way to send. What
// must hold always is in check.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	for _, way := range hostileWays {
		for _, api := range hostileAPIs {
			if !way.all && (testing.Short() || api.few || api.name == "Verify" && !way.secure) {
				continue
			}
			t.Run(way.name+", "+api.name, func(t *testing.T) {
				t.Parallel()
				eachHostile(t, way, api)
			})
		}
	}
}

func eachHostile(t *testing.T, way hostileWay, api hostileAPI) {
	honest := hostileCase{way: way, api: api, behaviour: hostileBehaviour{name: "none", kind: always(harmless)}}
	steps := honest.run(t).sessions[0].steps
	cases := 0
	for turn, at := range steps {
		if at.n > 2 || at.n > 1 && !(api.all && way.all) {
			continue
		}
		for i, behaviour := range hostileBehaviours(way.all && !testing.Short(), turn) {
			if testing.Short() && (i+turn)%4 > 0 {
				continue
			}
			server := hostileCase{way: way, api: api, at: at, behaviour: behaviour}.run(t)
			if !server.sessions[0].hit {
				t.Errorf("%v %s was never come to", at, behaviour.name)
			}
			cases++
		}
	}
	t.Attr("hostile-servers", strconv.Itoa(cases))
}

// hostileCase is a server that behaves so at a step, and what is done with it.
type hostileCase struct {
	way       hostileWay
	api       hostileAPI
	at        hostileStep
	behaviour hostileBehaviour
}

func (c hostileCase) String() string {
	return fmt.Sprintf("%s, %s, %s %d, %s", c.way.name, c.api.name, c.at.name, c.at.n, c.behaviour.name)
}

// run has a case in fake time.
func (c hostileCase) run(t *testing.T) (server *hostileServer) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server = &hostileServer{way: c.way, at: c.at, behaviour: c.behaviour, over: make(chan struct{})}
		u := &hostileUse{hostileServer: server, log: &hostileLog{}}
		start := time.Now()
		c.api.use(t.Context(), u)
		took := time.Since(start)
		close(server.over)
		server.running.Wait()
		c.check(t, u, took)
	})
	return server
}

// hostileUse is what somebody does with a server, and what came of it.
type hostileUse struct {
	*hostileServer
	log     *hostileLog
	results []*smtp.Result
	errs    []error
}

func (u *hostileUse) note(err error) {
	if err != nil {
		u.errs = append(u.errs, err)
	}
}

func (u *hostileUse) noteResult(result *smtp.Result, err error) {
	u.results = append(u.results, result)
	u.note(err)
}

const hostilePassword = "correct horse battery staple"

func (u *hostileUse) options() smtp.Options {
	return smtp.Options{LMTP: u.way.lmtp, Chunking: u.way.bdat, ServerName: "localhost", Logger: u.log.logger()}
}

func hostileTLS() *tls.Config {
	_, roots, err := testcert.Loopback()
	if err != nil {
		panic(err)
	}
	return &tls.Config{RootCAs: roots, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// hostileAPI is a way to use the package.
type hostileAPI struct {
	name string
	all  bool // mails go behind each other
	pool bool // of a Mailer, which may have a second session
	few  bool // ways are enough
	use  func(ctx context.Context, u *hostileUse)
}

var hostileAPIs = []hostileAPI{
	{name: "Client.Send", use: useClient},
	{name: "Client.SendAll", all: true, use: useClientAll},
	{name: "Mailer.Send", few: true, pool: true, use: useMailer},
	{name: "Mailer.SendAll", all: true, pool: true, use: useMailerAll},
	{name: "Verify", pool: true, use: useVerify},
}

// enter brings a session to where mail can be sent.
func (u *hostileUse) enter(ctx context.Context) *smtp.Client {
	conn, _ := u.dial(ctx, "", "")
	opts := u.options()
	c := smtp.NewClient(conn, &opts)
	u.note(c.Hello(ctx))
	if u.way.secure {
		u.note(c.StartTLS(ctx, hostileTLS()))
		u.note(c.Hello(ctx))
		u.note(c.Auth(ctx, smtp.Login("ann", hostilePassword)))
	}
	return c
}

func useClient(ctx context.Context, u *hostileUse) {
	c := u.enter(ctx)
	u.noteResult(c.Send(ctx, hostileMails(u.way)[0]))
	u.note(c.Noop(ctx))
	_, err := c.Command(ctx, "VRFY bob")
	u.note(err)
	u.note(c.Reset(ctx))
	u.noteResult(c.Send(ctx, hostileMails(u.way)[1]))
	u.note(c.Quit(ctx))
}

func useClientAll(ctx context.Context, u *hostileUse) {
	c := u.enter(ctx)
	for result, err := range c.SendAll(ctx, slices.Values(hostileMails(u.way))) {
		u.noteResult(result, err)
	}
	u.note(c.Quit(ctx))
}

func (u *hostileUse) mailer() *smtp.Mailer {
	m := &smtp.Mailer{Addr: "mx.example.com:587", TLS: smtp.TLSNone, Options: u.options(), MaxConns: 1, DialContext: u.dial}
	switch {
	case u.way.secure:
		m.TLS = smtp.TLSRequired
	case u.way.implicit:
		m.TLS = smtp.TLSImplicit
	}
	if m.TLS != smtp.TLSNone {
		m.TLSConfig, m.Auth = hostileTLS(), []smtp.Mechanism{smtp.Login("ann", hostilePassword)}
	}
	return m
}

func useMailer(ctx context.Context, u *hostileUse) {
	m := u.mailer()
	for _, mail := range hostileMails(u.way) {
		u.noteResult(m.Send(ctx, mail))
	}
	m.Close()
}

func useMailerAll(ctx context.Context, u *hostileUse) {
	m := u.mailer()
	for result, err := range m.SendAll(ctx, slices.Values(hostileMails(u.way))) {
		u.noteResult(result, err)
	}
	m.Close()
}

func useVerify(ctx context.Context, u *hostileUse) {
	m := u.mailer()
	u.note(m.Verify(ctx))
	m.Close()
}

// hostileMails are the mails of every case: the second is of several blocks, and
// each is known by its sender.
func hostileMails(way hostileWay) []*smtp.Message {
	if way.utf8 {
		return hostileUTF8Mails()
	}
	return hostilePlainMails()
}

var (
	hostilePlainMails = sync.OnceValue(func() []*smtp.Message { return makeHostileMails("ann") })
	hostileUTF8Mails  = sync.OnceValue(func() []*smtp.Message { return makeHostileMails("änn") })
)

func makeHostileMails(local string) (list []*smtp.Message) {
	for i, text := range []string{"Hello.\r\n", strings.Repeat("All work and no play makes Jack a dull boy.\r\n.\r\n", 1500), "Bye.\r\n"} {
		m := &smtp.Message{Subject: fmt.Sprintf("mail %d", i), Text: text}
		m.From.Address = fmt.Sprintf("%s%d@example.com", local, i)
		for _, to := range []string{"one", "two"} {
			m.To = append(m.To, smtp.Address{Address: fmt.Sprintf("%s%d@example.net", to, i)})
		}
		prepared, err := m.Prepare()
		if err != nil {
			panic(err)
		}
		list = append(list, prepared)
	}
	return list
}
