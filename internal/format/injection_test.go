package format_test

import (
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/format"
	"github.com/postrider/smtp/internal/hostile"
)

// places are all strings of all functions that make a field, but for names that are
// constants.
var places = map[string]func(value string) (format.Fields, error){
	"Text name":       func(v string) (format.Fields, error) { return format.UTF8.Text(format.Fields{}, v, "x") },
	"Text":            func(v string) (format.Fields, error) { return format.ASCII.Text(format.Fields{}, "X", v) },
	"Text in UTF-8":   func(v string) (format.Fields, error) { return format.UTF8.Text(format.Fields{}, "X", v) },
	"Structured name": func(v string) (format.Fields, error) { return format.Structured(format.Fields{}, v, "x") },
	"Structured":      func(v string) (format.Fields, error) { return format.Structured(format.Fields{}, "X", v) },
	"Words":           func(v string) (format.Fields, error) { return format.Words(format.Fields{}, "X", "a", v) },
	"Value":           func(v string) (format.Fields, error) { return format.Value(format.Fields{}, "X", v) },
	"Param name": func(v string) (format.Fields, error) {
		return format.Value(format.Fields{}, "X", "x", format.Param{Name: v, Value: "x"})
	},
	"Param value": func(v string) (format.Fields, error) {
		return format.Value(format.Fields{}, "X", "x", format.Param{Name: "x", Value: v})
	},
	"ListID name": func(v string) (format.Fields, error) { return format.ASCII.ListID(format.Fields{}, v, "a.b") },
	"ListID":      func(v string) (format.Fields, error) { return format.UTF8.ListID(format.Fields{}, "x", v) },
	"Mailbox name": func(v string) (format.Fields, error) {
		return format.ASCII.Mailboxes(format.Fields{}, "X", []format.Mailbox{{v, "a@b"}})
	},
	"Mailbox in UTF-8": func(v string) (format.Fields, error) {
		return format.UTF8.Mailboxes(format.Fields{}, "X", []format.Mailbox{{v, "a@b"}})
	},
	"Mailbox address": func(v string) (format.Fields, error) {
		return format.ASCII.Mailboxes(format.Fields{}, "X", []format.Mailbox{{"x", v}})
	},
	"address in UTF-8": func(v string) (format.Fields, error) {
		return format.UTF8.Mailboxes(format.Fields{}, "X", []format.Mailbox{{"", v}})
	},
}

// TestInjectionIntoFields puts every hostile value into every string of which a field
// is made. What comes out is one field, or none.
func TestInjectionIntoFields(t *testing.T) {
	t.Parallel()
	for place, make := range places {
		if !slices.ContainsFunc([]string{"x", "a.b", "a@b"}, func(harmless string) bool { _, err := make(harmless); return err == nil }) {
			t.Errorf("%s takes nothing", place)
		}
		for _, value := range hostile.Values {
			fields, err := make(value)
			if err != nil {
				continue
			}
			read, err := mail.ReadMessage(strings.NewReader(spell(fields) + "\r\n"))
			if err != nil || len(read.Header) != 1 || strings.ContainsAny(strings.ReplaceAll(spell(fields), "\r\n", ""), "\r\n\x00") {
				t.Errorf("%s: %q became %q, %v", place, value, spell(fields), err)
			}
		}
		t.Attr("injections", strconv.Itoa(len(hostile.Values)))
	}
}
