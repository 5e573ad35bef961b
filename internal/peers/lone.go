package main

import (
	"fmt"
	"strings"
)

// growth writes a table for each thing that grows: where it is
// linear, what is told of a unit is the same down the column, once there is enough of it.
func (r *report) growth(b *strings.Builder) {
	titled := false
	for _, row := range growths() {
		lines := r.growthOf(row)
		if lines == "" {
			continue
		}
		if !titled {
			b.WriteString("\n## How Postrider grows\n\nTime is that of work that was done often. Peak memory is that of a process that does it once; the last column\n" +
				"is by how much it has grown since the line above. Up to some 6 MiB of it may be garbage, which Go collects from 4 MiB on.\n")
			titled = true
		}
		fmt.Fprintf(b, "\n| %s | time | time per %[2]s | CPU time per %[2]s | allocated per %[2]s | peak memory | more per %[2]s |\n|%[3]s\n%[4]s",
			row.what, row.unit, strings.Repeat(" --- |", 7), lines)
	}
}

func (r *report) growthOf(row row) string {
	var b strings.Builder
	for i, c := range row.columns {
		f, ok := r.figures(row.id, c.name)
		if !ok {
			continue
		}
		more := ""
		if i > 0 {
			before := row.columns[i-1]
			smaller, _ := r.figures(row.id, before.name)
			more = octets(max(0, float64(f.Peak-smaller.Peak)) / float64(c.n-before.n))
		}
		units := float64(max(f.Units, 1))
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", c.name,
			duration(float64(f.Wall)/float64(max(f.Times, 1))), nanoseconds(float64(f.Wall)/units), nanoseconds(float64(f.CPU)/units),
			octets(float64(f.Bytes)/units), mebibytes(float64(f.Peak)), more)
	}
	return b.String()
}

// figures are those of the first run of a column.
func (r *report) figures(id, name string) (figures, bool) {
	for _, done := range r.Results {
		if done.Row == id && done.Column == name && len(done.Runs) > 0 {
			return done.Runs[0], true
		}
	}
	return figures{}, false
}

// nanoseconds writes a time that may be very short.
func nanoseconds(ns float64) string {
	if ns < 1000 {
		return significant(ns) + " ns"
	}
	return duration(ns)
}

// idle writes what is kept while nothing happens.
func (r *report) idle(b *strings.Builder) {
	titled := false
	for _, row := range idles() {
		f, ok := r.figures(row.id, postrider.name)
		if !ok {
			continue
		}
		if !titled {
			b.WriteString("\n## What Postrider keeps while idle\n\n| | heap | goroutines |\n| --- | --- | --- |\n")
			titled = true
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", row.what, octets(f.Held), significant(f.Goroutines))
	}
}

// notes say how the peers were used.
func (r *report) notes() string {
	var b strings.Builder
	b.WriteString("\n## How each was used\n\n")
	for _, p := range builders {
		fmt.Fprintf(&b, "- %s: %s. A file comes from %s.\n", p.name, p.use, p.file)
	}
	b.WriteString("\nQUIT is never measured. All have the same `tls.Config`, with a cache of sessions of TLS, and the defaults\n" +
		"of their connections. go-mail is bare with `WithoutNoop` and `WithoutRset`. Postrider sends by BDAT with\n" +
		"`Options.Chunking`. The server is the same for all; it offers PIPELINING, SIZE, 8BITMIME, SMTPUTF8, CHUNKING and\n" +
		"ENHANCEDSTATUSCODES, and answers at once. For the round trips all wait beside each other;\n" +
		"that of the handshake of TCP is not among them.\n")
	return b.String()
}
