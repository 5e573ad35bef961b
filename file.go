package smtp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/postrider/smtp/internal/format"
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

	// Open returns the content from its beginning, each time it is called, also
	// at the same time. The reader is closed. No context ends a wait in it.
	Open func() (io.ReadCloser, error)
}

// FilePath is the file at path, opened when a message is sent.
func FilePath(path string) File {
	return File{Name: filepath.Base(path), Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// FileFS is the file of that name in fsys, which may be an embed.FS.
func FileFS(fsys fs.FS, name string) File {
	return File{Name: path.Base(name), Open: func() (io.ReadCloser, error) { return fsys.Open(name) }}
}

// FileBytes is data under a name. The data is not copied, and must not change
// while messages that hold it are sent.
func FileBytes(name string, data []byte) File {
	return File{Name: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func (f File) isSet() bool {
	return f.Open != nil || f.Size != 0 || f.Name+f.Type+f.Description+f.ContentID != ""
}

// open calls Open, and does not take nil for content.
func (f File) open() (io.ReadCloser, error) {
	source, err := f.Open()
	if err == nil && source == nil {
		err = errors.New("no reader was returned by Open")
	}
	return source, err
}

// limit ends the reading of a file as soon as it is seen not to have its size.
func (f File) limit(source io.Reader) io.Reader {
	if f.Size > 0 {
		return io.LimitReader(source, max(f.Size, f.Size+1)) // which may overflow
	}
	return source
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

// attachment is a File on its way into a message.
type attachment struct {
	File
	field       string // where the message holds it, for errors
	disposition string // empty: it is one of several forms of the content
	mediaType   string // from Type, or else from the content
	params      map[string]string
	sevenBit    bool   // a message/rfc822 that can go as it is
	boundary    string // what a file that goes as it is must not hold
	onDisk      int64  // what the system says of the size of the file; zero: nothing

	mu     sync.Mutex
	source io.ReadCloser // nil: not open
	octets int64         // when it was read last; less than none: not yet
}

// check refuses what could not be written, before anything is.
func (a *attachment) check() error {
	switch {
	case a.Open == nil:
		return &FieldError{a.field + ".Open", errors.New("is nil")}
	case a.disposition == "" && a.Type == "":
		return &FieldError{a.field + ".Type", errors.New("is needed")}
	case a.disposition == "" && (strings.HasPrefix(strings.ToLower(a.Type), "message/") || strings.HasPrefix(strings.ToLower(a.Type), "multipart/")):
		return &FieldError{a.field + ".Type", fmt.Errorf("%q is no form of a content", a.Type)}
	case a.disposition != "" && strings.Trim(a.Name, ". ") == "", strings.ContainsAny(a.Name, `/\`):
		return &FieldError{a.field + ".Name", fmt.Errorf("%q is no file name", a.Name)}
	case a.Size < 0:
		return &FieldError{a.field + ".Size", errors.New("is negative")}
	}
	if err := format.CheckText(a.Name); err != nil {
		return &FieldError{a.field + ".Name", err}
	}
	a.mediaType = "application/octet-stream"
	if a.Type != "" {
		var err error
		if a.mediaType, a.params, err = mime.ParseMediaType(a.Type); err != nil || !strings.Contains(a.mediaType, "/") {
			return &FieldError{a.field + ".Type", fmt.Errorf("%q is no media type", a.Type)}
		}
	}
	return nil
}

// open checks the file, opens it and reads a first piece, so that a missing
// file, or a folder in its place, is found before MAIL.
func (a *attachment) open(ctx context.Context) error {
	if err := a.check(); err != nil {
		return err
	}
	if strings.HasPrefix(a.mediaType, "message/") {
		if err := a.examine(ctx); err != nil {
			return &FieldError{a.field, err}
		}
	}
	source, err := a.File.open()
	if err != nil {
		return &FieldError{a.field, err}
	}
	if file, ok := source.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			a.onDisk = info.Size()
		}
	}
	ahead := bufio.NewReaderSize(source, aheadSize)
	a.source = struct {
		io.Reader
		io.Closer
	}{ahead, source}
	if err := a.settleType(ahead); err != nil {
		return &FieldError{a.field, err}
	}
	return nil
}

// aheadSize is how much of a file is read before MAIL, at most.
const aheadSize = 32 << 10

// settleType finds the type of a file that states none, and whether text is UTF-8,
// in its beginning.
func (a *attachment) settleType(ahead *bufio.Reader) error {
	wanted := 1
	if a.Type == "" || a.isText() {
		wanted = aheadSize
	}
	head, err := ahead.Peek(wanted)
	if err != nil && err != io.EOF {
		return err
	}
	if a.Type == "" && len(head) > 0 {
		// Of any text, it says that it is UTF-8.
		detected := strings.TrimSuffix(http.DetectContentType(head), "; charset=utf-8")
		a.mediaType, a.params, _ = mime.ParseMediaType(detected)
	}
	if a.isText() && beginsAsUTF8(head) {
		a.params["charset"] = "utf-8"
	}
	return nil
}

// isText tells whether the file is text of which nobody has said the charset.
func (a *attachment) isText() bool {
	return strings.HasPrefix(a.mediaType, "text/") && a.params["charset"] == ""
}

// beginsAsUTF8 tells whether head is UTF-8, of which it may hold no more than the
// beginning.
func beginsAsUTF8(head []byte) bool {
	for cut := 1; cut < utf8.UTFMax && len(head) == aheadSize; cut++ {
		if last := head[len(head)-cut:]; utf8.RuneStart(last[0]) && !utf8.FullRune(last) {
			head = head[:len(head)-cut]
		}
	}
	return utf8.Valid(head)
}

// examine finds out whether an attached message can go as it is: RFC 2046,
// section 5.2.1 allows no encoding for it.
func (a *attachment) examine(ctx context.Context) error {
	source, err := a.File.open()
	if err != nil {
		return err
	}
	defer source.Close()
	counted := &countingReader{r: contextReader{ctx, a.limit(source)}}
	if a.sevenBit, err = format.IsSevenBit(counted, a.boundary); err == nil && a.sevenBit {
		a.octets = counted.n
	}
	return err
}

// sorted returns the parameters of a type in the order of their names.
func sorted(params map[string]string) []format.Param {
	var list []format.Param
	for _, name := range slices.Sorted(maps.Keys(params)) {
		list = append(list, format.Param{Name: name, Value: params[name]})
	}
	return list
}

// part describes the file for the tree of the message.
func (a *attachment) part() (*format.Part, error) {
	mediaType, params := a.mediaType, a.params
	encoding := format.Base64
	switch { // What may not be encoded, and would have to be, goes as mere octets.
	case a.sevenBit:
		encoding = format.SevenBit
	case strings.HasPrefix(mediaType, "message/"), strings.HasPrefix(mediaType, "multipart/"):
		mediaType, params = "application/octet-stream", nil
	}
	var f fields
	f.of(a.field + ".Type")(format.Value("Content-Type", mediaType, sorted(params)...))
	f.of(a.field)(format.Words("Content-Transfer-Encoding", encoding))
	if a.disposition != "" {
		f.of(a.field + ".Name")(format.Value("Content-Disposition", a.disposition, format.Param{Name: "filename", Value: a.Name}))
	}
	if a.ContentID != "" {
		f.identifier(a.field+".ContentID", "Content-ID", a.ContentID)
	}
	if a.Description != "" {
		f.of(a.field + ".Description")(format.ASCII.Text("Content-Description", a.Description))
	}
	return &format.Part{Fields: f.list, Content: a.write, Size: a.encodedSize()}, f.err
}

// encodedSize is the size of what write writes, as far as that is known.
func (a *attachment) encodedSize() int64 {
	octets := cmp.Or(a.Size, a.onDisk)
	switch {
	case octets == 0:
		return -1
	case a.sevenBit:
		return octets
	}
	return format.Base64Len(octets)
}

// write writes the content, by the reader that is open or else, since that serves
// only once, by one of its own. It may be written by several goroutines at once.
func (a *attachment) write(w io.Writer) error {
	source := a.take()
	if source == nil {
		var err error
		if source, err = a.File.open(); err != nil {
			return &FieldError{a.field, err}
		}
	}
	defer source.Close()
	n, err := a.encode(w, source)
	if err == nil {
		err = a.checkSize(n)
	}
	if err != nil {
		return &FieldError{a.field, err}
	}
	return nil
}

// checkSize holds the octets that were read against all that is known of the file:
// else one that is cut, or was read before, would be sent as half of what it is.
func (a *attachment) checkSize(n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.octets
	a.octets = n
	switch {
	case a.Size > 0 && n != a.Size:
		return fmt.Errorf("has %d octets or more, and not the %d of its Size", n, a.Size)
	case a.Size == 0 && n < a.onDisk:
		return fmt.Errorf("has %d octets, and had %d when it was opened", n, a.onDisk)
	case before >= 0 && n != before:
		return fmt.Errorf("had %d octets, and has %d when it is read again; does Open return it from its beginning each time?", before, n)
	}
	return nil
}

func (a *attachment) encode(w io.Writer, source io.Reader) (int64, error) {
	counted := &countingReader{r: a.limited(source)}
	if a.sevenBit {
		still, err := format.IsSevenBit(io.TeeReader(counted, w), a.boundary)
		if err == nil && !still {
			err = errors.New("has changed, and cannot go as message/rfc822 any more")
		}
		return counted.n, err
	}
	encoder := format.NewBase64Writer(w)
	_, err := io.Copy(encoder, counted)
	if err == nil {
		err = encoder.Close()
	}
	return counted.n, err
}

// limited ends the reading of a file that grows where it ended when it was opened.
func (a *attachment) limited(source io.Reader) io.Reader {
	if a.Size == 0 && a.onDisk > 0 {
		return io.LimitReader(source, a.onDisk)
	}
	return a.limit(source)
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

// take returns the reader that is open, if there is one, for the caller to close.
func (a *attachment) take() io.ReadCloser {
	a.mu.Lock()
	defer a.mu.Unlock()
	source := a.source
	a.source = nil
	return source
}

func (a *attachment) close() {
	if source := a.take(); source != nil {
		source.Close()
	}
}
