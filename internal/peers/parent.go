package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/postrider/smtp/internal/testcert"
)

// parent starts a child for each column of a row, as often as the row wants, and holds the
// sink that it sends to.
type parent struct {
	quick       bool
	log         io.Writer
	certificate tls.Certificate
	idle        int64 // the memory of a process that does nothing
	results     []result
}

// result is what came of one column of a row.
type result struct {
	Row, Column string
	Why         string    `json:",omitempty"` // it was not done
	Runs        []figures `json:",omitempty"`
}

func newParent(quick bool, log io.Writer) (*parent, error) {
	certificate, _, err := testcert.Loopback()
	if err != nil {
		return nil, err
	}
	p := &parent{quick: quick, log: log, certificate: certificate}
	for range 3 { // The least of some, since it is taken off all others.
		f, err := p.start(job{})
		if err != nil {
			return nil, err
		}
		if p.idle == 0 || f.Peak < p.idle {
			p.idle = f.Peak
		}
	}
	return p, nil
}

// run runs a row. Its columns take turns, each time beginning with another one, so that
// what else the machine does is spread over them.
func (p *parent) run(r row) error {
	begun := time.Now()
	results := make([]result, len(r.columns))
	for i, c := range r.columns {
		results[i] = result{Row: r.id, Column: c.name, Why: c.why}
	}
	for repetition := range p.repetitions(r) {
		if err := p.round(r, results, repetition); err != nil {
			return fmt.Errorf("%s: %w", r.id, err)
		}
	}
	p.results = append(p.results, results...)
	fmt.Fprintf(p.log, "%-24s %5.1f s\n", r.id, time.Since(begun).Seconds())
	return nil
}

func (p *parent) repetitions(r row) int {
	if p.quick {
		return 1
	}
	return max(r.repetitions, 1)
}

func (p *parent) roundTrip(r row) time.Duration {
	if p.quick {
		return min(r.delay, time.Millisecond)
	}
	return r.delay
}

// round runs each column once.
func (p *parent) round(r row, results []result, from int) error {
	errs := make(chan error, len(r.columns))
	var running sync.WaitGroup
	for i := range r.columns {
		at := (from + i) % len(r.columns)
		if r.columns[at].why != "" {
			continue
		}
		running.Go(func() { errs <- p.column(r, &results[at]) })
		if !r.together {
			running.Wait()
		}
	}
	running.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// column runs one column of a row once. Where that does its work often, so that its time
// can be measured, another child tells what memory it takes once.
func (p *parent) column(r row, to *result) error {
	j := job{Row: r.id, Column: to.Column, Quick: p.quick}
	f, err := p.serve(r, j)
	if err == nil && r.unit != "" {
		var once figures
		j.Once = true
		once, err = p.serve(r, j)
		f.Peak = once.Peak
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to.Column, err)
	}
	f.Peak = max(0, f.Peak-p.idle)
	to.Runs = append(to.Runs, f)
	return nil
}

// serve runs a child against a sink of its own, which must have got what the child says
// that it has sent.
func (p *parent) serve(r row, j job) (f figures, err error) {
	s := &sink{roundTrip: p.roundTrip(r)}
	if r.secure {
		s.tls = &tls.Config{Certificates: []tls.Certificate{p.certificate}}
		j.Certificate = p.certificate.Certificate[0]
	}
	if err := s.start(); err != nil {
		return f, err
	}
	defer s.close()
	j.Addr = s.addr
	f, err = p.start(j)
	if err == nil && s.mails.Load() != f.Sent {
		err = fmt.Errorf("%d mails arrived of %d", s.mails.Load(), f.Sent)
	}
	return f, err
}

// start runs a child to its end.
func (p *parent) start(j job) (f figures, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return f, err
	}
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	child := exec.CommandContext(limited, self, "-job", string(text))
	child.Stderr = &stderr
	out, err := child.Output()
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return f, json.Unmarshal(out, &f)
}
