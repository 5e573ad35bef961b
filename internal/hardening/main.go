// Command hardening runs what tries to break the package, and prints how much it
// tried: the advisories and defects of other packages, hostile values, faults and
// servers, the leaks of each test, and the fuzz targets. It fails if anything did
// not hold, or if less was tried than SECURITY.md says.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	fuzztime := flag.String("fuzztime", "50000x", "of each fuzz target: a number of inputs, as in 50000x, or a time")
	quick := flag.Bool("quick", false, "the tests in short mode, so that a part of the faults is tried")
	flag.Parse()
	total := totals{}
	err := total.tests(*quick)
	if err == nil {
		err = total.leaks()
	}
	if err == nil {
		err = total.fuzz(*fuzztime)
	}
	total.print()
	if err == nil && !*quick {
		err = total.promised()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hardening:", err)
		os.Exit(1)
	}
	fmt.Println("All held.")
}
