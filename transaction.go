package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postrider/smtp/internal/wire"
)

// step is a command, and the classes of reply that let it succeed.
type step struct {
	op, want string
	timeout  time.Duration // of the wait for the reply
	command  *wire.Command
	mail     bool   // it begins a transaction
	domain   string // of the recipient, for RCPT
}

// answer is what came of a step.
type answer struct {
	reply Reply
	err   error
}

// inlineGroup is how much may be written before a reply is read: no more than
// fits the buffers of a socket, lest both sides wait for the other to read.
const inlineGroup = 4 << 10

// group sends the commands of steps in one go, and reads all their replies (RFC
// 2920, section 3.1). A refusal of one does not keep the others from being
// answered; if the session ends, all that are left get the reason.
func (c *Client) group(ctx context.Context, steps ...step) []answer {
	answers := make([]answer, len(steps))
	blocks, err := spell(steps)
	if err == nil {
		err = c.usable(ctx, steps[0].op)
	}
	if err != nil {
		return fill(answers, err)
	}
	defer c.link.watch(ctx)()
	if c.replies.Buffered() > 0 {
		reply, err := c.outOfTurn(ctx, steps[0].op)
		fill(answers, err)[0].reply = reply
		return answers
	}
	c.announce(ctx, steps)
	if len(steps) > 1 && (len(blocks) > 1 || !isSocket(c.link.raw)) {
		c.overlap(ctx, steps, blocks, answers)
		return answers
	}
	_, err = c.link.write(blocks[0].lines, steps[0].timeout)
	if err != nil && !c.link.lost(err) {
		return fill(answers, c.fail(ctx, steps[0].op, err))
	}
	c.collect(ctx, steps, answers, func() int { return len(steps) })
	c.outlive(ctx, steps[0].op, err)
	return answers
}

// outlive ends a session that goes on although commands could not be written.
func (c *Client) outlive(ctx context.Context, op string, err error) {
	if err != nil && c.failure == nil {
		c.fail(ctx, op, err)
	}
}

// block is a run of whole commands that are written at once. A command is never
// split: some servers take the first piece of one for all of it.
type block struct {
	lines    []byte
	commands int
}

// spell makes blocks of the commands of steps.
func spell(steps []step) ([]block, error) {
	blocks := []block{{}}
	for _, s := range steps {
		line, err := s.command.Bytes()
		if err != nil {
			return nil, &Error{Op: s.op, Err: err}
		}
		last := &blocks[len(blocks)-1]
		if len(last.lines)+len(line) > inlineGroup && last.commands > 0 {
			blocks = append(blocks, block{})
			last = &blocks[len(blocks)-1]
		}
		last.lines = append(last.lines, line...)
		last.commands++
	}
	return blocks, nil
}

// isSocket tells whether what is written to conn is buffered by the system.
func isSocket(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// announce logs the commands, and remembers what is secret in them.
func (c *Client) announce(ctx context.Context, steps []step) {
	for _, s := range steps {
		if c.opts.Logger != nil {
			c.opts.Logger.DebugContext(ctx, "smtp command", "text", s.command.String())
		}
		if s.command.Secret() {
			c.secrets = append(c.secrets, s.command)
		}
		c.count(s)
	}
}

// overlap writes the blocks while it reads the replies, so that neither a long
// list nor a connection without buffers can make both sides wait for ever.
func (c *Client) overlap(ctx context.Context, steps []step, blocks []block, answers []answer) {
	var begun atomic.Int64 // commands of which the server can have read anything
	written := make(chan error, 1)
	go func() {
		for _, b := range blocks {
			begun.Add(int64(b.commands))
			if _, err := c.link.write(b.lines, steps[0].timeout); err != nil {
				c.link.lost(err)
				written <- err
				return
			}
		}
		written <- nil
	}()
	c.collect(ctx, steps, answers, func() int { return int(begun.Load()) })
	c.outlive(ctx, steps[0].op, <-written)
}

// collect reads the reply to each step in turn. Only those of which begun counts
// the command can have one; an earlier one would be that to something else.
func (c *Client) collect(ctx context.Context, steps []step, answers []answer, begun func() int) {
	for i, s := range steps {
		a := &answers[i]
		a.reply, a.err = c.receive(ctx, s.op, s.timeout, s.want)
		if c.failure == nil && begun() <= i {
			a.err = c.fail(ctx, s.op, &unexpectedReply{a.reply, ""})
			a.reply = Reply{}
		}
		if c.failure != nil {
			fill(answers[i+1:], a.err)
			return
		}
	}
}

// fill gives err to all the answers.
func fill(answers []answer, err error) []answer {
	for i := range answers {
		answers[i].err = err
	}
	return answers
}

// send sends a message to all its recipients.
func (c *Client) send(ctx context.Context, p *prepared) (*Result, error) {
	result := p.newResult()
	c.sendTo(ctx, p, result, result.open())
	return result, result.err()
}

// sendTo sends a message to those recipients that left names by their index, in
// as many transactions as they need. Where the server takes commands in groups
// (RFC 2920), each is one round trip for the envelope and one for the content.
func (c *Client) sendTo(ctx context.Context, p *prepared, result *Result, left []int) {
	e := p.message.Delivery
	steps, err := c.envelopeSteps(e)
	if err == nil {
		err = c.declareSize(steps[0], p)
	}
	for err == nil && len(left) > 0 {
		var batch, rest []int
		if batch, rest, err = c.take(left, e); err == nil {
			err = c.usable(ctx, steps[0].op)
		}
		if err != nil {
			break
		}
		postponed, refused := c.transaction(ctx, p, result, steps, batch)
		if refused != nil { // MAIL was: it would be again.
			result.settle(Refused, refused.Reply, refused)
			return
		}
		left = append(postponed, rest...)
	}
	result.settle(NotSent, Reply{}, err)
}

// transaction sends a message to a batch of its recipients. It returns those who
// are to go in another transaction, since the server had taken some and no more
// (RFC 5321, section 4.5.3.1.10), and the refusal of MAIL, if it was refused.
func (c *Client) transaction(ctx context.Context, p *prepared, whole *Result, steps []step, batch []int) (postponed []int, refused *Error) {
	own := append(make([]step, 0, len(batch)+2), steps[0])
	result := &Result{}
	for _, i := range batch {
		own = append(own, steps[1+i])
		result.Recipients = append(result.Recipients, whole.Recipients[i])
	}
	c.result = result
	c.opts.Trace.transaction(ctx, p.message.Delivery.From, len(batch))
	refused = c.transact(ctx, result, own, p.message.Delivery.Accept, p.draft)
	c.result = nil
	for k, i := range batch {
		whole.Recipients[i] = result.Recipients[k]
		if result.Recipients[k].full && p.message.Delivery.Accept == AcceptAny && c.failure == nil {
			whole.Recipients[i] = RecipientResult{Recipient: result.Recipients[k].Recipient}
			postponed = append(postponed, i)
		}
	}
	return postponed, refused
}

// envelopeSteps spells MAIL and RCPT for an envelope.
func (c *Client) envelopeSteps(e Envelope) ([]step, error) {
	mail, err := c.mailStep(e)
	if err != nil {
		return nil, err
	}
	steps := append(make([]step, 0, len(e.To)+1), mail)
	for _, recipient := range e.To {
		rcpt, err := c.rcptStep(recipient)
		if err != nil {
			return nil, err
		}
		steps = append(steps, rcpt)
	}
	return steps, nil
}

// declareSize tells the server the size of the message (RFC 1870), if the server
// wants to know and it is known without reading it. What is too big for the
// server is not even begun.
func (c *Client) declareSize(mail step, p *prepared) error {
	params, wanted := c.Extension("SIZE")
	size, known := p.Len()
	if !wanted || !known {
		return nil
	}
	if most, err := strconv.ParseInt(params, 10, 64); err == nil && most > 0 && size > most {
		return &Error{Op: mail.op, Err: fmt.Errorf("the message has %d octets, and the server takes %d", size, most)}
	}
	mail.command.Param("SIZE", strconv.FormatInt(size, 10))
	return nil
}

// transact runs a transaction to its end, whatever that is. DATA goes with the
// envelope if any recipient will do: where that turns out otherwise, the content
// that it invites is a lone dot, or the connection is closed.
func (c *Client) transact(ctx context.Context, result *Result, steps []step, accept AcceptPolicy, body io.WriterTo) (refused *Error) {
	_, pipelining := c.Extension("PIPELINING")
	early := pipelining && accept == AcceptAny
	if early {
		steps = append(steps, c.dataStep())
	}
	answers := c.run(ctx, steps, pipelining)
	data := answers[len(answers)-1]
	result.note(answers[:len(result.Recipients)+1])
	if answers[0].reply.Code != 0 {
		refused, _ = answers[0].err.(*Error)
	}
	invited := early && data.err == nil
	switch {
	case refused != nil && invited:
		c.end(refused) // Nobody knows whose mail the content would become.
	case !result.anyOpen() && invited:
		c.loneDot(ctx)
	case !result.anyOpen():
		c.tidy(ctx)
	case accept == AcceptAll && result.firstError() != nil:
		c.tidy(ctx)
		result.settle(NotSent, Reply{}, result.firstError())
	default:
		if !early {
			data = c.group(ctx, c.dataStep())[0]
		}
		c.deliver(ctx, result, data, body)
	}
	return refused
}

// run makes the steps, in a group if the server takes it, else one by one, and
// none after MAIL was refused.
func (c *Client) run(ctx context.Context, steps []step, pipelining bool) []answer {
	if pipelining {
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

// loneDot ends a transaction in which DATA was accepted and no recipient (RFC
// 2920, section 3.1). What the server says to that matters to nobody. In LMTP it
// would say nothing.
func (c *Client) loneDot(ctx context.Context) {
	if c.opts.LMTP {
		c.end(errors.New("content was invited for nobody"))
		return
	}
	c.content(ctx, nothing{}, 0)
	c.tidy(ctx)
}

type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }

// deliver sends the content, if the answer to DATA has invited it, and settles
// the outcome of all who were accepted so far.
func (c *Client) deliver(ctx context.Context, result *Result, data answer, body io.WriterTo) {
	accepted := result.open()
	answers := []answer{data}
	if data.err == nil {
		answers = c.content(ctx, body, len(accepted))
	}
	refused := false
	for k, i := range accepted {
		a := answers[min(k, len(answers)-1)] // one for all, but in LMTP
		recipient := &result.Recipients[i]
		recipient.Outcome, recipient.Reply, recipient.Err = outcomeOf(a.err), a.reply, a.err
		refused = refused || a.err != nil
	}
	if refused {
		c.tidy(ctx)
	}
}

// tidy drops a transaction that was refused, so that the session can be used
// again. Its own failure is not worth reporting: the next step meets it.
func (c *Client) tidy(ctx context.Context) {
	if c.failure == nil {
		c.Reset(ctx)
	}
}
