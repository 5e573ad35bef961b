package smtp_test

import (
	"context"
	"errors"
	"go/ast"
	"go/types"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/emersion/go-sasl"
	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/hostile"
)

// calls takes a string to each function of the package that takes one, and to each
// method. The name has the parameter behind it where there are several.
var calls = map[string]func(t *testing.T, value string){
	"ParseURL":     func(t *testing.T, value string) { dialed(t, "smtp://"+value); dialed(t, value) },
	"ParseAddress": parsed,
	"MustParseAddress": func(t *testing.T, value string) {
		defer func() { _ = recover() }()
		parsed(t, smtp.MustParseAddress(value).Address)
	},
	"ParseAddressList": func(t *testing.T, value string) {
		list, err := smtp.ParseAddressList(value)
		for _, address := range list {
			parsed(t, address.Address)
		}
		isClean(t, err)
	},
	"ToASCII": func(t *testing.T, value string) {
		isPath(t, smtp.ToASCII, value)
		isPath(t, smtp.ToASCII, "ann@"+value)
	},
	"ToUnicode": func(t *testing.T, value string) {
		isPath(t, smtp.ToUnicode, value)
		isPath(t, smtp.ToUnicode, value+"@example.com")
	},

	"NeedsUTF8": func(t *testing.T, value string) { smtp.NeedsUTF8(value) },
	"FilePath":  func(t *testing.T, value string) { attached(t, smtp.FilePath(value)) },
	"FileFS": func(t *testing.T, value string) {
		attached(t, smtp.FileFS(fstest.MapFS{value: {Data: []byte("x")}}, value))
	},
	"FileBytes": func(t *testing.T, value string) { attached(t, smtp.FileBytes(value, []byte("x"))) },

	"Password": func(t *testing.T, value string) {
		authenticated(t, smtp.Password(value, "secret")...)
		authenticated(t, smtp.Password("ann", value)...)
	},
	"Plain":           credentials(smtp.Plain),
	"Login":           credentials(smtp.Login),
	"CRAMMD5":         credentials(smtp.CRAMMD5),
	"SCRAMSHA1":       credentials(smtp.SCRAMSHA1),
	"SCRAMSHA256":     credentials(smtp.SCRAMSHA256),
	"SCRAMSHA512":     credentials(smtp.SCRAMSHA512),
	"SCRAMSHA1Plus":   credentials(smtp.SCRAMSHA1Plus),
	"SCRAMSHA256Plus": credentials(smtp.SCRAMSHA256Plus),
	"SCRAMSHA512Plus": credentials(smtp.SCRAMSHA512Plus),
	"OAuth": func(t *testing.T, value string) {
		authenticated(t, smtp.OAuth(value, tokenOf("token"))...)
		authenticated(t, smtp.OAuth("ann", tokenOf(value))...)
	},
	"OAuthBearer":      token(smtp.OAuthBearer),
	"XOAUTH2":          token(smtp.XOAUTH2),
	"External":         func(t *testing.T, value string) { authenticated(t, smtp.External(value)) },
	"Anonymous":        func(t *testing.T, value string) { authenticated(t, smtp.Anonymous(value)) },
	"SASL":             func(t *testing.T, value string) { authenticated(t, smtp.SASL(value, anonymously)) },
	"Client.Command":   func(t *testing.T, value string) { commanded(t, value); commanded(t, "XCLIENT "+value) },
	"Client.Extension": func(t *testing.T, value string) { extended(t, value) },
}

// TestInjectionByCalls puts every hostile value into every string parameter of the
// exported functions and methods, which are read from the source.
func TestInjectionByCalls(t *testing.T) {
	t.Parallel()
	for _, name := range publicCalls(t) {
		if calls[name] == nil {
			t.Errorf("%s is tried nowhere", name)
		}
	}
	for name, call := range calls {
		for _, value := range hostile.Values {
			call(t, value)
		}
		t.Attr("injections", strconv.Itoa(len(hostile.Values)))
		if testing.Verbose() {
			t.Log(name)
		}
	}
}

// publicCalls lists the exported functions and methods that take a string, or a
// function that returns one.
func publicCalls(t *testing.T) (names []string) {
	t.Helper()
	eachFile(t, func(file *ast.File) {
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !takesString(f) {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				receiver := strings.TrimPrefix(types.ExprString(f.Recv.List[0].Type), "*")
				if !ast.IsExported(receiver) {
					continue
				}
				name = receiver + "." + name
			}
			names = append(names, name)
		}
	})
	return names
}

func takesString(f *ast.FuncDecl) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
		spelled := types.ExprString(p.Type)
		return strings.TrimLeft(spelled, ".[]") == "string" || strings.HasPrefix(spelled, "func(") && strings.Contains(spelled, "(string")
	})
}

// isClean: no error brings controls into a log.
func isClean(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("%q", err)
	}
}

// dialed: what is dialled is one host and port.
func dialed(t *testing.T, url string) {
	t.Helper()
	m, err := smtp.ParseURL(url)
	isClean(t, err)
	if err != nil {
		return
	}
	m.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
		if _, _, err := net.SplitHostPort(addr); err != nil || strings.ContainsFunc(addr, unicode.IsControl) {
			t.Errorf("%q makes us dial %q", url, addr)
		}
		return nil, errDisk
	}
	_, err = m.Send(t.Context(), letter("bob@example.net"))
	isClean(t, err)
}

// parsed: an address that is read is one mailbox.
func parsed(t *testing.T, value string) {
	t.Helper()
	address, err := smtp.ParseAddress(value)
	isClean(t, err)
	if err == nil {
		isPath(t, smtp.ToUnicode, address.Address)
	}
}

// isPath: what an address is spelled as is one mailbox, or one domain.
func isPath(t *testing.T, spell func(string) (string, error), value string) {
	t.Helper()
	spelled, err := spell(value)
	isClean(t, err)
	if err == nil && !strings.Contains(spelled, "@") {
		spelled = "ann@" + spelled
	}
	if err == nil && !strictPath.MatchString("<"+spelled+">") {
		t.Errorf("%q is spelled %q", value, spelled)
	}
}

// attached: a file brings one part, or is refused before anything is said.
func attached(t *testing.T, file smtp.File) {
	t.Helper()
	m := letter("bob@example.net")
	m.Attachments = []smtp.File{file}
	got := dictate(t, m)
	isClean(t, got.err)
	if got.err != nil && got.verbs != "EHLO QUIT " || got.err == nil && got.leaves != 2 {
		t.Errorf("a file that is called %q brings %s, and %d parts, %v", file.Name, got.verbs, got.leaves, got.err)
	}
}

func credentials(mechanism func(user, password string) smtp.Mechanism) func(*testing.T, string) {
	return func(t *testing.T, value string) {
		authenticated(t, mechanism(value, "secret"))
		authenticated(t, mechanism("ann", value))
	}
}

func token(mechanism func(user string, token func(context.Context) (string, error)) smtp.Mechanism) func(*testing.T, string) {
	return func(t *testing.T, value string) {
		authenticated(t, mechanism(value, tokenOf("token")))
		authenticated(t, mechanism("ann", tokenOf(value)))
	}
}

func tokenOf(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

func anonymously(context.Context, smtp.ServerInfo) (sasl.Client, error) {
	return sasl.NewAnonymousClient("x"), nil
}

// authenticated: whatever the credentials, the server hears AUTH, and lines of
// base64 as long as it asks for them.
func authenticated(t *testing.T, mechanisms ...smtp.Mechanism) {
	t.Helper()
	ours, theirs := net.Pipe()
	server := &recorder{offers: "AUTH"}
	for _, mechanism := range mechanisms {
		if name := mechanism.Name(); !strings.ContainsFunc(name, unicode.IsControl) {
			server.offers += " " + name
		}
	}
	lines := 0
	server.authWith = func(heard []string) string {
		if lines++; lines > 3 {
			return "535 no"
		}
		return "334 "
	}
	recordAs(theirs, server)
	c := smtp.NewClient(ours, &smtp.Options{PlaintextAuth: true, ServerName: "localhost"})
	isClean(t, c.Hello(t.Context()))
	isClean(t, c.Auth(t.Context(), mechanisms...))
	c.Quit(t.Context())
	<-server.done
	for verb := range strings.FieldsSeq(server.verbs) {
		if !slices.Contains([]string{"EHLO", "AUTH", "QUIT", "*"}, verb) {
			t.Errorf("with %v, the server heard %s", mechanisms, server.verbs)
		}
	}
}

// commanded: a command by hand is one line, or none.
func commanded(t *testing.T, line string) {
	t.Helper()
	ours, theirs := net.Pipe()
	server := record(theirs)
	c := smtp.NewClient(ours, nil)
	isClean(t, c.Hello(t.Context()))
	_, err := c.Command(t.Context(), line)
	isClean(t, err)
	c.Quit(t.Context())
	<-server.done
	if refused := new(smtp.FieldError); err != nil && !errors.As(err, &refused) || len(strings.Fields(server.verbs)) > 3 {
		t.Errorf("%q by hand: the server heard %s, %v", line, server.verbs, err)
	}
}

// extended: who asks for an odd extension is told no.
func extended(t *testing.T, name string) {
	t.Helper()
	ours, theirs := net.Pipe()
	server := record(theirs)
	c := smtp.NewClient(ours, nil)
	isClean(t, c.Hello(t.Context()))
	if params, ok := c.Extension(name); ok {
		t.Errorf("the extension %q has the parameters %q", name, params)
	}
	c.Quit(t.Context())
	<-server.done
}
