// Package terminal makes text harmless before it reaches a terminal. Senders
// choose stored text and file names. Both can contain escape sequences that
// overwrite the screen, change the title or the clipboard, and characters that
// reorder or hide text.
//
// [Writer] escapes the output of a whole command. It passes line feeds, because
// it cannot distinguish them from line feeds in stored text. [Line] escapes
// those too, because stored text must not forge a row of a table.
//
//	out := terminal.NewWriter(os.Stdout)
//	fmt.Fprintln(out, terminal.Line(title))
package terminal

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns s on one line, with every unsafe character, line feed and tab
// escaped as in a Go string, such as \x1b. It does not escape backslashes.
func Line(s string) string {
	return string(appendText(make([]byte, 0, len(s)), []byte(s), false))
}

// Text returns s with every unsafe character escaped. It preserves line feeds
// and tabs.
func Text(s string) string {
	return string(appendText(make([]byte, 0, len(s)), []byte(s), true))
}

// JSON returns a JSON document with every unsafe character escaped as \uXXXX. The
// result decodes to equal values.
func JSON(doc []byte) []byte {
	if utf8.Valid(doc) && !bytes.ContainsFunc(doc, func(r rune) bool { return !isSafe(r) && r != '\n' && r != '\t' && r != '\r' }) {
		return doc
	}
	out := make([]byte, 0, len(doc)+64)
	for len(doc) > 0 {
		r, size := utf8.DecodeRune(doc)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case isSafe(r), r == '\n', r == '\t', r == '\r': // white space between values
			out = append(out, doc[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, high), low)
		default:
			out = appendUnit(out, r)
		}
		doc = doc[size:]
	}
	return out
}

// appendUnit appends a code unit of UTF-16 as \uXXXX.
func appendUnit(out []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// appendText appends text with its unsafe characters escaped.
func appendText(out, text []byte, multiline bool) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, '\\', 'x')
			out = append(out, "0123456789abcdef"[text[0]>>4], "0123456789abcdef"[text[0]&15])
		case isSafe(r), multiline && (r == '\n' || r == '\t'):
			out = append(out, text[:size]...)
		default:
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return out
}

// isSafe reports whether a terminal shows r as a visible character and does
// nothing else. Controls, bidirectional and other format characters, zero-width
// characters, unassigned and private characters are not safe.
func isSafe(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return ' ' <= r && r <= '~'
	case !unicode.IsGraphic(r): // Cc, Cf, Co, Cs, Cn, Zl and Zp
		return false
	case r == '\ufe0e', r == '\ufe0f': // select the text or emoji form of the character before
		return true
	}
	return !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Writer escapes every unsafe character except line feeds and tabs. It is safe
// for concurrent use. Call Flush at the end of the output.
type Writer struct {
	mu      sync.Mutex
	out     io.Writer
	pending []byte // start of a character that the next Write completes
}

// NewWriter returns a Writer that writes to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Unwrap returns the writer below w, which does not escape.
func (w *Writer) Unwrap() io.Writer { return w.out }

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := append(w.pending, p...)
	end := len(text) - incomplete(text)
	w.pending = append([]byte(nil), text[end:]...)
	if _, err := w.out.Write(appendText(make([]byte, 0, end), text[:end], true)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes a character that is still incomplete.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return nil
	}
	_, err := w.out.Write(appendText(nil, w.pending, true))
	w.pending = nil
	return err
}

// incomplete returns the number of bytes at the end of text that begin a
// character without completing it.
func incomplete(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
