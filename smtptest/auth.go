package smtptest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// exchange answers the responses of a client, as a [sasl.Server] does; nil is for
// the first one, where it did not come with AUTH.
type exchange func(response []byte) (challenge []byte, done bool, err error)

// mechanisms begin an exchange each. At its end, the session has its user.
var mechanisms = map[string]func(*session) exchange{
	"PLAIN":         (*session).plain,
	"LOGIN":         (*session).login,
	"CRAM-MD5":      (*session).cramMD5,
	"SCRAM-SHA-256": (*session).scramSHA256,
	"OAUTHBEARER":   (*session).oauthBearer,
	"XOAUTH2":       (*session).xoauth2,
}

var errCredentials = errors.New("the user or the password is wrong")

func (s *Server) mechanisms() []string {
	if s.Mechanisms == nil {
		return []string{"PLAIN"}
	}
	return s.Mechanisms
}

// password returns that of a user, if there is such a one.
func (s *Server) password(user string) (string, bool) {
	if s.Users == nil {
		return "pencil", user == "user"
	}
	password, ok := s.Users[user]
	return password, ok
}

func (s *session) auth(arg string) {
	name, initial, hasInitial := strings.Cut(arg, " ")
	name = strings.ToUpper(name)
	switch {
	case !s.isTLS() && !s.server.NoTLS && !s.withholds("AUTH"):
		s.reply(538, "5.7.11", "Not without TLS")
	case !s.began || s.username != "" || s.mail != nil: // RFC 4954, section 4.
		s.refuse(errSequence)
	case !s.offered("AUTH"):
		s.reply(502, "5.5.1", "AUTH is not offered")
	case !slices.Contains(s.server.mechanisms(), name):
		s.reply(504, "5.5.4", "That mechanism is not offered")
	case s.refuses("AUTH", ""):
	default:
		s.authenticate(mechanisms[name](s), initial, hasInitial)
	}
}

// authenticate runs an exchange to its end (RFC 4954, section 4).
func (s *session) authenticate(next exchange, response string, has bool) {
	if response == "=" { // It came with AUTH, and is empty.
		response = ""
	}
	for {
		octets, ok := decode(response, has)
		if !ok {
			s.reply(501, "5.5.2", "That is no base64")
			return
		}
		challenge, done, err := next(octets)
		if err != nil {
			s.reply(535, "5.7.8", "Authentication failed")
			return
		}
		if done {
			s.reply(235, "2.7.0", "Welcome")
			return
		}
		s.write(334, "", base64.StdEncoding.EncodeToString(challenge))
		if response, ok = s.line(maxAuthLine); !ok {
			return
		}
		if has = true; response == "*" {
			s.reply(501, "5.7.0", "Cancelled")
			return
		}
	}
}

// decode decodes a response, if there is one.
func decode(response string, has bool) ([]byte, bool) {
	if !has {
		return nil, true
	}
	octets, err := base64.StdEncoding.Strict().DecodeString(response)
	return octets, err == nil
}

// verify makes user the one of the session, if that is his password.
func (s *session) verify(user, password string) error {
	if want, ok := s.server.password(user); !ok || password != want {
		return errCredentials
	}
	s.username = user
	return nil
}

func (s *session) plain() exchange {
	return sasl.NewPlainServer(func(identity, user, password string) error {
		if identity != "" && identity != user {
			return errCredentials
		}
		return s.verify(user, password)
	}).Next
}

func (s *session) login() exchange {
	var user []byte
	return func(response []byte) ([]byte, bool, error) {
		switch {
		case response == nil:
			return []byte("Username:"), false, nil
		case user == nil:
			user = response
			return []byte("Password:"), false, nil
		}
		return nil, true, s.verify(string(user), string(response))
	}
}

// cramMD5 is RFC 2195.
func (s *session) cramMD5() exchange {
	challenge := []byte("<" + rand.Text() + "@localhost>")
	return func(response []byte) ([]byte, bool, error) {
		if response == nil {
			return challenge, false, nil
		}
		user, digest, _ := strings.Cut(string(response), " ")
		password, ok := s.server.password(user)
		hash := hmac.New(md5.New, []byte(password))
		hash.Write(challenge)
		if !ok || digest != hex.EncodeToString(hash.Sum(nil)) {
			return nil, true, errCredentials
		}
		s.username = user
		return nil, true, nil
	}
}

func (s *session) scramSHA256() exchange {
	server, err := scram.SHA256.NewServer(s.credentials)
	if err != nil {
		return func([]byte) ([]byte, bool, error) { return nil, true, err }
	}
	conversation := server.NewConversation()
	return func(response []byte) ([]byte, bool, error) {
		if response == nil { // The client begins.
			return nil, false, nil
		}
		if conversation.Valid() {
			s.username = conversation.Username()
			return nil, true, nil
		}
		challenge, err := conversation.Step(string(response))
		return []byte(challenge), false, err
	}
}

// credentials are what a server keeps of a password (RFC 5802, section 3).
func (s *session) credentials(user string) (scram.StoredCredentials, error) {
	password, ok := s.server.password(user)
	if !ok {
		return scram.StoredCredentials{}, errCredentials
	}
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
}

// The response to both mechanisms of OAuth is one line with the user and the token:
// RFC 7628, section 3.1, and what Google documents.
var (
	oauthBearerResponse = regexp.MustCompile(`^n,a=([^,]*),\x01(?:host=[^\x01]*\x01)?(?:port=\d+\x01)?auth=Bearer ([^\x01]+)\x01\x01$`)
	xoauth2Response     = regexp.MustCompile(`^user=([^\x01]*)\x01auth=Bearer ([^\x01]+)\x01\x01$`)
)

func (s *session) oauthBearer() exchange {
	return s.bearer(oauthBearerResponse, strings.NewReplacer("=2C", ",", "=3D", "=")) // RFC 5801, section 4.
}

func (s *session) xoauth2() exchange { return s.bearer(xoauth2Response, strings.NewReplacer()) }

// bearer refuses in two steps: first it says why, and then the client answers. What
// go-sasl has for this panics at the empty answer that XOAUTH2 wants.
func (s *session) bearer(form *regexp.Regexp, user *strings.Replacer) exchange {
	refused := false
	return func(response []byte) ([]byte, bool, error) {
		if response == nil {
			return nil, false, nil
		}
		match := form.FindSubmatch(response)
		if refused || match == nil {
			return nil, true, errCredentials
		}
		if s.verify(user.Replace(string(match[1])), string(match[2])) != nil {
			refused = true
			return []byte(`{"status":"invalid_token","schemes":"bearer"}`), false, nil
		}
		return nil, true, nil
	}
}
