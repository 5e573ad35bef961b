package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark is how a check came out.
type mark int

const (
	ok   mark = iota
	none      // there was nothing to check
	warn
	fail
)

var marks = [...]struct{ name, colour string }{ok: {"ok", "\x1b[32m"}, none: {"-", ""}, warn: {"warn", "\x1b[33m"}, fail: {"fail", "\x1b[31m"}}

// finding is what one check has found. A title has only what.
type finding struct {
	mark               mark
	what, text, advice string
	isTitle            bool
}

// report is all that was found, in order.
type report []finding

func (r *report) title(text string) { *r = append(*r, finding{what: text, isTitle: true}) }

func (r *report) ok(what, format string, args ...any) {
	*r = append(*r, finding{mark: ok, what: what, text: fmt.Sprintf(format, args...)})
}

func (r *report) none(what, text string) {
	*r = append(*r, finding{mark: none, what: what, text: text})
}

func (r *report) warn(what string, err error) { r.problem(warn, what, err) }
func (r *report) fail(what string, err error) { r.problem(fail, what, err) }

func (r *report) problem(m mark, what string, err error) {
	f := finding{mark: m, what: what, text: err.Error()}
	var p *problem
	if errors.As(err, &p) {
		f.advice = p.advice
	}
	*r = append(*r, f)
}

// problem is what is wrong, and what to do about it.
type problem struct{ text, advice string }

func (p *problem) Error() string { return p.text }

// count tells how many checks came out so.
func (r report) count(m mark) (n int) {
	for _, f := range r {
		if f.mark == m && !f.isTitle {
			n++
		}
	}
	return n
}

// draw writes the report for people.
func (r report) draw(out io.Writer, colour bool) {
	width := 0
	for _, f := range r {
		if !f.isTitle {
			width = max(width, utf8.RuneCountInString(escape(f.what)))
		}
	}
	for i, f := range r {
		switch {
		case f.isTitle && i > 0:
			fmt.Fprintf(out, "\n%s\n", escape(f.what))
		case f.isTitle:
			fmt.Fprintf(out, "%s\n", escape(f.what))
		default:
			fmt.Fprintf(out, "  %s  %-*s  %s\n", f.mark.draw(colour), width, escape(f.what), escape(f.text))
			if f.advice != "" {
				fmt.Fprintf(out, "  %4s  %*s  > %s\n", "", width, "", escape(f.advice))
			}
		}
	}
	fmt.Fprintf(out, "\n%d ok, %d to look at, %d failed\n", r.count(ok), r.count(warn), r.count(fail))
}

func (m mark) draw(colour bool) string {
	text := fmt.Sprintf("%-4s", marks[m].name)
	if colour && marks[m].colour != "" {
		return marks[m].colour + text + "\x1b[0m"
	}
	return text
}

// maxText is as much of a text as helps anybody; a TXT record may have 64 KB.
const maxText = 400

// escape makes a text fit for a terminal, whoever wrote it: nothing in it moves the
// cursor, turns the direction of writing or begins a line.
func escape(text string) string {
	var b strings.Builder
	for i, c := range text {
		switch {
		case i >= maxText:
			return b.String() + " …"
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}
