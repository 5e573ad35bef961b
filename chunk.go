package smtp

import (
	"errors"

	"github.com/postrider/smtp/internal/wire"
)

// maxWindow is how many chunks may be on their way without an answer: a megabyte,
// which fills most links, and is what a refusal in the middle wastes at most.
const maxWindow = 32

var errRefused = errors.New("the server has refused a part of the content")

// chunkSink takes the chunks of BDAT (RFC 3030). Several are on their way while
// their replies are read, if the server pipelines. If one is refused, no other is
// begun; the one under way is written to its end, and the session can go on.
type chunkSink struct {
	outlet
	window      int           // chunks that may be on their way
	due         chan struct{} // a reply that listen is to read; nil: it does not run
	heard       chan heard    // what it has read
	outstanding int           // replies that were not taken from heard
	refusal     answer        // the first that was no success
	over        bool          // due is closed
}

func (s *chunkSink) write(b wire.Block) (int, error) {
	for s.outstanding > 0 && s.refusal.err == nil && (s.outstanding == s.window || len(s.heard) > 0) {
		s.take()
	}
	if s.outstanding == 0 && s.refusal.err == nil && s.client.replies.Buffered() > 0 {
		s.refusal = s.client.outOfTurn(s.ctx, "BDAT")
	}
	if s.refusal.err != nil {
		return 0, errRefused
	}
	s.client.logCommand(s.ctx, b.Command)
	if !b.Last {
		s.expect()
	}
	n, err := s.put(b)
	if err == nil && s.outstanding > 0 { // The server may have been waiting for the rest of it.
		err = s.client.link.readWithin(s.client.opts.Timeouts.DataBlock)
	}
	return n, err
}

// expect makes listen read one reply more.
func (s *chunkSink) expect() {
	if s.due == nil {
		s.due, s.heard = make(chan struct{}, maxWindow), make(chan heard, maxWindow)
		go s.listen()
	}
	s.outstanding++
	s.due <- struct{}{}
}

// listen reads replies, each within its time. After one that ends the session it
// stops the writing, which may wait for a server that does not read any more.
func (s *chunkSink) listen() {
	defer close(s.heard)
	for range s.due {
		var h heard
		if h.err = s.client.link.readWithin(s.client.opts.Timeouts.DataBlock); h.err == nil {
			h.reply, h.err = s.client.replies.Read(s.client.redact)
		}
		if class := h.reply.Code / 100; h.err != nil || h.reply.Code == 421 || class != 2 && class != 4 && class != 5 {
			s.client.link.stop()
		}
		s.heard <- h
		if h.err != nil {
			return
		}
	}
}

// take judges a reply to a chunk, once it has come. What follows a refusal is of
// no interest, unless it ends the session.
func (s *chunkSink) take() {
	s.outstanding--
	a := s.client.judge(s.ctx, "BDAT", "2", <-s.heard)
	if s.refusal.err == nil {
		s.refusal = a
	}
}

// refused waits for the replies to all the chunks, and returns the refusal of one
// or what ended the session.
func (s *chunkSink) refused() (answer, bool) {
	s.expectNoMore()
	for s.outstanding > 0 && s.client.failure == errIncomplete {
		s.take()
	}
	return s.refusal, s.refusal.err != nil
}

func (s *chunkSink) expectNoMore() {
	if s.due != nil && !s.over {
		s.over = true
		close(s.due)
	}
}

// answer returns the answer to the end of data, or the word that ended the
// session before.
func (s *chunkSink) answer(op, want string) answer {
	if refusal, refused := s.refused(); refused && s.client.failure != errIncomplete {
		return refusal
	}
	return s.client.receive(s.ctx, op, s.client.opts.Timeouts.DataTermination, want)
}

// close waits until nobody listens any more.
func (s *chunkSink) close() {
	s.afterPanic()
	s.expectNoMore()
	if s.due != nil {
		for range s.heard {
		}
	}
	s.client.link.setContent(false)
}
