package smtp

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/postrider/smtp/internal/wire"
)

// step is a command, and the classes of reply that let it succeed.
type step struct {
	op, want string
	timeout  time.Duration // of the wait for the reply
	command  *wire.Command

	mail       bool // it begins a transaction
	from       string
	recipients int    // who are to follow, as far as that is known
	domain     string // of the recipient, for RCPT
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
		a := c.outOfTurn(ctx, steps[0].op)
		fill(answers, a.err)[0] = a
		return answers
	}
	c.announce(ctx, steps)
	if len(steps) > 1 && (len(blocks) > 1 || !isSocket(c.link.raw)) {
		begun, written := c.overlap(blocks, steps[0].timeout)
		c.collect(ctx, steps, answers, begun)
		c.outlive(ctx, steps[0].op, <-written)
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
	if len(steps) == 0 {
		return nil, nil
	}
	blocks := []block{{lines: make([]byte, 0, len(steps)*100)}}
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

// announce tells of the commands, and remembers what is secret in them.
func (c *Client) announce(ctx context.Context, steps []step) {
	for _, s := range steps {
		c.logCommand(ctx, s.command)
		if s.command.Secret() {
			c.secrets = append(c.secrets, s.command)
		}
		if s.mail {
			c.opts.Trace.transaction(ctx, s.from, s.recipients)
		}
		c.count(s)
	}
}

func (c *Client) logCommand(ctx context.Context, command *wire.Command) {
	if c.opts.Logger != nil {
		c.opts.Logger.DebugContext(ctx, "smtp command", "text", command.String())
	}
}

// overlap writes the blocks while the caller reads the replies, so that neither
// a long list nor a connection without buffers can make both sides wait for ever.
// The server can have read something of as many commands as begun tells.
func (c *Client) overlap(blocks []block, timeout time.Duration) (begun func() int, written <-chan error) {
	var commands atomic.Int64
	done := make(chan error, 1)
	go func() {
		for _, b := range blocks {
			commands.Add(int64(b.commands))
			if _, err := c.link.write(b.lines, timeout); err != nil {
				c.link.lost(err)
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() int { return int(commands.Load()) }, done
}

// collect reads the reply to each step in turn. Only those of which begun counts
// the command can have one; an earlier one would be that to something else.
func (c *Client) collect(ctx context.Context, steps []step, answers []answer, begun func() int) {
	for i, s := range steps {
		answers[i] = c.receive(ctx, s.op, s.timeout, s.want)
		if c.failure == nil && begun() <= i {
			answers[i] = answer{err: c.fail(ctx, s.op, &unexpectedReply{answers[i].reply, ""})}
		}
		if c.failure != nil {
			fill(answers[i+1:], answers[i].err)
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
