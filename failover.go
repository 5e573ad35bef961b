package smtp

import (
	"cmp"
	"context"
	"errors"
)

// Failover is a [Sender] of several: to each are left those whom the ones before it
// certainly could not reach, for a passing reason. What is unknown is handed to nobody.
// The message is prepared once: its Message-ID and its files stay the same.
type Failover []Sender

// Send implements [Sender]. What is told of each recipient comes from the last one who
// tried.
func (f Failover) Send(ctx context.Context, message *Message) (*Result, error) {
	m, err := message.Prepare()
	if err != nil {
		return (&prepared{original: message}).unsent(err), err
	}
	result := newResult(m.Delivery.To)
	result.Message, result.MessageID = message, m.MessageID
	result.settle(NotSent, Reply{}, &Error{Op: "Send", Err: errors.New("the Failover is empty")})
	left := make([]int, len(m.Delivery.To))
	for i := range left {
		left[i] = i
	}
	for i, sender := range f {
		if len(left) == 0 || i > 0 && ctx.Err() != nil {
			break
		}
		left = result.sendBy(ctx, sender, m, left)
	}
	return result, result.err()
}

// sendBy sends m to the recipients who are left, by their index, and returns those who
// are still left.
func (r *Result) sendBy(ctx context.Context, sender Sender, m *Message, left []int) (rest []int) {
	part := *m
	part.Delivery.To = nil
	for _, i := range left {
		part.Delivery.To = append(part.Delivery.To, m.Delivery.To[i])
	}
	result, err := sender.Send(ctx, &part)
	if result == nil || len(result.Recipients) != len(left) { // Against what a Sender promises.
		err = unknown(&Error{Op: "Send", Err: errors.Join(errors.New("the Sender does not tell of every recipient"), err)})
		result = newResult(part.Delivery.To)
		result.settle(Unknown, Reply{}, err)
	}
	r.NoReports = r.NoReports || result.NoReports
	r.MessageID = cmp.Or(r.MessageID, result.MessageID) // A ready message is read only now.
	for k, i := range left {
		r.Recipients[i] = result.Recipients[k]
		if r.Recipients[i].isLeft() {
			rest = append(rest, i)
		}
	}
	return rest
}
