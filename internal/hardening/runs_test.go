package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/postrider/smtp"
)

// runWay is how the mails of a run go over the wire.
type runWay struct {
	name       string
	offers     []string
	lmtp, bdat bool
}

var runWays = []runWay{
	{name: "step by step"},
	{name: "pipelined", offers: []string{"PIPELINING"}},
	{name: "LMTP", offers: []string{"PIPELINING"}, lmtp: true},
	{name: "BDAT", offers: []string{"CHUNKING"}, bdat: true},
	{name: "BDAT pipelined", offers: []string{"PIPELINING", "CHUNKING"}, bdat: true},
	{name: "BDAT in LMTP", offers: []string{"PIPELINING", "CHUNKING"}, lmtp: true, bdat: true},
}

// runPlace is where a server refuses.
type runPlace struct {
	step    string // MAIL, RCPT, DATA, which is the first chunk of BDAT, or END
	from    string
	address string // of RCPT, and under LMTP of END
	code    int
}

// runCase is a run of mails, and who is refused in it.
type runCase struct {
	way       runWay
	character runCharacter
	pool      bool // by a Mailer
	places    []runPlace
}

// code is that of the refusal at a step, or zero.
func (c runCase) code(step, from, address string) int {
	for _, p := range c.places {
		if p.step == step && p.from == from && p.address == address {
			return p.code
		}
	}
	return 0
}

// TestRunsOfMails refuses everything in every position of a run of mails, alone and in
// pairs, by servers of several characters. None may get a mail with another's sender
// or recipients, or one out of the text of a mail, or half of one, and what each
// result says is what the server has in its book.
func TestRunsOfMails(t *testing.T) {
	t.Parallel()
	for _, content := range runContents() {
		if !strings.Contains(content, "\r\nMAIL FROM:<bait@") {
			t.Fatal("there is no bait in the content")
		}
	}
	for _, way := range runWays {
		for _, character := range []runCharacter{strict, inviting, forgetful, heedless, literal, another} {
			t.Run(way.name+", "+string(character), func(t *testing.T) {
				t.Parallel()
				cases := 0
				for i, places := range runRefusals(way) {
					for _, pool := range []bool{false, true} {
						if len(places) == 2 && pool == (i%2 > 0) || testing.Short() && i%7 > 0 {
							continue
						}
						runCase{way, character, pool, places}.run(t)
						cases++
					}
				}
				t.Attr("runs", strconv.Itoa(cases))
			})
		}
	}
}

// runRefusals are all sets of refusals for a run: none, each by each code, each pair,
// and everybody in some of the mails.
func runRefusals(way runWay) [][]runPlace {
	all := runPlaces(way)
	list := [][]runPlace{nil}
	for _, p := range all {
		for _, code := range []int{550, 451, 421} {
			p.code = code
			list = append(list, []runPlace{p})
		}
	}
	codes := [][2]int{{550, 451}, {451, 550}, {550, 550}, {451, 451}, {550, 421}, {421, 451}}
	for i, p := range all {
		for k, q := range all[i+1:] {
			pair := codes[(i+k)%len(codes)]
			p.code, q.code = pair[0], pair[1]
			list = append(list, []runPlace{p, q})
		}
	}
	for _, step := range []string{"MAIL", "RCPT", "DATA", "END"} {
		for mails := 1; mails < 8; mails++ {
			list = append(list, runEverybody(all, step, mails))
		}
	}
	return list
}

// runPlaces are all positions in which somebody can be refused.
func runPlaces(way runWay) (list []runPlace) {
	for i, m := range runMails() {
		from := runSender(i)
		list = append(list, runPlace{step: "MAIL", from: from}, runPlace{step: "DATA", from: from})
		if !way.lmtp {
			list = append(list, runPlace{step: "END", from: from})
		}
		for _, to := range m.To {
			list = append(list, runPlace{step: "RCPT", from: from, address: to.Address})
			if way.lmtp {
				list = append(list, runPlace{step: "END", from: from, address: to.Address})
			}
		}
	}
	return list
}

// runEverybody are all refusals at a step, in those of the mails that the bits name.
func runEverybody(all []runPlace, step string, mails int) (list []runPlace) {
	for _, p := range all {
		for i := range runMails() {
			if p.step == step && p.from == runSender(i) && mails&(1<<i) != 0 {
				p.code = 554 - len(list)
				list = append(list, p)
			}
		}
	}
	return list
}

// run has a case in fake time, in which the next mail is ready when one ends.
func (c runCase) run(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if c.character == another {
			server := runStrict(c)
			results := c.send(t, server.DialContext)
			server.Close()
			var book []runDelivery
			for _, m := range server.Messages() {
				book = append(book, runDelivery{m.From, m.To, string(m.Data)})
			}
			c.check(t, results, book)
			return
		}
		server := &runServer{runCase: c}
		results := c.send(t, server.dial)
		server.running.Wait()
		if server.nobody > 0 {
			t.Errorf("%v: %d octets of content for nobody", c, server.nobody)
		}
		c.check(t, results, server.book)
	})
}

func (c runCase) send(t *testing.T, dial runDial) (results []*smtp.Result) {
	opts := smtp.Options{LMTP: c.way.lmtp, Chunking: c.way.bdat}
	collect := func(result *smtp.Result, _ error) bool {
		results = append(results, result)
		return true
	}
	if c.pool {
		m := &smtp.Mailer{Addr: "mx.example.com:25", TLS: smtp.TLSNone, Options: opts, MaxConns: 1, DialContext: dial}
		m.SendAll(t.Context(), slices.Values(runMails()))(collect)
		m.Close()
		return results
	}
	conn, err := dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	client := smtp.NewClient(conn, &opts)
	if err := client.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.SendAll(t.Context(), slices.Values(runMails()))(collect)
	client.Quit(t.Context())
	return results
}

func runSender(i int) string { return fmt.Sprintf("ann%d@example.com", i) }

// bait is what a server that takes text for commands would send.
const runBait = "RSET\r\nMAIL FROM:<bait@example.org>\r\nRCPT TO:<bait@example.org>\r\nDATA\r\nbait\r\n.\r\n" +
	"MAIL FROM:<bait@example.org>\r\nRCPT TO:<bait@example.org>\r\nBDAT 6 LAST\r\nbait\r\n"

// runMails are the mails of every run: one for two, a long one for one, with an
// attached message, and a ready one for three.
var runMails = sync.OnceValue(func() (list []*smtp.Message) {
	for i, recipients := range []int{2, 1, 3} {
		m := &smtp.Message{Subject: "mail " + strconv.Itoa(i), Text: runBait}
		for k := range recipients {
			m.To = append(m.To, smtp.Address{Address: fmt.Sprintf("bob%d.%d@example.net", i, k)})
		}
		m.From.Address = runSender(i)
		switch i {
		case 1:
			m.Text = strings.Repeat(runBait, 40<<10/len(runBait))
			m.Attachments = []smtp.File{{Name: "bait.eml", Type: "message/rfc822", Open: smtp.FileBytes("", []byte("Subject: bait\r\n\r\n"+runBait)).Open}}
		case 2:
			m.Delivery.From = m.From.Address
			for _, to := range m.To {
				m.Delivery.To = append(m.Delivery.To, smtp.Recipient{Address: to.Address})
			}
			m = &smtp.Message{Delivery: m.Delivery, To: nil, Raw: smtp.FileBytes("", []byte("Subject: mail 2\r\n\r\n"+runBait))}
		}
		prepared, err := m.Prepare()
		if err != nil {
			panic(err)
		}
		list = append(list, prepared)
	}
	return list
})

var runContents = sync.OnceValue(func() []string { return writeHostile(runMails()) })
