package smtp

import (
	"errors"

	"github.com/postrider/smtp/internal/wire"
)

// window is how many chunks may be on their way without an answer: a megabyte,
// which fills most links, and is what a refusal in the middle wastes at most.
const window = 32

var errRefused = errors.New("the server has refused a part of the content")

// chunkSink takes the chunks of BDAT (RFC 3030). Several are on their way while
// their replies are read. If one is refused, no other is begun; the one under
// way is written to its end, and the session can go on.
type chunkSink struct {
	outlet
	due         chan struct{} // a reply that listen is to read; nil: it does not run
	heard       chan heard    // what it has read
	outstanding int           // replies that were not taken from heard
	refusal     answer        // the first that was no success
	over        bool          // due is closed
}

func (s *chunkSink) write(b wire.Block) (int, error) {
	for s.outstanding > 0 && s.refusal.err == nil && (s.outstanding == window || len(s.heard) > 0) {
		s.take()
	}
	if s.refusal.err != nil {
		return 0, errRefused
	}
	s.client.logCommand(s.ctx, b.Command)
	if !b.Last {
		if err := s.expect(); err != nil {
			return 0, err
		}
	}
	n, err := s.put(b)
	if err == nil && s.outstanding > 0 {
		timeout := s.client.opts.Timeouts.DataBlock
		if b.Last {
			timeout = s.client.opts.Timeouts.DataTermination
		}
		err = s.client.link.readWithin(timeout)
	}
	return n, err
}

// expect makes listen read one reply more. A chunk that is being written keeps
// those of the ones before from being overdue.
func (s *chunkSink) expect() error {
	if s.due == nil {
		s.due, s.heard = make(chan struct{}, window), make(chan heard, window)
		go s.listen()
	}
	s.outstanding++
	err := s.client.link.readWithin(s.client.opts.Timeouts.DataBlock)
	s.due <- struct{}{}
	return err
}

// listen reads replies. After one that ends the session it stops the writing,
// which may wait for a server that does not read any more.
func (s *chunkSink) listen() {
	defer close(s.heard)
	for range s.due {
		r, err := s.client.replies.Read(s.client.redact)
		if class := r.Code / 100; err != nil || r.Code == 421 || class != 2 && class != 4 && class != 5 {
			s.client.link.stop()
		}
		s.heard <- heard{r, err}
		if err != nil {
			return
		}
	}
}

// take judges a reply to a chunk, once it has come. What follows a refusal is of
// no interest, unless it ends the session. In LMTP nobody knows how many replies
// follow it: one, or one for each recipient.
func (s *chunkSink) take() {
	s.outstanding--
	a := s.client.judge(s.ctx, "BDAT", "2", <-s.heard)
	if s.refusal.err == nil {
		s.refusal = a
	}
	if a.err != nil && s.client.opts.LMTP {
		s.client.end(a.err)
	}
}

// settle waits for the replies to all the chunks.
func (s *chunkSink) settle() {
	if s.due == nil || s.over {
		return
	}
	s.over = true
	close(s.due)
	for s.outstanding > 0 && s.client.failure == errIncomplete {
		s.take()
	}
}

func (s *chunkSink) refused() (answer, bool) {
	s.settle()
	return s.refusal, s.refusal.err != nil
}

// answer returns the answer to the end of data, or the word that ended the
// session before.
func (s *chunkSink) answer(op, want string) answer {
	a := answer{err: s.client.link.readWithin(s.client.opts.Timeouts.DataTermination)}
	if a.err != nil {
		return s.client.judge(s.ctx, op, want, heard{err: a.err})
	}
	if refusal, refused := s.refused(); refused && s.client.failure != errIncomplete {
		return refusal
	}
	var h heard
	h.reply, h.err = s.client.replies.Read(s.client.redact)
	return s.client.judge(s.ctx, op, want, h)
}

// close waits until nobody listens any more.
func (s *chunkSink) close() {
	s.abandon()
	if s.due != nil && !s.over {
		close(s.due)
	}
	for s.due != nil {
		if _, more := <-s.heard; !more {
			break
		}
	}
	s.client.link.setContent(false)
}
