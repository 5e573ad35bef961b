package smtp_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"net"
	"net/mail"
	"net/textproto"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/hostile"
	"github.com/postrider/smtp/internal/readback"
)

// TestInjection puts every hostile value into every string that a message has,
// found by reflection so that a new field is not forgotten. Either it is refused
// before anything is sent, or the dialogue and the structure of the message are
// the same as with a harmless value.
func TestInjection(t *testing.T) {
	t.Parallel()
	harmless := dictate(t, everyField())
	paths := stringPaths(reflect.ValueOf(everyField()).Elem(), "")
	refused := 0
	for _, path := range paths {
		for _, value := range hostile.Values {
			m := everyField()
			at(reflect.ValueOf(m).Elem(), path).SetString(value)
			got := dictate(t, m)
			var field *smtp.FieldError
			switch {
			case errors.As(got.err, &field), errors.Is(got.err, errors.ErrUnsupported):
				refused++
				if got.verbs != "EHLO QUIT " || len(got.err.Error()) > 2000 {
					t.Errorf("%s = %.200q was refused after %s, by %v", path, value, got.verbs, got.err)
				}
			case got.err != nil || got.verbs != harmless.verbs:
				t.Errorf("%s = %q: %s, %v", path, value, got.verbs, got.err)
			case got.leaves != harmless.leaves || !slices.Equal(got.fields, fieldsWith(harmless.fields, path, value)) || got.mailboxes != harmless.mailboxes && value != ":;":
				t.Errorf("%s = %q became a message with %q, %d mailboxes and %d leaves", path, value, got.fields, got.mailboxes, got.leaves)
			}
		}
	}
	t.Logf("%d strings × %d values: %d refused", len(paths), len(hostile.Values), refused)
	t.Attr("injections", strconv.Itoa(len(paths)*len(hostile.Values)))
}

// fieldsWith are the fields of a message when a string of it has another value: that
// of a name in Header changes them.
func fieldsWith(fields []string, path, value string) []string {
	if path != "Header.0.Name" {
		return fields
	}
	fields = slices.Clone(fields)
	fields[slices.Index(fields, "X-Campaign1")] = textproto.CanonicalMIMEHeaderKey(value) + "1"
	slices.Sort(fields)
	return fields
}

// TestEveryFieldIsTried: no string of a public type has been forgotten above. The
// types are read from the source; those that only the package fills in are named.
func TestEveryFieldIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	var visit func(v reflect.Value, name string)
	visit = func(v reflect.Value, name string) {
		switch v.Kind() {
		case reflect.String:
			tried[name] = true
			if v.String() == "" {
				t.Errorf("%s is not set in everyField", name)
			}
		case reflect.Pointer, reflect.Slice:
			if v.Kind() == reflect.Slice && v.Len() > 0 {
				visit(v.Index(0), name)
			} else if v.Kind() == reflect.Pointer && !v.IsNil() {
				visit(v.Elem(), name)
			} else if name != "File.Open" {
				t.Errorf("%s is not set in everyField", name)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if field := v.Type().Field(i); field.IsExported() && field.Name != "Raw" {
					visit(v.Field(i), v.Type().Name()+"."+field.Name)
				}
			}
		}
	}
	visit(reflect.ValueOf(everyField()), "Message")
	for _, elsewhere := range []string{"Options.LocalName", "Options.ServerName", "Options.Disable", "Mailer.Addr"} {
		tried[elsewhere] = true // in TestSettingsAreChecked
	}
	filledIn := []string{"Result", "RecipientResult", "Reply", "Error", "FieldError", "UnsupportedError", "RecipientsError", "ServerInfo", "ConnectInfo",
		"Report", "TypedName", "RecipientReport", "Diagnostic", "Disposition", "Feedback"}
	for name := range publicStrings(t) {
		if owner, _, _ := strings.Cut(name, "."); !tried[name] && !slices.Contains(filledIn, owner) {
			t.Errorf("%s is tried nowhere", name)
		}
	}
}

// TestSettingsAreChecked: no setting brings a second line into the dialogue.
func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, value := range append(hostile.Values, "mx.example.com") {
		for i, opts := range []*smtp.Options{{LocalName: value}, {ServerName: value}, {Disable: []string{value}}} {
			ours, theirs := net.Pipe()
			server := record(theirs)
			c := smtp.NewClient(ours, opts)
			err := c.Hello(t.Context())
			var field *smtp.FieldError
			if err != nil && !errors.As(err, &field) {
				t.Errorf("%q in place %d: %v", value, i, err)
			}
			c.Quit(t.Context())
			<-server.done
			if server.verbs != "EHLO QUIT " && (err == nil || server.verbs != "QUIT ") {
				t.Errorf("%q in place %d: %s", value, i, server.verbs)
			}
		}
		mailer := smtp.Mailer{Addr: value, DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errDisk }}
		if result, err := mailer.Send(t.Context(), letter("bob@example.net")); err == nil || result.Recipients[0].Outcome != smtp.NotSent || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%q as Addr: %v", value, err)
		}
	}
	t.Attr("injections", strconv.Itoa(4*len(hostile.Values)))
}

// publicStrings lists the string fields of the exported structs of the package.
func publicStrings(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			structure, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					if spelled := types.ExprString(field.Type); name.IsExported() && strings.TrimPrefix(spelled, "[]") == "string" {
						names[spec.Name.Name+"."+name.Name] = true
					}
				}
			}
			return true
		})
	})
	return names
}

// eachFile parses the source of the package.
func eachFile(t *testing.T, visit func(*ast.File)) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name.Name == "smtp" && !strings.HasSuffix(path, "_test.go") {
			visit(file)
		}
	}
}

// everyField is a message in which every string is set.
func everyField() *smtp.Message {
	someone := smtp.Address{Name: "Name", Address: "bob@example.net"}
	list := func() []smtp.Address { return []smtp.Address{someone} }
	file := func(id string) smtp.File {
		return smtp.File{Name: "a.txt", Type: "text/plain", Description: "notes", ContentID: id, Open: opener("x")}
	}
	return &smtp.Message{
		From: someone, Sender: &smtp.Address{Name: "Name", Address: "robot@example.com"}, To: list(), Cc: list(), Bcc: list(), ReplyTo: list(),
		Subject: "Hi", Date: sentAt, MessageID: "1@example.com", InReplyTo: []string{"2@example.com"}, References: []string{"3@example.com"},
		List: smtp.List{
			ID: "news.example.com", Name: "News", OneClick: true, Unsubscribe: []string{"https://example.com/1"}, Subscribe: []string{"https://example.com/2"},
			Help: []string{"https://example.com/3"}, Owner: []string{"mailto:a@example.com"}, Archive: []string{"https://example.com/4"}, Post: []string{"NO"},
		},
		Header: smtp.Header{{Name: "X-Campaign", Value: "autumn"}},
		Text:   "text", HTML: "html", Calendar: readback.Calendar("REQUEST", "x"), Inline: []smtp.File{file("4@example.com")}, Alternatives: []smtp.File{file("6@example.com")}, Attachments: []smtp.File{file("5@example.com")},
		Delivery: smtp.Envelope{From: "ann@example.com", EnvelopeID: "id", Params: []smtp.Param{{Keyword: "DSN", Value: "1", Extension: "DSN"}}, To: []smtp.Recipient{{Address: "bob@example.net", Alternative: "b@example.net", OriginalRecipient: "x@example.com", Params: []smtp.Param{{Keyword: "DSN2", Value: "1", Extension: "DSN"}}}}},
	}
}

// dictation is what a server saw of a message.
type dictation struct {
	verbs             string
	fields            []string
	mailboxes, leaves int
	err               error
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
		raw := []byte(strings.ReplaceAll(strings.TrimSuffix(server.content, ".\r\n"), "\r\n..", "\r\n."))
		parsed, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range parsed.Header {
			d.fields = append(d.fields, name+strconv.Itoa(len(values)))
			if slices.Contains([]string{"From", "Sender", "To", "Cc", "Reply-To"}, name) {
				list, err := mail.ParseAddressList(values[0])
				if err != nil {
					t.Errorf("%s: %q: %v", name, values[0], err)
				}
				d.mailboxes += len(list)
			}
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
