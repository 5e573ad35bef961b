package main

import (
	"fmt"
	"slices"
	"time"
)

// row is one kind of work, done in each of its columns.
type row struct {
	id, what    string
	unit        string        // of which there are Units; empty: mail
	delay       time.Duration // a round trip
	together    bool          // its columns wait most of the time, and may do so beside each other
	secure      bool          // STARTTLS and AUTH are offered
	repetitions int           // of each column; zero: one
	tables      []*table      // where it is shown
	columns     []column
}

// column is a way to do the work of a row, or a size of it.
type column struct {
	name string
	n    int64  // the size, where a row shows growth
	why  string // it is not done; empty: it is
	work func(*task) error
}

const (
	far    = 20 * time.Millisecond
	medium = 25 << 20 // a common limit for mails
	large  = 1 << 30
)

func rows() []row {
	return slices.Concat(waits(), costs(), files(), pools(), growths(), idles())
}

func find(id, name string) (column, error) {
	for _, r := range rows() {
		for _, c := range r.columns {
			if r.id == id && c.name == name {
				return c, nil
			}
		}
	}
	return column{}, fmt.Errorf("there is no row %q with a column %q", id, name)
}

// each makes columns of peers.
func each(peers []*peer, work func(*peer) func(*task) error) []column {
	var columns []column
	for _, p := range peers {
		columns = append(columns, column{name: p.name, work: work(p)})
	}
	return columns
}

// waits are shown as round trips, over a link on which these take long.
func waits() []row {
	rows := []row{
		{id: "waits/1", what: "a mail to 1 recipient, on a warm session", repetitions: 5,
			columns: each(waiting, warm(10, 1, 1, 0))},
		{id: "waits/100", what: "a mail to 100 recipients, on a warm session", repetitions: 3,
			columns: each(waiting, warm(1, 1, 100, 0))},
		{id: "waits/session", what: "each of 100 mails over one session", repetitions: 2,
			columns: each(waiting, warm(100, 100, 1, 0))},
		{id: "waits/dial", what: "from the dial to the first mail accepted, with STARTTLS (TLS 1.3) and AUTH PLAIN", secure: true, repetitions: 3,
			columns: each(waiting, cold(5))},
	}
	for i := range rows {
		rows[i].delay, rows[i].together, rows[i].tables = far, true, []*table{roundTrips}
	}
	return rows
}

// costs are those of small mails on loopback.
func costs() []row {
	rows := []row{
		{id: "costs/1", what: "a mail with text and HTML to 1 recipient, on a warm session",
			columns: each(everyone, warm(2000, 1, 1, 0))},
		{id: "costs/100", what: "the same to 100 recipients",
			columns: each(everyone, warm(100, 1, 100, 0))},
		{id: "costs/session", what: "each of 100 mails over one session",
			columns: each(everyone, warm(2000, 100, 1, 0))},
		{id: "costs/dial", what: "from the dial to the first mail accepted, with STARTTLS (TLS 1.3, resumed) and AUTH PLAIN", secure: true,
			columns: each(everyone, cold(100))},
	}
	for i := range rows {
		rows[i].repetitions, rows[i].tables = 5, []*table{cpuTimes, allocations, allocated}
	}
	return rows
}

// files are attached.
func files() []row {
	return []row{
		{id: "file/send", what: "a mail with a file of 25 MiB, built and sent on a warm session", repetitions: 3,
			tables:  []*table{cpuTimes, allocations, allocated},
			columns: each(everyone, warm(3, 1, 1, medium))},
		{id: "file/build", what: "the same, built only", repetitions: 3,
			tables:  []*table{cpuTimes, allocations, allocated},
			columns: each(builders, build(3))},
		{id: "file/base64", what: "for comparison: `base64.StdEncoding.Encode` of the 25 MiB, in blocks", repetitions: 3,
			tables:  []*table{cpuTimes},
			columns: []column{{name: netSMTP.name, work: encodeBase64}}},
		{id: "memory/25MiB", what: "a mail with a file of 25 MiB, built and sent", repetitions: 3,
			tables:  []*table{peaks},
			columns: each(everyone, first(medium))},
		{id: "memory/1GiB", what: "a mail with a file of 1 GiB, built and sent (once)",
			tables:  []*table{peaks},
			columns: streaming(each(everyone, first(large)))},
	}
}

// streaming leaves those out that hold files in memory.
func streaming(columns []column) []column {
	for i := range columns {
		for _, p := range others {
			if p.name == columns[i].name && p.slurps {
				columns[i].why = "not tried, since it holds files in memory"
			}
		}
	}
	return columns
}
