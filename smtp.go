package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/smtp/internal/wire"
)

// Sender takes a message on: a [Mailer], a [Client], a recorder in a test. Its
// result is never nil; its error is nil only if every recipient was accepted.
type Sender interface {
	Send(ctx context.Context, m *Message) (*Result, error)
}

// Options of a session. The zero value is the safe one, and nil is the same. They
// are copied when the session begins, and may serve many at once.
type Options struct {
	// LocalName is what we call ourselves in EHLO. If empty, it is our address
	// on the connection as a literal, as in [192.0.2.1].
	LocalName string

	// ServerName is the host that its certificate must name. If empty, a Mailer
	// takes it from Addr; StartTLS then needs it in its tls.Config.
	ServerName string

	// LMTP speaks the protocol of local delivery (RFC 2033), in which each
	// recipient has a reply of its own to the content.
	LMTP bool

	// Chunking sends content by BDAT where the server offers CHUNKING (RFC 3030):
	// without dots to add and to take away, and for what is BodyBinary the only
	// way. It is off by default, since there were servers that offered it and hung.
	Chunking bool

	// PlaintextAuth allows credentials to be sent without TLS, in the clear.
	PlaintextAuth bool

	// Disable names extensions to take for absent, as for a server that offers
	// PIPELINING and cannot do it. None can be enabled.
	Disable []string

	// MaxRecipients is how many recipients go in one transaction, where the server
	// does not say; more go in further ones. Zero: 100.
	MaxRecipients int

	// Reports is what the server is asked to report of each message.
	Reports Reports

	// Timeouts bound each wait. Zero ones are those of RFC 5321.
	Timeouts Timeouts

	// Signer, if not nil, signs each message of Send and SendAll. Since it signs one
	// form of the header, one that shows an address without a form in ASCII then
	// needs SMTPUTF8 for everybody.
	Signer Signer

	// Logger, if not nil, gets a debug record for each command and each reply.
	// Credentials are replaced by *** and content is left out.
	Logger *slog.Logger

	// Trace, if not nil, has hooks for what happens, as for a progress bar.
	Trace *Trace
}

// Timeouts bound each wait; a context can only shorten them. Zero fields have
// the values of RFC 5321, section 4.5.3.2.
type Timeouts struct {
	Connect         time.Duration // to connect; zero: 30 s
	Greeting        time.Duration // until the server's first words; zero: 5 min
	Command         time.Duration // until the reply to a command, or the end of the TLS handshake; zero: 5 min
	DataInitiation  time.Duration // until the reply to DATA; zero: 2 min
	DataBlock       time.Duration // for each block of the content; zero: 3 min
	DataTermination time.Duration // until the reply to the end of data; zero: 10 min
}

func (t Timeouts) orDefaults() Timeouts {
	return Timeouts{
		Connect:         cmp.Or(t.Connect, 30*time.Second),
		Greeting:        cmp.Or(t.Greeting, 5*time.Minute),
		Command:         cmp.Or(t.Command, 5*time.Minute),
		DataInitiation:  cmp.Or(t.DataInitiation, 2*time.Minute),
		DataBlock:       cmp.Or(t.DataBlock, 3*time.Minute),
		DataTermination: cmp.Or(t.DataTermination, 10*time.Minute),
	}
}

// Client is one session on one connection, for one goroutine at a time: Hello,
// StartTLS, Hello, Auth, then Mail, Rcpt and Data, or Send, for each mail, and
// Quit. A refusal (4yz, 5yz) is an [*Error], and the session goes on; after any
// other failure, or 421, it is closed, and steps match [net.ErrClosed].
type Client struct {
	link    *link
	replies *wire.ReplyReader
	opts    Options
	trusted bool // no one can listen on the connection
	block   []byte

	begun         time.Time // by a Mailer
	octets        int64     // of content so far
	noMore        bool      // mails, the server has said
	greeted       bool
	extensions    map[string]string // by upper-case keyword; nil before EHLO
	limits        limits            // of what the server takes
	mails         int               // MAIL commands so far
	domains       map[string]bool   // of recipients so far, where they are limited
	tls           *tls.Conn         // nil: no TLS
	verified      bool              // the certificate was checked
	opportunistic bool              // TLS is, as RFC 7435 has it
	unchecked     bool              // so a bad certificate does not end the handshake
	fallBack      bool              // the handshake failed all the same, and a connection in the clear may do
	mechanism     string            // that has authenticated us
	inAuth        bool              // an exchange is under way
	result        *Result           // of the transaction under way; nil: there is none
	body          BodyType          // of the one that Mail has begun
	utf8          bool              // it has SMTPUTF8
	notify        Notify            // of its recipients who have none of their own
	silent        bool              // it asks no reports of a server that writes none
	secrets       []*wire.Command   // what no reply may bring into a log or an error
	answered      bool              // a reply came since this was last set to false
	inLoop        bool              // over SendAll: the next mail may be open already
	failure       error             // what ended the session; nil: it goes on
}

// NewClient returns a session on conn, which it owns from now on: close the Client. The
// conn must support deadlines. Nothing is sent or awaited yet.
func NewClient(conn net.Conn, opts *Options) *Client {
	c := &Client{link: newLink(conn)}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.Timeouts = c.opts.Timeouts.orDefaults()
	c.tls, _ = conn.(*tls.Conn)
	c.replies = wire.NewReplyReader(c.link)
	return c
}

// Hello waits for the greeting, if it has not come yet, and sends EHLO, or HELO where
// EHLO is unknown. What was said of extensions before, as before TLS, is forgotten, and
// a transaction under way is dropped.
func (c *Client) Hello(ctx context.Context) error {
	if err := c.greeting(ctx); err != nil {
		return err
	}
	err := c.introduce(ctx)
	c.opts.Trace.hello(ctx, c.extensions, err)
	return err
}

func (c *Client) introduce(ctx context.Context) error {
	c.extensions, c.limits, c.result = nil, limits{}, nil
	verb := "EHLO"
	if c.opts.LMTP { // RFC 2033, section 4.1.
		verb = "LHLO"
	}
	reply, err := c.hello(ctx, verb)
	// RFC 5321, section 3.2: "command not recognized" is what 500 says, and 502
	// from a server that knows of the verb (section 4.2.4).
	if e, ok := err.(*Error); ok && !c.opts.LMTP && (e.Reply.Code == 500 || e.Reply.Code == 502) {
		if _, err = c.hello(ctx, "HELO"); err == nil {
			c.extensions = map[string]string{}
		}
		return err
	}
	if err != nil {
		return err
	}
	c.extensions = parseExtensions(reply.Lines)
	for _, name := range c.opts.Disable {
		delete(c.extensions, strings.ToUpper(name))
	}
	c.limits = parseLimits(c.extensions["LIMITS"])
	return nil
}

// greeting waits for the server's first words, once. A server that refuses
// there takes nothing but QUIT (RFC 5321, section 3.1), so the session ends.
func (c *Client) greeting(ctx context.Context) error {
	if err := c.usable(ctx, "greeting"); err != nil || c.greeted {
		return err
	}
	if c.tls != nil && !c.tls.ConnectionState().HandshakeComplete {
		if err := c.shakeHands(ctx, "TLS", c.tls, time.Time{}); err != nil {
			return err
		}
	}
	defer c.link.watch(ctx)()
	if a := c.receive(ctx, "greeting", c.opts.Timeouts.Greeting, "2"); a.err != nil {
		if e, ok := a.err.(*Error); ok && e.Reply.Code == 0 && c.tls == nil && e.transient {
			e.Err = fmt.Errorf("%w; no greeting came: does this port speak TLS from the start, as 465 does? That is TLSImplicit", e.Err)
		}
		c.end(a.err)
		return a.err
	}
	c.greeted = true
	return nil
}

func (c *Client) hello(ctx context.Context, verb string) (Reply, error) {
	name := c.opts.LocalName
	if name == "" {
		name = addressLiteral(c.link.raw.LocalAddr())
	}
	command := wire.NewCommand(verb).Host(name)
	if _, err := command.Bytes(); err != nil {
		return Reply{}, &FieldError{"Options.LocalName", err}
	}
	return c.exchange(ctx, verb, "2", command)
}

// addressLiteral spells our address (RFC 5321, section 4.1.3). A connection
// without one, as of a unix socket, is on this host.
func addressLiteral(local net.Addr) string {
	const thisHost = "[127.0.0.1]"
	if local == nil {
		return thisHost
	}
	parsed, err := netip.ParseAddrPort(local.String())
	addr := parsed.Addr().Unmap().WithZone("")
	switch {
	case err != nil:
		return thisHost
	case addr.Is4():
		return "[" + addr.String() + "]"
	}
	return "[IPv6:" + addr.String() + "]"
}

// parseExtensions reads the lines behind the first of an EHLO reply (RFC 5321,
// section 4.1.1.1). Keywords are compared without regard to case.
func parseExtensions(lines []string) map[string]string {
	extensions := make(map[string]string, len(lines))
	for _, line := range lines[1:] {
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword)
		if old, ok := strings.CutPrefix(keyword, "AUTH="); ok { // as before RFC 2554, and still beside it
			keyword, params = "AUTH", old+" "+params
		}
		if more, ok := extensions[keyword]; ok && keyword == "AUTH" {
			params = more + " " + params
		}
		extensions[keyword] = strings.TrimSpace(params)
	}
	return extensions
}

// Extension tells whether the last EHLO reply offered an extension, and with what
// parameters. The name is compared without regard to case.
func (c *Client) Extension(name string) (params string, ok bool) {
	params, ok = c.extensions[strings.ToUpper(name)]
	return params, ok
}

// Mail begins a transaction: MAIL with all of the [Envelope] but To and Accept.
func (c *Client) Mail(ctx context.Context, e Envelope) (Reply, error) {
	_, offered := c.Extension("DSN")
	silent := e.BestEffort && !offered
	result := &Result{NoReports: silent && (e.Return != 0 || e.EnvelopeID != "")}
	if silent {
		e = e.silent()
	}
	s, err := c.mailStep(e)
	if err == nil {
		err = c.offers(Envelope.mailOp, e)
	}
	if err != nil {
		return Reply{}, err
	}
	a := c.group(ctx, s)[0]
	if a.err == nil {
		c.result, c.body, c.utf8, c.notify, c.silent = result, e.Body, e.needsUTF8(), e.Notify, silent
	}
	return a.reply, a.err
}

func (c *Client) mailStep(e Envelope) (step, error) {
	op := e.mailOp()
	command, err := e.mailCommand()
	if err == nil {
		err = c.declareSize(op, command, e.Size)
	}
	return step{op: op, want: "2", timeout: c.opts.Timeouts.Command, command: command, mail: true, from: e.From}, err
}

// offers checks that the server has the extensions that an envelope needs, for a step
// that op names.
func (c *Client) offers(op func(Envelope) string, e Envelope) error {
	if c.extensions == nil || c.failure != nil {
		return c.introduced(op(e))
	}
	for _, name := range e.extensions() {
		if _, ok := c.Extension(name); !ok {
			return &Error{Op: op(e), Err: unsupported(name, e)}
		}
	}
	switch {
	case e.Body == BodyBinary && !c.opts.Chunking: // RFC 3030, section 3: not with DATA.
		return &FieldError{"Options.Chunking", errors.New("is needed, since " + extensionAdvice["BINARYMIME"])}
	case e.RequireTLS && !c.isVerified(): // RFC 8689, section 4.2.1.
		return &Error{Op: op(e), Err: errors.New("RequireTLS needs TLS with a certificate that was checked")}
	}
	return nil
}

// unsupported says what it is about an envelope that needs an extension.
func unsupported(name string, e Envelope) *UnsupportedError {
	if name == "SMTPUTF8" && NeedsUTF8(e.From) {
		return &UnsupportedError{name, "the address of the sender has no form in ASCII", EnhancedStatus{5, 6, 7}}
	}
	return &UnsupportedError{Extension: name, Advice: extensionAdvice[name]}
}

// extensionAdvice says what it is about a mail that needs an extension.
var extensionAdvice = map[string]string{
	"8BITMIME":   "the content holds octets over 127",
	"BINARYMIME": "the content is binary: it holds a NUL or a line of over 998 octets",
	"CHUNKING":   "the content is binary, which needs it beside BINARYMIME",
	"DSN":        "with BestEffort, the mail goes without asking for reports",
	"SMTPUTF8":   "the header holds UTF-8, or is to",
}

// declareSize tells the server the size of the message (RFC 1870), if the server
// wants to know and it is known. What is too big for it is not even begun.
func (c *Client) declareSize(op string, mail *wire.Command, size int64) error {
	params, wanted := c.Extension("SIZE")
	if !wanted || size == 0 {
		return nil
	}
	if most, err := strconv.ParseInt(params, 10, 64); err == nil && most > 0 && size > most {
		return &Error{Op: op, Err: fmt.Errorf("the message has %d octets, and the server takes %d", size, most)}
	}
	mail.Param("SIZE", strconv.FormatInt(size, 10))
	return nil
}

// Rcpt names one recipient of the transaction. The others are not touched if
// the server refuses it.
func (c *Client) Rcpt(ctx context.Context, r Recipient) (Reply, error) {
	asked := r
	asked.Notify = cmp.Or(r.Notify, c.notify)
	silent := c.silent && asked.asksReports()
	if silent {
		asked = asked.silent()
	}
	s, err := c.rcptStep(asked, c.utf8)
	if err == nil {
		err = c.offers(func(Envelope) string { return s.op }, Envelope{To: []Recipient{asked}})
	}
	switch {
	case err != nil:
		return Reply{}, err
	case c.result == nil && c.failure == nil:
		return Reply{}, &Error{Op: s.op, Err: errors.New("there is no transaction; Mail comes first")}
	}
	a := c.group(ctx, s)[0]
	if c.failure == nil && a.reply.Code != 0 { // Without a reply, the command was not even sent.
		result := RecipientResult{Recipient: r}
		result.note(a)
		c.result.Recipients = append(c.result.Recipients, result)
		c.result.NoReports = c.result.NoReports || silent
	}
	return a.reply, a.err
}

func (r Recipient) rcptOp() string { return "RCPT <" + r.Address + ">" }

func (c *Client) rcptStep(r Recipient, utf8 bool) (step, error) {
	op := r.rcptOp()
	command, err := r.rcptCommand(utf8)
	return step{op: op, want: "2", timeout: c.opts.Timeouts.Command, command: command, domain: domainOf(r.named(utf8))}, err
}

// Data sends the content to the recipients accepted so far, and ends the transaction.
// Lines may end in CRLF or LF, a bare CR is an error; BodyBinary is not altered. If
// writing the body, which is done once, ends with an error, the connection is closed
// before the end of data, and nobody gets anything.
func (c *Client) Data(ctx context.Context, body io.WriterTo) (*Result, error) {
	t := &transaction{result: &Result{}, form: c.form(c.body)}
	if c.result != nil {
		t.result.Recipients, t.result.NoReports = slices.Clone(c.result.Recipients), c.result.NoReports
	}
	err := c.usable(ctx, t.form.Verb())
	switch {
	case err != nil:
		t.result.settle(NotSent, Reply{}, err)
		return t.result, err
	case body == nil:
		return t.result, &Error{Op: t.form.Verb(), Err: errors.New("the body is nil")}
	case !t.result.anyOpen():
		return t.result, &Error{Op: t.form.Verb(), Err: errors.New("there is no accepted recipient; Mail and Rcpt come first")}
	}
	c.deliver(ctx, t, body, nil)
	c.result = nil
	return t.result, t.result.err()
}

func (c *Client) dataStep() step {
	return step{op: "DATA", want: "3", timeout: c.opts.Timeouts.DataInitiation, command: wire.NewCommand("DATA")}
}

// Send sends a message: the whole transaction. The result is never nil; the error is nil
// only if every recipient was accepted. Those who were get the mail though others were
// refused. What cannot be sent is found before MAIL.
func (c *Client) Send(ctx context.Context, m *Message) (*Result, error) {
	o := m.outgoing(ctx, &c.opts)
	defer o.close()
	c.send(ctx, o, nil)
	result, err := o.outcome()
	c.opts.Trace.done(ctx, result, err)
	return result, err
}

// Reset drops the transaction under way (RSET). If the server refuses even that, the
// session ends, lest the next mail go to the recipients of this one.
func (c *Client) Reset(ctx context.Context) error {
	err := c.ready(ctx, "RSET")
	if err == nil {
		err = c.group(ctx, resetStep(c.opts.Timeouts.Command))[0].err
	}
	if e, ok := err.(*Error); ok && e.Reply.Code != 0 {
		c.end(err)
	}
	c.result = nil
	return err
}

func resetStep(timeout time.Duration) step {
	return step{op: "RSET", want: "2", timeout: timeout, command: wire.NewCommand("RSET")}
}

// Noop asks the server for a sign of life (NOOP). There is no need to before a mail:
// [Client.Mail] shows the same.
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.do(ctx, "NOOP", wire.NewCommand("NOOP"))
	return err
}

// Command sends a line of an extension that has no step of its own, such as ETRN or
// XCLIENT, after which Hello must follow. It is logged as it is. What would end the
// dialogue of commands, or concerns a transaction, is refused.
func (c *Client) Command(ctx context.Context, line string) (Reply, error) {
	verb, _, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT":
		return Reply{}, &FieldError{"Command", fmt.Errorf("%s has a step of its own", verb)}
	}
	command := wire.ParseCommand(line)
	if _, err := command.Bytes(); err != nil {
		return Reply{}, &FieldError{"Command", err}
	}
	return c.do(ctx, verb, command)
}

// Quit says goodbye and closes the connection, whatever the server answers.
func (c *Client) Quit(ctx context.Context) error {
	defer c.Close()
	if !c.greeted {
		return nil
	}
	_, err := c.exchange(ctx, "QUIT", "2", wire.NewCommand("QUIT"))
	if err == nil && c.tls != nil { // RFC 8446, section 6.1. crypto/tls may take 5 s for it.
		stop := context.AfterFunc(ctx, func() { c.link.raw.Close() })
		defer stop()
		c.tls.CloseWrite()
	}
	return err
}

// Close closes the connection without a word; a server then drops a transaction
// that is under way. It may be called more than once.
func (c *Client) Close() error {
	if c.failure == nil {
		c.failure = errors.New("it was closed")
	}
	if err := c.link.raw.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// do runs one step that is a plain command; any reply of class 2 is success.
func (c *Client) do(ctx context.Context, op string, command *wire.Command) (Reply, error) {
	if err := c.ready(ctx, op); err != nil {
		return Reply{}, err
	}
	return c.exchange(ctx, op, "2", command)
}

func (c *Client) exchange(ctx context.Context, op, want string, command *wire.Command) (Reply, error) {
	a := c.group(ctx, step{op: op, want: want, timeout: c.opts.Timeouts.Command, command: command})[0]
	return a.reply, a.err
}

// outOfTurn reads a reply that came before its command. But for 421, which may
// come at any time, it would be taken for the answer to something else.
func (c *Client) outOfTurn(ctx context.Context, op string) answer {
	a := c.receive(ctx, op, c.opts.Timeouts.Command, "")
	if a.reply.Code != 0 && a.reply.Code != 421 {
		return answer{err: c.fail(ctx, op, &unexpectedReply{a.reply, ""})}
	}
	return a
}

// receive waits for one reply and judges it by its class.
func (c *Client) receive(ctx context.Context, op string, timeout time.Duration, want string) answer {
	if err := c.link.readWithin(timeout); err != nil {
		return answer{err: c.fail(ctx, op, err)}
	}
	r, err := c.replies.Read(c.redact)
	return c.judge(ctx, op, want, heard{r, err})
}

// judge makes of what was read a reply of one of the classes of want, a refusal,
// or the end of the session.
func (c *Client) judge(ctx context.Context, op, want string, h heard) answer {
	if h.err != nil {
		return answer{err: c.fail(ctx, op, c.link.cause(h.err))}
	}
	reply := replyOf(h.reply)
	if c.opts.Logger != nil {
		c.opts.Logger.DebugContext(ctx, "smtp reply", "text", reply.transcript())
	}
	c.opts.Trace.reply(ctx, op, reply)
	c.answered = c.answered || reply.Code != 421
	switch class := strconv.Itoa(reply.Code / 100); {
	case strings.Contains(want, class):
		return answer{reply: reply}
	case class == "4" || class == "5":
		err := &Error{Op: op, Reply: reply}
		if reply.Code == 421 { // RFC 5321, section 3.8: the server closes the connection.
			c.end(err)
		}
		return answer{reply, err}
	}
	return answer{err: c.fail(ctx, op, &unexpectedReply{reply, want})}
}

// redact takes out what was secret of a line that a server repeats. A challenge
// stays as it is: what looks like a repetition there may be a part of it.
func (c *Client) redact(line string) string {
	if c.inAuth && (line == "334" || strings.HasPrefix(line, "334 ")) {
		return line
	}
	return c.hide(line)
}

// hide takes out what was secret of a text.
func (c *Client) hide(line string) string {
	for _, command := range c.secrets {
		line = command.Redact(line)
	}
	return line
}

// unexpectedReply is a reply of a class that the step cannot have.
type unexpectedReply struct {
	reply Reply
	want  string // the classes that it can have; none before it
}

func (e *unexpectedReply) Error() string {
	if e.want == "" {
		return fmt.Sprintf("the server answered %v before it was asked", e.reply)
	}
	classes := strings.Join(strings.Split(e.want, ""), "yz or ") + "yz"
	return fmt.Sprintf("the server answered %v where %s or a refusal was due", e.reply, classes)
}

// ready says why a step that Hello comes before cannot be made, if so.
func (c *Client) ready(ctx context.Context, op string) error {
	if err := c.introduced(op); err != nil {
		return err
	}
	return c.usable(ctx, op)
}

// introduced says so if Hello has not come before a step.
func (c *Client) introduced(op string) error {
	if c.extensions == nil && c.failure == nil {
		return &Error{Op: op, Err: errors.New("Hello comes first")}
	}
	return nil
}

// usable says why a step cannot be made, if so. A context that has ended ends
// the session, whatever the step.
func (c *Client) usable(ctx context.Context, op string) error {
	if c.failure != nil {
		err := fmt.Errorf("the session is over (%v): %w", c.failure, net.ErrClosed)
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, contextError(ctx))
		}
		return &Error{Op: op, Err: err, transient: true}
	}
	if c.inLoop {
		return &Error{Op: op, Err: errors.New("the loop over SendAll is not over")}
	}
	if ctx.Err() != nil {
		return c.fail(ctx, op, os.ErrDeadlineExceeded)
	}
	return nil
}

// fail ends the session because of err. Nobody knows any more what the server
// would make of a command, QUIT included, and a connection that is closed makes
// it drop the transaction (RFC 5321, section 4.1.1.10).
func (c *Client) fail(ctx context.Context, op string, err error) *Error {
	var content contentError
	e := &Error{Op: op, Err: err}
	switch {
	case errors.As(err, &content) && ctx.Err() != nil:
		e.Err = fmt.Errorf("%w: %w", err, contextError(ctx))
	case errors.As(err, &content):
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		e.Err, e.transient = contextError(ctx), true
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Err, e.transient = fmt.Errorf("the server did not answer in time: %w", err), true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Err, e.transient = fmt.Errorf("the server closed the connection: %w", err), true
	default:
		var network net.Error
		if _, ok := alertOf(err); ok { // It comes as a net.Error, and will come again.
			e.Err = explainTLS(err, time.Time{})
			break
		}
		e.transient = errors.As(err, &network) || errors.Is(err, io.ErrClosedPipe)
	}
	c.end(e)
	return e
}

// end closes the connection, and keeps why for those who go on.
func (c *Client) end(cause error) {
	c.failure = cause
	c.Close()
}
