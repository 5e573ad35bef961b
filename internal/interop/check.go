package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postrider/smtp"
)

// check is a row of the matrix.
type check struct {
	name string
	run  func(*trial) error
}

// trial is a check of one server.
type trial struct {
	*server
	context.Context
}

// notOffered is what a check returns about a server that does not offer what it is
// about; the words are the proof.
type notOffered string

func (n notOffered) Error() string { return string(n) }

// patience is for one check.
const patience = 2 * time.Minute

// outcome is a cell of the matrix.
type outcome struct {
	err  error // nil: passed
	took time.Duration
}

func (o outcome) isNotOffered() bool { return errors.As(o.err, new(notOffered)) }

func (o outcome) isFailure() bool { return o.err != nil && !o.isNotOffered() }

func (c check) try(ctx context.Context, s *server) outcome {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	err := c.run(&trial{s, ctx})
	var lacking *smtp.UnsupportedError
	if errors.As(err, &lacking) {
		err = s.proof(ctx, lacking.Extension, err)
	}
	return outcome{err, time.Since(began)}
}

// proof asks the server itself whether it does not offer the extension: what we say of
// it does not count.
func (s *server) proof(ctx context.Context, extension string, err error) error {
	offered, ehloErr := s.offers(ctx)
	if ehloErr != nil {
		return errors.Join(err, ehloErr)
	}
	asked := strings.Fields(strings.ToUpper(extension)) // of several mechanisms, any will do
	for _, line := range offered {
		words := strings.Fields(strings.ToUpper(strings.Replace(line, "=", " ", 1)))
		isOffered := func(name string) bool { return slices.Contains(words[1:], name) }
		if len(words) > 0 && words[0] == asked[0] && (len(asked) == 1 || slices.ContainsFunc(asked[1:], isOffered)) {
			return fmt.Errorf("it does offer %s: %w", extension, err)
		}
	}
	return notOffered("no " + extension + " in its EHLO")
}

// needs is an error unless the server offers the extension.
func (t *trial) needs(extension string) error {
	if err := t.proof(t, extension, errors.ErrUnsupported); errors.As(err, new(notOffered)) {
		return err
	}
	return nil
}

// letter is a small message that is nothing special.
func (t *trial) letter(boxes ...string) *smtp.Message {
	m := &smtp.Message{From: smtp.Address{Name: "Ann", Address: "ann@test.example"}, Subject: "A letter", Text: "Hello.\n"}
	for _, box := range boxes {
		m.To = append(m.To, smtp.Address{Address: box + "@test.example"})
	}
	return m
}

// raw is a ready message with such a body.
func (t *trial) raw(body string) *smtp.Message {
	header := "From: ann@test.example\r\nTo: alice@test.example\r\nSubject: raw\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <" + newID() + ">\r\n\r\n"
	return &smtp.Message{Raw: smtp.FileBytes("", []byte(header+body)), Delivery: smtp.Envelope{From: "ann@test.example", To: []smtp.Recipient{{Address: "alice@test.example"}}}}
}

// deliver sends a message, and checks that it comes to each of the boxes as it was sent.
func (t *trial) deliver(by smtp.Sender, m *smtp.Message, boxes ...string) error {
	p, err := m.Prepare()
	if err != nil {
		return err
	}
	result, err := by.Send(t, p)
	if err != nil {
		return err
	}
	return t.arrived(p, result.MessageID, boxes...)
}

// arrived checks that a prepared message has come to each of the boxes as it is.
func (t *trial) arrived(p *smtp.Message, id string, boxes ...string) error {
	paths, err := t.boxes.await(t, id, boxes...)
	if err != nil {
		return err
	}
	var sent bytes.Buffer
	if _, err := p.WriteTo(&sent); err != nil {
		return err
	}
	for _, path := range paths {
		delivered, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := sameContent(delivered, sent.Bytes(), p.Delivery.From); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
