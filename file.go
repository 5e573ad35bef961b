package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// File is content that is read when a message is written: an attachment, or an
// image shown inside the HTML. Nothing of it is held in memory.
type File struct {
	// Name is what the reader sees. It is required where there is a reader to see
	// it, and is a name, not a path.
	Name string

	// Type is the media type. If empty, it follows from the extension of Name, or
	// else from the content; text gets a charset if it begins as UTF-8 does. Messages
	// that are not 7-bit text with CRLF, and multiparts, may not be encoded: they go
	// as application/octet-stream.
	Type string

	// Description is what the file is, for readers that show it; it may be empty.
	Description string

	// ContentID is what "cid:" in the HTML refers to, as in "logo@example.com". If
	// empty, an inline file gets one, and "cid:" with its Name in the HTML, as it is
	// or percent-encoded, is made to refer to it.
	ContentID string

	// Size in octets, if it is known, else zero. A file that turns out to have
	// another size than the one stated is not sent.
	Size int64

	// Open returns the same octets from their beginning, each time it is called, also at
	// the same time. The reader is closed. No context ends a wait in it. Do not return the
	// same reader twice: a second try would send what is left of it. What can be read only
	// once, such as an upload, is read by io.ReadAll, for FileBytes.
	Open func() (io.ReadCloser, error)

	remembered bool // Open compares its readings
}

// FilePath is the file at path, opened when a message is sent.
func FilePath(path string) File {
	return File{Name: filepath.Base(path), Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// FileFS is the file of that name in fsys, which may be an embed.FS.
func FileFS(fsys fs.FS, name string) File {
	return File{Name: path.Base(name), Open: func() (io.ReadCloser, error) {
		file, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		return fsFile{file}, nil
	}}
}

// fsFile tells a file of FileFS from others that have a Stat.
type fsFile struct{ fs.File }

// FileBytes is data under a name. The data is not copied, and must not change while
// messages that hold it are sent.
func FileBytes(name string, data []byte) File {
	return File{Name: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func (f File) isSet() bool {
	return f.Open != nil || f.Size != 0 || f.Name+f.Type+f.Description+f.ContentID != ""
}

// open calls Open, and does not take nil for content.
func (f File) open() (*openFile, error) {
	file, err := f.Open()
	switch {
	case err != nil:
		return nil, err
	case file == nil:
		return nil, errors.New("no reader was returned by Open")
	}
	o := &openFile{Reader: file, file: file}
	if size := o.onDisk(); size > 0 {
		o.size, o.left = size, size
		if seeker, ok := file.(io.Seeker); ok {
			at, _ := seeker.Seek(0, io.SeekCurrent)
			o.left = max(0, size-at)
		}
	}
	return o, nil
}

// openFile is a file that is read once.
type openFile struct {
	io.Reader
	file io.ReadCloser
	size int64 // on disk, when it was opened; zero: not known
	left int64 // what there was to read of it then; zero: not known
}

func (o *openFile) Close() error { return o.file.Close() }

// onDisk returns what the system says of the size of a file, and zero for all that
// merely look like one: who reads through gzip from a file has another size.
func (o *openFile) onDisk() int64 {
	var info fs.FileInfo
	var err error
	switch file := o.file.(type) {
	case *os.File:
		info, err = file.Stat()
	case fsFile:
		info, err = file.Stat()
	default:
		return 0
	}
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// wasCut tells whether a file of which n octets were read was longer before. Some,
// as those of the kernel, have less to read than the system says.
func (o *openFile) wasCut(n int64) bool { return n < o.left && o.onDisk() < o.size }

// once holds a file that is open for the first reading.
type once struct {
	mu   sync.Mutex
	file *openFile
}

func (o *once) put(file *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.file = file
}

// take returns the file, for the caller to close, or nil if it was taken.
func (o *once) take() *openFile {
	o.mu.Lock()
	defer o.mu.Unlock()
	file := o.file
	o.file = nil
	return file
}

// takeOrOpen returns the file that is open, or opens it again.
func (o *once) takeOrOpen(f File) (*openFile, error) {
	if file := o.take(); file != nil {
		return file, nil
	}
	return f.open()
}

func (o *once) close() {
	if file := o.take(); file != nil {
		file.Close()
	}
}

// limit ends the reading of a file as soon as it is seen not to have its size.
func (f File) limit(source io.Reader) io.Reader {
	if f.Size > 0 {
		return io.LimitReader(source, max(f.Size, f.Size+1)) // the latter may overflow
	}
	return source
}

// checkSize holds what was read against Size, if that is known.
func (f File) checkSize(n int64) error {
	switch {
	case f.Size > 0 && n > f.Size:
		return fmt.Errorf("has more octets than the %d of its Size", f.Size)
	case n < f.Size:
		return fmt.Errorf("has %d octets, and not the %d of its Size", n, f.Size)
	}
	return nil
}

// contextReader reads no more once the context has ended.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, contextError(r.ctx)
	}
	return r.Reader.Read(p)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
