package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
	"github.com/postrider/smtp/smtptest"
)

const large = 16 << 20

// TestLargeAttachment: nothing of it is kept, neither by the signer nor for the sending.
// It is not parallel, since it looks at the whole heap.
func TestLargeAttachment(t *testing.T) {
	signer, _ := signs(t, newKey(t))
	before := live()
	watch := func(read int) {
		if grown := live() - before; grown > large/8 {
			t.Errorf("with %d octets read, %d more are in use", read, grown)
		}
	}
	message := prepared(t, &smtp.Message{Attachments: []smtp.File{{
		Name: "large.bin",
		Type: "application/octet-stream",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(&watched{large, watch}), nil },
	}}})
	result, err := signer.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	watch(large)
	if n, err := result.WriteTo(io.Discard); err != nil || n < large {
		t.Error(n, err)
	}
	runtime.KeepAlive(result)
}

// watched is a large file of which each eighth is announced.
type watched struct {
	left  int
	watch func(read int)
}

func (f *watched) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	const step = large / 8
	n := min(len(p), (f.left-1)%step+1)
	if f.left -= n; f.left%step == 0 {
		f.watch(large - f.left)
	}
	return n, nil
}

// live is how many octets of memory are in use.
func live() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signs returns a signer for example.com, and the DNS with its key.
func signs(t *testing.T, key crypto.Signer) (*dkimSigner, map[string]string) {
	t.Helper()
	signer, signerErr := newSigner("example.com", "s1", key)
	text, err := record(key)
	if err := errors.Join(signerErr, err); err != nil {
		t.Fatal(err)
	}
	return signer, map[string]string{"s1._domainkey.example.com": text}
}

func prepared(t *testing.T, m *smtp.Message) *smtp.Message {
	t.Helper()
	m.From, m.To, m.Subject = smtp.Address{Name: "Ann", Address: "ann@example.com"}, []smtp.Address{{Address: "bob@example.net"}}, "Signed"
	m, err := m.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// arrives returns a message as it arrives that a Mailer signs.
func arrives(t *testing.T, signer smtp.Signer, m *smtp.Message) string {
	t.Helper()
	server := smtptest.NewServer(t)
	mailer := server.Mailer()
	defer mailer.Close()
	mailer.Options.Signer = signer
	if _, err := mailer.Send(t.Context(), prepared(t, m)); err != nil {
		t.Fatal(err)
	}
	return string(server.Messages()[0].Data)
}

// TestRun: the run shows the record in pieces that a zone can hold, and a signature that verifies.
func TestRun(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	mailer := server.Mailer()
	defer mailer.Close()
	kit := &recipe.Kit{Mailer: mailer, From: smtp.Address{Address: "ann@bücher.example"}, To: smtp.Address{Address: "bob@example.net"}, Server: server}
	var out strings.Builder
	if err := run(t.Context(), kit, setup{selector: "s1"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`s1._domainkey.xn--bcher-kva.example. IN TXT ( "v=DKIM1; k=rsa; p=`, "d=xn--bcher-kva.example;", "c=relaxed/relaxed;", "\nverified\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for piece := range strings.SplitSeq(out.String(), `"`) {
		if strings.HasPrefix(piece, "v=DKIM1") && len(piece) != 255 {
			t.Errorf("a string of %d octets: %s", len(piece), piece)
		}
	}
}

// TestRealServer: nothing is sent with a signature that nobody can verify.
func TestRealServer(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t)
	kit := &recipe.Kit{Mailer: server.Mailer(), From: smtp.Address{Address: "ann@example.com"}, To: smtp.Address{Address: "bob@example.net"}}
	defer kit.Mailer.Close()
	if err := run(t.Context(), kit, setup{selector: "s1"}, io.Discard); err == nil || len(server.Messages()) != 0 {
		t.Errorf("without a key: %v, %d sent", err, len(server.Messages()))
	}
	file := keyFile(t, "PRIVATE KEY", pkcs8(t, newKey(t)))
	if err := run(t.Context(), kit, setup{key: file, selector: "s1"}, io.Discard); err != nil || len(server.Messages()) != 1 {
		t.Errorf("with a key: %v, %d sent", err, len(server.Messages()))
	}
}

// TestChanged: what may happen on the way does not break a signature, and a forgery does.
func TestChanged(t *testing.T) {
	t.Parallel()
	signer, dns := signs(t, newKey(t))
	mail := arrives(t, signer, &smtp.Message{Text: "Pay 100 to Ann.\nAt once.\n"})
	tests := map[string]struct {
		old, new string
		want     string // in the verdict
	}{
		"not at all":          {"", "", "<nil>"},
		"traced":              {"DKIM-Signature:", "Received: from a by b; Mon, 2 Mar 2026 10:00:00 +0000\r\nDKIM-Signature:", "<nil>"},
		"folded":              {"Subject: ", "Subject:\r\n\t", "<nil>"},
		"blanks":              {"Ann.\r\n", "Ann. \r\n", "<nil>"},
		"of a list":           {"Subject: ", "List-Id: <all.example.org>\r\nSubject: ", "<nil>"},
		"an octet":            {"100", "900", "body hash"},
		"a line more":         {"At once.\r\n", "At once.\r\nOr else.\r\n", "body hash"},
		"subject":             {"Subject: Signed", "Subject: Resigned", "signature did not verify"},
		"a From before":       {"DKIM-Signature:", "From: eve@example.com\r\nDKIM-Signature:", "signature did not verify"},
		"a Subject before":    {"DKIM-Signature:", "Subject: Urgent\r\nDKIM-Signature:", "signature did not verify"},
		"a type before":       {"DKIM-Signature:", "Content-Type: text/html\r\nDKIM-Signature:", "signature did not verify"},
		"by another domain":   {"d=example.com", "d=example.org", "missing public key"},
		"without a signature": {"DKIM-Signature:", "X-Signature:", "0 signatures"},
	}
	for name, test := range tests {
		changed := strings.Replace(mail, test.old, test.new, 1)
		verdict := fmt.Sprint(verify([]byte(changed), dns))
		if changed == mail && test.old != "" || !strings.Contains(verdict, test.want) {
			t.Errorf("%s: %s, want %s, of\n%s", name, verdict, test.want, changed)
		}
	}
}

// TestFields: the signature covers what is there, once more than that, and nothing else.
func TestFields(t *testing.T) {
	t.Parallel()
	always := "From From To To Subject Subject Date Date Message-ID Message-ID MIME-Version MIME-Version Content-Type Content-Type Content-Transfer-Encoding Content-Transfer-Encoding"
	list := smtp.List{ID: "news.example.com", Unsubscribe: []string{"https://example.com/leave"}, OneClick: true}
	tests := map[string]struct {
		message *smtp.Message
		want    string
	}{
		"plain":   {&smtp.Message{Text: "Text."}, always},
		"of list": {&smtp.Message{Text: "Text.", List: list}, always + " List-Id List-Id List-Unsubscribe List-Unsubscribe List-Unsubscribe-Post List-Unsubscribe-Post"},
	}
	for name, test := range tests {
		signer, dns := signs(t, newKey(t))
		results, err := dkim.VerifyWithOptions(strings.NewReader(arrives(t, signer, test.message)), &dkim.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) { return []string{dns[name]}, nil },
		})
		if err != nil || len(results) != 1 || results[0].Err != nil || !slices.Equal(results[0].HeaderKeys, strings.Fields(test.want)) {
			t.Errorf("%s: %+v, %v", name, results, err)
		}
	}
}

// trickle writes a message in pieces of any size.
type trickle struct {
	message string
	size    int
	err     error
}

func (m trickle) WriteTo(w io.Writer) (n int64, err error) {
	for piece := range slices.Chunk([]byte(m.message), m.size) {
		written, err := w.Write(piece)
		n += int64(written)
		if err != nil {
			return n, err
		}
	}
	return n, m.err
}

// TestPieces: it does not matter how a message is written.
func TestPieces(t *testing.T) {
	t.Parallel()
	signer, dns := signs(t, newKey(t))
	for size := range 80 {
		result, err := signer.Sign(t.Context(), trickle{"From: ann@example.com\r\nSubject: Signed\r\n\r\nText.\r\n\r\nMore. \r\n", size + 1, nil})
		if err != nil {
			t.Fatal(size, err)
		}
		var out bytes.Buffer
		if n, err := result.WriteTo(&out); err != nil || n != int64(out.Len()) {
			t.Error(size, n, err)
		}
		if err := verify(out.Bytes(), dns); err != nil {
			t.Error(size, err)
		}
	}
}

// TestUnsigned: what cannot be signed is an error, and leaves nothing running.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	failure := errors.New("disk error")
	good := "From: ann@example.com\r\n\r\nText.\r\n"
	tests := map[string]struct {
		message trickle
		change  func(*dkimSigner)
		want    string
	}{
		"fails":         {trickle{good, 100, failure}, func(*dkimSigner) {}, "disk error"},
		"fails early":   {trickle{"From: ", 100, failure}, func(*dkimSigner) {}, "disk error"},
		"no end":        {trickle{"From: ann@example.com\r\n", 100, nil}, func(*dkimSigner) {}, "the header does not end"},
		"no From":       {trickle{"To: bob@example.net\r\n\r\n", 100, nil}, func(*dkimSigner) {}, "From header field must be signed"},
		"no field":      {trickle{"From\r\n\r\n", 100, nil}, func(*dkimSigner) {}, "malformed MIME header"},
		"no selector":   {trickle{good, 100, nil}, func(s *dkimSigner) { s.Selector = "" }, "no selector"},
		"no key to use": {trickle{good, 100, nil}, func(s *dkimSigner) { s.Signer = broken{s.Signer} }, "the key is away"},
	}
	synctest.Test(t, func(t *testing.T) { // It tells of a goroutine that stays.
		for name, test := range tests {
			signer, _ := signs(t, newKey(t))
			test.change(signer)
			if result, err := signer.Sign(t.Context(), test.message); result != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, %v", name, result, err)
			}
		}
	})
}

// broken is a key that cannot be used, as one in another machine.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the key is away")
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func keyFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestKeys: a key in a file signs, and its record verifies, or the error names the file.
func TestKeys(t *testing.T) {
	t.Parallel()
	ofRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ofECDSA, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ file, want string }{
		"RSA":            {keyFile(t, "PRIVATE KEY", pkcs8(t, ofRSA)), "a=rsa-sha256;"},
		"RSA in PKCS 1":  {keyFile(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(ofRSA)), "a=rsa-sha256;"},
		"Ed25519":        {keyFile(t, "PRIVATE KEY", pkcs8(t, newKey(t))), "a=ed25519-sha256;"},
		"ECDSA":          {keyFile(t, "PRIVATE KEY", pkcs8(t, ofECDSA)), ""},
		"damaged":        {keyFile(t, "PRIVATE KEY", []byte("x")), ""},
		"damaged PKCS 1": {keyFile(t, "RSA PRIVATE KEY", []byte("x")), ""},
		"not PEM":        {"main.go", ""},
		"not there":      {"dkim.pem", ""},
	}
	for name, test := range tests {
		key, err := readKey(test.file)
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), test.file) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		signer, dns := signs(t, key)
		mail := arrives(t, signer, &smtp.Message{Text: "Text."})
		if err := verify([]byte(mail), dns); err != nil || !strings.Contains(mail, test.want) {
			t.Errorf("%s: %v\n%s", name, err, mail)
		}
	}
}
