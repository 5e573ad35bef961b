// Package leak says what the tests of a package left behind.
package leak

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var timers = flag.Bool("timers", false, "look for timers that are left, too, which slows the tests down")

// Main runs the tests, for TestMain. It fails if goroutines or descriptors are
// left when all have ended or, with the flag -timers, timers that nobody stopped.
func Main(m *testing.M) {
	flag.Parse()
	if *timers {
		runtime.MemProfileRate = 1 // Every allocation is noted, with its caller.
	}
	warmUp()
	before := now()
	code := m.Run()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // which has goroutines of its own
	if code == 0 && !fuzzing {
		if left := settle(before); left != "" {
			fmt.Println("left behind:", left)
			code = 1
		}
	}
	os.Exit(code)
}

// warmUp makes the runtime open what it keeps for all connections.
func warmUp() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
}

// state is what can be left behind.
type state struct{ goroutines, descriptors int }

func now() state {
	list, _ := os.ReadDir("/proc/self/fd") // Elsewhere than on Linux there is nothing to count.
	return state{runtime.NumGoroutine(), len(list)}
}

// settle waits until no more is left than before, and says what is if that takes
// too long: the other end of a connection may be about to see that it was closed.
func settle(before state) (left string) {
	if *timers {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // see collect
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		collect()
		after, pending := now(), pendingTimers()
		switch {
		case after.goroutines > before.goroutines:
			stacks := make([]byte, 1<<20)
			left = string(stacks[:runtime.Stack(stacks, true)])
		case after.descriptors > before.descriptors:
			left = fmt.Sprintf("%d descriptors that were %d", after.descriptors, before.descriptors)
		case pending != "":
			left = pending
		default:
			return ""
		}
	}
	return left
}

// collect lets the runtime forget the timers that were stopped. A processor keeps
// them until they are many among its own, or their time has come; one that is
// switched off hands its own over without them. And what lies in this goroutine's
// stack from earlier may keep one alive, hence the collection from another, too.
func collect() {
	if *timers {
		for range 1000 {
			time.AfterFunc(time.Hour, func() {}).Stop()
		}
	}
	runtime.GC()
	var another sync.WaitGroup
	another.Go(runtime.GC)
	another.Wait()
}

// pendingTimers lists the timers that are in memory, by who made them: the profile
// of allocations tells. One that nobody stopped keeps itself alive.
func pendingTimers() (list string) {
	if !*timers {
		return ""
	}
	n, _ := runtime.MemProfile(nil, false)
	records := make([]runtime.MemProfileRecord, n+100)
	if n, _ = runtime.MemProfile(records, false); n > len(records) {
		return "too many allocations to look through"
	}
	for _, r := range records[:n] {
		if calls := stack(r.Stack()); isTimer(calls) {
			list += fmt.Sprintf("%d timers of\n\t%s\n", r.InUseObjects(), strings.Join(calls, "\n\t"))
		}
	}
	return list
}

// isTimer tells whether a timer was allocated by these calls. Those of net.Pipe do
// not count, as they outlive its Close, whoever uses it, nor those made here.
func isTimer(calls []string) bool {
	made := slices.Index(calls, "time.newTimer")
	return made > 0 && calls[made-1] == "runtime.newobject" && !slices.ContainsFunc(calls, func(call string) bool {
		return strings.HasPrefix(call, "net.(*pipeDeadline)") || strings.HasSuffix(call, "/leak.collect")
	})
}

func stack(counters []uintptr) (calls []string) {
	frames := runtime.CallersFrames(counters)
	for {
		frame, more := frames.Next()
		calls = append(calls, frame.Function)
		if !more {
			return calls
		}
	}
}
