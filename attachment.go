package smtp

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/postrider/smtp/internal/format"
)

// attachment is a File on its way into a message.
type attachment struct {
	File
	field       string // where the message holds it, for errors
	disposition string // empty: it is one of several forms of the content
	mediaType   string // from Type, or else from the content
	params      map[string]string
	sevenBit    bool   // a message that can go as it is
	boundary    string // what a file that goes as it is must not hold
	onDisk      int64  // what there is of a file on a disk; zero: not known
	once

	octets atomic.Int64 // when it was read last; less than none: not yet
}

// newAttachment is a file that field holds at i.
func newAttachment(file File, field string, i int, boundary string) *attachment {
	a := &attachment{File: file, field: fmt.Sprintf("%s[%d]", field, i), disposition: dispositions[field], boundary: boundary}
	a.octets.Store(-1)
	return a
}

// isComposite tells whether the file is of a type that must not be encoded (RFC
// 2045, section 6.4).
func (a *attachment) isComposite() bool {
	return strings.HasPrefix(a.mediaType, "message/") || strings.HasPrefix(a.mediaType, "multipart/")
}

// check refuses what could not be written, before anything is.
func (a *attachment) check() error {
	switch {
	case a.Open == nil:
		return &FieldError{a.field + ".Open", errors.New("is nil")}
	case a.disposition == "" && a.Type == "":
		return &FieldError{a.field + ".Type", errors.New("is needed")}
	case a.disposition != "" && strings.Trim(a.Name, ". ") == "", strings.ContainsAny(a.Name, `/\`):
		return &FieldError{a.field + ".Name", fmt.Errorf("%.200q is no file name; is the path empty, or that of a folder?", a.Name)}
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
			return &FieldError{a.field + ".Type", fmt.Errorf("%.200q is no media type", a.Type)}
		}
	}
	if a.disposition == "" && a.isComposite() {
		return &FieldError{a.field + ".Type", fmt.Errorf("%.200q is no form of a content", a.Type)}
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
	file, err := a.File.open()
	if err != nil {
		return &FieldError{a.field, err}
	}
	ahead := bufio.NewReaderSize(file.file, aheadSize)
	file.Reader = ahead
	a.put(file)
	a.onDisk = file.left
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
		// It calls all text UTF-8, which is found out below.
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
		if last := head[aheadSize-cut:]; utf8.RuneStart(last[0]) && !utf8.FullRune(last) {
			head = head[:aheadSize-cut]
			break
		}
	}
	return utf8.Valid(head)
}

// examine finds out whether an attached message can go as it is: RFC 2046,
// section 5.2.1 allows no encoding for it.
func (a *attachment) examine(ctx context.Context) error {
	file, err := a.File.open()
	if err != nil {
		return err
	}
	defer file.Close()
	counted := &countingReader{r: contextReader{ctx, a.limit(file)}}
	if a.sevenBit, err = format.IsSevenBit(counted, a.boundary); err == nil && a.sevenBit {
		a.octets.Store(counted.n)
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
	case a.isComposite():
		mediaType, params = "application/octet-stream", nil
	}
	var f fields
	f.of(a.field + ".Type").take(format.Value(f.list, "Content-Type", mediaType, sorted(params)...))
	f.list = f.list.With(encodings[encoding])
	if a.disposition != "" {
		f.of(a.field + ".Name").take(format.Value(f.list, "Content-Disposition", a.disposition, format.Param{Name: "filename", Value: a.Name}))
	}
	if a.ContentID != "" {
		f.identifier(a.field+".ContentID", "Content-ID", a.ContentID)
	}
	if a.Description != "" {
		f.of(a.field + ".Description").take(format.ASCII.Text(f.list, "Content-Description", a.Description))
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

// write writes the content, by the file that is open or else, since that serves
// only once, by one of its own. It may be called by several goroutines at once.
func (a *attachment) write(w io.Writer) error {
	file, err := a.takeOrOpen(a.File)
	if err != nil {
		return &FieldError{a.field, err}
	}
	defer file.Close()
	n, err := a.encode(w, file)
	if err == nil {
		err = a.checkRead(n, file)
	}
	if err != nil {
		return &FieldError{a.field, err}
	}
	return nil
}

// checkRead holds the octets that were read against all that is known of the file:
// else one that is cut, or was read before, would be sent as half of what it is.
func (a *attachment) checkRead(n int64, file *openFile) error {
	before := a.octets.Swap(n)
	switch err := a.checkSize(n); {
	case err != nil:
		return err
	case file.wasCut(n):
		return fmt.Errorf("has %d octets, and had %d when it was opened", n, file.left)
	case before >= 0 && n != before:
		return fmt.Errorf("had %d octets, and has %d when it is read again; does Open return it from its beginning each time?", before, n)
	}
	return nil
}

func (a *attachment) encode(w io.Writer, file *openFile) (int64, error) {
	counted := &countingReader{r: a.limit(file)}
	if a.Size == 0 && file.left > 0 { // It may grow.
		counted.r = io.LimitReader(file, file.left)
	}
	if a.sevenBit {
		still, err := format.IsSevenBit(io.TeeReader(counted, w), a.boundary)
		if err == nil && !still {
			err = errors.New("has changed, and cannot go as a message any more")
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
