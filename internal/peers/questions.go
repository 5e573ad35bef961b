package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/smtp/smtptest"
)

// question is one that a user would ask before he picks a package.
type question struct {
	ask, how, proof string // proof: the tests of Postrider
	context         bool   // it is about contexts
	answer          func(delivery, func(error) lesson) (string, error)
}

const yes, no = "yes", "no"

var questions = []question{
	{
		ask:    "A file fails to read in the middle: does somebody get half a mail?",
		how:    "An attachment fails after 200 kB, or where it is read before the dial. What did the server accept?",
		proof:  "`TestNeverHalfAMail`, `TestAttachmentFailsInTheMiddle`",
		answer: halfAMail,
	}, {
		ask:    "One of two recipients is refused: does the other one get the mail?",
		how:    "RCPT of the first, then of the second one, is answered 550. What did the server accept?",
		proof:  "`testdata/session/refused-*`",
		answer: theOther,
	}, {
		ask:    "… and does the caller learn who was refused, and by which code?",
		how:    "The same. What do the types and fields of the error tell? Its text does not count.",
		proof:  "`testdata/session/refused-*`",
		answer: whoAndWhy,
	}, {
		ask:    "The link is lost after the end of the mail: is the caller told that it may have arrived?",
		how:    "The server takes the mail and closes the connection. Do types and fields of the error tell it from a link lost at RCPT?",
		proof:  "`TestFaults`, `TestResets`",
		answer: doubt,
	}, {
		ask:     "The server falls silent after the dial: does the context end the wait?",
		how:     "It does at the greeting, at MAIL, and at the end of the mail; the context ends after 300 ms, the server 2 s later.",
		proof:   "`TestContext`, `TestStalledContent`, `testdata/session/cancel-*`",
		context: true,
		answer:  contextEnds,
	}, {
		ask:    "STARTTLS is not offered any more (stripped): what leaves in the clear?",
		how:    "User, password and defaults, at 127.0.0.2; AUTH is offered with PLAIN, with LOGIN, not at all. What did the server hear?",
		proof:  "`TestPolicies`, `TestPolicyMatrix`, `TestSecrets`",
		answer: inTheClear(true),
	}, {
		ask:    "… and without user and password?",
		how:    "The same, with nothing configured but the address.",
		proof:  "`TestPolicies`, `TestPolicyMatrix`",
		answer: inTheClear(false),
	}, {
		ask:    "CR and LF in what is passed in: what injects a header field or a recipient?",
		how:    "CRLF, LF or CR and `X-Injected: yes`, or `RCPT`, in each of six strings. Did such a line arrive?",
		proof:  "`TestInjection`, `TestEveryFieldIsTried`",
		answer: injected,
	}, {
		ask:    "After the mail was accepted, the server misbehaves: is the mail reported as failed?",
		how:    "RSET, NOOP or QUIT after the mail is answered 451; whatever comes then is answered by the loss of the link. Which of the four makes the call fail?",
		proof:  "`testdata/session/*-at-rset`, `TestAcceptedAndBroken`",
		answer: reportedAsFailed,
	}, {
		ask:    "A mail to bob@bücher.example, by a server without SMTPUTF8: does it arrive?",
		how:    "The server refuses what is not ASCII (RFC 5321, section 2.4). What did it hear, and accept? A-labels would do.",
		proof:  "`testdata/session/utf8-*`, `TestDomains`",
		answer: umlauts,
	},
}

// at makes a fault at one step.
func at(command string, fault *smtptest.Fault) func(*smtptest.Server) {
	return func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == command {
				return fault
			}
			return nil
		}
	}
}

func halfAMail(d delivery, _ func(error) lesson) (string, error) {
	w, err := watch(nil)
	if err != nil {
		return "", err
	}
	p := newParcel("bob@example.net")
	p.fileName, p.fileType, p.fails = "figures.bin", "application/octet-stream", true
	err = w.send(d, account{clear: true}, p)
	switch arrived := len(w.Messages()) > 0; {
	case err == nil:
		return "", errors.New("the caller is told of no failure")
	case arrived:
		return yes, nil
	}
	return no, nil
}

// refuse sends to two recipients, of whom carl is refused.
func refuse(d delivery, to ...string) (w *witness, told, err error) {
	w, err = watch(func(s *smtptest.Server) {
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == "RCPT" && step.Address == carl {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such user"}}
			}
			return nil
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return w, w.send(d, account{clear: true}, newParcel(to...)), nil
}

const bob, carl = "bob@example.net", "carl@example.net"

func theOther(d delivery, _ func(error) lesson) (string, error) {
	got := 0
	for _, to := range [][]string{{bob, carl}, {carl, bob}} {
		w, _, err := refuse(d, to...)
		if err != nil {
			return "", err
		}
		if messages := w.Messages(); len(messages) == 1 && slices.Equal(messages[0].To, []string{bob}) {
			got++
		}
	}
	return map[int]string{0: no, 1: "depends on the order", 2: yes}[got], nil
}

func whoAndWhy(d delivery, learn func(error) lesson) (string, error) {
	_, told, err := refuse(d, bob, carl)
	if err != nil {
		return "", err
	}
	switch l := learn(told); {
	case told == nil:
		return "", errors.New("the caller is told of no refusal")
	case l.who == carl && l.code == 550:
		return yes, nil
	case l.who == carl:
		return "only who", nil
	case l.code == 550:
		return "only the code", nil
	}
	return no, nil
}

// doubt compares to RCPT: of a link lost at MAIL, gomail.v2 makes a dial without end.
func doubt(d delivery, learn func(error) lesson) (string, error) {
	var lessons []lesson
	for _, command := range []string{"RCPT", "END"} {
		w, err := watch(at(command, &smtptest.Fault{Drop: true}))
		if err != nil {
			return "", err
		}
		err = w.send(d, account{clear: true}, newParcel(bob))
		if arrived := len(w.Messages()) == 1; err == nil || arrived != (command == "END") {
			return "", fmt.Errorf("a link lost at %s: arrived is %v, and the error %w", command, arrived, err)
		}
		lessons = append(lessons, learn(err))
	}
	switch {
	case lessons[1].unknown && !lessons[0].unknown:
		return yes, nil
	case lessons[1] != lessons[0]:
		return "no, only the step", nil
	}
	return no, nil
}

func contextEnds(d delivery, _ func(error) lesson) (string, error) {
	stalls := []struct{ command, name string }{{"CONNECT", "greeting"}, {"MAIL", "MAIL"}, {"END", "end"}}
	ended := make([]bool, len(stalls))
	errs := make([]error, len(stalls))
	var waiting sync.WaitGroup
	for i, stall := range stalls {
		waiting.Go(func() { ended[i], errs[i] = endsAt(stall.command, d) })
	}
	waiting.Wait()
	var names []string
	for i, stall := range stalls {
		if ended[i] {
			names = append(names, stall.name)
		}
	}
	switch len(names) {
	case 0:
		return no, errors.Join(errs...)
	case len(stalls):
		return yes, errors.Join(errs...)
	}
	return "only at: " + strings.Join(names, ", "), errors.Join(errs...)
}

// endsAt tells whether a call returns before the server ends.
func endsAt(command string, d delivery) (bool, error) {
	w, err := watch(at(command, &smtptest.Fault{Delay: time.Hour}))
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d(ctx, account{server: w.address(), clear: true}, newParcel(bob)) }()
	<-ctx.Done()
	select {
	case err := <-done:
		w.close()
		if err == nil {
			return false, errors.New("the caller is told that the mail was accepted")
		}
		return true, nil
	case <-time.After(2 * time.Second):
		w.close()
		<-done
		return false, nil
	}
}

// inTheClear is about an account with a password, or without.
func inTheClear(login bool) func(delivery, func(error) lesson) (string, error) {
	return func(d delivery, _ func(error) lesson) (string, error) {
		var secret, mail bool
		for _, mechanisms := range [][]string{{"PLAIN"}, {"LOGIN"}, {}} {
			w, err := watch(func(s *smtptest.Server) {
				s.Users, s.Mechanisms = map[string]string{user: password}, mechanisms
			})
			if err != nil {
				return "", err
			}
			err = w.send(d, account{login: login}, newParcel(bob))
			arrived := len(w.Messages()) > 0
			if arrived != (err == nil) {
				return "", fmt.Errorf("arrived is %v, and the error %w", arrived, err)
			}
			secret, mail = secret || w.heardPassword(), mail || arrived
		}
		return inWords(secret, mail), nil
	}
}

func inWords(secret, mail bool) string {
	switch {
	case secret && mail:
		return "password, mail"
	case secret:
		return "the password"
	case mail:
		return "the mail"
	}
	return "nothing"
}

// injections are by the string that they are put into. The end of a line and what is to be
// on the next one is in each of them.
var injections = []struct {
	name string
	put  func(p *parcel, next string)
}{
	{"name", func(p *parcel, next string) { p.name = "Ann" + next }},
	{"subject", func(p *parcel, next string) { p.subject = "figures" + next }},
	{"file name", func(p *parcel, next string) { p.fileName, p.fileType = "q3.pdf"+next, "application/pdf" }},
	{"file type", func(p *parcel, next string) { p.fileName, p.fileType = "q3.pdf", "application/pdf"+next }},
	{"address", func(p *parcel, next string) { p.to = []string{bob + next} }},
	{"address", func(p *parcel, next string) { p.to = []string{bob + ">" + next + "<eve@example.org"} }},
	{"header", func(p *parcel, next string) { p.header = "q3" + next }},
}

func injected(d delivery, _ func(error) lesson) (string, error) {
	var names []string
	for _, injection := range injections {
		for _, end := range []string{"\r\n", "\n", "\r"} {
			for _, line := range []string{"X-Injected: yes", "RCPT TO:<eve@example.org>"} {
				p := newParcel(bob)
				injection.put(p, end+line)
				arrived, err := arrives(d, p)
				if err != nil {
					return "", err
				}
				if arrived && !slices.Contains(names, injection.name) {
					names = append(names, injection.name)
				}
			}
		}
	}
	if len(names) == 0 {
		return "nothing", nil
	}
	return strings.Join(names, ", "), nil
}

// arrives tells whether a line that was injected arrives: one of a header in a mail that is
// accepted, or a command before the mail.
func arrives(d delivery, p *parcel) (bool, error) {
	w, err := watch(nil)
	if err != nil {
		return false, err
	}
	w.send(d, account{clear: true}, p) // That it is refused is as good as anything.
	for _, m := range w.Messages() {
		if bytes.Contains(m.Data, []byte("\nX-Injected: ")) {
			return true, nil
		}
	}
	commands, _, _ := strings.Cut(w.heard(), "\nDATA")
	return strings.Contains(strings.ReplaceAll(commands, "\r", "\n"), "\nRCPT TO:<eve@"), nil
}

func reportedAsFailed(d delivery, _ func(error) lesson) (string, error) {
	var names []string
	for _, name := range []string{"RSET", "NOOP", "QUIT", "loss"} {
		w, err := watch(func(s *smtptest.Server) { s.On = afterwards(name) })
		if err != nil {
			return "", err
		}
		err = w.send(d, account{clear: true}, newParcel(bob))
		if len(w.Messages()) != 1 {
			return "", fmt.Errorf("the mail was not accepted: %w", err)
		}
		if err != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return no, nil
	}
	return "by " + strings.Join(names, ", "), nil
}

// afterwards makes a fault after the end of a mail.
func afterwards(name string) func(smtptest.Step) *smtptest.Fault {
	var ended atomic.Bool
	return func(step smtptest.Step) *smtptest.Fault {
		switch {
		case step.Command == "END":
			ended.Store(true)
		case ended.Load() && name == "loss":
			return &smtptest.Fault{Drop: true}
		case ended.Load() && name == step.Command:
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 451, Text: "not now"}}
		}
		return nil
	}
}

func umlauts(d delivery, _ func(error) lesson) (string, error) {
	w, err := watch(nil)
	if err != nil {
		return "", err
	}
	err = w.send(d, account{clear: true}, newParcel("bob@bücher.example"))
	messages := w.Messages()
	switch {
	case err == nil && len(messages) == 1 && messages[0].To[0] == "bob@xn--bcher-kva.example":
		return yes, nil
	case strings.Contains(w.heard(), "RCPT TO:<bob@bücher.example>"):
		return "no, raw UTF-8", nil
	case err != nil && len(messages) == 0:
		return "no, an error", nil
	}
	return "", fmt.Errorf("the server heard %q, and the error is %w", w.heard(), err)
}
