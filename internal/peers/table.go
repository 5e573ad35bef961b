package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// table shows one thing about several rows, beside each other for all who did them.
type table struct {
	title, note string
	of          func(row, figures) float64
	format      func(float64) string
	median      bool // is shown, not the least
}

// perUnit is for what grows with the work.
func perUnit(of func(figures) float64) func(row, figures) float64 {
	return func(_ row, f figures) float64 { return of(f) / float64(max(f.Units, 1)) }
}

var (
	roundTrips = &table{
		title: "Round trips a mail",
		note:  "The time that a mail takes, divided by a round trip of 20 ms: how often it waits for the server.",
		of: func(r row, f figures) float64 {
			return float64(f.Wall) / float64(r.delay) / float64(max(f.Units, 1))
		},
		format: func(x float64) string { return fmt.Sprintf("%.2f", x) },
	}
	cpuTimes = &table{
		title:  "CPU time a mail",
		note:   "Of the process that sends, in the kernel too, over loopback. The server is another process.",
		of:     perUnit(func(f figures) float64 { return float64(f.CPU) }),
		format: duration,
	}
	allocations = &table{
		title:  "Allocations a mail",
		of:     perUnit(func(f figures) float64 { return float64(f.Mallocs) }),
		format: func(x float64) string { return thousands(int64(math.Round(x))) },
	}
	allocated = &table{
		title:  "Memory allocated a mail, in all",
		of:     perUnit(func(f figures) float64 { return float64(f.Bytes) }),
		format: octets,
	}
	peaks = &table{
		title:  "Peak memory",
		note:   "Of a process that does only this (VmHWM), less that of one that does nothing.",
		of:     func(_ row, f figures) float64 { return float64(f.Peak) },
		format: mebibytes, median: true, // When garbage is collected varies.
	}
	poolTimes = &table{
		title:  fmt.Sprintf("Time of a mail, among many over %d sessions", sessions),
		note:   fmt.Sprintf("`Send` is called by %d goroutines at once. The other packages have no pool.", senders),
		of:     perUnit(func(f figures) float64 { return float64(f.Wall) }),
		format: duration,
	}
)

var tables = []*table{roundTrips, cpuTimes, allocations, allocated, peaks, poolTimes}

// cells are the values of a row by column; those that were not done are missing.
func (t *table) cells(r row, results []result) map[string]float64 {
	cells := map[string]float64{}
	for _, done := range results {
		if done.Row == r.id && len(done.Runs) > 0 {
			cells[done.Column] = t.value(r, done.Runs)
		}
	}
	return cells
}

// value is what stands for several runs: the least, since what else the machine does only
// adds to it, or the median.
func (t *table) value(r row, runs []figures) float64 {
	var values []float64
	for _, f := range runs {
		values = append(values, t.of(r, f))
	}
	slices.Sort(values)
	if t.median {
		return values[len(values)/2]
	}
	return values[0]
}

// best is how many times as much as Postrider the best of the others took.
func best(cells map[string]float64) (ratio float64, ok bool) {
	own, other := math.Inf(1), math.Inf(1)
	for name, value := range cells {
		switch {
		case isVariant(name): // It is no default.
		case strings.HasPrefix(name, postrider.name):
			own = min(own, value)
		default:
			other = min(other, value)
		}
	}
	return other / own, own > 0 && !math.IsInf(own, 1) && !math.IsInf(other, 1)
}

func isVariant(name string) bool { return name == postriderBDAT.name }

func duration(ns float64) string {
	switch {
	case ns < 1e6:
		return significant(ns/1e3) + " µs"
	case ns < 1e9:
		return significant(ns/1e6) + " ms"
	}
	return significant(ns/1e9) + " s"
}

func octets(n float64) string {
	switch {
	case n < 1e3:
		return significant(n) + " B"
	case n < 1e6:
		return significant(n/1e3) + " kB"
	}
	return significant(n/1e6) + " MB"
}

func mebibytes(n float64) string { return significant(n/(1<<20)) + " MiB" }

func times(ratio float64) string { return significant(ratio) + " ×" }

// significant writes a number with two digits, or with three if the first is a one.
func significant(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.01:
		return fmt.Sprintf("%.2g", x)
	case x >= 20:
		return thousands(int64(math.Round(x)))
	}
	return fmt.Sprintf("%.*f", max(0, 1-int(math.Floor(math.Log10(x/1.9999)))), x)
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// today is when the figures were taken.
func today() string { return time.Now().Format(time.DateOnly) }
