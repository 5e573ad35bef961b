package format

import (
	"encoding/base64"
	"encoding/binary"
	"io"
)

const (
	base64In    = 57 // octets in a line of base64
	base64Out   = 76 + len("\r\n")
	base64Lines = 128 // encoded at once
)

// Base64Len returns how many octets a Base64Writer makes of n.
func Base64Len(n int64) int64 {
	length := n / base64In * int64(base64Out)
	if rest := n % base64In; rest > 0 {
		length += (rest+2)/3*4 + int64(len("\r\n"))
	}
	return length
}

// Base64Writer encodes as base64 in lines of 76 (RFC 2045, section 6.8). It
// holds at most one line of input between writes; Close writes the rest.
type Base64Writer struct {
	w       io.Writer
	pending []byte
	encoded []byte
}

// NewBase64Writer returns an encoder onto w, which Close does not close.
func NewBase64Writer(w io.Writer) *Base64Writer {
	return &Base64Writer{w, make([]byte, 0, base64In), make([]byte, 0, base64Lines*base64Out)}
}

// Write implements io.Writer.
func (b *Base64Writer) Write(p []byte) (int, error) {
	total := len(p)
	if len(b.pending) > 0 {
		n := min(base64In-len(b.pending), len(p))
		b.pending, p = append(b.pending, p[:n]...), p[n:]
		if len(b.pending) < base64In {
			return total, nil
		}
		b.lines(b.pending)
		b.pending = b.pending[:0]
	}
	for len(p) >= base64In {
		if len(b.encoded) == cap(b.encoded) {
			if err := b.flush(); err != nil {
				return 0, err
			}
		}
		n := min(len(p)/base64In, (cap(b.encoded)-len(b.encoded))/base64Out) * base64In
		b.lines(p[:n])
		p = p[n:]
	}
	b.pending = append(b.pending, p...)
	return total, b.flush()
}

// Close ends the last line.
func (b *Base64Writer) Close() error {
	if len(b.pending) > 0 {
		b.encoded = append(base64.StdEncoding.AppendEncode(b.encoded, b.pending), '\r', '\n')
		b.pending = b.pending[:0]
	}
	return b.flush()
}

// pairs holds the two digits of each 12 bits. Lines end at a multiple of these, so
// that nothing but whole lines passes through here; encoding/base64 goes by single
// digits, and knows no line ends that would not cost a copy.
var pairs = func() (table [1 << 12]uint16) {
	digits := make([]byte, 4)
	for i := range table {
		base64.StdEncoding.Encode(digits, []byte{byte(i >> 4), byte(i << 4), 0})
		table[i] = binary.LittleEndian.Uint16(digits)
	}
	return table
}()

// lines encodes whole lines.
func (b *Base64Writer) lines(in []byte) {
	start := len(b.encoded)
	b.encoded = b.encoded[:start+len(in)/base64In*base64Out]
	out := b.encoded[start:]
	for len(in) >= base64In {
		encodeLine((*[base64Out]byte)(out), (*[base64In]byte)(in))
		in, out = in[base64In:], out[base64Out:]
	}
}

// encodeLine takes six octets at a time, of which it loads eight, and the last
// three by themselves.
func encodeLine(out *[base64Out]byte, in *[base64In]byte) {
	i, o := 0, 0
	for ; i+8 <= base64In; i, o = i+6, o+8 {
		six := binary.BigEndian.Uint64(in[i : i+8])
		binary.LittleEndian.PutUint64(out[o:o+8],
			uint64(pairs[six>>52])|uint64(pairs[six>>40&0xfff])<<16|uint64(pairs[six>>28&0xfff])<<32|uint64(pairs[six>>16&0xfff])<<48)
	}
	for ; i < base64In; i, o = i+3, o+4 {
		three := uint32(in[i])<<16 | uint32(in[i+1])<<8 | uint32(in[i+2])
		binary.LittleEndian.PutUint32(out[o:o+4], uint32(pairs[three>>12])|uint32(pairs[three&0xfff])<<16)
	}
	out[o], out[o+1] = '\r', '\n'
}

func (b *Base64Writer) flush() error {
	if len(b.encoded) == 0 {
		return nil
	}
	_, err := b.w.Write(b.encoded)
	b.encoded = b.encoded[:0]
	return err
}
