package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postrider/smtp/internal/format"
)

// TLSPolicy says how a connection of a [Mailer] is protected: TLSRequired (zero),
// TLSImplicit, TLSOpportunistic or TLSNone.
type TLSPolicy uint8

// The values of [TLSPolicy].
const (
	TLSRequired TLSPolicy = iota // implicit TLS on port 465, STARTTLS on any other; never in the clear
	TLSImplicit                  // TLS from the start, on any port (RFC 8314, section 3)

	// TLSOpportunistic, for MX hosts (RFC 7435), takes whatever certificate comes,
	// and goes on in the clear where there is no STARTTLS, or on a new connection if
	// the handshake fails. Credentials go only if the certificate turns out to be
	// good. A check of the caller's own in TLSConfig leaves it as strict as ever.
	TLSOpportunistic

	TLSNone // in the clear; credentials only to this very host, or with Options.PlaintextAuth
)

// Mailer sends messages by one server. Set Addr and leave the rest zero. It may
// be used by many goroutines at once, keeps sessions for the next mail, and is
// not to be copied or changed once it is in use. Close it at the end.
type Mailer struct {
	Addr      string      // host and port, as in "smtp.example.com:587", or "unix:/path" for a local socket
	TLS       TLSPolicy   // zero: TLS is required, but not on a local socket
	TLSConfig *tls.Config // nil: the certificate must be valid for the host of Addr
	Auth      []Mechanism // best first; nil: no authentication
	Options   Options     // of each session

	MaxConns    int           // sessions at once, those of Dial aside; zero: 5
	MaxIdle     int           // sessions kept for the next mail, any more for a second only; zero: 2, negative: none
	MaxMessages int           // mails in one session; zero: as many as the server takes
	IdleTimeout time.Duration // after which an idle session ends; zero: 30 s
	MaxAge      time.Duration // after which a session takes no further mail; zero: 10 min, negative: any
	Limiter     Limiter       // asked before each mail; nil: there is no limit

	// DialContext makes the connections, as through a proxy. If nil, a net.Dialer
	// does. It changes nothing about TLS and credentials, and TLS that it makes
	// itself does not count.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	pool    pool
	mu      sync.Mutex
	tickets tls.ClientSessionCache // of TLS; nil: none yet
	login   login
}

// Limiter holds a mail up until it may be sent, as [golang.org/x/time/rate.Limiter] does.
// Its error is that of the mail.
type Limiter interface {
	Wait(ctx context.Context) error
}

// settings are those of the pool. A server should wait 5 minutes for the next mail (RFC
// 5321, section 4.5.3.2.7); many wait for less, and take 3 to 20 sessions of an account.
func (m *Mailer) settings() poolSettings {
	return poolSettings{
		conns:       cmp.Or(max(m.MaxConns, 0), 5),
		idle:        max(cmp.Or(m.MaxIdle, 2), 0),
		messages:    m.MaxMessages,
		idleTimeout: cmp.Or(max(m.IdleTimeout, 0), 30*time.Second),
		age:         cmp.Or(m.MaxAge, 10*time.Minute),
	}
}

// Send sends a message, over an idle session or a new one, for which it may wait. The
// result is never nil; the error is nil only if every recipient was accepted. What
// cannot be sent is found before the server is dialled. A message that is sent twice is
// two mails, unless it was prepared ([Message.Prepare]).
func (m *Mailer) Send(ctx context.Context, message *Message) (*Result, error) {
	unusable := m.pool.enter("Send", m.settings())
	if unusable == nil {
		defer m.pool.leave()
	}
	result, err := m.send(ctx, message, unusable)
	m.pool.count(result)
	m.Options.Trace.done(ctx, result, err)
	return result, err
}

// send sends a message, unless the Mailer is not to be used: closed, or copied.
func (m *Mailer) send(ctx context.Context, message *Message, unusable error) (*Result, error) {
	o := message.outgoing(ctx, &m.Options)
	defer o.close()
	if o.err != nil {
		return o.outcome()
	}
	if unusable != nil {
		o.result.settle(NotSent, Reply{}, unusable)
		return o.result, unusable
	}
	begun, limiter, fresh := time.Now(), m.Limiter, false
	for len(o.left) > 0 {
		c, isNew, err := m.session(ctx, begun, fresh)
		if err == nil && limiter != nil {
			err = m.admit(ctx, limiter, c)
			limiter, isNew = nil, false // It may have been idle for long by now.
		}
		if err != nil {
			o.result.settle(NotSent, Reply{}, err)
			break
		}
		end := m.sendOver(ctx, c, o)
		switch {
		case (end.died && !isNew || end.busy) && !fresh:
			fresh = true
			o.takeBack()
		case isNew && !end.used:
			return o.outcome() // Another session would be no better.
		default:
			o.reopen() // for whom this one had no room: no second try, but the rest of the first
		}
	}
	return o.outcome()
}

// session takes a session out of the pool, or makes one there. A server that takes no
// more is left in peace if one of the others will come free.
func (m *Mailer) session(ctx context.Context, begun time.Time, fresh bool) (c *Client, isNew bool, err error) {
	for again := fresh; ; again = true { // Who comes again comes first.
		c, err := m.pool.take(ctx, fresh, again)
		if err != nil || c != nil {
			return c, false, err
		}
		c, others, err := m.fill(ctx, begun)
		if err == nil || !others || !isBusy(err) {
			return c, true, err
		}
	}
}

// admit asks the limiter, last of all, so that what it admits goes at once. A session
// that is not used then is given back.
func (m *Mailer) admit(ctx context.Context, limiter Limiter, c *Client) error {
	isAdmitted := false
	defer func() {
		if !isAdmitted {
			m.pool.giveBack(ctx, c)
		}
	}()
	err := askLimiter(ctx, limiter)
	isAdmitted = err == nil
	return err
}

func askLimiter(ctx context.Context, limiter Limiter) error {
	if err := limiter.Wait(ctx); err != nil {
		return &Error{Op: "Send", Err: fmt.Errorf("the Limiter did not admit it: %w", err), transient: true}
	}
	return nil
}

// fill opens a session where there is room, and tells if it could not whether there are
// others.
func (m *Mailer) fill(ctx context.Context, begun time.Time) (c *Client, others bool, err error) {
	err = errors.New("Dial did not return")
	defer func() {
		if err != nil {
			others = m.pool.failed(err)
		}
	}()
	m.mu.Lock()
	refused := m.login.refusal(begun)
	m.mu.Unlock()
	if refused != nil {
		err = refused
		return nil, false, err
	}
	if c, err = m.dial(ctx, begun); err == nil {
		m.pool.opened()
	}
	return c, false, err
}

// sessionEnd is how a session stands behind a mail.
type sessionEnd struct {
	died bool // it was not good any more to begin with
	busy bool // the server takes no more mails over it
	used bool // a mail was begun on it
}

// sendOver sends a message over c, and gives c back.
func (m *Mailer) sendOver(ctx context.Context, c *Client, o *outgoing) sessionEnd {
	defer m.pool.giveBack(ctx, c)
	c.answered = false
	c.send(ctx, o, nil)
	return sessionEnd{stale(ctx, c, o.result.cause()), c.isFull(o), c.mails > 0}
}

// isFull tells whether the server has said to MAIL that it takes no more of them over a
// session that has had some.
func (c *Client) isFull(o *outgoing) bool {
	if e := asError(o.result.cause()); c.mails > 1 && e != nil && isBusy(e) && strings.HasPrefix(e.Op, "MAIL") {
		c.noMore = true
	}
	return c.noMore
}

// stale tells whether a session had died while it was idle: its first reply was
// an end of file, a reset or 421. Nothing of the mail was accepted then, so that
// sending it over a new session is safe.
func stale(ctx context.Context, c *Client, err error) bool {
	e := asError(err)
	return !c.answered && c.failure != nil && ctx.Err() == nil && e != nil && e.Temporary() && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Dial returns a new session, ready for [Client.Send]: connected, under TLS and
// authenticated as the Mailer says. It is the caller's to Quit or Close.
func (m *Mailer) Dial(ctx context.Context) (*Client, error) {
	if err := m.pool.enter("Dial", m.settings()); err != nil {
		return nil, err
	}
	defer m.pool.leave()
	return m.dial(ctx, time.Now())
}

// dial makes a session for a call that was begun at some time: credentials that were
// refused since then are not tried again.
func (m *Mailer) dial(ctx context.Context, begun time.Time) (*Client, error) {
	to, err := m.server()
	if err != nil {
		return nil, err
	}
	c, err := m.open(ctx, to, begun)
	if c != nil && c.fallBack && ctx.Err() == nil {
		to.tls = TLSNone
		c, err = m.open(ctx, to, begun)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// open makes a session, and returns it closed beside an error if it cannot be
// brought to where mail can be sent.
func (m *Mailer) open(ctx context.Context, to server, begun time.Time) (*Client, error) {
	opts := m.Options
	opts.ServerName = cmp.Or(opts.ServerName, to.host)
	conn, err := m.connect(ctx, to)
	if err != nil {
		m.Options.Trace.connected(ctx, m.Addr, err)
		return nil, err
	}
	c := NewClient(conn, &opts)
	c.begun = time.Now()
	// Behind a dialer of the caller's, TLS may be that of a proxy, and a loopback
	// address a tunnel: neither protects the way to the server.
	c.tls = nil
	c.trusted = to.clear && m.DialContext == nil && isLocal(conn.RemoteAddr())
	c.opportunistic = to.tls == TLSOpportunistic
	ready := false
	defer func() {
		if !ready { // Or a mechanism, or a hook, has panicked.
			c.Close()
		}
	}()
	m.Options.Trace.connected(ctx, m.Addr, nil)
	err = m.begin(ctx, c, to, begun)
	if err != nil && c.failure == nil { // The server only said no.
		quit(ctx, c)
	}
	ready = err == nil
	return c, err
}

// server is where a Mailer connects to, and how.
type server struct {
	network, addr, host, port string
	tls                       TLSPolicy
	clear                     bool // by the will of the caller, or on a unix socket
}

// server reads Addr and TLS. A unix socket is on this host: unless it is asked
// for by name, there is no TLS on it.
func (m *Mailer) server() (s server, err error) {
	if m.TLS > TLSNone {
		return s, &FieldError{"Mailer.TLS", fmt.Errorf("%d is no TLSPolicy", m.TLS)}
	}
	if err := m.checkAddr(); err != nil {
		return s, &FieldError{"Mailer.Addr", err}
	}
	if path, ok := strings.CutPrefix(m.Addr, "unix:"); ok {
		if s = (server{network: "unix", addr: path, tls: m.TLS}); m.TLS == TLSRequired {
			s.tls = TLSNone
		}
		s.clear = s.tls == TLSNone
		return s, nil
	}
	s = server{network: "tcp", addr: m.Addr, tls: m.TLS, clear: m.TLS == TLSNone}
	s.host, s.port, err = net.SplitHostPort(m.Addr)
	if err != nil || s.host == "" || s.port == "" || strings.Contains(m.Addr, " ") { // DialContext may put it into a line.
		return s, &FieldError{"Mailer.Addr", fmt.Errorf("%q is no host and port such as smtp.example.com:587", m.Addr)}
	}
	return s, nil
}

// checkAddr refuses what is no address whatever else it is. What may hold a password is
// not shown.
func (m *Mailer) checkAddr() error {
	switch isPath := strings.HasPrefix(m.Addr, "unix:"); {
	case !isPath && strings.Contains(m.Addr, "://"):
		return errors.New("is a URL, which is for ParseURL, and no host and port such as smtp.example.com:587")
	case !isPath && strings.Contains(m.Addr, "@"):
		return errors.New("holds an @, and is no host and port such as smtp.example.com:587; credentials are for Auth, or for ParseURL")
	}
	return format.CheckText(m.Addr)
}

func (m *Mailer) connect(ctx context.Context, to server) (net.Conn, error) {
	op := "connect to " + m.Addr
	if ctx.Err() != nil {
		return nil, &Error{Op: op, Err: contextError(ctx), transient: true}
	}
	dial := m.DialContext
	if dial == nil {
		dial = dialTCP
	}
	timeout := m.Options.Timeouts.orDefaults().Connect
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no connection within %v: %w", timeout, os.ErrDeadlineExceeded))
	defer cancel()
	conn, err := dial(limited, to.network, to.addr)
	switch {
	case err == nil && conn == nil:
		err = errors.New("DialContext returned no connection")
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		err = contextError(ctx)
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	return nil, &Error{Op: op, Err: explainDial(err), transient: true}
}

// explainDial adds what usually mends a connection that was not made.
func explainDial(err error) error {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return fmt.Errorf("%w; check the name of the host and the port", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w; check the port, nothing answers there", err)
	}
	return err
}

// begin brings a new session to where mail can be sent.
func (m *Mailer) begin(ctx context.Context, c *Client, to server, begun time.Time) error {
	implicit := to.tls == TLSImplicit || to.tls == TLSRequired && to.port == "465"
	if implicit {
		if err := c.handshake(ctx, "TLS", m.tlsConfig()); err != nil {
			return err
		}
	}
	if err := c.Hello(ctx); err != nil {
		return err
	}
	_, offered := c.Extension("STARTTLS")
	if to.tls == TLSRequired && !implicit || to.tls == TLSOpportunistic && offered {
		err := c.StartTLS(ctx, m.tlsConfig())
		if err == nil {
			err = c.Hello(ctx)
			_, refused := alertOf(err) // In TLS 1.3 the server's part of the handshake ends here.
			c.fallBack = refused && c.unchecked
		}
		if err != nil && (to.tls == TLSRequired || c.failure != nil || c.tls != nil) { // Else STARTTLS was refused.
			return err
		}
	}
	return m.authenticate(ctx, c, begun)
}

// tlsConfig is that of all connections: by a ticket of one, the next is quicker.
func (m *Mailer) tlsConfig() *tls.Config {
	config := m.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ClientSessionCache == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.tickets == nil {
			m.tickets = tls.NewLRUClientSessionCache(0)
		}
		config.ClientSessionCache = m.tickets
	}
	return config
}

func isLocal(addr net.Addr) bool {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// Verify does all but send a mail, to tell whether the settings are right. Its errors
// are those of [Mailer.Dial].
func (m *Mailer) Verify(ctx context.Context) error {
	c, err := m.Dial(ctx)
	if err == nil {
		quit(ctx, c)
	}
	return err
}

// Clone returns a Mailer with the same settings, and sessions of its own.
func (m *Mailer) Clone() *Mailer {
	clone := &Mailer{
		Addr: m.Addr, TLS: m.TLS, TLSConfig: m.TLSConfig, Auth: slices.Clone(m.Auth), Options: m.Options,
		MaxConns: m.MaxConns, MaxIdle: m.MaxIdle, MaxMessages: m.MaxMessages, IdleTimeout: m.IdleTimeout, MaxAge: m.MaxAge,
		Limiter: m.Limiter, DialContext: m.DialContext,
	}
	clone.Options.Disable = slices.Clone(m.Options.Disable)
	return clone
}

// Stats returns the numbers of now. It is cheap.
func (m *Mailer) Stats() Stats { return m.pool.snapshot() }

// Shutdown makes later calls fail, waits for those under way, with a whole SendAll and all
// that wait for a session, and then ends all sessions, as Close does. If ctx ends before,
// it returns an error, and they go on until their own contexts end.
func (m *Mailer) Shutdown(ctx context.Context) error {
	if err := m.pool.drain(ctx); err != nil {
		return err
	}
	return m.Close()
}

// Close ends idle sessions, within 5 s. All later calls fail, as do those that wait for a
// session, by an error that matches [net.ErrClosed]. It waits neither for mails under way
// nor for sessions of Dial. Without it, sessions and their goroutines live until they time
// out.
func (m *Mailer) Close() error { return m.pool.close() }
