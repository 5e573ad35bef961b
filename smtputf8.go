package smtp

import "slices"

// Which form of an address goes to which server (RFC 6531) is decided here.
//
//   - What is ASCII stays as it is. A domain that is not goes in A-labels, unless the
//     transaction has SMTPUTF8.
//   - It has, if the header or the sender needs it, or if a recipient does and the
//     server offers it. Else it has not: such a mail can be refused further on.
//   - Where the server does not offer it, a sender or a header that needs it is an
//     error before MAIL. A recipient goes by the Alternative, or is left out with an
//     error of his own, as if the server had refused him; the others get the mail.
//   - A header with addresses that have no form in ASCII is there in two forms, and
//     the transaction decides which of them goes (RFC 6857, section 3.1.8).

// wantsUTF8 tells whether the transactions of an envelope have SMTPUTF8.
func (c *Client) wantsUTF8(e Envelope) bool {
	_, offered := c.Extension("SMTPUTF8")
	return e.needsUTF8() || offered && slices.ContainsFunc(e.To, func(r Recipient) bool { return NeedsUTF8(r.Address) })
}

// unreachable tells whether a recipient has no address for a transaction without
// SMTPUTF8.
func (r Recipient) unreachable() bool { return NeedsUTF8(r.Address) && r.Alternative == "" }

// leaveOut settles the outcome of those who cannot be reached without SMTPUTF8. An
// error says that nobody is left, or that it is all or nobody.
func (o *outgoing) leaveOut(e Envelope) error {
	var left []int
	var first error
	for _, i := range o.left {
		if !e.To[i].unreachable() {
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
