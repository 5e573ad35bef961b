package format

import (
	"bytes"
	"slices"
	"strings"
)

// Block is a group of fields, such as a header.
type Block []BlockField

// BlockField is a field with its name in lower case, and its value unfolded, with
// one space for each fold.
type BlockField struct{ Name, Value string }

// Get returns the value of the first field of a name in lower case; empty: there is
// none.
func (b Block) Get(name string) string {
	for _, field := range b {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// Has tells whether there is a field of one of the names.
func (b Block) Has(names ...string) bool {
	return slices.ContainsFunc(b, func(field BlockField) bool { return slices.Contains(names, field.Name) })
}

// blockReader makes a block of its lines.
type blockReader struct {
	fields Block
	value  []byte // of the last field, which is still to be set
}

// add adds a line, if it begins a field, or continues one (RFC 5322, section 2.2.3).
func (b *blockReader) add(line []byte) bool {
	text := bytes.TrimSpace(line)
	if len(text) == 0 {
		return false
	}
	if line[0] == ' ' || line[0] == '\t' {
		return b.extend(text)
	}
	name, value, ok := cutField(text)
	if !ok {
		return false
	}
	b.settle()
	b.fields = append(b.fields, BlockField{Name: strings.ToLower(string(name))})
	b.value = append(b.value, bytes.TrimSpace(value)...)
	return true
}

// cutField takes a field apart. A line that was folded without a blank in front is not
// taken for one: names in use begin with a letter, and a link in a text is no field.
func cutField(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	isName := len(name) > 0 && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z') && !bytes.ContainsFunc(name, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '_' && r != '.'
	})
	return name, value, ok && isName && !bytes.HasPrefix(value, []byte("//"))
}

// extend adds more to the last field, if there is one.
func (b *blockReader) extend(text []byte) bool {
	if len(b.fields) == 0 {
		return false
	}
	if len(b.value) > 0 {
		b.value = append(b.value, ' ')
	}
	b.value = append(b.value, text...)
	return true
}

func (b *blockReader) settle() {
	if n := len(b.fields); n > 0 {
		b.fields[n-1].Value = string(b.value)
	}
	b.value = b.value[:0]
}

// block returns the fields so far, and begins anew.
func (b *blockReader) block() Block {
	b.settle()
	fields := b.fields
	b.fields = nil
	return fields
}

// Blocks reads the blocks of fields of a report (RFC 3464, section 2.1). A line that
// is no field goes on with the one before; without one, it is left out.
func Blocks(text []byte) []Block {
	var blocks []Block
	var b blockReader
	l := newLines(bytes.NewReader(bytes.TrimPrefix(text, []byte("\uFEFF"))))
	for {
		line, err := l.whole(len(text))
		isBlank := len(bytes.TrimSpace(line)) == 0
		if isBlank && len(b.fields) > 0 { // Or it is the end: there is no other error.
			blocks = append(blocks, b.block())
		}
		if err != nil {
			return blocks
		}
		if !isBlank && !b.add(line) {
			b.extend(bytes.TrimSpace(line))
		}
	}
}
