package main

import (
	"encoding/base64"
	"errors"
	"io"
	"slices"
)

// warm sends mails over a session that has sent some before, so many with each call.
func warm(mails, batch, recipients int, file int64) func(*peer) func(*task) error {
	return func(p *peer) func(*task) error {
		return func(t *task) error {
			s, err := p.open(t.server)
			if err != nil {
				return err
			}
			batch := t.few(batch)
			times := t.few(mails / batch)
			l := newLetter(recipients, t.small(file))
			letters := slices.Repeat([]*letter{l}, batch)
			before := max(1, t.few(mails)/10)
			for range before {
				if err := s.send(l); err != nil {
					return err
				}
			}
			t.Sent = int64(before + times*batch)
			err = t.measure(times, times*batch, func() error { return s.send(letters...) })
			return errors.Join(err, s.close())
		}
	}
}

// cold sends each mail over a session of its own. Its end is not measured.
func cold(mails int) func(*peer) func(*task) error {
	return func(p *peer) func(*task) error {
		return func(t *task) error {
			l := newLetter(1, 0)
			before := figures{}
			for i := range t.few(mails) + 1 {
				var s session
				err := t.measure(1, 1, func() (err error) {
					if s, err = p.open(t.server); err == nil {
						err = s.send(l)
					}
					return err
				})
				if err != nil {
					return err
				}
				if err := s.close(); err != nil {
					return err
				}
				if i == 0 { // It resumes no session of TLS.
					t.figures = before
				}
			}
			t.Sent = t.Units + 1
			return nil
		}
	}
}

// build writes messages with a file to nowhere.
func build(messages int) func(*peer) func(*task) error {
	return func(p *peer) func(*task) error {
		return func(t *task) error {
			l := newLetter(1, t.small(medium))
			write := func() error { return p.build(l, io.Discard) }
			if err := write(); err != nil {
				return err
			}
			n := t.few(messages)
			return t.measure(n, n, write)
		}
	}
}

// encodeBase64 does no more than has to be done to any file.
func encodeBase64(t *task) error {
	l := newLetter(1, t.small(medium))
	from := make([]byte, 48<<10)
	to := make([]byte, base64.StdEncoding.EncodedLen(len(from)))
	encode := func() error {
		r := l.open()
		for {
			n, err := io.ReadFull(r, from)
			base64.StdEncoding.Encode(to, from[:n])
			if err != nil {
				return nil // The end: it has no other.
			}
		}
	}
	encode()
	n := t.few(10)
	return t.measure(n, n, encode)
}

// first sends one mail, and nothing else.
func first(file int64) func(*peer) func(*task) error {
	return func(p *peer) func(*task) error {
		return func(t *task) error {
			s, err := p.open(t.server)
			if err != nil {
				return err
			}
			t.Sent = 1
			l := newLetter(1, t.small(file))
			err = t.measure(1, 1, func() error { return s.send(l) })
			return errors.Join(err, s.close())
		}
	}
}
