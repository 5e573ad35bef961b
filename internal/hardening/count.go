package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// module is all packages of the module, from any folder in it.
const module = "github.com/postrider/smtp/..."

// totals are what was tried, by the key under which a test attests a number with
// testing.T.Attr.
type totals map[string]int

// what says in words what a key counts, in the order of printing.
var what = []struct{ key, words string }{
	{"advisories", "advisories on other mail libraries, tried on this one, by their identifiers"},
	{"weaknesses", "weaknesses that these are about"},
	{"not-applicable", "further advisories, each with the reason why it cannot concern this one"},
	{"defects", "defects of other Go packages, tried on this one"},
	{"injections", "injections: each string of callers and servers, each hostile value"},
	{"faults", "faults: the link cut, stalled or reset, octet by octet"},
	{"runs", "runs of mails with somebody refused in each position"},
	{"hostile-servers", "hostile servers, each at each step"},
	{"leaks", "tests run alone, after each of which nothing was left"},
	{"fuzz-targets", "fuzz targets"},
	{"fuzz-executions", "fuzz executions"},
}

func (n totals) print() {
	for _, w := range what {
		fmt.Printf("%12s  %s\n", grouped(n[w.key]), w.words)
	}
}

// promised compares with the table in SECURITY.md, which says how much is tried at least.
func (n totals) promised() error {
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return err
	}
	page, err := os.ReadFile(strings.TrimSpace(string(folder)) + "/SECURITY.md")
	if err != nil {
		return err
	}
	for _, w := range what {
		if w.key == "fuzz-executions" { // as many as were asked for
			continue
		}
		line := regexp.MustCompile(`\| ([0-9,]+) \| ` + regexp.QuoteMeta(w.words) + ` \|`).FindSubmatch(page)
		if line == nil {
			return fmt.Errorf("SECURITY.md does not say how many: %s", w.words)
		}
		if least, _ := strconv.Atoi(strings.ReplaceAll(string(line[1]), ",", "")); n[w.key] < least {
			return fmt.Errorf("SECURITY.md says %d, and there were %d: %s", least, n[w.key], w.words)
		}
	}
	return nil
}

// grouped writes a number with a comma between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// tests runs all tests of the module and adds up what they attest.
func (n totals) tests(quick bool) error {
	fmt.Println("tests")
	return n.run("test", "-count=1", "-json", "-short="+strconv.FormatBool(quick), module)
}

// event is a line of what go test -json prints.
type event struct{ Action, Package, Test, Key, Value, Output string }

// run runs go test with JSON, and shows the output of what failed.
func (n totals) run(args ...string) error {
	output := map[string]string{}
	return lines(exec.Command("go", args...), func(line string) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Println(line)
			return
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "attr":
			value, _ := strconv.Atoi(e.Value)
			n[e.Key] += value
		case "output":
			output[name] += e.Output
		case "fail":
			fmt.Println(output[name])
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			delete(output, name)
		}
	})
}

// leaks runs each test of the package by itself, and looks for what it left behind.
func (n totals) leaks() error {
	fmt.Println("leaks")
	folder, err := os.MkdirTemp("", "hardening")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	root := strings.TrimSuffix(module, "/...")
	binary := folder + "/tests"
	if out, err := exec.Command("go", "test", "-c", "-o", binary, root).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	where, err := exec.Command("go", "list", "-f", "{{.Dir}}", root).Output()
	if err != nil {
		return err
	}
	test := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Dir = strings.TrimSpace(string(where))
		return cmd
	}
	names, err := test("-test.list", "^(Test|Example|Fuzz)").Output()
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(names)) {
		if out, err := test("-test.run", "^"+name+"$", "-test.short", "-timers").CombinedOutput(); err != nil {
			return fmt.Errorf("%s, alone: %w\n%s", name, err, out)
		}
		n["leaks"]++
	}
	return nil
}

var executions = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs each fuzz target of the module.
func (n totals) fuzz(time string) error {
	list, err := exec.Command("go", "test", "-list", "^Fuzz", "-json", module).Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, list)
	}
	targets := json.NewDecoder(strings.NewReader(string(list)))
	for {
		var e event
		if err := targets.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		name := strings.TrimSpace(e.Output)
		if e.Action != "output" || !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		fmt.Println("fuzz", name)
		var output strings.Builder
		err := lines(exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", time, "-fuzzminimizetime", "100x", e.Package), func(line string) {
			output.WriteString(line + "\n")
		})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, output.String())
		}
		if all := executions.FindAllStringSubmatch(output.String(), -1); len(all) > 0 {
			execs, _ := strconv.Atoi(all[len(all)-1][1])
			n["fuzz-executions"] += execs
			n["fuzz-targets"]++
		}
	}
}

// lines runs a command and hands on its output line by line.
func lines(cmd *exec.Cmd, take func(line string)) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for scan := bufio.NewReader(out); ; {
		line, err := scan.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			take(line)
		}
		if err != nil {
			return cmd.Wait()
		}
	}
}
