package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postrider/smtp/internal/wire"
)

// outgoing is a message on its way over a session.
type outgoing struct {
	*prepared
	err    error // why it cannot be sent at all
	result *Result
	left   []int        // the recipients who are still to be named, by their index
	same   []int        // for each recipient the one whose answer is his as well
	fits   bool         // the session has all extensions that are needed
	silent *Envelope    // without what the server of the session cannot report; nil: it can
	ahead  *transaction // the first one, if its envelope has gone already
	again  bool         // it goes over a second session, since the first one ended

	asked    chan error // the answer of the limiter comes here; nil: it was not asked
	admitted bool       // it was yes
}

// outgoing makes a message ready to be sent, with its files open, and signed if
// there is a signer.
func (m *Message) outgoing(ctx context.Context, opts *Options) *outgoing {
	p, err := m.prepare(ctx, true)
	if err == nil {
		err = opts.Reports.check()
	}
	if err == nil {
		err = p.sign(ctx, opts.Signer)
	}
	o := &outgoing{prepared: p, err: err}
	if err != nil {
		o.result = p.unsent(err)
		return o
	}
	p.message.Delivery.ask(opts.Reports, p.message.MessageID)
	o.renew()
	return o
}

// renew forgets all that was made of sending it.
func (o *outgoing) renew() {
	o.result, o.fits, o.silent = o.newResult(), false, nil
	o.left = make([]int, len(o.result.Recipients))
	for i := range o.left {
		o.left[i] = i
	}
	o.same = slices.Clone(o.left)
}

// merge keeps one of those who are named by the same address to this server, and of
// whom the same is asked: his answer is that of all.
func (o *outgoing) merge(e Envelope, utf8 bool) {
	if len(o.left) == 1 {
		return
	}
	first := make(map[asked]int, len(o.left))
	left := make([]int, 0, len(o.left))
	for _, i := range o.left {
		key := e.To[i].asked(utf8)
		if same, ok := first[key]; ok {
			o.same[i] = same
			continue
		}
		first[key] = i
		left = append(left, i)
	}
	o.left = left
}

// asked is what a server is asked about a recipient, in a form that can be compared.
type asked struct {
	mailbox  string
	notify   Notify
	original string
	params   string
}

func (r Recipient) asked(utf8 bool) asked {
	a := asked{mailbox: mailboxKey(r.named(utf8)), notify: r.Notify, original: r.OriginalRecipient}
	if len(r.Params) > 0 {
		a.params = fmt.Sprintf("%q", r.Params)
	}
	return a
}

// outcome is what became of the message.
func (o *outgoing) outcome() (*Result, error) {
	if o.err != nil {
		return o.result, o.err
	}
	for i, same := range o.same {
		recipient := o.result.Recipients[i].Recipient
		o.result.Recipients[i] = o.result.Recipients[same]
		o.result.Recipients[i].Recipient = recipient
	}
	return o.result, o.result.err()
}

// takeBack takes back that the end of a session kept the mail from recipients, of whom it
// is certain that they did not get it: they are left for another session.
func (o *outgoing) takeBack() {
	o.leaveAgain(func(r RecipientResult) bool {
		e := asError(r.Err)
		return r.Outcome != Accepted && e != nil && e.Temporary() && (e.Reply.Code == 0 || isBusy(e))
	})
}

// reopen takes back that the limits of a session kept the mail from recipients.
func (o *outgoing) reopen() {
	o.leaveAgain(func(r RecipientResult) bool {
		return r.Err != nil && errors.As(r.Err, new(*limitError))
	})
}

// leaveAgain leaves some recipients for another session, as if nothing had been tried.
func (o *outgoing) leaveAgain(is func(RecipientResult) bool) {
	o.left, o.fits, o.silent = nil, false, nil
	for i, r := range o.result.Recipients {
		if !is(r) {
			continue
		}
		o.result.Recipients[i] = RecipientResult{Recipient: r.Recipient}
		if o.same[i] == i {
			o.left = append(o.left, i)
		}
	}
}

// transaction sends a message to a batch of its recipients.
type transaction struct {
	of      *outgoing
	batch   []int   // who they are, by their index in the result of the message
	rest    []int   // who is left for others
	result  *Result // for the batch
	steps   []step  // MAIL, RCPT… and, if early, DATA
	early   bool
	utf8    bool      // it has SMTPUTF8
	form    wire.Form // of the content
	refused *Error    // MAIL was
	data    answer    // to DATA, once it was sent
}

// send sends a message to those of its recipients whom left names, in as many
// transactions as they need. Where the server takes commands in groups (RFC 2920),
// each is one round trip for the envelope and one for the content; if next, which
// may be nil, has another message, its envelope goes with the last content.
func (c *Client) send(ctx context.Context, o *outgoing, next func() *outgoing) {
	defer c.link.watch(ctx)() // once, and not for each step
	var err error
	for len(o.left) > 0 || o.ahead != nil {
		t := o.ahead
		if t == nil {
			if t, err = c.begin(o); err == nil {
				err = c.usable(ctx, t.steps[0].op)
			}
			if err != nil {
				break
			}
			c.note(t, c.run(ctx, t.steps))
		}
		o.ahead = nil
		c.complete(ctx, t, next)
		if t.refused != nil { // MAIL was: it would be again.
			o.result.settle(Refused, t.refused.Reply, t.refused)
			return
		}
	}
	o.result.settle(NotSent, Reply{}, err)
}

// begin makes the next transaction of a message, of which nothing is sent yet.
func (c *Client) begin(o *outgoing) (t *transaction, err error) {
	if err := c.fit(o); err != nil {
		return nil, err
	}
	e := o.envelope(false)
	t = &transaction{of: o, result: &Result{}, form: c.form(e.Body)}
	if t.batch, t.rest, err = c.take(o.left, e); err != nil {
		return nil, err
	}
	t.utf8 = e.needsUTF8() || c.anyUTF8(e, t.batch)
	if t.steps, err = c.envelopeSteps(o.envelope(t.utf8), t); err != nil {
		return nil, err
	}
	// DATA goes along if any recipient will do: where that turns out otherwise, the
	// content that it invites is a lone dot, or the connection is closed. BDAT
	// waits: a server that does not expect a chunk may take it for commands.
	if t.early = c.pipelining() && e.Accept == AcceptAny && t.form == wire.Dots; t.early {
		t.steps = append(t.steps, c.dataStep())
	}
	return t, nil
}

// envelope is what a transaction with SMTPUTF8, or one without, tells the server.
func (o *outgoing) envelope(utf8 bool) Envelope {
	e := o.prepared.envelope(utf8)
	if o.silent != nil {
		e.Return, e.EnvelopeID, e.To = 0, "", o.silent.To
	}
	return e
}

// fit checks once in a session that it has what the whole message needs.
func (c *Client) fit(o *outgoing) error {
	if o.fits {
		return nil
	}
	e := o.envelope(false)
	if err := c.offers(Envelope.mailOp, e); err != nil {
		return err
	}
	if _, offered := c.Extension("DSN"); !offered && e.asksReports() {
		silent := e.silent()
		o.silent, o.result.NoReports, e = &silent, true, silent
	}
	_, utf8 := c.Extension("SMTPUTF8")
	if !utf8 {
		if err := o.leaveOut(e); err != nil {
			return err
		}
	}
	o.merge(e, utf8)
	o.fits = true
	return nil
}

// envelopeSteps spells MAIL and RCPT for a transaction.
func (c *Client) envelopeSteps(e Envelope, t *transaction) ([]step, error) {
	mail, err := c.mailStep(e)
	if err != nil {
		return nil, err
	}
	mail.recipients = len(t.batch)
	steps := append(make([]step, 0, len(t.batch)+2), mail)
	for _, i := range t.batch {
		rcpt, err := c.rcptStep(e.To[i], t.utf8)
		if err != nil {
			return nil, err
		}
		steps = append(steps, rcpt)
		t.result.Recipients = append(t.result.Recipients, t.of.result.Recipients[i])
	}
	return steps, nil
}

func (c *Client) pipelining() bool {
	_, offered := c.Extension("PIPELINING")
	return offered
}

// form is how a content goes to the server: by DATA, unless chunks are asked for
// and offered.
func (c *Client) form(body BodyType) wire.Form {
	_, offered := c.Extension("CHUNKING")
	switch {
	case !c.opts.Chunking || !offered:
		return wire.Dots
	case body == BodyBinary:
		return wire.Binary
	}
	return wire.Chunks
}

// run makes the steps, in a group if the server takes it, else one by one, and
// none after MAIL was refused.
func (c *Client) run(ctx context.Context, steps []step) []answer {
	if c.pipelining() {
		return c.group(ctx, steps...)
	}
	answers := make([]answer, len(steps))
	for i, s := range steps {
		answers[i] = c.group(ctx, s)[0]
		if answers[i].err != nil && (i == 0 || c.failure != nil) {
			fill(answers[i+1:], answers[i].err)
			break
		}
	}
	return answers
}

// note takes the answers to the envelope of a transaction, which is now open.
func (c *Client) note(t *transaction, answers []answer) {
	c.result = t.result
	t.of.left = t.rest
	t.result.note(answers[:len(t.batch)+1])
	if answers[0].reply.Code != 0 {
		t.refused, _ = answers[0].err.(*Error)
	}
	t.data = answers[len(answers)-1]
}

// complete brings a transaction whose envelope was answered to its end, whatever
// that is.
func (c *Client) complete(ctx context.Context, t *transaction, next func() *outgoing) {
	e := t.of.message.Delivery
	if len(t.rest) > 0 || e.Accept == AcceptAny && t.result.anyFull() {
		next = nil // The rest of this message comes first.
	}
	failed := t.result.firstError()
	var ahead *transaction
	switch {
	case t.refused != nil && t.invited():
		c.end(t.refused) // Nobody knows whose mail the content would become.
	case t.result.anyOpen() && e.Accept == AcceptAll && failed != nil:
		t.result.settle(NotSent, Reply{}, failed)
		ahead = c.clear(ctx, next)
	case t.result.anyOpen():
		ahead = c.deliver(ctx, t, t.of.content(t.utf8), next)
	case !t.invited():
		ahead = c.clear(ctx, next)
	case c.opts.LMTP: // There is no reply to content for nobody.
		c.end(errors.New("content was invited for nobody"))
	default: // A lone dot (RFC 2920, section 3.1). What the server says to it matters to nobody.
		ahead = c.contentBefore(ctx, next, &Result{}, content{body: nothing{}, form: wire.Dots})
	}
	c.report(t)
	c.result = nil
	if ahead != nil {
		c.result = ahead.result
	}
}

// invited tells whether the server waits for the content.
func (t *transaction) invited() bool { return t.early && t.data.err == nil }

// report hands the outcome of a transaction on to its message. Those for whom it
// had no room go in another (RFC 5321, section 4.5.3.1.10).
func (c *Client) report(t *transaction) {
	var postponed []int
	for k, i := range t.batch {
		r := t.result.Recipients[k]
		if r.full && t.of.message.Delivery.Accept == AcceptAny && c.failure == nil {
			r = RecipientResult{Recipient: r.Recipient}
			postponed = append(postponed, i)
		}
		t.of.result.Recipients[i] = r
	}
	t.of.left = append(postponed, t.of.left...)
}

type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }

// deliver sends a body to those who were accepted, if DATA invites it.
func (c *Client) deliver(ctx context.Context, t *transaction, body io.WriterTo, next func() *outgoing) (ahead *transaction) {
	if t.form == wire.Dots && !t.early {
		t.data = c.group(ctx, c.dataStep())[0]
	}
	if t.form == wire.Dots && t.data.err != nil {
		t.result.settle(outcomeOf(t.data.err), t.data.reply, t.data.err)
		return c.clear(ctx, next)
	}
	return c.contentBefore(ctx, next, t.result, content{body: body, form: t.form})
}

// contentBefore sends a content to those of result who are open, and in the same
// group the envelope of the transaction that comes next, if there is one. That is
// asked for before the content begins, lest its end waits for it.
func (c *Client) contentBefore(ctx context.Context, next func() *outgoing, result *Result, body content) (ahead *transaction) {
	// RFC 2033, section 4.2: several replies may be due. Where a server says too
	// few, the one to RSET must not stand in for them.
	if !c.opts.LMTP || len(result.open()) == 1 {
		body.ahead = c.following(next)
	}
	behind := c.conclude(ctx, result, body)
	return c.arrive(body.ahead, behind)
}

// conclude sends a content, and settles the outcome of all who were accepted.
func (c *Client) conclude(ctx context.Context, result *Result, body content) (behind []answer) {
	accepted := result.open()
	body.accepted = len(accepted)
	ends, behind := c.content(ctx, body)
	refused := len(accepted) == 0
	for k, i := range accepted {
		a := ends[min(k, len(ends)-1)] // one for all, but in LMTP
		recipient := &result.Recipients[i]
		recipient.Outcome, recipient.Reply, recipient.Err = outcomeOf(a.err), a.reply, a.err
		refused = refused || a.err != nil
	}
	if refused && behind == nil {
		c.tidy(ctx)
	}
	return behind
}

// clear drops a transaction in which there is nothing to send, in the same group
// with the envelope of the one that comes next, if there is one.
func (c *Client) clear(ctx context.Context, next func() *outgoing) (ahead *transaction) {
	if ahead = c.following(next); ahead == nil || c.failure != nil {
		c.tidy(ctx)
		return nil
	}
	return c.arrive(ahead, c.group(ctx, ahead.behind()...))
}

// following makes the first transaction of the message that comes next. If that
// has none, or cannot go behind another, its own turn will tell why.
func (c *Client) following(next func() *outgoing) *transaction {
	// Courier drops what it reads together with the end of data, where RFC 2920, section
	// 3.1 lets the next envelope be.
	_, isCourier := c.Extension("XVERP=Courier")
	if next == nil || c.failure != nil || !c.pipelining() || isCourier {
		return nil
	}
	o := next()
	if o == nil || len(o.left) == 0 {
		return nil
	}
	t, _ := c.begin(o)
	return t
}

// behind is what goes behind another transaction (RFC 2920, section 3.1). RSET
// comes first: there are servers where without it the sender of a transaction
// that was refused becomes that of the next.
func (t *transaction) behind() []step {
	if t == nil {
		return nil
	}
	return append([]step{resetStep(t.steps[0].timeout)}, t.steps...)
}

// arrive takes the answers to what went behind another transaction. Unless RSET
// was answered well, nothing that follows it can be trusted.
func (c *Client) arrive(t *transaction, answers []answer) *transaction {
	switch {
	case len(answers) == 0:
		return nil
	case answers[0].err != nil:
		c.end(answers[0].err)
		return nil
	}
	t.of.ahead = t
	c.note(t, answers[1:])
	return t
}

// tidy drops a transaction that was refused, so that the session can be used
// again. Its own failure is not worth reporting: the next step meets it.
func (c *Client) tidy(ctx context.Context) {
	if c.failure == nil {
		c.Reset(ctx)
	}
}
