package detect

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep a record may nest. CloudTrail stays far below.
const MaxDepth = 100

// SyntaxError says where a record stops being acceptable JSON.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("decode record at byte %d: %s", e.Offset, e.Reason)
}

// errShort: the text ends within a value. A reader gets more and tries again.
var errShort = errors.New("decode record: the text ends within a value")

// decode reads the JSON value at the beginning of b and reports where it ends.
func (r *Record) decode(b []byte) (int, error) {
	r.raw, r.nodes, r.text, r.made, r.root = b, r.nodes[:0], r.text[:0], r.made[:0], 0
	if uint64(len(b)) > math.MaxInt32 {
		return 0, &SyntaxError{Reason: "larger than 2 GiB"}
	}
	d := decoder{r: r, b: b}
	d.space()
	r.plain = true // spaces before the value do not count
	if err := d.value(0); err != nil {
		return 0, err
	}
	return d.i, nil
}

type decoder struct {
	r *Record
	b []byte
	i int
}

func (d *decoder) fail(reason string) error { return &SyntaxError{Offset: d.i, Reason: reason} }

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\r', '\n':
			d.r.plain = false
			d.i++
		default:
			return
		}
	}
}

// next skips spaces and returns the byte that follows, without taking it.
func (d *decoder) next() (byte, error) {
	if d.i < len(d.b) && d.b[d.i] > ' ' {
		return d.b[d.i], nil
	}
	d.space()
	if d.i >= len(d.b) {
		return 0, errShort
	}
	return d.b[d.i], nil
}

// value reads the value at d.i and appends its nodes.
func (d *decoder) value(depth int) error {
	c, err := d.next()
	if err != nil {
		return err
	}
	at := len(d.r.nodes)
	d.r.nodes = append(d.r.nodes, node{val: uint32(d.i)})
	var n node
	switch c {
	case '{', '[':
		if depth >= MaxDepth {
			return d.fail(fmt.Sprintf("nested deeper than %d", MaxDepth))
		}
		n.kind = kindObject
		if c == '[' {
			n.kind = kindArray
		}
		n.val = uint32(d.i)
		if err := d.children(at, depth, n.kind); err != nil {
			return err
		}
		n.valEnd = uint32(d.i)
	case '"':
		n.kind = kindString
		n.val, n.valEnd, n.escaped, err = d.string()
	case 't':
		n.kind = kindTrue
		n.val, n.valEnd, err = d.word("true")
	case 'f':
		n.kind = kindFalse
		n.val, n.valEnd, err = d.word("false")
	case 'n':
		n.kind = kindNull
		n.val, n.valEnd, err = d.word("null")
	default:
		n.kind = kindNumber
		n.val, n.valEnd, err = d.number()
	}
	if err != nil {
		return err
	}
	n.next = int32(len(d.r.nodes))
	d.r.nodes[at] = n
	return nil
}

// children reads the members of the object, or elements of the array, that is
// node at.
func (d *decoder) children(at, depth int, k kind) error {
	shut := byte('}')
	if k == kindArray {
		shut = ']'
	}
	d.i++
	c, err := d.next()
	if err != nil {
		return err
	}
	if c == shut {
		d.i++
		return nil
	}
	var keys keySet
	for {
		var key node
		if k == kindObject {
			if c, err = d.next(); err != nil {
				return err
			}
			if c != '"' {
				return d.fail("a key must be a string")
			}
			if key.key, key.keyEnd, key.keyEscaped, err = d.string(); err != nil {
				return err
			}
			if keys.repeated(d.r, at, &key) {
				return d.fail(fmt.Sprintf("the key %q is repeated", d.r.keyOf(&key)))
			}
			if c, err = d.next(); err != nil {
				return err
			}
			if c != ':' {
				return d.fail("a colon must follow a key")
			}
			d.i++
		}
		child := len(d.r.nodes)
		if err := d.value(depth + 1); err != nil {
			return err
		}
		nd := &d.r.nodes[child]
		nd.key, nd.keyEnd, nd.keyEscaped = key.key, key.keyEnd, key.keyEscaped
		if c, err = d.next(); err != nil {
			return err
		}
		d.i++
		switch c {
		case ',':
		case shut:
			return nil
		default:
			d.i--
			return d.fail("a comma or a closing bracket is missing")
		}
	}
}

// keySet finds a repeated key. A small filter answers for most keys; large
// objects use a map, so that a hostile one does not take quadratic time.
type keySet struct {
	seen  uint64
	count int
	all   map[string]struct{}
}

func (s *keySet) repeated(r *Record, at int, key *node) bool {
	text := r.keyOf(key)
	s.count++
	if s.count > 64 {
		return s.repeatedInMap(r, at, text)
	}
	h := uint(len(text))
	for _, b := range text {
		h = h*31 + uint(b)
	}
	bit := uint64(1) << (h % 64)
	if s.seen&bit == 0 {
		s.seen |= bit
		return false
	}
	for c := at + 1; c < len(r.nodes); c = int(r.nodes[c].next) {
		if bytes.Equal(r.keyOf(&r.nodes[c]), text) {
			return true
		}
	}
	return false
}

func (s *keySet) repeatedInMap(r *Record, at int, text []byte) bool {
	if s.all == nil {
		s.all = map[string]struct{}{}
		for c := at + 1; c < len(r.nodes); c = int(r.nodes[c].next) {
			s.all[string(r.keyOf(&r.nodes[c]))] = struct{}{}
		}
	}
	if _, ok := s.all[string(text)]; ok {
		return true
	}
	s.all[string(text)] = struct{}{}
	return false
}

func (d *decoder) word(w string) (uint32, uint32, error) {
	left := d.b[d.i:]
	if len(left) < len(w) {
		if string(left) == w[:len(left)] {
			return 0, 0, errShort
		}
		return 0, 0, d.fail("not a JSON value")
	}
	if string(left[:len(w)]) != w {
		return 0, 0, d.fail("not a JSON value")
	}
	start := d.i
	d.i += len(w)
	return uint32(start), uint32(d.i), nil
}

// number follows JSON's grammar. A number at the very end of the text may go on,
// but a record is an object, so there is always something after it.
func (d *decoder) number() (uint32, uint32, error) {
	start := d.i
	i := d.i
	digits := func() bool {
		from := i
		for i < len(d.b) && '0' <= d.b[i] && d.b[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(set string) bool { return i < len(d.b) && bytes.IndexByte([]byte(set), d.b[i]) >= 0 }
	ok := true
	if at("-") {
		i++
	}
	if at("0") {
		i++
	} else {
		ok = digits()
	}
	if ok && at(".") {
		i++
		ok = digits()
	}
	if ok && at("eE") {
		i++
		if at("+-") {
			i++
		}
		ok = digits()
	}
	switch {
	case !ok && i >= len(d.b):
		return 0, 0, errShort
	case !ok:
		d.i = i
		return 0, 0, d.fail("not a JSON value")
	}
	d.i = i
	return uint32(start), uint32(i), nil
}

// string reads the string whose opening quote is at d.i. The span is of raw, or
// of the record's decoded text when there were escapes.
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
				return 0, 0, false, d.fail("not valid UTF-8")
			}
			d.i = i + 1
			return uint32(from), uint32(i), false, nil
		case c == '\\':
			start, end, err = d.escapedString(from, i)
			return start, end, true, err
		case c < ' ':
			d.i = i
			return 0, 0, false, d.fail("a control character stands in a string")
		default:
			beyond = true
		}
	}
	return 0, 0, false, errShort
}

// plainByte marks what needs no attention within a string.
var plainByte = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escapedString decodes a string into the record's text; i is its first
// backslash.
func (d *decoder) escapedString(from, i int) (uint32, uint32, error) {
	start := len(d.r.text)
	text := append(d.r.text, d.b[from:i]...)
	for i < len(d.b) {
		switch c := d.b[i]; {
		case c == '"':
			if !utf8.Valid(text[start:]) {
				return 0, 0, d.fail("not valid UTF-8")
			}
			d.r.text = text
			d.i = i + 1
			return uint32(start), uint32(len(text)), nil
		case c == '\\':
			var err error
			if text, i, err = d.escape(text, i); err != nil {
				return 0, 0, err
			}
		case c < ' ':
			d.i = i
			return 0, 0, d.fail("a control character stands in a string")
		default:
			text = append(text, c)
			i++
		}
	}
	return 0, 0, errShort
}

// escape decodes the escape at i.
func (d *decoder) escape(text []byte, i int) ([]byte, int, error) {
	if i+1 >= len(d.b) {
		return nil, 0, errShort
	}
	switch c := d.b[i+1]; c {
	case '"', '\\':
		return append(text, c), i + 2, nil
	case '/':
		d.r.plain = false
		return append(text, c), i + 2, nil
	case 'b', 'f', 'n', 'r', 't':
		return append(text, "\b\f\n\r\t"[bytes.IndexByte([]byte("bfnrt"), c)]), i + 2, nil
	case 'u':
		d.r.plain = false
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
	return nil, 0, d.fail("an unknown escape stands in a string")
}

// surrogate joins a high surrogate with the escape at i; U+FFFD when they are no pair.
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

// hex reads the four digits of the \u at i.
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
			return 0, d.fail("four hexadecimal digits must follow \\u")
		}
		r = r<<4 | rune(c)
	}
	return r, nil
}
