package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report spells the matrix, with what the servers say of themselves, in Markdown.
func (m *matrix) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What real servers and readers make of the package\n\nOn %s, by `internal/interop/run`, with %s on %s/%s. ✓ is passed, – not offered.\n\n",
		m.began.UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	versions := readVersions()
	b.WriteString("| |")
	for _, s := range m.looked {
		fmt.Fprintf(&b, " %s %s |", s.name, versions[s.version])
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(m.looked)+1) + "\n")
	for _, c := range append(m.checks, check{name: last}) {
		fmt.Fprintf(&b, "| %s |", c.name)
		for _, s := range m.looked {
			fmt.Fprintf(&b, " %s |", m.cells[cell{c.name, s}].sign())
		}
		b.WriteString("\n")
	}
	m.describeRuns(&b)
	b.WriteString("\nThe readers: " + versions["python3-minimal"] + " of Python, " + versions["mailparser"] + " of mailparser.\n")
	b.WriteString("\nWhere there is no SMTPUTF8, the one message with UTF-8 in its header is not among those that are read.\n")
	b.WriteString("\nLeft out: Postfix's smtp-sink, which delivers nothing that could be compared, and stunnel, which only stands before others.\n")
	b.WriteString("\n## What they offer\n\nThe lines of EHLO or LHLO, after STARTTLS where that is offered; and why else something is not offered.\n\n")
	for _, s := range m.looked {
		m.describe(&b, s)
	}
	return b.String()
}

func (o outcome) sign() string {
	switch {
	case o.isFailure():
		return "FAILED"
	case o.isNotOffered():
		return "–"
	}
	return "✓"
}

// describe is the proof of what is not offered.
func (m *matrix) describe(b *strings.Builder, s *server) {
	fmt.Fprintf(b, "- %s: `%s`\n", s.name, strings.Join(s.offered, "`, `"))
	for _, c := range m.checks {
		if o := m.cells[cell{c.name, s}]; o.isNotOffered() && !strings.HasSuffix(o.err.Error(), "in its EHLO") {
			fmt.Fprintf(b, "  - %s: %v\n", c.name, o.err)
		}
	}
}

// describeRuns tells how many runs of mails there were.
func (m *matrix) describeRuns(b *strings.Builder) {
	var counts []string
	total := 0
	for _, s := range m.looked {
		total += s.sentRuns
		counts = append(counts, fmt.Sprintf("%d to %s", s.sentRuns, s.name))
	}
	if total > 0 {
		fmt.Fprintf(b, "\n%d runs of mails: %s. In each, four mails go over one session, each from a sender and to two recipients of its own, of whom nobody, one position or two are refused.\n",
			total, strings.Join(counts, ", "))
	}
}

var upstream = regexp.MustCompile(`^(?:\d+:)?v?([0-9.]+(?:p\d+)?)`)

// readVersions reads what install wrote, and what this program was built with.
func readVersions() map[string]string {
	versions := map[string]string{}
	file, err := os.Open("/versions")
	if err != nil {
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, version, _ := strings.Cut(lines.Text(), " ")
		versions[name] = strings.Join(upstream.FindStringSubmatch(version)[1:], "")
	}
	info, _ := debug.ReadBuildInfo()
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return strings.HasSuffix(m.Path, "/go-smtp") })
	versions["go-smtp"] = strings.TrimPrefix(info.Deps[i].Version, "v")
	return versions
}
