// Peers runs the same work through Postrider and through the packages that people compare
// it with, against a server of its own, and tells what each took, and how each behaves where
// something goes wrong. See -help.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	only := flag.String("run", "", "only the rows whose names match this")
	quick := flag.Bool("quick", false, "a smoke run: little work, once; the figures mean nothing")
	keep := flag.Bool("keep", false, "write PEERS.md, peers.json and peers.svg here")
	behaves := flag.Bool("behaviour", false, "only how each behaves, in some seconds; with -keep, in PEERS.md and peers.json as they are")
	child := flag.String("job", "", "for the program itself: what to do as a child, in JSON")
	flag.Parse()
	var err error
	switch {
	case *child != "":
		err = runChild(*child)
	case *behaves:
		err = runBehaviour(*keep)
	default:
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
	if only == "" {
		if err := report.behave(); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(os.Stdout, report.markdown()); err != nil || !keep {
		return err
	}
	return report.keep()
}

// runBehaviour asks how each behaves. The figures that are kept stay as they are.
func runBehaviour(keep bool) error {
	r := &report{}
	if err := r.behave(); err != nil {
		return err
	}
	var b strings.Builder
	r.behaviour(&b)
	if _, err := io.WriteString(os.Stdout, b.String()); err != nil || !keep {
		return err
	}
	kept, err := readReport()
	if err != nil {
		return err
	}
	kept.Behaviour, kept.Behaved = r.Behaviour, r.Behaved
	return kept.keep()
}
