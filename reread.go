package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

// readings is what the readings of one file had in common: each begins as the others
// did, and is as long. Else a retry would send what is left of a reader that can be
// read only once, as if it were the file.
type readings struct {
	mu        sync.Mutex
	beginning []byte // at most maxBeginning octets
	most      int64  // octets that one of them has had
	whole     int64  // that one had which came to its end; less than none: none did
}

const maxBeginning = 512

// remember holds the files of a message to what Open promises, for all that is sent of
// the message from now on.
func (m *Message) remember() {
	m.Raw.remember()
	for _, list := range [][]File{m.Alternatives, m.Inline, m.Attachments} {
		for i := range list {
			list[i].remember()
		}
	}
}

// remember leaves a file of a known size alone, which is checked anyway.
func (f *File) remember() {
	if f.Open == nil || f.Size > 0 || f.remembered {
		return
	}
	open, all := f.Open, &readings{whole: -1}
	f.remembered = true
	f.Open = func() (io.ReadCloser, error) {
		file, err := open()
		switch file.(type) {
		case nil, *os.File, fsFile: // It is at its beginning, or closed.
			return file, err
		}
		return &comparedReader{ReadCloser: file, of: all}, err
	}
}

// comparedReader is one of them.
type comparedReader struct {
	io.ReadCloser
	of *readings
	at int64
}

func (r *comparedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 || err == io.EOF {
		if other := r.of.compare(r.at, p[:n], err == io.EOF); other != nil {
			return 0, other
		}
	}
	r.at += int64(n)
	return n, err
}

var errReread = errors.New("has other octets when it is read again: does Open return the same ones each time, from their beginning? What is made anew, as an archive with the time in it, is to be made once")

// compare takes octets at a place of a reading, and whether they are its last.
func (r *readings) compare(at int64, octets []byte, last bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := int64(len(r.beginning)); at < known {
		n := min(known-at, int64(len(octets)))
		if !bytes.Equal(r.beginning[at:at+n], octets[:n]) {
			return errReread
		}
	}
	end := at + int64(len(octets))
	if known := int64(len(r.beginning)); at <= known && end > known && known < maxBeginning {
		r.beginning = append(r.beginning, octets[known-at:min(int64(len(octets)), maxBeginning-at)]...)
	}
	r.most = max(r.most, end)
	if !last {
		return nil
	}
	if end < r.most || r.whole >= 0 && end != r.whole {
		return errReread
	}
	r.whole = end
	return nil
}
