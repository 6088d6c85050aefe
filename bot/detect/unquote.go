package detect

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// string decodes the string with its opening quote at d.i. It returns a span of
// the record's raw bytes or, if the string has escapes, of its decoded text.
func (d *decoder) string() (start, end uint32, escaped bool, err error) {
	from := d.i + 1
	beyond := false
	for i := from; i < len(d.b); i++ {
		c := d.b[i]
		if plainByte[c] {
			continue
		}
		switch {
		case c == '"':
			if beyond && !utf8.Valid(d.b[from:i]) {
				return 0, 0, false, d.syntaxError("not valid UTF-8")
			}
			d.i = i + 1
			return uint32(from), uint32(i), false, nil
		case c == '\\':
			start, end, err = d.escapedString(from, i)
			return start, end, true, err
		case c < ' ':
			d.i = i
			return 0, 0, false, d.syntaxError("a string contains a control character")
		default:
			beyond = true
		}
	}
	return 0, 0, false, errShort
}

// plainByte marks the bytes that are copied unchanged from a string.
var plainByte = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escapedString decodes a string into the record's text. i is the offset of the
// first backslash.
func (d *decoder) escapedString(from, i int) (uint32, uint32, error) {
	start, raw := len(d.r.text), from-1
	text := append(d.r.text, d.b[from:i]...)
	for i < len(d.b) {
		switch c := d.b[i]; {
		case c == '"':
			if !utf8.Valid(text[start:]) {
				return 0, 0, d.syntaxError("not valid UTF-8")
			}
			d.r.text = text
			d.i = i + 1
			d.r.escaped = append(d.r.escaped, escapedText{uint32(start), uint32(raw), uint32(d.i)})
			return uint32(start), uint32(len(text)), nil
		case c == '\\':
			var err error
			if text, i, err = d.escape(text, i); err != nil {
				return 0, 0, err
			}
		case c < ' ':
			d.i = i
			return 0, 0, d.syntaxError("a string contains a control character")
		default:
			text = append(text, c)
			i++
		}
	}
	return 0, 0, errShort
}

// escape appends the decoded escape at i to text and returns the next offset.
func (d *decoder) escape(text []byte, i int) ([]byte, int, error) {
	if i+1 >= len(d.b) {
		return nil, 0, errShort
	}
	switch c := d.b[i+1]; c {
	case '"', '\\':
		return append(text, c), i + 2, nil
	case '/':
		d.r.rawIsCompact = false
		return append(text, c), i + 2, nil
	case 'b', 'f', 'n', 'r', 't':
		return append(text, "\b\f\n\r\t"[bytes.IndexByte([]byte("bfnrt"), c)]), i + 2, nil
	case 'u':
		d.r.rawIsCompact = false
		r, err := d.hex(i)
		if err != nil {
			return nil, 0, err
		}
		i += 6
		if utf16.IsSurrogate(r) {
			low, err := d.surrogate(r, i)
			if err != nil {
				return nil, 0, err
			}
			if low != utf8.RuneError {
				return utf8.AppendRune(text, low), i + 6, nil
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(text, r), i, nil
	}
	d.i = i
	return nil, 0, d.syntaxError("a string contains an unknown escape")
}

// surrogate combines a high surrogate with the escape at i. It returns U+FFFD if
// they are not a pair.
func (d *decoder) surrogate(high rune, i int) (rune, error) {
	if left := d.b[i:]; len(left) < 2 {
		return 0, errShort
	} else if left[0] != '\\' || left[1] != 'u' {
		return utf8.RuneError, nil
	}
	low, err := d.hex(i)
	if err != nil {
		return 0, err
	}
	return utf16.DecodeRune(high, low), nil
}

// hex decodes the four digits of the \u escape at i.
func (d *decoder) hex(i int) (rune, error) {
	if len(d.b) < i+6 {
		return 0, errShort
	}
	var r rune
	for _, c := range d.b[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			d.i = i
			return 0, d.syntaxError("four hexadecimal digits must follow \\u")
		}
		r = r<<4 | rune(c)
	}
	return r, nil
}
