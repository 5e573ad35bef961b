package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/internal/testcert"
)

// guard puts a gate before the server, through which only those come who show a
// certificate of its authority, and returns such a one.
func guard(kit *recipe.Kit) (tls.Certificate, error) {
	authority, roots, err := testcert.Loopback()
	if err != nil {
		return tls.Certificate{}, err
	}
	gate, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{authority},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	go func() {
		for {
			conn, err := gate.Accept()
			if err != nil {
				return
			}
			go admit(conn.(*tls.Conn), kit.Server.Addr)
		}
	}()
	kit.Mailer.Addr, kit.Mailer.TLS = gate.Addr().String(), smtp.TLSImplicit
	return issue(authority, "ann")
}

// issue signs a certificate for a client.
func issue(authority tls.Certificate, name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority.Leaf, key.Public(), authority.PrivateKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// admit hands a session on to the server, but for AUTH EXTERNAL, which it answers.
func admit(client *tls.Conn, addr string) {
	defer client.Close()
	if client.Handshake() != nil {
		return
	}
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(client, server)
	lines := bufio.NewReader(client)
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			name := client.ConnectionState().PeerCertificates[0].Subject.CommonName
			fmt.Println("the server knows the certificate of", name)
			fmt.Fprintf(client, "235 2.7.0 Welcome, %s\r\n", name)
		default:
			io.WriteString(server, line)
		}
	}
}
