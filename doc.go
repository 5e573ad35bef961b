// Package smtp sends mail, and tells the truth about what became of it.
//
// # Sending
//
// A [Mailer] knows how to reach a server: set its Addr and its Auth, leave the rest zero,
// and let any number of goroutines call [Mailer.Send]. TLS is required unless you say
// otherwise by name, and credentials go by the strongest mechanism that the server offers
// ([Password], [OAuth]). Sessions are kept for the next mail; [Mailer.SendAll] sends many over
// several of them. [ParseURL] reads all that from a URL, [Mailer.Verify] tries it without a
// mail. The context ends any wait for the server; without one, the [Timeouts] of RFC 5321 hold.
//
// # What is sent
//
// A [Message] is a struct to fill in: addresses, a subject, Text, HTML or both, and each
// [File] with a way to open it, so that it is streamed and can be read again. The same
// fields always make the same structure, which is 7-bit clean. Raw is a message that is
// ready. The [Envelope] in Message.Delivery says what the header does not: another
// reverse-path, other recipients, all or nobody, the reports that are asked for. Nothing that
// you pass in is modified.
//
// # What became of it
//
// The [Result] has one of four words for each recipient. Accepted: the server has the mail.
// Refused: it said no, in the [Reply]. NotSent: it was certainly not taken, for a reason of
// ours. [Unknown]: the link was lost after the end of the mail and before the server's word,
// so that another try may bring a second mail. The error is nil only if everybody was
// accepted; [Result.Remaining] are those worth another try. Errors are told apart by their
// type and fields: [*FieldError] for what was wrong before anything was sent,
// [*UnsupportedError] for what the server cannot do, [*Error] for a step that failed,
// [*RecipientsError] for some recipients of several.
//
// # What comes back
//
// [ParseReport] reads delivery status notifications and their kin, [ParseBounce] failures
// that are told in words, [ParseAutoSubmitted] tells programs from people, and [ReplyMessage]
// begins an answer.
//
// # By hand, and in tests
//
// A [Client] is one session on a connection, as a whole or step by step. Code of yours that
// takes a [Sender] can be handed a Mailer, a [Failover], or the recorder of package smtptest,
// which also has a server that does wrong what it is told to.
package smtp
