// Interop tries the package on real servers and real readers of mail, and prints what
// came of it as a matrix. See run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"sync"
)

func main() {
	var onServers, ofChecks regexp.Regexp
	flag.TextVar(&onServers, "servers", regexp.MustCompile(""), "only those whose names match this")
	flag.TextVar(&ofChecks, "checks", regexp.MustCompile(""), "only those whose names match this")
	verbose := flag.Bool("v", false, "tell of each check")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	m, err := newMatrix(onServers, ofChecks, *verbose)
	if err == nil {
		err = m.run(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

// run fills the matrix, prints it and keeps it in a file.
func (m *matrix) run(ctx context.Context) error {
	m.start(ctx)
	var columns sync.WaitGroup
	for _, s := range m.looked {
		columns.Go(func() { m.try(ctx, s) })
	}
	columns.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	m.settle(ctx)
	report := m.report()
	fmt.Print("\n", report)
	if failures := m.failures(); failures > 0 {
		return fmt.Errorf("%d checks failed", failures)
	}
	return os.WriteFile("/srv/MATRIX.md", []byte(report), 0o644)
}
