package smtp

import (
	"cmp"
	"fmt"
	"maps"
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
	most := cmp.Or(c.limits.recipients, max(c.opts.MaxRecipients, 0), defaultMaxRecipients)
	named := maps.Clone(c.domains)
	_, offered := c.Extension("SMTPUTF8")
	for _, i := range left {
		if len(batch) < most && c.limits.admit(&named, domainOf(e.To[i].named(offered))) {
			batch = append(batch, i)
		} else {
			rest = append(rest, i)
		}
	}
	switch {
	case len(batch) == 0, e.Accept == AcceptAll && len(rest) > 0 && len(c.domains) > 0:
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

// admit tells whether a session that has named some domains takes another, and
// adds it to them.
func (l limits) admit(named *map[string]bool, domain string) bool {
	if l.domains == 0 || (*named)[domain] {
		return true
	}
	if len(*named) >= l.domains {
		return false
	}
	if *named == nil {
		*named = map[string]bool{}
	}
	(*named)[domain] = true
	return true
}

// count notes what a command that is about to go uses up of the limits.
func (c *Client) count(s step) {
	switch {
	case s.mail:
		c.mails++
	case s.domain != "":
		c.limits.admit(&c.domains, s.domain)
	}
}

func domainOf(address string) string {
	m, err := parseMailbox(address)
	if err != nil {
		return "" // postmaster
	}
	return strings.ToLower(m.domain)
}
