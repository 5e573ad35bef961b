package smtptest

import (
	"bufio"
	"errors"
	"fmt"
	"time"
)

// Step is what a session is about to answer, for [Server.On] to say how. Only
// commands that a good server accepts are steps.
type Step struct {
	// Command is the verb, as in "RCPT", "CONNECT" for the greeting, or "END" for the
	// end of a content. EHLO goes by the verb that was sent, BDAT is one for each chunk.
	Command string

	Address string // of MAIL and RCPT, and under LMTP of END
	Session int    // the number of the connection, from 1
	Message int    // the number of the mail among the MAIL commands of all sessions, from 1; zero: of no mail
}

// Fault is what goes wrong at a step. The zero value is nothing, and its parts
// can be combined. One that makes no sense is told to the client, by 554.
type Fault struct {
	// Delay is how long the reply is held back; at END, the mail has been taken by then.
	// It is cut short by Close, and by a client that goes, unless that one has written
	// 12 KiB ahead.
	Delay time.Duration

	// Refusal is the reply instead of the usual one; nil: the usual one. What was asked
	// for is then not done, and 421 ends the session.
	Refusal *Refusal

	// Drop closes the connection in place of the reply. What was asked for is done:
	// a mail that is dropped at END has been taken, and its sender does not know.
	Drop bool

	// After, at DATA and BDAT, puts the fault off until that many octets of the
	// content, of all chunks together, have come; zero: to the reply. By DATA they are
	// counted in lines. Nothing goes wrong if there are fewer. A client that had written
	// the rest by then, as of a small mail over TCP, cannot know.
	After int64

	// Inject is sent right behind the reply, in the same write, as by somebody in
	// between at STARTTLS. It needs its own line ends.
	Inject string
}

// Refusal is the answer of a server that does not accept.
type Refusal struct {
	Code   int    // 4yz or 5yz
	Status [3]int // the enhanced status code; zero: one that says nothing more than Code
	Text   string // may have several lines
}

func (r *Refusal) isRefusal() bool { return r.Code >= 400 && r.Code <= 599 }

func (r *Refusal) status() [3]int {
	if r.Status == [3]int{} {
		return [3]int{r.Code / 100, 0, 0}
	}
	return r.Status
}

// problem says why a fault makes no sense at a step, lest a test tests nothing.
func (f *Fault) problem(command string) string {
	switch {
	case f.Refusal != nil && !f.Refusal.isRefusal():
		return fmt.Sprintf("a Refusal cannot have the code %d", f.Refusal.Code)
	case f.After != 0 && command != "DATA" && command != "BDAT":
		return "a Fault at " + command + " cannot have After"
	case f.Drop && f.Inject != "":
		return "a Fault with Drop cannot have Inject"
	}
	return ""
}

// ask asks what goes wrong at a step. It returns the refusal, if there is one; the
// rest is for the reply, or for later.
func (s *session) ask(command, address string) *Refusal {
	s.fault = Fault{}
	if s.server.On == nil {
		return nil
	}
	fault := s.server.On(Step{command, address, s.number, s.message})
	if fault == nil {
		return nil
	}
	if problem := fault.problem(command); problem != "" {
		return &Refusal{554, [3]int{5, 3, 5}, "smtptest: " + problem}
	}
	if fault.After > 0 {
		if !s.mail.interrupted { // On is asked at each chunk.
			s.later = *fault
		}
		return nil
	}
	s.fault = *fault
	return fault.Refusal
}

// refuses asks the same, and answers if that is no.
func (s *session) refuses(command, address string) bool {
	refusal := s.ask(command, address)
	if refusal != nil {
		s.refuse(refusal)
	}
	return refusal != nil
}

// reply answers, with what goes wrong at that.
func (s *session) reply(code int, status, text string) {
	s.applyFault(func() { s.write(code, status, text) })
	s.over = s.over || code == 421
}

func (s *session) refuse(r *Refusal) {
	status := r.status()
	s.reply(r.Code, fmt.Sprintf("%d.%d.%d", status[0], status[1], status[2]), r.Text)
}

// applyFault does what goes wrong around an answer.
func (s *session) applyFault(answer func()) {
	fault := s.fault
	s.fault = Fault{}
	if fault.Delay > 0 {
		s.wait(fault.Delay)
	}
	if fault.Drop {
		s.drop()
		return
	}
	answer()
	s.out.WriteString(fault.Inject)
}

// interrupt does what goes wrong in the middle of content, to which a refusal is then
// the only answer.
func (s *session) interrupt() {
	s.fault, s.later, s.mail.interrupted = s.later, Fault{}, true
	if refusal := s.fault.Refusal; refusal != nil {
		s.mail.refused = refusal
		s.refuse(refusal)
	} else {
		s.applyFault(func() {})
	}
	s.out.Flush()
}

// wait waits, as long as the client is there.
func (s *session) wait(d time.Duration) {
	s.out.Flush()
	s.until = time.Now().Add(d)
	defer func() { s.until = time.Time{} }()
	for {
		_, err := s.in.Peek(s.in.Buffered() + 1)
		if errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		if err != nil {
			return
		}
	}
	select { // A client that has written so much is not watched.
	case <-time.After(time.Until(s.until)):
	case <-s.server.closed:
	}
}

// drop closes the connection, as a crash would.
func (s *session) drop() {
	s.out.Flush()
	s.raw.Close()
	s.over = true
}
