package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postrider/smtp/internal/format"
)

// TLSPolicy says how a connection of a [Mailer] is protected. Zero is strict, and
// a dialer of one's own changes nothing about it.
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

	// DialContext makes the connections, as through a proxy. If nil, a net.Dialer
	// does. It changes nothing about TLS and credentials, and TLS that it makes
	// itself does not count.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	mu      sync.Mutex
	idle    []*idleSession // whoever takes a session out owns it
	ending  sync.WaitGroup // sessions that say goodbye
	closed  bool
	tickets tls.ClientSessionCache // of TLS; nil: none yet
	login   login
}

// What is kept between mails. A server should wait 5 minutes for the next one
// (RFC 5321, section 4.5.3.2.7); many wait for less.
const (
	maxIdle     = 2
	idleTimeout = 30 * time.Second
	quitTimeout = 5 * time.Second
)

// idleSession is a session that waits for the next mail.
type idleSession struct {
	client *Client
	timer  *time.Timer
}

// Send sends a message, over a session that is idle or else a new one. The
// result is never nil; the error is nil only if every recipient was accepted.
// What cannot be sent is found before the server is even dialled.
func (m *Mailer) Send(ctx context.Context, message *Message) (*Result, error) {
	result, err := m.send(ctx, message)
	m.Options.Trace.done(ctx, result, err)
	return result, err
}

func (m *Mailer) send(ctx context.Context, message *Message) (*Result, error) {
	o := message.outgoing(ctx, &m.Options)
	defer o.close()
	if o.err != nil {
		return o.outcome()
	}
	c, err := m.takeIdle()
	if err != nil {
		o.result.settle(NotSent, Reply{}, err)
		return o.result, err
	}
	if c != nil {
		if m.sendOver(ctx, c, o) {
			o.renew()
		} else {
			o.reopen()
		}
	}
	for len(o.left) > 0 {
		if c, err = m.Dial(ctx); err != nil {
			o.result.settle(NotSent, Reply{}, err)
			break
		}
		m.sendOver(ctx, c, o)
		if c.mails == 0 {
			break // Another session would be no better.
		}
		o.reopen() // for whom this one had no room: no second try, but the rest of the first
	}
	return o.outcome()
}

// sendOver sends a message over c, keeps c if it is still good, and tells whether
// it was not any more to begin with.
func (m *Mailer) sendOver(ctx context.Context, c *Client, o *outgoing) (died bool) {
	defer m.keep(ctx, c)
	c.answered = false
	c.send(ctx, o, nil)
	return stale(ctx, c, o.result.cause())
}

// stale tells whether a session had died while it was idle: its first reply was
// an end of file, a reset or 421. Nothing of the mail was accepted then, so that
// sending it over a new session is safe.
func stale(ctx context.Context, c *Client, err error) bool {
	var e *Error
	return !c.answered && c.failure != nil && ctx.Err() == nil &&
		errors.As(err, &e) && e.Temporary() && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Dial returns a new session that is ready for Send: connected, under TLS and
// authenticated as the Mailer says. It is the caller's to Quit or Close.
func (m *Mailer) Dial(ctx context.Context) (*Client, error) {
	to, err := m.server()
	if err != nil {
		return nil, err
	}
	c, err := m.open(ctx, to)
	if c != nil && c.fallBack && ctx.Err() == nil {
		to.tls = TLSNone
		c, err = m.open(ctx, to)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// open makes a session, and returns it closed beside an error if it cannot be
// brought to where mail can be sent.
func (m *Mailer) open(ctx context.Context, to server) (*Client, error) {
	begun := time.Now()
	opts := m.Options
	opts.ServerName = cmp.Or(opts.ServerName, to.host)
	conn, err := m.connect(ctx, to)
	m.Options.Trace.connected(ctx, m.Addr, err)
	if err != nil {
		return nil, err
	}
	c := NewClient(conn, &opts)
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
	if err := format.CheckText(m.Addr); err != nil {
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
	if err != nil || s.host == "" || s.port == "" {
		return s, &FieldError{"Mailer.Addr", fmt.Errorf("%q is no host and port such as smtp.example.com:587", m.Addr)}
	}
	return s, nil
}

func (m *Mailer) connect(ctx context.Context, to server) (net.Conn, error) {
	op := "connect to " + m.Addr
	if ctx.Err() != nil {
		return nil, &Error{Op: op, Err: contextError(ctx), transient: true}
	}
	dial := m.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
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

// takeIdle returns the session that was used last, or nil if there is none.
func (m *Mailer) takeIdle() (*Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, &Error{Op: "Send", Err: fmt.Errorf("the Mailer is closed: %w", net.ErrClosed)}
	}
	if len(m.idle) == 0 {
		return nil, nil
	}
	last := m.idle[len(m.idle)-1]
	m.idle = m.idle[:len(m.idle)-1]
	last.timer.Stop()
	return last.client, nil
}

// keep puts a session that is still good aside for the next mail, or ends it.
func (m *Mailer) keep(ctx context.Context, c *Client) {
	// A transaction is left only after a panic of the caller's own code, a reply
	// only by a server that would confuse the next mail.
	if c.failure != nil || c.result != nil || c.replies.Buffered() > 0 {
		c.Close()
		return
	}
	m.mu.Lock()
	if m.closed || c.limits.domains > 0 || c.limits.mails > 0 && c.mails >= c.limits.mails {
		m.mu.Unlock()
		quit(ctx, c)
		return
	}
	defer m.mu.Unlock()
	session := &idleSession{client: c}
	timeout := idleTimeout
	if len(m.idle) >= maxIdle {
		timeout = 0
	}
	session.timer = time.AfterFunc(timeout, func() { m.expire(session) })
	m.idle = append(m.idle, session)
}

// expire ends a session that was idle for too long.
func (m *Mailer) expire(session *idleSession) {
	m.mu.Lock()
	i := slices.Index(m.idle, session)
	if i < 0 {
		m.mu.Unlock()
		return
	}
	m.idle = slices.Delete(m.idle, i, i+1)
	m.ending.Add(1)
	m.mu.Unlock()
	defer m.ending.Done()
	quit(context.Background(), session.client)
}

// Close ends the sessions that are idle, within 5 s, and makes later calls of
// Send fail. It does not wait for those under way, nor for sessions of Dial.
func (m *Mailer) Close() error {
	m.mu.Lock()
	m.closed = true
	for _, session := range m.idle {
		session.timer.Stop()
		m.ending.Go(func() { quit(context.Background(), session.client) })
	}
	m.idle = nil
	m.mu.Unlock()
	m.ending.Wait()
	return nil
}

// quit ends a session politely; what the server says to that changes nothing.
func quit(ctx context.Context, c *Client) {
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	c.Quit(ctx)
}

// ParseURL returns a Mailer for smtp://user:password@host:port, on port 587 if
// none is given and with TLSRequired, or for smtps://, on port 465 and with
// TLSImplicit. Reserved characters in user and password are percent-encoded. No
// error shows the password.
func ParseURL(s string) (*Mailer, error) {
	u, err := url.Parse(s)
	if err != nil { // The error of url.Parse would quote all of s.
		return nil, &FieldError{"URL", errors.New("is malformed; are reserved characters in the password percent-encoded?")}
	}
	m := &Mailer{}
	port := "587"
	switch u.Scheme {
	case "smtp":
	case "smtps":
		m.TLS, port = TLSImplicit, "465"
	default:
		return nil, &FieldError{"URL", errors.New("does not begin with smtp:// or smtps://")}
	}
	if u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, &FieldError{"URL", errors.New("wants a host, and nothing behind the port")}
	}
	m.Addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	if password, ok := u.User.Password(); ok || u.User.Username() != "" {
		m.Auth = Password(u.User.Username(), password)
	}
	return m, nil
}
