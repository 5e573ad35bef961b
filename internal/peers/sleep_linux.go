package main

import (
	"syscall"
	"time"
)

// sleepUntil is more exact than time.Sleep, which wakes up to a millisecond late.
func sleepUntil(due time.Time) {
	const late = time.Millisecond
	time.Sleep(time.Until(due) - late)
	if left := time.Until(due); left > 0 {
		for t := syscall.NsecToTimespec(left.Nanoseconds()); syscall.Nanosleep(&t, &t) == syscall.EINTR; {
		}
	}
}
