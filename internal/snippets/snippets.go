// Package snippets finds the Go of a page in the source that tests compile.
package snippets

import (
	"fmt"
	"os"
	"strings"
)

// Block is one block of Go in a page, and the line in front of it.
type Block struct{ Title, Code string }

// Read returns the blocks of Go in a file of Markdown. A page without any is an error.
func Read(page string) ([]Block, error) {
	content, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	before, rest, ok := strings.Cut(string(content), "```go\n")
	for ok {
		var b Block
		b.Title = lastLine(before)
		if b.Code, rest, ok = strings.Cut(rest, "```\n"); !ok || strings.TrimSpace(b.Code) == "" {
			return nil, fmt.Errorf("%s: the block of %q has no end, or nothing in it", page, b.Title)
		}
		blocks = append(blocks, b)
		before, rest, ok = strings.Cut(rest, "```go\n")
	}
	if blocks == nil {
		return nil, fmt.Errorf("%s: no block of Go", page)
	}
	return blocks, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// In tells whether the source holds the block, however it is indented there.
func (b Block) In(source string) bool {
	return strings.Contains(unindent(source), unindent(b.Code))
}

// unindent removes the tabs at the start of lines.
func unindent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}
