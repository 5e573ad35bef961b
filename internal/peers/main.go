// Peers runs the same work through Postrider and through the packages that people compare
// it with, against a server of its own, and tells what each took. See -help.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
)

func main() {
	only := flag.String("run", "", "only the rows whose names match this")
	quick := flag.Bool("quick", false, "a smoke run: little work, once; the figures mean nothing")
	keep := flag.Bool("keep", false, "write PEERS.md, peers.json and peers.svg here")
	child := flag.String("job", "", "for the program itself: what to do as a child, in JSON")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(*child)
	} else {
		err = runAll(*only, *quick, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// runAll runs the rows that match, and reports.
func runAll(only string, quick, keep bool) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if keep && (quick || only != "") {
		return fmt.Errorf("-keep wants all rows, in full")
	}
	p, err := newParent(quick, os.Stderr)
	if err != nil {
		return err
	}
	for _, r := range rows() {
		if match.MatchString(r.id) {
			if err := p.run(r); err != nil {
				return err
			}
		}
	}
	report := newReport(p)
	if _, err := io.WriteString(os.Stdout, report.markdown()); err != nil || !keep {
		return err
	}
	return report.keep()
}
