package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// matrix is what is shown at the end: servers across, checks down.
type matrix struct {
	servers []*server // those that are not looked at are needed by others
	looked  []*server
	checks  []check
	began   time.Time
	verbose bool

	mu    sync.Mutex
	cells map[cell]outcome
}

type cell struct {
	check  string
	server *server
}

// last is the row that is filled when all the others have been.
const last = "nothing else arrived, and nothing twice"

func newMatrix(onServers, ofChecks regexp.Regexp, verbose bool) (*matrix, error) {
	m := &matrix{servers: servers(), cells: map[cell]outcome{}, began: time.Now(), verbose: verbose}
	for _, s := range m.servers {
		if onServers.MatchString(s.name) {
			m.looked = append(m.looked, s)
		}
	}
	for _, c := range slices.Concat(sessionChecks(), envelopeChecks(), contentChecks(), runChecks(), readingChecks()) {
		if ofChecks.MatchString(c.name) {
			m.checks = append(m.checks, c)
		}
	}
	if len(m.looked) == 0 || len(m.checks) == 0 {
		return nil, errors.New("no server, or no check, is called so")
	}
	return m, m.prepare()
}

// prepare makes what the servers and the checks share.
func (m *matrix) prepare() error {
	identities, err := newIdentities()
	if err != nil {
		return err
	}
	var forDovecot, forPostfix strings.Builder
	for _, box := range boxes() {
		fmt.Fprintf(&forDovecot, "%s@test.example:::::::\n", box)
		fmt.Fprintf(&forPostfix, "%s@test.example %s/\n", box, box)
	}
	dovecotErr := write("/etc/dovecot/boxes", []byte(forDovecot.String()), 0o644)
	if err := errors.Join(dovecotErr, write("/etc/postfix/boxes", []byte(forPostfix.String()), 0o644)); err != nil {
		return err
	}
	mailboxes := map[string]*mailbox{}
	for _, s := range m.servers {
		if mailboxes[s.mail] == nil {
			if mailboxes[s.mail], err = newMailbox(filepath.Join("/srv/mail", s.mail)); err != nil {
				return err
			}
		}
		s.identities, s.boxes = identities, mailboxes[s.mail]
	}
	return nil
}

// start starts the servers, in the order in which they need each other.
func (m *matrix) start(ctx context.Context) {
	for _, s := range m.servers {
		began := time.Now()
		if s.missing = s.start(ctx); s.missing != nil {
			m.tell("%s is missing: %v", s.name, s.missing)
			continue
		}
		m.tell("%s took %.1f s to start", s.name, time.Since(began).Seconds())
	}
}

// try makes all checks of one server, until it is interrupted.
func (m *matrix) try(ctx context.Context, s *server) {
	for _, c := range m.checks {
		if ctx.Err() != nil {
			return
		}
		if s.missing != nil {
			m.set(c.name, s, outcome{err: errors.New("the server is missing")})
			continue
		}
		m.set(c.name, s, c.try(ctx, s))
	}
}

// settle waits until what is on its way has come, and looks for what should not have,
// and whether each server is still there.
func (m *matrix) settle(ctx context.Context) {
	time.Sleep(3 * time.Second)
	for _, s := range m.looked {
		var ehloErr error
		s.offered, ehloErr = s.offers(ctx)
		strays, err := s.boxes.strays()
		if len(strays) > 0 {
			err = fmt.Errorf("%d deliveries that nobody waited for: %q", len(strays), strays[:min(len(strays), 10)])
		}
		m.set(last, s, outcome{err: cmp.Or(s.missing, ehloErr, err)})
	}
}

func (m *matrix) set(check string, s *server, o outcome) {
	m.mu.Lock()
	m.cells[cell{check, s}] = o
	m.mu.Unlock()
	switch {
	case o.isFailure():
		m.tell("%s: %s FAILED: %v", s.name, check, o.err)
	case !m.verbose:
	case o.isNotOffered():
		m.tell("%s: %s: not offered: %v", s.name, check, o.err)
	default:
		m.tell("%s: %s: passed in %.1f s", s.name, check, o.took.Seconds())
	}
}

func (m *matrix) failures() (n int) {
	for _, o := range m.cells {
		if o.isFailure() {
			n++
		}
	}
	return n
}

func (m *matrix) tell(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Printf("%5.1f s "+format+"\n", append([]any{time.Since(m.began).Seconds()}, args...)...)
}
