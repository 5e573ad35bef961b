package recipe

import (
	"flag"
	"io"
	"testing"
)

// TestComplete: the made-up people do not write by a real server.
func TestComplete(t *testing.T) {
	t.Parallel()
	const url, from, to = "-url=smtp://mx.example.com", "-from=ann@example.com", "-to=bob@example.net"
	for _, test := range []struct {
		args []string
		ok   bool
	}{
		{nil, true},
		{[]string{from}, true},
		{[]string{url}, false},
		{[]string{url, from}, false},
		{[]string{url, to}, false},
		{[]string{url, from, "-to="}, false},
		{[]string{url, from, to}, true},
	} {
		flags := flag.NewFlagSet("recipe", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		for _, name := range []string{"url", "from", "to"} {
			flags.String(name, "", "")
		}
		if err := flags.Parse(test.args); err != nil {
			t.Fatal(err)
		}
		if err := complete(flags); (err == nil) != test.ok {
			t.Errorf("%q: %v", test.args, err)
		}
	}
}
