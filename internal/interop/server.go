package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/smtp"
)

// server is one that the checks are made of: a column of the matrix.
type server struct {
	name    string // in the matrix
	version string // of which package
	program string // under /srv/start; empty: it runs already, in another program or in this one
	host    string // its name in /etc/hosts; it listens on the ports of the standards
	mail    string // where its Maildirs are, under /srv/mail

	lmtp      bool   // by LMTP, on port 24
	socket    string // instead of host and port
	mustLogin bool   // to send anything
	defers    bool   // it refuses some recipients for now, by 4yz
	reports   bool   // it reports what became of a mail

	serve func(*server) error // runs it in this process

	identities *identities
	boxes      *mailbox
	samples    []sample // once they have been sent
	sentRuns   int      // runs of mails
	missing    error    // why it is not there
	offered    []string // in the end
}

// servers are in the order of the matrix. Those of which others make use come first.
func servers() []*server {
	return []*server{
		{name: "Dovecot LMTP", version: "dovecot-core", program: "dovecot", host: "dovecot", mail: "dovecot", lmtp: true},
		{name: "Postfix", version: "postfix", program: "postfix", host: "postfix", mail: "postfix", defers: true, reports: true},
		{name: "Exim", version: "exim4-daemon-heavy", program: "exim", host: "exim", mail: "exim", defers: true, reports: true},
		{name: "OpenSMTPD", version: "opensmtpd", program: "opensmtpd", host: "opensmtpd", mail: "opensmtpd", reports: true},
		{name: "Sendmail", version: "sendmail-bin", program: "sendmail", host: "sendmail", mail: "sendmail", defers: true, reports: true},
		{name: "Courier", version: "courier-mta", program: "courier", host: "courier", mail: "courier", defers: true, reports: true},
		{name: "Dovecot submission", version: "dovecot-core", host: "dovecot", mail: "postfix", mustLogin: true, defers: true, reports: true}, // It relays to Postfix.
		{name: "aiosmtpd", version: "python3-aiosmtpd", program: "aiosmtpd", host: "aiosmtpd", mail: "aiosmtpd", defers: true},
		{name: "Nodemailer smtp-server", version: "smtp-server", program: "nodemailer", host: "nodemailer", mail: "nodemailer", defers: true},
		{name: "Nodemailer LMTP", version: "smtp-server", host: "nodemailer", mail: "nodemailer", defers: true, lmtp: true},
		{name: "go-smtp", version: "go-smtp", host: "go-smtp", mail: "go-smtp", defers: true, serve: serveGoSMTP},
		{name: "go-smtp LMTP", version: "go-smtp", host: "go-smtp", socket: "/run/go-smtp.sock", mail: "go-smtp", defers: true, serve: serveGoSMTP, lmtp: true},
	}
}

// start runs the program of the server, which ends with this one, and waits for its port.
func (s *server) start(ctx context.Context) error {
	if s.serve != nil {
		if err := s.serve(s); err != nil {
			return err
		}
	}
	if s.program == "" {
		return s.await(ctx, nil)
	}
	log, err := os.Create("/var/log/" + s.program + ".log")
	if err != nil {
		return err
	}
	command := exec.Command("/srv/start/" + s.program)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // An interrupt is for the suite alone.
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		command.Wait()
		close(ended)
	}()
	if err := s.await(ctx, ended); err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

// await waits until the server can be connected to, or has ended.
func (s *server) await(ctx context.Context, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := s.dial(ctx)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-ended:
			return errors.New("it has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dial connects without the package.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	network, address := "tcp", s.address(s.port())
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// address is that of one of its ports.
func (s *server) address(port int) string {
	if s.socket != "" {
		return "unix:" + s.socket
	}
	return fmt.Sprintf("%s.test.example:%d", s.host, port)
}

// takesAnySender tells whether it refuses none.
func (s *server) takesAnySender() bool { return s.lmtp && s.program == "dovecot" }

// port is the one that the checks use, where they do not want another.
func (s *server) port() int {
	switch {
	case s.lmtp:
		return 24
	case s.mustLogin:
		return 587
	}
	return 25
}

// mailer reaches the server as the checks do, where they do not want it otherwise.
func (s *server) mailer() *smtp.Mailer {
	m := &smtp.Mailer{Addr: s.address(s.port()), TLSConfig: &tls.Config{RootCAs: s.identities.roots}}
	m.Options.LMTP = s.lmtp
	if s.lmtp {
		m.TLS = smtp.TLSNone
	}
	if s.mustLogin {
		m.Auth = smtp.Password(alice, alicePassword)
	}
	return m
}
