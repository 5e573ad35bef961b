package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/smtp"
)

// sessionChecks are about how a session begins.
func sessionChecks() []check {
	checks := []check{
		{"STARTTLS", startTLS},
		{"TLS from the start", implicitTLS},
		{"in the clear", inTheClear},
		{"submission, which wants AUTH", submission},
	}
	for _, m := range mechanisms() {
		checks = append(checks, check{"AUTH " + m.name + ", right and wrong", m.rightAndWrong})
	}
	return append(checks, check{"AUTH with a password in UTF-8", passwordInUTF8})
}

func startTLS(t *trial) error {
	if t.socket != "" {
		return notOffered("a local socket needs none")
	}
	mailer := t.mailer()
	mailer.TLS = smtp.TLSRequired
	return t.overTLS(mailer)
}

// overTLS sends mail by TLS 1.3 and 1.2, and none to a certificate that is not good.
func (t *trial) overTLS(mailer *smtp.Mailer) error {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		by := mailer.Clone()
		by.TLSConfig = mailer.TLSConfig.Clone()
		by.TLSConfig.MinVersion, by.TLSConfig.MaxVersion = version, version
		err := t.deliver(by, t.letter("alice"), "alice")
		by.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", tls.VersionName(version), err)
		}
	}
	for what, config := range map[string]*tls.Config{
		"that nobody vouches for": {RootCAs: x509.NewCertPool()},
		"of another host":         {RootCAs: t.identities.roots, ServerName: "elsewhere.example"},
		"of another time":         {RootCAs: t.identities.roots, Time: func() time.Time { return time.Now().AddDate(1, 0, 0) }},
	} {
		by := mailer.Clone()
		by.TLSConfig = config
		if err := by.Verify(t); !errors.As(err, new(*tls.CertificateVerificationError)) {
			return fmt.Errorf("a certificate %s: %v", what, err)
		}
	}
	return nil
}

func implicitTLS(t *trial) error {
	if t.lmtp {
		return notOffered("LMTP has no port for it")
	}
	mailer := t.mailer()
	mailer.Addr = t.address(465)
	return t.overTLS(mailer)
}

func inTheClear(t *trial) error {
	mailer := t.mailer()
	mailer.TLS, mailer.Options.PlaintextAuth = smtp.TLSNone, true
	defer mailer.Close()
	return t.deliver(mailer, t.letter("alice"), "alice")
}

// submission: the port for it takes mail only from those who have said who they are.
func submission(t *trial) error {
	if t.lmtp {
		return notOffered("LMTP has no port for it")
	}
	mailer := t.mailer()
	mailer.Addr, mailer.Auth = t.address(587), nil
	result, err := mailer.Send(t, t.letter("alice"))
	mailer.Close()
	if result.Recipients[0].Outcome != smtp.Refused {
		return fmt.Errorf("without AUTH: %v", err)
	}
	mailer = mailer.Clone()
	mailer.Auth = smtp.Password(alice, alicePassword)
	defer mailer.Close()
	return t.deliver(mailer, t.letter("alice"), "alice")
}

// mechanism is one of AUTH, made with the right secret or a wrong one.
type mechanism struct {
	name string
	with func(t *trial, right bool) smtp.Mechanism
}

func mechanisms() []mechanism {
	byPassword := func(new func(user, password string) smtp.Mechanism) func(*trial, bool) smtp.Mechanism {
		return func(_ *trial, right bool) smtp.Mechanism {
			if right {
				return new(alice, alicePassword)
			}
			return new(alice, "guessed")
		}
	}
	byToken := func(new func(string, func(context.Context) (string, error)) smtp.Mechanism) func(*trial, bool) smtp.Mechanism {
		return func(t *trial, right bool) smtp.Mechanism {
			return new(alice, func(context.Context) (string, error) {
				if right {
					return t.identities.token, nil
				}
				return "expired", nil
			})
		}
	}
	return []mechanism{
		{"PLAIN", byPassword(smtp.Plain)},
		{"LOGIN", byPassword(smtp.Login)},
		{"CRAM-MD5", byPassword(smtp.CRAMMD5)},
		{"SCRAM-SHA-1", byPassword(smtp.SCRAMSHA1)},
		{"SCRAM-SHA-256", byPassword(smtp.SCRAMSHA256)},
		{"SCRAM-SHA-512", byPassword(smtp.SCRAMSHA512)},
		{"SCRAM-SHA-1-PLUS", byPassword(smtp.SCRAMSHA1Plus)},
		{"SCRAM-SHA-256-PLUS", byPassword(smtp.SCRAMSHA256Plus)},
		{"OAUTHBEARER", byToken(smtp.OAuthBearer)},
		{"XOAUTH2", byToken(smtp.XOAUTH2)},
		{"EXTERNAL", func(*trial, bool) smtp.Mechanism { return smtp.External("") }},
		{"ANONYMOUS", func(*trial, bool) smtp.Mechanism { return smtp.Anonymous("interop") }},
	}
}

func (m mechanism) rightAndWrong(t *trial) error {
	mailer := t.mailer()
	mailer.Auth = []smtp.Mechanism{m.with(t, true)}
	if m.name == "EXTERNAL" {
		mailer.TLSConfig.Certificates = []tls.Certificate{t.identities.client}
	}
	if err := mailer.Verify(t); err != nil || m.name == "ANONYMOUS" { // which refuses nobody
		return err
	}
	mailer = t.mailer()
	mailer.Auth = []smtp.Mechanism{m.with(t, false)}
	err := mailer.Verify(t)
	var refused *smtp.Error
	if errors.As(err, &refused) && (refused.Reply.Code == 535 || refused.Reply.Code == 454 && t.host == "go-smtp") {
		return nil
	}
	if m.name == "EXTERNAL" && errors.As(err, new(*smtp.UnsupportedError)) { // to those without a certificate
		return nil
	}
	return fmt.Errorf("a wrong one: %v", err)
}

// passwordInUTF8 tries each mechanism by itself: the one behind it would make up for it.
func passwordInUTF8(t *trial) error {
	err := error(notOffered("no AUTH by a password in its EHLO"))
	for _, m := range append(smtp.Password(uni, uniPassword), smtp.CRAMMD5(uni, uniPassword)) {
		if t.needs("AUTH "+m.Name()) != nil {
			continue
		}
		mailer := t.mailer()
		mailer.Auth = []smtp.Mechanism{m}
		if err = mailer.Verify(t); err != nil {
			return err
		}
	}
	return err
}
