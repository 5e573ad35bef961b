package main

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostileLie is a list of extensions that is not true, or makes no sense.
type hostileLie struct {
	name  string
	kind  hostileKind
	offer []string // behind those of the way
	utf8  bool     // the mails need SMTPUTF8
	deaf  bool     // some of what is sent is not heard
	lie   func(secure bool, hello int) []string
	step  string // at which the server does not do what it offers
	act   func(s *hostileSession, honest string) bool
}

// TestHostileExtensions sends to servers whose EHLO is a lie, in every way.
func TestHostileExtensions(t *testing.T) {
	t.Parallel()
	for _, way := range hostileWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			cases := 0
			for i, lie := range hostileLies(way) {
				for k, api := range hostileAPIs {
					if testing.Short() && (i+k)%5 > 0 {
						continue
					}
					lie.of(way, api).run(t)
					cases++
				}
			}
			t.Attr("hostile-servers", strconv.Itoa(cases))
		})
	}
}

// of makes a case of a lie.
func (l hostileLie) of(way hostileWay, api hostileAPI) hostileCase {
	honest := way
	way.utf8 = l.utf8
	way.lie = func(secure bool, hello int) string {
		if l.lie != nil {
			return hostileEHLO(append(l.lie(secure, hello), "HELP")...)
		}
		return hostileEHLO(append(l.offer, honest.offered(secure)...)...)
	}
	kind := func(string) hostileKind { return l.kind }
	return hostileCase{way, api, hostileStep{l.step, 1}, hostileBehaviour{name: l.name, kind: kind, act: l.act, miscounts: l.deaf}}
}

func hostileLies(way hostileWay) []hostileLie {
	list := hostileParameters()
	for _, lie := range hostileHuge() {
		lie.kind = fatal
		list = append(list, lie)
	}
	return append(list, hostilePromises(way)...)
}

// hostileParameters are extensions with parameters that make no sense. All but those
// that name a real limit are harmless.
func hostileParameters() (list []hostileLie) {
	huge := "1" + strings.Repeat("0", 30)
	for _, offer := range []string{
		"SIZE", "SIZE 0", "SIZE " + huge, "SIZE -1", "SIZE x", "SIZE 0x10", "SIZE 1e3", "SIZE  ", "SIZE=10", "SIZE 99999999 1",
		"LIMITS", "LIMITS RCPTMAX=0", "LIMITS RCPTMAX=-1", "LIMITS RCPTMAX=" + huge, "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=x",
		"LIMITS MAILMAX=0", "LIMITS MAILMAX=-1", "LIMITS MAILMAX=" + huge, "LIMITS RCPTDOMAINMAX=0", "LIMITS RCPTMAX=1 RCPTMAX=2",
		"LIMITS RCPTMAX=1", "LIMITS = == =1 RCPTMAX", "LIMITS " + strings.Repeat("X=1 ", 2000),
		"X-\x00NUL", "X-\x1b[2J", "X-\rCR", "\xff\xfe", "\u202eEZIS", "X-CONTROL \x07\x08", "=", "", " ", "-", "AUTH=", "AUTH",
		"X" + strings.Repeat("Y", 10_000), "8BITMIME BINARYMIME", "STARTTLS\x00", "PIPELINING\x00", "XVERP=Courier", "DSN DSN DSN", "250 SIZE 1",
		"AUTH \x1b[2J \x00 LOGIN\r", "AUTH " + strings.Repeat("LOGIN ", 1500), "AUTH " + strings.Repeat("X", 12_000), "SMTPUTF8 no", "ETRN\tSIZE 1",
	} {
		list = append(list, hostileLie{name: fmt.Sprintf("the offer %.40q", offer), offer: []string{offer}})
	}
	for _, offer := range []string{"SIZE 1", "LIMITS MAILMAX=1", "LIMITS MAILMAX=1 RCPTMAX=1", "LIMITS RCPTDOMAINMAX=1", "BINARYMIME", "CHUNKING 0"} {
		list = append(list, hostileLie{name: fmt.Sprintf("the offer %q", offer), kind: either, offer: []string{offer, offer}})
	}
	return append(list,
		hostileLie{name: "an extension offered 300 times", offer: repeatOffer("SIZE %d000000", 300)},
		hostileLie{name: "990 keywords", offer: repeatOffer("X-%d", 980)})
}

func repeatOffer(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i+1))
	}
	return list
}

// hostileHuge is more than any server has to offer.
func hostileHuge() []hostileLie {
	return []hostileLie{
		{name: "a list of mechanisms of 1 MiB", offer: []string{"AUTH " + strings.Repeat("LOGIN ", 1<<20/6)}},
		{name: "100,000 mechanisms", offer: []string{"AUTH " + strings.Join(repeatOffer("MECHANISM-%d", 100_000), " ")}},
		{name: "100,000 mechanisms in as many lines", offer: repeatOffer("AUTH MECHANISM-%d", 100_000)},
		{name: "a keyword of 1 MiB", offer: []string{strings.Repeat("K", 1<<20)}},
		{name: "100,000 keywords", offer: repeatOffer("X-%d", 100_000)},
		{name: "LIMITS of 1 MiB", offer: []string{"LIMITS " + strings.Repeat("RCPTMAX=1 ", 1<<20/10)}},
	}
}

// hostilePromises are offers that a server does not keep to.
func hostilePromises(way hostileWay) []hostileLie {
	refuse := func(words string) func(*hostileSession, string) bool {
		return func(s *hostileSession, _ string) bool { s.say(words + "\r\n"); return false }
	}
	list := []hostileLie{
		{name: "8BITMIME refused", kind: either, offer: []string{"8BITMIME"}, step: "MAIL", act: refuse("555 5.5.4 no parameters")},
		{name: "SMTPUTF8 refused", kind: either, offer: []string{"SMTPUTF8", "8BITMIME"}, utf8: true, step: "MAIL", act: refuse("555 5.6.7 not that")},
		{name: "SMTPUTF8", offer: []string{"SMTPUTF8", "8BITMIME"}, utf8: true},
		{name: "STARTTLS again within TLS", offer: []string{"STARTTLS"}},
		{name: "extensions that vanish", kind: either, lie: func(secure bool, hello int) []string {
			if hello > 1 {
				return nil
			}
			return way.offered(secure)
		}},
		{name: "AUTH in place of STARTTLS", kind: either, lie: func(bool, int) []string { return append([]string{"AUTH LOGIN"}, way.offers...) }},
		{name: "only one command is read at a time", kind: either, deaf: true, step: "EHLO", act: oneAtATime(false)},
		{name: "each command is answered late", step: "EHLO", act: oneAtATime(true)},
		{name: "PIPELINING, and the rest of a group is dropped", kind: either, deaf: true, offer: []string{"PIPELINING"}, step: "EHLO", act: oneAtATime(false)},
		{name: "PIPELINING, and each command is answered late", offer: []string{"PIPELINING"}, step: "EHLO", act: oneAtATime(true)},
	}
	if !way.bdat {
		return list
	}
	return append(list,
		hostileLie{name: "BDAT is unknown", kind: either, step: "BDAT", act: refuse("500 5.5.1 what is BDAT?")},
		hostileLie{name: "the last BDAT is unknown", kind: either, step: "end", act: refuse("500 5.5.1 what is BDAT?")})
}

// oneAtATime makes a session answer the commands of a group a second after each
// other, or forget all but the first, as servers do that empty their buffer.
func oneAtATime(late bool) func(*hostileSession, string) bool {
	return func(s *hostileSession, honest string) bool {
		s.say(honest + "\r\n")
		s.in = bufio.NewReader(&hostileHasty{s.in, late})
		return true
	}
}

// hostileHasty hands on what was read in one go, to its first line end or after a while.
type hostileHasty struct {
	in   *bufio.Reader
	late bool
}

func (h *hostileHasty) Read(p []byte) (int, error) {
	n, err := h.in.Read(p)
	if h.late {
		time.Sleep(time.Second)
	} else if end := strings.Index(string(p[:n]), "\r\n"); end >= 0 && n < 1000 {
		n = end + 2
	}
	return n, err
}
