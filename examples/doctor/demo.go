package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

// demonstrate lets the doctor examine a server in this process and made-up records, so
// that it needs no network.
func demonstrate(d *doctor, p *patient) *smtptest.Server {
	server := &smtptest.Server{Offer: []string{"SMTPUTF8", "LIMITS RCPTMAX=100"}}
	d.resolver, d.dial = demoZone(), server.DialContext
	p.mailer = server.Mailer()
	p.mailer.Addr, p.mailer.Auth = "localhost:587", smtp.Password("user", "pencil")
	p.domain, p.selector = "example.com", "s1"
	return server
}

func demoZone() *zone {
	return &zone{
		host: map[string][]string{
			"localhost":        {"127.0.0.1", "::1"},
			"mx1.example.com":  {"192.0.2.1", "2001:db8::1"},
			"mx2.example.com":  {"192.0.2.2"},
			"mail.example.com": {"192.0.2.3"},
		},
		mx: map[string][]*net.MX{"example.com": {{Host: "mx1.example.com.", Pref: 10}, {Host: "mx2.example.com.", Pref: 20}}},
		txt: map[string][]string{
			"example.com":               {"v=spf1 mx include:_spf.example.net ~all", "some-other-service=17"},
			"_spf.example.net":          {"v=spf1 ip4:192.0.2.0/24 -all"},
			"s1._domainkey.example.com": {"v=DKIM1; k=rsa; p=" + demoKey(1024)},
			"_dmarc.example.com":        {"v=DMARC1; p=none; rua=mailto:dmarc@example.com"},
		},
	}
}

// demoKey spells an RSA key of that many bits, which signs nothing.
func demoKey(bits int) string {
	n := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		panic(err) // It has a modulus and an exponent.
	}
	return base64.StdEncoding.EncodeToString(der)
}
