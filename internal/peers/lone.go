package main

import (
	"fmt"
	"strings"
)

// growth writes a table for each thing that grows: all that it tells should be the same
// down a column of "a unit", once there is enough of it.
func (r *report) growth(b *strings.Builder) {
	titled := false
	for _, row := range rows() {
		lines := r.growthOf(row)
		if row.unit == "" || lines == "" {
			continue
		}
		if !titled {
			b.WriteString("\n## How Postrider grows\n\nTime and CPU time are those of all of it; peak memory is that of the process.\n")
			titled = true
		}
		fmt.Fprintf(b, "\n| %s | time | time a %[2]s | CPU time a %[2]s | allocated a %[2]s | peak memory | that a %[2]s |\n|%[3]s\n%[4]s",
			row.what, row.unit, strings.Repeat(" --- |", 7), lines)
	}
}

func (r *report) growthOf(row row) string {
	var b strings.Builder
	for _, c := range row.columns {
		for _, done := range r.Results {
			if done.Row != row.id || done.Column != c.name || len(done.Runs) == 0 {
				continue
			}
			f := done.Runs[0]
			units := float64(max(f.Units, 1))
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", c.name,
				duration(float64(f.Wall)/float64(max(f.Times, 1))), nanoseconds(float64(f.Wall)/units), nanoseconds(float64(f.CPU)/units),
				octets(float64(f.Bytes)/units), mebibytes(float64(f.Peak)), octets(float64(f.Peak)/float64(c.n)))
		}
	}
	return b.String()
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
	for _, row := range rows() {
		for _, done := range r.Results {
			if done.Row != row.id || !strings.HasPrefix(row.id, "idle/") || len(done.Runs) == 0 {
				continue
			}
			if !titled {
				b.WriteString("\n## What Postrider keeps while idle\n\n| | heap | goroutines |\n| --- | --- | --- |\n")
				titled = true
			}
			f := done.Runs[0]
			fmt.Fprintf(b, "| %s | %s | %s |\n", row.what, octets(f.Held), significant(f.Goroutines))
		}
	}
}

// notes say how the peers were used.
func (r *report) notes() string {
	var b strings.Builder
	b.WriteString("\n## How each was used\n\n")
	b.WriteString("- Postrider: a `Mailer` with one session; `SendAll` for 100 mails. BDAT is its `Options.Chunking`.\n")
	b.WriteString("- net/smtp + mime: one `Client`; the message is written straight into `Data`, by mime/multipart, mime/quotedprintable and encoding/base64.\n")
	b.WriteString("- go-mail: one `Client`, dialled once; `Send` with all 100 mails at once. It sends NOOP before each call and RSET behind each mail, unless `WithoutNoop` and `WithoutRset` are given.\n")
	b.WriteString("- go-smtp + go-message: one `Client`; go-message writes straight into `Data`.\n")
	b.WriteString("- gomail.v2: one `SendCloser`; `Send` with all 100 mails at once. It makes no Message-ID.\n")
	b.WriteString("- jordan-wright/email: a `Pool` of one session.\n")
	b.WriteString("- The last goodbye (QUIT) is never measured. All have the same `tls.Config`, with a cache of sessions.\n")
	b.WriteString("- A file comes to each from")
	for i, p := range append([]*peer{postrider}, others...) {
		fmt.Fprintf(&b, "%s %s: %s", map[bool]string{true: "", false: ";"}[i == 0], p.name, p.file)
	}
	b.WriteString(".\n")
	return b.String()
}
