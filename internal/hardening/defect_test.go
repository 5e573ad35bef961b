package main

import "testing"

// defect is what is wrong in another Go package that sends mail.
type defect struct {
	name    string // the package and a number
	what    string // is wrong there
	try     func(t *testing.T)
	because string // it cannot exist here; try is then nil
	alone   bool   // it counts what the whole process allocates
}

// TestDefects tries each defect of another package here.
func TestDefects(t *testing.T) {
	named := map[string]bool{}
	for _, d := range defects {
		if named[d.name] || d.what == "" || (d.try == nil) == (d.because == "") {
			t.Errorf("%s is there twice, or does not say what it tries", d.name)
		}
		named[d.name] = true
		if d.try == nil {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			if !d.alone {
				t.Parallel()
			}
			d.try(t)
			t.Attr("defects", "1")
		})
	}
}

var defects = []defect{
	{name: "go-mail-1", what: "a half mail is delivered when a file fails, and later replies are taken for those of other commands", try: defectHalfAMail},
	{name: "go-mail-2", what: "with a dialer of one's own, mail meant for TLS goes in the clear", try: defectDialerTLS},
	{name: "go-mail-3", what: "starttls in lower case is not seen", try: defectLowerCase},
	{name: "go-mail-4", what: "a file that is missing is left out of the mail without an error", try: defectMissingFile},
	{name: "go-mail-5", what: "the context counts for the dial only", try: defectContext},
	{name: "go-mail-6", what: "one deadline for a whole transaction, or a whole batch, however steady it is", try: defectWholeDeadline},
	{name: "go-mail-7", what: "a mail that was accepted is an error, since a later command fails", try: defectAfterSuccess},
	{name: "go-mail-8", what: "one bad recipient sinks the mail, and the replies are in no field", try: defectOneBad},
	{name: "go-mail-9", what: "line ends in a dozen places become header fields", try: defectPlaces},
	{name: "go-mail-10", what: "what is written a second time, as for a signature, has other octets", try: defectAgain},
	{name: "go-mail-11", what: "a text that is called 7bit is quoted-printable", try: defectTexts},
	{name: "go-mail-12", what: "SMTPUTF8 goes with mails in ASCII, and UTF-8 to servers without it", try: defectUTF8},
	{name: "go-mail-13", what: "handing a mail on loses blind copies and the envelope's sender", try: defectBlindCopies},
	{name: "go-mail-13b", what: "the program sendmail is run without the envelope's sender", because: "no program is run; what is handed on is a prepared message with its envelope, in go-mail-13"},
	{name: "go-mail-14", what: "reading odd parameters of a part panics, or mangles them", try: defectOddParts},
	{name: "go-mail-15", what: "SCRAM does without the server's proof and takes any iteration count; most mechanisms go in the clear", try: func(t *testing.T) {
		defectSCRAM(t)
		defectClearSecrets(t)
	}},
	{name: "go-mail-16", what: "there is no null sender", try: defectNullSender},
	{name: "go-mail-17", what: "13 waits for a mail", try: defectRoundTrips},
	{name: "go-mail-18", what: "what fails leaves connections and files open", try: func(t *testing.T) {
		defectLeaks(t)
		defectOpenFiles(t)
	}},
	{name: "go-mail-19", what: "an error without words panics when it is asked whether it is temporary, and a lost link is permanent", try: defectEmptyErrors},
	{name: "go-mail-20", what: "writing a message changes it, so that two at once race", try: defectRaces},
	{name: "go-mail-21", what: "a tls.Config needs a ServerName for STARTTLS", try: defectServerName},
	{name: "go-mail-21b", what: "the fallback from port 465 to port 25 speaks TLS there", because: "no port is ever exchanged for another"},
	{name: "go-mail-22", what: "mechanisms are found by parts of their names, and not the best first", try: defectWholeWords},
	{name: "go-mail-22b", what: "NTLM comes before PLAIN", because: "there is no NTLM; the order of what there is, is in go-mail-22"},
	{name: "go-mail-23", what: "a link lost behind the final dot is a plain failure", try: defectUnknown},
	{name: "go-mail-24", what: "reports are asked for by the client and not by the mail, and who is named twice gets two", try: defectReports},
	{name: "go-mail-25", what: "file names that are not ASCII are encoded words in quotes, in one long line", try: defectFileNames},
	{name: "go-mail-26", what: "lines of over 998 octets, and blank ones in the header", try: defectLongLines},
	{name: "go-mail-27", what: "names with quotes, backslashes and commas become others", try: defectNames},
	{name: "go-mail-28", what: "the caller's header is changed, and fields come in random order", try: defectCallersOwn},
	{name: "go-mail-29", what: "a mail tells the software and the host that it is from", try: defectNoTraces},
	{name: "go-mail-30", what: "a file of 25 MiB takes 101 MB or more", try: defectMemory, alone: true},
	{name: "go-mail-31", what: "dots are doubled octet by octet", try: defectDots, alone: true},
	{name: "go-mail-32", what: "143 allocations for a small mail", try: defectSmall, alone: true},
	{name: "go-smtp-1", what: "the second mail of an LMTP session hangs", try: defectSecondLMTP},
	{name: "go-smtp-2", what: "content that fails is delivered by the next command", try: defectFailingReader},
	{name: "go-smtp-3", what: "a server that reads no more is waited for without end", try: defectNoReading},
	{name: "go-smtp-4", what: "RSET has EHLO sent again", try: defectReset},
	{name: "go-smtp-5", what: "BODY=8BITMIME goes with every mail, whatever was asked for", try: defectBodyType},
	{name: "go-smtp-6", what: "an address can bring parameters and commands of its own", try: defectSmuggling},
	{name: "go-smtp-7", what: "LOGIN knows one spelling of its prompts, and goes in the clear", try: defectPrompts},
	{name: "go-smtp-8", what: "a mechanism is not asked whether the exchange was complete", try: defectDone},
	{name: "go-smtp-9", what: "a bad certificate is the error of some later command", try: defectEagerTLS},
	{name: "go-smtp-10", what: "credentials are in the log", try: defectLogs},
	{name: "go-smtp-11", what: "long lines and tokens are altered, a bad field is found in the middle, and each line of base64 is allocated", alone: true, try: func(t *testing.T) {
		defectData(t)
		defectFewAllocations(t)
	}},
	{name: "mox-1", what: "30 s for the reply to the final dot", try: defectSlowEnd},
	{name: "mox-2", what: "a session does not hear its context", try: defectSessionContext},
	{name: "mox-3", what: "what was offered before TLS is believed after it", try: defectForgets},
	{name: "mox-4", what: "CR, LF and > go through in addresses", try: defectEnvelopes},
	{name: "mox-5", what: "251 for a recipient is a refusal", try: defectForwards},
	{name: "mox-6", what: "a bare LF ends the session", try: defectBareLF},
	{name: "mox-7", what: "no DSN", try: defectStatusByHand},
	{name: "mox-8", what: "half a server is imported", try: defectImports},
	{name: "mox-9", what: "no builder of messages", try: defectBuilder},
	{name: "gomail-1", what: "a content that fails is delivered, cut or empty", try: defectFailsFirst},
	{name: "gomail-2", what: "STARTTLS if it is offered, else the clear", try: defectStripped},
	{name: "gomail-3", what: "the server decides whether the password goes in the clear", try: defectLoginInClear},
	{name: "gomail-4", what: "no deadline after the dial", try: defectDeadlines},
	{name: "gomail-5", what: "file names become header fields", try: defectFilePlaces},
	{name: "gomail-6", what: "addresses become header fields", try: defectAddressPlaces},
	{name: "gomail-7", what: "header fields come in random order", try: defectCallersOwn},
	{name: "gomail-8", what: "no Message-ID", try: defectMessageIDs},
	{name: "gomail-9", what: "errors of the writer are dropped", try: defectWriterFails},
	{name: "gomail-10", what: "errors lose their causes", try: defectCauses},
	{name: "gomail-11", what: "what authenticates is shared without a lock", try: defectRaces},
	{name: "jordan-wright-1", what: "a refused STARTTLS has the mail go in the clear", try: defectStripped},
	{name: "jordan-wright-2", what: "credentials are skipped if the server takes none", try: defectNotOffered},
	{name: "jordan-wright-3", what: "no time-outs", try: defectDeadlines},
	{name: "jordan-wright-4", what: "addresses, file names and types become header fields", try: func(t *testing.T) {
		defectAddressPlaces(t)
		defectFilePlaces(t)
	}},
	{name: "jordan-wright-5", what: "a hundred recipients are one line", try: defectManyRecipients},
	{name: "jordan-wright-6", what: "a comma in a name makes two recipients of one", try: defectCommas},
	{name: "jordan-wright-7", what: "the whole message is in memory", try: defectChunkMemory, alone: true},
	{name: "jordan-wright-8", what: "the counter of the pool races", try: defectBounded},
	{name: "go-simple-mail-1", what: "STARTTLS that is not offered has the password go in the clear", try: defectNoOfferInClear},
	{name: "go-simple-mail-2", what: "the time-out of a mail waits for the mail that is stuck", try: defectStuck},
	{name: "go-simple-mail-3", what: "the original recipient of each is those of all before him", try: defectOriginals},
	{name: "go-simple-mail-4", what: "a connect that times out leaves a goroutine and a socket", try: defectLateDial},
	{name: "smtppool-1", what: "a server that cannot be reached is a success", try: defectUnreachable},
	{name: "smtppool-2", what: "a message is built after DATA, and an empty one is delivered if that fails", try: defectBuiltFirst},
	{name: "smtppool-3", what: "LOGIN goes without TLS", try: defectLoginInClear},
	{name: "smtppool-4", what: "no deadline after the dial", try: defectDeadlines},
	{name: "smtppool-5", what: "one variable takes the errors of all goroutines", try: defectOwnErrors},
	{name: "net-smtp-1", what: "extensions are found in upper case only", try: defectAnyCase},
	{name: "net-smtp-2", what: "SMTPUTF8 and 8BITMIME go with every mail", try: defectNeeded},
	{name: "net-smtp-3", what: "no time-outs", try: defectDeadlines},
	{name: "net-smtp-4", what: "no result for each recipient", try: defectByHand},
	{name: "net-smtp-5", what: "the error of EHLO is lost", try: defectEHLO},
}
