package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// report is what there is to tell of a run.
type report struct {
	Date, CPU, Go string
	Cores         int
	Versions      map[string]string // of the peers, by module
	IdleMemory    int64             // of a process that does nothing, in octets; it is taken off the peaks
	Results       []result
	Behaved       string // when they were asked how they behave
	Behaviour     []finding
	quick         bool
}

func newReport(p *parent) *report {
	return &report{
		Date: today(), CPU: cpuModel(), Go: runtime.Version(), Cores: runtime.NumCPU(),
		Versions: versions(), IdleMemory: p.idle, Results: p.results, quick: p.quick,
	}
}

// cpuModel is what the kernel calls the processor.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// versions are those of the peers that are linked in.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	wanted := map[string]bool{"github.com/emersion/go-message": true}
	for _, p := range others {
		wanted[p.module] = true
	}
	for _, m := range info.Deps {
		if wanted[m.Path] {
			found[m.Path] = m.Version
		}
	}
	return found
}

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Postrider and its peers\n\n")
	if r.quick {
		b.WriteString("A smoke run: these figures mean nothing.\n\n")
	}
	fmt.Fprintf(&b, "By `go run . -keep` in `internal/peers`, on %s: %s, %d cores, %s/%s, %s.\n\n",
		r.Date, r.CPU, r.Cores, runtime.GOOS, runtime.GOARCH, r.Go)
	for _, module := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(&b, "- %s %s\n", module, r.Versions[module])
	}
	b.WriteString(preamble)
	for _, t := range tables {
		r.compare(&b, t)
	}
	r.behaviour(&b)
	r.growth(&b)
	r.idle(&b)
	b.WriteString(r.notes())
	return b.String()
}

const preamble = `
The same letter for all, with text and HTML, is made anew for each mail, unless a row says otherwise.
Each work is done by a process of its own, several times, and all take turns. The least is shown,
since what else the machine does only adds to it, and of the peak memory the median.
The last column is the best other package as a multiple of Postrider, as it is without options.

![What the others take](peers.svg)
`

// compare writes a table that has a column for each who did any of its rows.
func (r *report) compare(b *strings.Builder, t *table) {
	var shown []row
	var names []string
	for _, row := range rows() {
		if !slices.Contains(row.tables, t) || len(t.cells(row, r.Results)) == 0 {
			continue
		}
		shown = append(shown, row)
		for _, c := range row.columns {
			if !slices.Contains(names, c.name) {
				names = append(names, c.name)
			}
		}
	}
	if len(shown) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(b, "%s\n\n", t.note)
	}
	fmt.Fprintf(b, "| | %s | best other / Postrider |\n|%s\n", strings.Join(names, " | "), strings.Repeat(" --- |", len(names)+2))
	for _, row := range shown {
		fmt.Fprintf(b, "| %s | %s |\n", row.what, strings.Join(r.line(t, row, names), " | "))
	}
}

// line has the cells of a row, and the ratio.
func (r *report) line(t *table, row row, names []string) []string {
	cells := t.cells(row, r.Results)
	var line []string
	for _, name := range names {
		value, ok := cells[name]
		switch {
		case ok:
			line = append(line, t.format(value))
		case r.why(row, name) != "":
			line = append(line, "- "+r.need(name))
		default:
			line = append(line, "")
		}
	}
	ratio, ok := best(cells)
	if !ok {
		return append(line, "")
	}
	return append(line, times(ratio))
}

func (r *report) why(row row, name string) string {
	for _, done := range r.Results {
		if done.Row == row.id && done.Column == name {
			return done.Why
		}
	}
	return ""
}

// need is what a file of 1 GiB would take of those with whom it was not tried.
func (r *report) need(name string) string {
	for _, done := range r.Results {
		if done.Row == "memory/25MiB" && done.Column == name && len(done.Runs) > 0 {
			peak := peaks.value(row{}, done.Runs) * large / medium
			return fmt.Sprintf("not tried: would need %s GiB", significant(peak/(1<<30)))
		}
	}
	return "not tried"
}

// keep writes the report beside the program.
func (r *report) keep() error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	chart, err := r.chart()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"PEERS.md": []byte(r.markdown()), "peers.json": append(data, '\n'), "peers.svg": chart,
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readReport reads what was kept.
func readReport() (*report, error) {
	data, err := os.ReadFile("peers.json")
	if err != nil {
		return nil, err
	}
	r := &report{}
	return r, json.Unmarshal(data, r)
}
