package main

import (
	"strings"
	"sync/atomic"

	"github.com/postrider/smtp/smtptest"
)

// troubled makes the server refuse some readers, and lose the link once.
func troubled(server *smtptest.Server) {
	var lost atomic.Int64 // the number of the mail to reader10
	server.On = func(step smtptest.Step) *smtptest.Fault {
		switch reader, _, _ := strings.Cut(step.Address, "@"); {
		case reader == "reader3", reader == "reader8":
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 550, Status: [3]int{5, 1, 1}, Text: "no such mailbox"}}
		case reader == "reader5":
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 552, Status: [3]int{5, 2, 2}, Text: "the mailbox is full"}}
		case reader == "reader6":
			return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 450, Status: [3]int{4, 2, 0}, Text: "greylisted, come back later"}}
		case reader == "reader10":
			lost.Store(int64(step.Message))
		case step.Command == "END" && int64(step.Message) == lost.Load():
			return &smtptest.Fault{Drop: true}
		}
		return nil
	}
}
