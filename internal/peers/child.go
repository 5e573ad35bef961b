package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// job is what a child is told to do. No row: nothing, to learn what that takes.
type job struct {
	Row, Column string
	Addr        string
	Certificate []byte // that the server has; nil: there is no TLS
	Quick       bool
	Once        bool // the work is done only once, to learn what memory that takes
}

// figures are what a child found out, of all its work together.
type figures struct {
	Sent       int64 // mails, in all
	Units      int64 // of work that was measured, as mails
	Times      int64 // that the work was done
	Wall, CPU  time.Duration
	Mallocs    uint64
	Bytes      uint64  // allocated
	Peak       int64   // of memory that the process had, in octets; zero: not known
	Held       float64 // octets of the heap that a unit keeps while it is idle
	Goroutines float64 // of a unit
}

// task is a job under way.
type task struct {
	job
	server server
	figures
}

// runChild does a job, and prints its figures as a line of JSON.
func runChild(text string) error {
	t := &task{}
	if err := json.Unmarshal([]byte(text), &t.job); err != nil {
		return err
	}
	if err := t.run(); err != nil {
		return err
	}
	t.Peak = peakMemory()
	return json.NewEncoder(os.Stdout).Encode(t.figures)
}

func (t *task) run() error {
	if t.Row == "" {
		return nil
	}
	t.server.addr = t.Addr
	if t.Certificate != nil {
		certificate, err := x509.ParseCertificate(t.Certificate)
		if err != nil {
			return err
		}
		t.server.tls = clientTLS(certificate)
	}
	c, err := find(t.Row, t.Column)
	if err != nil {
		return err
	}
	return c.work(t)
}

// clientTLS is the same for all peers: each may resume a session of TLS.
func clientTLS(trusted *x509.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(trusted)
	return &tls.Config{
		RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
}

// measure adds what work takes, which is done so many times and has units in all.
func (t *task) measure(times, units int, work func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, begun := cpuTime(), time.Now()
	for range times {
		if err := work(); err != nil {
			return err
		}
	}
	t.Wall += time.Since(begun)
	t.CPU += cpuTime() - cpu
	runtime.ReadMemStats(&after)
	t.Mallocs += after.Mallocs - before.Mallocs
	t.Bytes += after.TotalAlloc - before.TotalAlloc
	t.Times += int64(times)
	t.Units += int64(units)
	return nil
}

// few is n, or few enough for a smoke run.
func (t *task) few(n int) int {
	if t.Quick {
		return min(n, 10)
	}
	return n
}

// often is n, or once.
func (t *task) often(n int) int {
	if t.Once {
		return 1
	}
	return t.few(n)
}

// small is a size, or one that is small enough for a smoke run.
func (t *task) small(size int64) int64 {
	if t.Quick {
		return min(size, 1<<20)
	}
	return size
}

// cpuTime is that of the whole process, in the kernel too.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// peakMemory is the most that the process ever had. Getrusage would tell that of its
// parent, if that had more.
func peakMemory() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0 // Only Linux tells.
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			var kB int64
			fmt.Sscan(value, &kB)
			return kB << 10
		}
	}
	return 0
}
