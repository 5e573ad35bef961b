package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// way is one way to send by a package, as its documentation shows it.
type way struct {
	label   string     // among the ways of the package; empty: it is the only one
	callers []delivery // more than one, where the package leaves it to them what happens
	context bool       // they hand a context over
	learn   func(error) lesson
}

// lesson is what an error tells by its types and fields. Its text does not count.
type lesson struct {
	who     string // was refused
	code    int    // of the reply
	unknown bool   // the mail may have arrived
	step    string // in which it failed, where the package names it
}

// finding is how all behave in one respect.
type finding struct {
	Ask     string
	Answers map[string][]string // by peer, of its ways
}

// behave asks all questions of all ways of peers, at once: most of the time they wait.
func behave(peers []*peer) ([]finding, error) {
	findings := make([]finding, len(questions))
	var mu sync.Mutex
	var asking sync.WaitGroup
	var failed error
	for i, q := range questions {
		findings[i] = finding{q.ask, map[string][]string{}}
		for _, p := range peers {
			asking.Go(func() {
				answers, err := q.of(p)
				mu.Lock()
				defer mu.Unlock()
				findings[i].Answers[p.name] = answers
				if err != nil {
					failed = fmt.Errorf("%s: %s: %w", p.name, q.ask, err)
				}
			})
		}
	}
	asking.Wait()
	return findings, failed
}

// of returns the answers of the ways of a peer, and only one if they are all the same.
func (q question) of(p *peer) ([]string, error) {
	var answers, labelled []string
	for _, w := range p.ways {
		answer, err := q.ofWay(w)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
		labelled = append(labelled, w.label+": "+answer)
	}
	if len(slices.Compact(slices.Clone(answers))) == 1 {
		return answers[:1], nil
	}
	return labelled, nil
}

// ofWay is the caller's own, if what his code is like makes the answer.
func (q question) ofWay(w way) (string, error) {
	if q.context && !w.context {
		return "takes none", nil
	}
	var first string
	for i, caller := range w.callers {
		answer, err := q.answer(caller, w.learn)
		if err != nil {
			return "", err
		}
		if i == 0 {
			first = answer
		} else if answer != first {
			return "caller's own", nil
		}
	}
	return first, nil
}

// behave adds how each behaves, as of today.
func (r *report) behave() (err error) {
	r.Behaved = today()
	r.Behaviour, err = behave(builders)
	return err
}

// behaviour writes how each behaves, and how that was found out.
func (r *report) behaviour(b *strings.Builder) {
	if len(r.Behaviour) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## How each behaves\n\nOn %s, by `go run . -behaviour`. %s\n|", r.Behaved, aboutBehaviour)
	for _, p := range builders {
		b.WriteString(" | " + p.name)
	}
	fmt.Fprintf(b, " |\n|%s\n", strings.Repeat(" --- |", len(builders)+1))
	for i, f := range r.Behaviour {
		fmt.Fprintf(b, "| %d. %s", i+1, f.Ask)
		for _, p := range builders {
			b.WriteString(" | " + strings.Join(f.Answers[p.name], "<br>"))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("\nHow it was found out, and what else shows it of Postrider:\n\n")
	for i, q := range questions {
		fmt.Fprintf(b, "%d. %s (%s)\n", i+1, q.how, q.proof)
	}
}

const aboutBehaviour = `Each answer is made of what a server received and of what the caller was told.
It is the caller's own where callers who use the package as documented get different ones: a careful one, who goes on
after a refused recipient, drops the connection when the content fails, notes the step that failed and encodes what he
writes; and one who returns the first error, as examples do. SendMail is the function of that name (with go-smtp, which
wants TLS for it, the method of a Client where there is none); steps are Mail, Rcpt, Data and Quit of a Client.
`
