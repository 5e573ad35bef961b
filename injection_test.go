package smtp_test

import (
	"errors"
	"net"
	"net/mail"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

var hostile = []string{
	"x\r\nRSET\r\n", "x\nBcc: evil@example.com", "x\rBcc: evil@example.com", "x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
	"x\x00y", "x\x1b[2J", "x\x7f", "x\u0085y", "\xff\xfe", "ann@example.com\r\nRCPT TO:<evil@example.com>",
	"ann@example.com> SIZE=1", "ann@example.com>\r\nRSET", `"ann@example.com> X=1"@example.net`, "\"a\r\nb\"@example.net",
	"@a,@b:c@example.com", "a@b@example.com", "a, b@example.com", "<a@example.com>", "Group:a@example.com;", `a";x="y`, "a; b=c", "=?utf-8?q?x=0D=0ABcc:_evil?=",
	"é\r\nBcc: evil@example.com", "\u202eevil", "--=_x", " ", "\t",
}

// TestInjection puts every hostile value into every string that a message has,
// found by reflection so that a new field is not forgotten. Either it is refused
// before anything is sent, or the dialogue and the structure of the message are
// the same as with a harmless value.
func TestInjection(t *testing.T) {
	t.Parallel()
	harmless := dictate(t, everyField())
	paths := stringPaths(reflect.ValueOf(everyField()).Elem(), "")
	if len(paths) < 36 {
		t.Fatalf("only %d strings were found: %q", len(paths), paths)
	}
	refused := 0
	for _, path := range paths {
		for _, value := range hostile {
			m := everyField()
			at(reflect.ValueOf(m).Elem(), path).SetString(value)
			got := dictate(t, m)
			var field *smtp.FieldError
			switch {
			case errors.As(got.err, &field), errors.Is(got.err, errors.ErrUnsupported):
				refused++
				if got.verbs != "EHLO QUIT " {
					t.Errorf("%s = %q was refused after %s", path, value, got.verbs)
				}
			case got.err != nil || got.verbs != harmless.verbs:
				t.Errorf("%s = %q: %s, %v", path, value, got.verbs, got.err)
			case got.leaves != harmless.leaves || !slices.Equal(got.fields, harmless.fields):
				t.Errorf("%s = %q became a message with %q and %d leaves", path, value, got.fields, got.leaves)
			}
		}
	}
	t.Logf("%d strings × %d values: %d refused", len(paths), len(hostile), refused)
}

// everyField is a message in which every string is set.
func everyField() *smtp.Message {
	someone := smtp.Address{Name: "Name", Address: "bob@example.net"}
	list := func() []smtp.Address { return []smtp.Address{someone} }
	file := func(id string) smtp.File {
		return smtp.File{Name: "a.txt", Type: "text/plain", ContentID: id, Open: opener("x")}
	}
	return &smtp.Message{
		From: someone, Sender: &smtp.Address{Name: "Name", Address: "robot@example.com"}, To: list(), Cc: list(), Bcc: list(), ReplyTo: list(),
		Subject: "Hi", Date: sentAt, MessageID: "1@example.com", InReplyTo: []string{"2@example.com"}, References: []string{"3@example.com"},
		Header: smtp.Header{{Name: "X-Campaign", Value: "autumn"}},
		Text:   "text", HTML: "html", Inline: []smtp.File{file("4@example.com")}, Alternatives: []smtp.File{file("6@example.com")}, Attachments: []smtp.File{file("5@example.com")},
		Delivery: smtp.Envelope{From: "ann@example.com", EnvelopeID: "id", Params: []smtp.Param{{Keyword: "DSN", Value: "1", Extension: "DSN"}}, To: []smtp.Recipient{{Address: "bob@example.net", OriginalRecipient: "x@example.com"}}},
	}
}

// dictation is what a server saw of a message.
type dictation struct {
	verbs  string
	fields []string
	leaves int
	err    error
}

func dictate(t *testing.T, m *smtp.Message) dictation {
	t.Helper()
	ours, theirs := net.Pipe()
	server := record(theirs)
	server.offers = "DSN"
	c := smtp.NewClient(ours, nil)
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send(t.Context(), m)
	c.Quit(t.Context())
	<-server.done
	d := dictation{verbs: server.verbs, err: err}
	if err == nil {
		raw := []byte(strings.TrimSuffix(server.content, ".\r\n"))
		parsed, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range parsed.Header {
			d.fields = append(d.fields, name+strconv.Itoa(len(values)))
		}
		slices.Sort(d.fields)
		d.leaves = len(readStandard(t, raw).Leaves)
	}
	return d
}

// stringPaths lists the strings below v, as in "To.0.Address".
func stringPaths(v reflect.Value, path string) (paths []string) {
	switch v.Kind() {
	case reflect.String:
		return []string{strings.TrimPrefix(path, ".")}
	case reflect.Pointer:
		return stringPaths(v.Elem(), path)
	case reflect.Slice:
		for i := range v.Len() {
			paths = append(paths, stringPaths(v.Index(i), path+"."+strconv.Itoa(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				paths = append(paths, stringPaths(v.Field(i), path+"."+v.Type().Field(i).Name)...)
			}
		}
	}
	return paths
}

func at(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice {
			i, _ := strconv.Atoi(name)
			v = v.Index(i)
		} else {
			v = v.FieldByName(name)
		}
	}
	return v
}
