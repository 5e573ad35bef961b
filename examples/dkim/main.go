// Dkim signs what a Mailer sends by DKIM (RFC 6376), and prints the record that the DNS of
// the domain needs for it. Where the server is its own, it verifies what arrived there.
//
//	go run .
//
// in this folder, which is a module of its own. To send by a real server:
//
//	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim.pem
//	go run . -key dkim.pem -selector s1 -url smtps://user:pass@host -from ann@example.com -to bob@example.net
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

// dkimSigner is an smtp.Signer. Of its HeaderKeys, a signature has those that are in the message.
type dkimSigner dkim.SignOptions

// Sign implements smtp.Signer. The message is read once and not kept, however large it is.
func (d *dkimSigner) Sign(_ context.Context, message io.WriterTo) (io.WriterTo, error) {
	s := &signing{options: dkim.SignOptions(*d)}
	defer s.Close() // It ends a goroutine, and may be called twice.
	if _, err := message.WriteTo(s); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return &signed{s.signer.Signature(), message}, nil
}

// signed writes a message behind its signature.
type signed struct {
	signature string
	message   io.WriterTo
}

func (s *signed) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, s.signature)
	if err != nil {
		return int64(n), err
	}
	m, err := s.message.WriteTo(w)
	return int64(n) + m, err
}

// signing signs what is written to it. It begins when it has the header, since a signature
// tells first which fields it covers.
type signing struct {
	options dkim.SignOptions
	header  []byte
	signer  *dkim.Signer
}

func (s *signing) Write(p []byte) (int, error) {
	if s.signer != nil {
		return s.signer.Write(p)
	}
	s.header = append(s.header, p...)
	if !bytes.Contains(s.header, []byte("\r\n\r\n")) {
		return len(p), nil
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(s.header))).ReadMIMEHeader()
	if err != nil {
		return 0, err
	}
	s.options.HeaderKeys = present(s.options.HeaderKeys, header)
	if s.signer, err = dkim.NewSigner(&s.options); err != nil {
		return 0, err
	}
	_, err = s.signer.Write(s.header)
	s.header = nil
	return len(p), err
}

func (s *signing) Close() error {
	if s.signer == nil {
		return errors.New("the header does not end")
	}
	return s.signer.Close()
}

// present names each of some fields once more than there are, so that the signature breaks
// if somebody puts a second From or Subject before the one that was signed. What is not
// there is not named, since mailing lists may add it.
func present(names []string, header textproto.MIMEHeader) (list []string) {
	for _, name := range names {
		if n := len(header.Values(name)); n > 0 {
			list = append(list, slices.Repeat([]string{name}, n+1)...)
		}
	}
	return list
}

// fields are worth signing (RFC 6376, section 5.4.1): what readers see, how they read the
// rest, and what their buttons do (for which RFC 8058 wants two of List-). Servers on the
// way leave them alone.
var fields = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Help", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
}

// newSigner signs for a domain: that of From, or else DMARC does not count it.
func newSigner(domain, selector string, key crypto.Signer) (*dkimSigner, error) {
	ascii, err := smtp.ToASCII(domain)
	return &dkimSigner{
		Domain:   ascii,
		Selector: selector,
		Signer:   key,
		// Servers on the way may fold lines anew, and lose blanks at their ends.
		HeaderCanonicalization: dkim.CanonicalizationRelaxed,
		BodyCanonicalization:   dkim.CanonicalizationRelaxed,
		HeaderKeys:             fields,
	}, err
}

// readKey reads a private key, RSA or Ed25519, from a PEM file. Every receiver knows RSA,
// and not every one Ed25519 (RFC 8463).
func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: not a PEM file", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%s: DKIM has no keys such as %T", file, key)
}

// record is what the DNS has at the selector (RFC 6376, section 3.6.1).
func record(key crypto.Signer) (string, error) {
	if public, ok := key.Public().(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public), nil
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public), err
}

// zone is a record as zone files have it: in strings of at most 255 octets.
func zone(name, record string) string {
	var pieces strings.Builder
	for piece := range slices.Chunk([]byte(record), 255) {
		fmt.Fprintf(&pieces, " %q", piece)
	}
	return name + ". IN TXT (" + pieces.String() + " )"
}

// verify tells what a receiver makes of a message, to whom the DNS is a map.
func verify(message []byte, dns map[string]string) error {
	results, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return []string{dns[name]}, nil },
	})
	if err == nil && len(results) != 1 {
		err = fmt.Errorf("%d signatures", len(results))
	}
	if err != nil {
		return err
	}
	return results[0].Err
}

// setup is what the flags say.
type setup struct{ key, domain, selector string }

func main() {
	var s setup
	flag.StringVar(&s.key, "key", "", "the PEM file of the private key; empty, without -url: a new one")
	flag.StringVar(&s.domain, "domain", "", "the domain that signs; empty: that of -from")
	flag.StringVar(&s.selector, "selector", "s1", "the name of the key at the domain")
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error { return run(ctx, kit, s, os.Stdout) })
}

// privateKey reads the key, or makes one where nobody else is to look it up.
func (s setup) privateKey(kit *recipe.Kit) (crypto.Signer, error) {
	switch {
	case s.key != "":
		return readKey(s.key)
	case kit.Server == nil:
		return nil, errors.New("a real server wants a real key: name its file by -key")
	default:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
}

func run(ctx context.Context, kit *recipe.Kit, s setup, out io.Writer) error {
	key, err := s.privateKey(kit)
	if err != nil {
		return err
	}
	at := strings.LastIndexByte(kit.From.Address, '@')
	signer, err := newSigner(cmp.Or(s.domain, kit.From.Address[at+1:]), s.selector, key)
	if err != nil {
		return err
	}
	text, err := record(key)
	if err != nil {
		return err
	}
	name := signer.Selector + "._domainkey." + signer.Domain
	fmt.Fprintf(out, "the record:\n%s\n", zone(name, text))

	kit.Mailer.Options.Signer = signer
	_, err = kit.Mailer.Send(ctx, &smtp.Message{
		From:    kit.From,
		To:      []smtp.Address{kit.To},
		Subject: "Signed",
		Text:    "Whoever reads this can verify who wrote it.",
	})
	if err != nil || kit.Server == nil {
		return err
	}
	for _, m := range kit.Server.Messages() {
		fmt.Fprintf(out, "\nDKIM-Signature: %s\n", m.Header.Get("DKIM-Signature"))
		if err := verify(m.Data, map[string]string{name: text}); err != nil {
			return err
		}
		fmt.Fprintln(out, "verified")
	}
	return nil
}
