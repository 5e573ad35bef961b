package smtp

import "slices"

// Which form of an address goes to which server (RFC 6531) is decided here.
//
//   - What is ASCII stays as it is. A domain that is not goes in A-labels, unless the
//     transaction has SMTPUTF8.
//   - It has, if the header or the sender needs it, or if one of its recipients does
//     and the server offers it. Else it has not: such a mail can be refused further on.
//   - Where the server does not offer it, a sender or a header that needs it is an
//     error before MAIL. A recipient goes by the Alternative, or is left out with an
//     error of his own, as if the server had refused him; the others get the mail.
//   - A header with addresses that have no form in ASCII is there in two forms, and
//     the transaction decides which of them goes (RFC 6857, section 3.1.8).

// anyUTF8 tells whether any of some recipients is named in UTF-8.
func (c *Client) anyUTF8(e Envelope, batch []int) bool {
	_, offered := c.Extension("SMTPUTF8")
	return offered && slices.ContainsFunc(batch, func(i int) bool { return NeedsUTF8(e.To[i].Address) })
}

// named is the address by which the server is told of a recipient, in a transaction
// that can have SMTPUTF8 or in one that cannot.
func (r Recipient) named(utf8 bool) string {
	if !utf8 && NeedsUTF8(r.Address) && r.Alternative != "" {
		return r.Alternative
	}
	return r.Address
}

// leaveOut settles the outcome of those who cannot be reached over a session without
// SMTPUTF8. An error says that nobody is left, or that it is all or nobody.
func (o *outgoing) leaveOut(e Envelope) error {
	if !slices.ContainsFunc(o.left, func(i int) bool { return NeedsUTF8(e.To[i].named(false)) }) {
		return nil
	}
	var left []int
	var first error
	for _, i := range o.left {
		if !NeedsUTF8(e.To[i].named(false)) {
			left = append(left, i)
			continue
		}
		err := &Error{Op: e.To[i].rcptOp(), Err: &UnsupportedError{
			Extension: "SMTPUTF8",
			Advice:    "the address has no form in ASCII",
			Status:    EnhancedStatus{5, 6, 7}, // RFC 6531, section 3.5.
		}}
		if first == nil {
			first = err
		}
		if e.Accept == AcceptAny {
			o.result.Recipients[i].Err = err
		}
	}
	if first != nil && (e.Accept == AcceptAll || len(left) == 0) {
		return first
	}
	o.left = left
	return nil
}
