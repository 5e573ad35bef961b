package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Who the servers know; their configurations say the same.
const (
	alice, alicePassword = "alice@test.example", "alice-pass"
	uni, uniPassword     = "uni@test.example", "pässwörd-日本"
)

// identities proves who is who: certificates, and a token for OAuth.
type identities struct {
	server, client tls.Certificate
	roots          *x509.CertPool
	token          string
}

const certificates = "/etc/ssl/interop"

// newIdentities makes them, and puts into files what servers read of them.
func newIdentities() (*identities, error) {
	authority, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "interop"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return nil, err
	}
	server, serverErr := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test.example"}, DNSNames: []string{"*.test.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &authority)
	client, clientErr := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: alice}, EmailAddresses: []string{alice}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &authority)
	if err := errors.Join(serverErr, clientErr); err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return nil, err
	}
	id := &identities{server: server, client: client, roots: x509.NewCertPool()}
	id.roots.AddCert(authority.Leaf)
	tokenKey := []byte("the key by which tokens are signed")
	id.token = newToken(tokenKey)
	return id, errors.Join(
		writePEM("ca.pem", "CERTIFICATE", authority.Certificate[0], 0o644),
		writePEM("server.pem", "CERTIFICATE", server.Certificate[0], 0o644),
		writePEM("server.key", "PRIVATE KEY", key, 0o600),
		write("/etc/dovecot/oauth-keys/default/HS256/default", []byte(base64.StdEncoding.EncodeToString(tokenKey)), 0o644),
		write("/srv/token", []byte(id.token), 0o644),
	)
}

// sign makes a certificate with a key of its own, signed by itself without a signer.
func sign(template *x509.Certificate, signer *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, parentKey := template, key
	if signer != nil {
		parent, parentKey = signer.Leaf, signer.PrivateKey.(*ecdsa.PrivateKey)
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// newToken is a JSON Web Token (RFC 7519), as Dovecot checks it by itself.
func newToken(key []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT","kid":"default"}`)) + "." + encode(fmt.Appendf(nil,
		`{"iss":"https://id.test.example","sub":%q,"email":%q,"scope":"mail","iat":%d,"nbf":%d,"exp":%d}`, alice, alice, now-10, now-10, now+24*3600))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func writePEM(name, kind string, der []byte, mode os.FileMode) error {
	return write(filepath.Join(certificates, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// write makes the directories of the file, too.
func write(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

// newID is an identifier for a message, or for anything else.
func newID() string { return rand.Text() + "@test.example" }
