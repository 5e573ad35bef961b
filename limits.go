package smtp

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// limits are what a server takes in a session or a transaction (RFC 9422,
// section 4). Zero is no limit.
type limits struct {
	mails      int // MAILMAX: MAIL commands in a session
	recipients int // RCPTMAX: RCPT commands in a transaction
	domains    int // RCPTDOMAINMAX: domains of recipients in a session
}

// parseLimits reads the parameters of LIMITS. What is malformed or unknown is
// taken for absent (section 3.7).
func parseLimits(params string) (l limits) {
	known := map[string]*int{"MAILMAX": &l.mails, "RCPTMAX": &l.recipients, "RCPTDOMAINMAX": &l.domains}
	for field := range strings.FieldsSeq(params) {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if limit := known[strings.ToUpper(name)]; limit != nil && err == nil && n > 0 && len(value) <= 6 {
			*limit = int(n)
		}
	}
	return l
}

// limitError says that a session takes no more, and that another one would.
type limitError struct{ what string }

func (e *limitError) Error() string {
	return "the server takes no more " + e.what + " in this session"
}

// take returns those of the recipients left, by their index, who go in the next
// transaction, and the others: as many as the server takes, or MaxRecipients
// where it does not say. An error says why none can go.
func (c *Client) take(left []int, e Envelope) (batch, rest []int, err error) {
	if n := c.limits.mails; n > 0 && c.mails >= n {
		return nil, nil, c.full(e, fmt.Sprintf("than %d mails", n))
	}
	most := cmp.Or(c.limits.recipients, c.opts.MaxRecipients, defaultMaxRecipients)
	for _, i := range left {
		if len(batch) < most && c.admits(e.To[i]) {
			batch = append(batch, i)
		} else {
			rest = append(rest, i)
		}
	}
	switch {
	case len(batch) == 0:
		return nil, nil, c.full(e, fmt.Sprintf("than %d domains of recipients", c.limits.domains))
	case e.Accept == AcceptAll && len(rest) > 0:
		return nil, nil, &FieldError{"Delivery.Accept", fmt.Errorf("is AcceptAll, and of %d recipients only %d go in one transaction", len(left), len(batch))}
	}
	return batch, rest, nil
}

func (c *Client) full(e Envelope, what string) error {
	return &Error{Op: e.mailOp(), Err: &limitError{what}, transient: true}
}

// defaultMaxRecipients is what every server must take (RFC 5321, section
// 4.5.3.1.8).
const defaultMaxRecipients = 100

// admits tells whether the session takes the domain of r, and counts it.
func (c *Client) admits(r Recipient) bool {
	if c.limits.domains == 0 {
		return true
	}
	domain := strings.ToLower(r.Address[strings.LastIndexByte(r.Address, '@')+1:])
	if c.domains[domain] {
		return true
	}
	if len(c.domains) >= c.limits.domains {
		return false
	}
	if c.domains == nil {
		c.domains = map[string]bool{}
	}
	c.domains[domain] = true
	return true
}
