package wire_test

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/postrider/smtp/internal/hostile"
	"github.com/postrider/smtp/internal/wire"
)

// TestInjectionIntoTokens hands every hostile value to every kind of token that a
// command line has: the methods of Command, found by reflection, in each of their
// parameters, and the functions that make a line. What comes out is one line, or none.
func TestInjectionIntoTokens(t *testing.T) {
	t.Parallel()
	places := 0
	for _, value := range hostile.Values {
		places = 2
		checkLine(t, "ParseCommand", value, wire.ParseCommand(value))
		checkLine(t, "Response", value, wire.Response([]byte(value)))
		for _, asUTF8 := range []bool{false, true} {
			command := reflect.TypeFor[*wire.Command]()
			for i := range command.NumMethod() {
				for at := 1; at < command.Method(i).Type.NumIn(); at++ {
					line := wire.NewCommand("NOOP")
					if asUTF8 {
						line = line.UTF8()
					}
					command.Method(i).Func.Call(arguments(command.Method(i).Type, line, at, value))
					checkLine(t, command.Method(i).Name, value, line)
					places++
				}
			}
		}
	}
	t.Attr("injections", strconv.Itoa(places*len(hostile.Values)))
}

// TestTokensTakeTheHarmless: no kind of token refuses everything.
func TestTokensTakeTheHarmless(t *testing.T) {
	t.Parallel()
	command := reflect.TypeFor[*wire.Command]()
	for i := range command.NumMethod() {
		for at := 1; at < command.Method(i).Type.NumIn(); at++ {
			taken := slices.ContainsFunc([]string{"x", "a.b", "a@b"}, func(harmless string) bool {
				line := wire.NewCommand("NOOP")
				command.Method(i).Func.Call(arguments(command.Method(i).Type, line, at, harmless))
				_, err := line.Bytes()
				return err == nil
			})
			if !taken {
				t.Errorf("%s takes nothing", command.Method(i).Name)
			}
		}
	}
}

// arguments are those of a method: the value in one place, and X in the others.
func arguments(method reflect.Type, line *wire.Command, at int, value string) []reflect.Value {
	list := []reflect.Value{reflect.ValueOf(line)}
	for i := 1; i < method.NumIn(); i++ {
		argument := "X"
		if i == at {
			argument = value
		}
		list = append(list, reflect.ValueOf(argument).Convert(method.In(i)))
	}
	return list
}

func checkLine(t *testing.T, token, value string, command *wire.Command) {
	t.Helper()
	line, err := command.Bytes()
	switch {
	case err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl):
		t.Errorf("%s(%q) is refused by %q", token, value, err)
	case err == nil && strings.IndexAny(string(line), "\r\n\x00") != len(line)-2:
		t.Errorf("%s(%q) spells %q", token, value, line)
	case err == nil && strings.ContainsFunc(command.String(), unicode.IsControl):
		t.Errorf("%s(%q) is shown as %q", token, value, command)
	}
}
