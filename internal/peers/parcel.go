package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing/iotest"
)

// parcel is a mail in which something is wrong, in terms of no package.
type parcel struct {
	name    string // shown beside the address of the sender
	subject string
	header  string // the value of a further field, X-Campaign
	to      []string

	fileName, fileType string // empty: there is no file
	fails              bool   // its file fails to read in the middle
}

const (
	sender    = "ann@example.com"
	campaign  = "X-Campaign"
	plainText = "See the attachment.\n"
)

func newParcel(to ...string) *parcel {
	return &parcel{name: "Ann", subject: "Quarterly figures", header: "q3", to: to}
}

var errDisk = errors.New("the disk failed")

// content is what is in the file: more than any package holds back before it writes.
func (p *parcel) content() io.Reader {
	begins := io.LimitReader(newLetter(1, 200_000).open(), 200_000)
	if p.fails {
		return io.MultiReader(begins, iotest.ErrReader(errDisk))
	}
	return begins
}

// Open implements fs.FS: the parcel has its file under any name.
func (p *parcel) Open(string) (fs.File, error) { return parcelFile{p.content()}, nil }

type parcelFile struct{ io.Reader }

func (f parcelFile) Stat() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }
func (f parcelFile) Close() error               { return nil }

// account is where a parcel goes by, as a program is configured.
type account struct {
	server
	clear bool // TLS is not wanted, and switched off where there is such a switch; false: nothing is said of it
	login bool // there are a user and a password
}

// delivery opens a session, sends a parcel and ends the session.
type delivery func(ctx context.Context, to account, p *parcel) error

// steps are a session of which the caller makes each step himself.
type steps interface {
	Mail(from string) error
	Rcpt(to string) error
	Data() (io.WriteCloser, error)
	Quit() error
	Close() error
}

// bySteps makes the steps in one of two ways in which callers do. One is careful. The other
// does as the examples do: it returns the first error, that of QUIT too, and closes the
// writer when it has failed, as the documentation says to do before any other step.
func bySteps(careful bool, open func(account) (steps, error), write func(*parcel, io.Writer) error) delivery {
	return func(_ context.Context, to account, p *parcel) error {
		session, err := open(to)
		if err != nil {
			return err
		}
		defer session.Close()
		refused, err := envelopeBySteps(session, p, careful)
		if err != nil {
			return err
		}
		if err := contentBySteps(session, p, careful, write); err != nil {
			return err
		}
		if err := session.Quit(); err != nil && !careful {
			return err
		}
		return refused
	}
}

// envelopeBySteps returns apart who was refused, if the others get the mail.
func envelopeBySteps(session steps, p *parcel, careful bool) (refused, err error) {
	if err := session.Mail(sender); err != nil {
		return nil, err
	}
	for _, to := range p.to {
		if err := session.Rcpt(to); err != nil && careful {
			refused = &callerError{who: to, err: err}
		} else if err != nil {
			return nil, err
		}
	}
	return refused, nil
}

func contentBySteps(session steps, p *parcel, careful bool, write func(*parcel, io.Writer) error) error {
	w, err := session.Data()
	if err != nil {
		return err
	}
	if err := write(p, w); err != nil {
		if careful {
			return err
		}
		return errors.Join(err, w.Close(), session.Quit())
	}
	if err := w.Close(); err != nil && careful {
		return &callerError{unknown: true, err: err}
	} else if err != nil {
		return err
	}
	return nil
}

// callerError is what a careful caller makes of the error of a step.
type callerError struct {
	who     string
	unknown bool
	err     error
}

// Error implements error.
func (e *callerError) Error() string { return fmt.Sprintf("%s: %v", e.who, e.err) }

// Unwrap returns the error of the step.
func (e *callerError) Unwrap() error { return e.err }

// learnBySteps adds what the caller knows by himself.
func learnBySteps(learn func(error) lesson) func(error) lesson {
	return func(err error) lesson {
		l := learn(err)
		var own *callerError
		if errors.As(err, &own) {
			l.who = own.who
			l.unknown = own.unknown && l.code == 0
		}
		return l
	}
}
