package smtptest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-message"
)

// Report returns the mail that a server sends back when it learns, after it accepted m,
// what became of it for a recipient, or for somebody behind him (RFC 3464): without a refusal
// that it was delivered, with one of 4yz that it is delayed, with one of 5yz that it
// failed. It does so whether that was to be reported or not.
func (m *Message) Report(recipient string, refusal *Refusal) []byte {
	if refusal != nil && !refusal.isRefusal() {
		panic(fmt.Sprintf("smtptest: a Refusal cannot have the code %d", refusal.Code))
	}
	var report bytes.Buffer
	var h message.Header
	h.Set("From", "Mail Delivery System <MAILER-DAEMON@localhost>")
	h.Set("To", "<"+m.From+">")
	h.Set("Subject", "What became of your mail")
	h.Set("Date", time.Now().Format(time.RFC1123Z))
	h.Set("Auto-Submitted", "auto-replied")
	h.Set("MIME-Version", "1.0")
	h.SetContentType("multipart/report", map[string]string{"report-type": "delivery-status"})
	w, err := message.CreateWriter(&report, h)
	if err != nil {
		panic(err) // A buffer takes all, and nothing of the header is anybody else's.
	}
	writePart(w, "text/plain", "A server reports what became of your mail to "+recipient+".\r\n")
	writePart(w, "message/delivery-status", m.status(recipient, refusal))
	if m.Return == "FULL" || m.Return == "" && refusal != nil && refusal.Code >= 500 {
		writePart(w, "message/rfc822", string(m.Data))
	} else {
		header, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
		writePart(w, "text/rfc822-headers", header+"\r\n")
	}
	w.Close()
	return report.Bytes()
}

// status is the part for programs.
func (m *Message) status(recipient string, refusal *Refusal) string {
	var b strings.Builder
	if m.EnvelopeID != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\r\n", m.EnvelopeID)
	}
	fmt.Fprintf(&b, "Reporting-MTA: dns; localhost\r\n\r\n")
	for _, r := range m.Recipients {
		if r.Address == recipient && r.OriginalRecipient != "" {
			fmt.Fprintf(&b, "Original-Recipient: %s\r\n", typed(r.OriginalRecipient))
		}
	}
	fmt.Fprintf(&b, "Final-Recipient: %s\r\n", typed(recipient))
	if refusal == nil {
		fmt.Fprintf(&b, "Action: delivered\r\nStatus: 2.0.0\r\n")
		return b.String()
	}
	action := "failed"
	if refusal.Code < 500 {
		action = "delayed"
	}
	status := refusal.status()
	text := strings.Join(strings.Fields(refusal.Text), " ")
	fmt.Fprintf(&b, "Action: %s\r\nStatus: %d.%d.%d\r\n", action, status[0], status[1], status[2])
	fmt.Fprintf(&b, "Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; %d %d.%d.%d %s\r\n", refusal.Code, status[0], status[1], status[2], text)
	return b.String()
}

// typed spells an address (RFC 6533, section 3).
func typed(address string) string {
	if strings.ContainsFunc(address, func(r rune) bool { return r > '~' }) {
		return "utf-8; " + address
	}
	return "rfc822; " + address
}

func writePart(w *message.Writer, mediaType, text string) {
	var h message.Header
	h.SetContentType(mediaType, nil)
	part, err := w.CreatePart(h)
	if err == nil {
		io.WriteString(part, text)
		err = part.Close()
	}
	if err != nil {
		panic(err) // Again, a buffer takes all.
	}
}
