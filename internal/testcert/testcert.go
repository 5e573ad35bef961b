// Package testcert makes the certificates of the servers that tests start.
package testcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"
)

// Loopback returns a certificate for loopback, the same for the whole process,
// and the pool of roots that trusts it.
func Loopback() (tls.Certificate, *x509.CertPool, error) {
	certificate, err := made()
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	return certificate, roots, nil
}

var made = sync.OnceValues(makeCertificate)

// makeCertificate signs a certificate for loopback by itself. It is valid in any
// year that a test with a clock of its own may be in.
func makeCertificate() (tls.Certificate, error) {
	return Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "smtptest"},
		NotBefore:   time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},

		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil)
}

// Issue makes a certificate of a template, signed by parent or, if that is nil, by
// itself. The template gets a serial number and, without a NotAfter, is valid until 2190.
func Issue(template *x509.Certificate, parent *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	signer, signerKey := template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
