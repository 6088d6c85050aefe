package mailtext

import "strings"

// Words decodes the encoded words of a header value (RFC 2047) and bytes without a
// charset. It accepts spaces inside a word, words in quotes, words without an end, and
// characters that are split between two words.
func Words(value string) string {
	w := wordReader{rest: value, end: -2}
	for {
		start := strings.Index(w.rest, "=?")
		if start < 0 {
			break
		}
		w.between(w.rest[:start])
		w.advance(start)
		if !w.word() {
			w.flush()
			w.out.WriteString("=?")
			w.advance(2)
		}
	}
	w.between(w.rest)
	w.flush()
	return w.out.String()
}

// wordReader decodes a header value from left to right. Adjacent words of one charset are
// decoded together.
type wordReader struct {
	out  strings.Builder
	rest string
	end  int // place of the next "?=" in rest, -1 if there is none, -2 if unknown

	charset string // of the words that are not written yet
	pending []byte // their bytes
	carry   string // base64 text that is not a multiple of four characters yet
	open    bool   // there are words that are not written yet
}

func (w *wordReader) advance(n int) {
	w.rest = w.rest[n:]
	if w.end >= 0 {
		if w.end -= n; w.end < 0 {
			w.end = -2
		}
	}
}

// between writes the text between two words. White space there belongs to the encoding.
func (w *wordReader) between(s string) {
	if w.open && strings.TrimSpace(s) == "" && len(w.rest) > len(s) {
		return
	}
	w.flush()
	text, _ := Charset([]byte(s), "")
	w.out.WriteString(text)
}

// word reads the encoded word at the beginning of rest. It reports false if there is none.
func (w *wordReader) word() bool {
	head := w.rest[2:min(len(w.rest), 2+maxCharsetName+3)]
	n := strings.IndexByte(head, '?')
	if n < 1 || strings.ContainsAny(head[:n], " \t\"<>@") || len(head) < n+3 || head[n+2] != '?' || !strings.ContainsRune("bBqQ", rune(head[n+1])) {
		return false
	}
	charset, _, _ := strings.Cut(head[:n], "*")
	kind, from := head[n+1]|0x20, 2+n+3
	w.advance(from)
	if w.end == -2 {
		w.end = strings.Index(w.rest, "?=")
	}
	limit := w.end
	if limit < 0 {
		limit = len(w.rest)
	}
	size, after := limit, w.end+2
	if next := strings.Index(w.rest[:limit], "=?"); next >= 0 { // the end is missing
		size, after = next, next
	} else if w.end < 0 {
		if n := strings.IndexAny(w.rest, " \t"); n >= 0 {
			size = n
		}
		after = size
	}
	text := w.rest[:size]
	w.advance(after)
	if w.open && !strings.EqualFold(charset, w.charset) {
		w.flush()
	}
	w.open, w.charset = true, charset
	if kind == 'q' {
		w.settle()
		w.pending = append(w.pending, quotedPrintable([]byte(strings.ReplaceAll(text, "_", " ")))...)
		return true
	}
	w.carry += strings.TrimSpace(text)
	if strings.HasSuffix(w.carry, "=") || len(w.carry)%4 == 0 {
		w.settle()
	}
	return true
}

// settle decodes the base64 text of the words so far.
func (w *wordReader) settle() {
	w.pending, w.carry = append(w.pending, base64Bytes([]byte(w.carry))...), ""
}

// flush writes the words so far.
func (w *wordReader) flush() {
	if !w.open {
		return
	}
	w.settle()
	text, _ := Charset(w.pending, w.charset)
	w.out.WriteString(text)
	w.pending, w.open = nil, false
}
