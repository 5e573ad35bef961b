package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files []string
		want  []string
	}{
		"server": {nil, []string{
			"sent to bob@example.net: accepted", "sent to carol@example.org: accepted",
			"a delivery-status of the mail", `carol@example.org: failed, for good: 550 5.1.1 "there is no mailbox of that name"`,
		}},
		"files": {[]string{
			"../../testdata/report/servers/postfix-3.10-delay-delayed.eml",
			"../../testdata/report/bounces/qmail.eml",
			"../../testdata/report/bounces/out-of-office.eml",
			"../../testdata/message/text.eml",
			"../../testdata/message/notification.eml",
			"../../testdata/report/written/not-binary-garbage.eml",
		}, []string{"delayed, for a passing reason", "bob@example.net: failed, for good", "no mail: ", "an automatic answer", "a mail of a person", "a mail of some program"}},
	} {
		var out strings.Builder
		if err := run(t.Context(), test.files, &out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, out.String())
			}
		}
	}
	if err := run(t.Context(), []string{"missing.eml"}, &strings.Builder{}); err == nil {
		t.Error("a file that is not there")
	}
}
