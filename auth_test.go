package smtp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/transcript"
)

// scripted is a mechanism whose every move a test chooses.
type scripted struct {
	initial   []byte
	responses []string
	done      error
	info      smtp.ServerInfo
}

func (s *scripted) Name() string { return "X-TEST_1" }

func (s *scripted) Start(_ context.Context, info smtp.ServerInfo) (sasl.Client, error) {
	s.info = info
	return &exchange{s, s.responses}, nil
}

type exchange struct {
	*scripted
	left []string
}

func (e *exchange) Start() (string, []byte, error) { return e.Name(), e.initial, nil }

func (e *exchange) Next(challenge []byte) ([]byte, error) {
	if strings.HasPrefix(string(challenge), "NTLM") && string(challenge) != "NTLMSSP\x00\x02" {
		return nil, errors.New("the challenge was changed")
	}
	if len(e.left) == 0 {
		return nil, errors.New("no response to " + string(challenge))
	}
	response := e.left[0]
	e.left = e.left[1:]
	return []byte(response), nil
}

func (e *exchange) Done() error { return e.done }

func TestAuthExchange(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	encodedLong := strings.Repeat("eHh4", 200)
	nobody := errors.New("the server did not prove who it is")
	for name, test := range map[string]struct {
		mechanism scripted
		dialogue  string
		want      string
		over      bool // the session, too
	}{
		"no initial response":           {scripted{responses: []string{"one", ""}}, "C: AUTH X-TEST_1\nS: 334 \nC: b25l\nS: 334 Zm91cg==\nC: \nS: 235 ok\n", "", false},
		"empty initial response":        {scripted{initial: []byte{}}, "C: AUTH X-TEST_1 =\nS: 235 ok\n", "", false},
		"too long for a line":           {scripted{initial: []byte(long)}, "C: AUTH X-TEST_1\nS: 334 \nC: " + encodedLong + "\nS: 235 ok\n", "", false},
		"mechanism gives up":            {scripted{}, "C: AUTH X-TEST_1\nS: 334 \nC: *\nS: 501 ok\n", "no response", false},
		"mechanism is refused":          {scripted{}, "C: AUTH X-TEST_1\nS: 504 5.5.4 no\n", `504 5.5.4 "no"`, false},
		"refused in the middle":         {scripted{responses: []string{"one"}}, "C: AUTH X-TEST_1\nS: 334 \nC: b25l\nS: 535 5.7.8 no\n", "check the user name", false},
		"a challenge like the response": {scripted{initial: []byte("NTLMSSP\x00\x01"), responses: []string{"done"}}, "C: AUTH X-TEST_1 TlRMTVNTUAAB\nS: 334 TlRMTVNTUAAC\nC: ZG9uZQ==\nS: 235 ok\n", "", false},
		"endless challenges": {scripted{responses: strings.Split(strings.Repeat("x,", 20), ",")},
			"C: AUTH X-TEST_1\n" + strings.Repeat("S: 334 \nC: eA==\n", 16) + "S: 334 \nC: *\nS: 501 ok\n", "over 16 challenges", false},
		"mechanism is not content": {scripted{initial: []byte{}, done: nobody}, "C: AUTH X-TEST_1 =\nS: 235 ok\nC: (goes)\n", nobody.Error(), true},
		"link lost":                {scripted{}, "C: AUTH X-TEST_1\nS: (goes)\n", "closed the connection", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "# x\nS: 220 mx\nC: EHLO client.example.com\nS: 250-mx\nS: 250 AUTH LOGIN x-test_1\n" + test.dialogue
			if !test.over {
				text += "C: QUIT\nS: 221 bye\n"
			}
			script, err := transcript.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := net.Pipe()
			departed := make(chan error, 1)
			go func() { departed <- script.Play(theirs, nil) }()
			c := smtp.NewClient(ours, &smtp.Options{LocalName: "client.example.com", ServerName: "mx", PlaintextAuth: true})
			if err := c.Hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			err = c.Auth(t.Context(), smtp.Plain("not", "offered"), &test.mechanism)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Auth returned %v, want %q", err, test.want)
			}
			if err := c.Quit(t.Context()); errors.Is(err, net.ErrClosed) != test.over {
				t.Errorf("Quit returned %v", err)
			}
			if err := <-departed; err != nil {
				t.Error(err)
			}
			if info := test.mechanism.info; info.Name != "mx" || len(info.Mechanisms) != 2 || info.TLS != nil {
				t.Errorf("the mechanism was told %+v", info)
			}
		})
	}
}
