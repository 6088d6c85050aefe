package detect

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// MaxDepth is the deepest nesting of a record. CloudTrail records nest far less.
const MaxDepth = 100

// SyntaxError is the first error in the JSON of a record.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("decode record at byte %d: %s", e.Offset, e.Reason)
}

// errShort means that the text ends within a value. The stream reads more bytes
// and decodes again.
var errShort = errors.New("decode record: the text ends within a value")

// decodeWhole decodes b, which must be one JSON value.
func (r *Record) decodeWhole(b []byte) error {
	n, err := r.decode(b)
	if err != nil {
		return err
	}
	if rest := bytes.TrimLeft(b[n:], " \t\r\n"); len(rest) > 0 {
		return &SyntaxError{Offset: len(b) - len(rest), Reason: "unexpected text after the object"}
	}
	return nil
}

// decode decodes the JSON value at the beginning of b and returns its end.
func (r *Record) decode(b []byte) (int, error) {
	r.raw, r.nodes, r.text, r.escaped, r.renderings, r.root = b, r.nodes[:0], r.text[:0], r.escaped[:0], r.renderings[:0], 0
	r.derived = [families]derivedRecord{}
	if uint64(len(b)) > math.MaxInt32 {
		return 0, &SyntaxError{Reason: "larger than 2 GiB"}
	}
	d := decoder{r: r, b: b}
	d.space()
	r.rawIsCompact = true // regardless of spaces before the value
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

func (d *decoder) syntaxError(reason string) error { return &SyntaxError{Offset: d.i, Reason: reason} }

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\r', '\n':
			d.r.rawIsCompact = false
			d.i++
		default:
			return
		}
	}
}

// next skips spaces and returns the next byte without consuming it.
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

// value decodes the value at d.i and appends its nodes.
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
			return d.syntaxError(fmt.Sprintf("nested deeper than %d", MaxDepth))
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
		n.val, n.valEnd, err = d.literal("true")
	case 'f':
		n.kind = kindFalse
		n.val, n.valEnd, err = d.literal("false")
	case 'n':
		n.kind = kindNull
		n.val, n.valEnd, err = d.literal("null")
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

// children decodes the members or elements of the object or array in node at.
func (d *decoder) children(at, depth int, k kind) error {
	closing := byte('}')
	if k == kindArray {
		closing = ']'
	}
	d.i++
	c, err := d.next()
	if err != nil {
		return err
	}
	if c == closing {
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
				return d.syntaxError("a key must be a string")
			}
			if key.key, key.keyEnd, key.keyEscaped, err = d.string(); err != nil {
				return err
			}
			if keys.repeated(d.r, at, &key) {
				return d.syntaxError(fmt.Sprintf("the key %q is repeated", d.r.keyOf(&key)))
			}
			if c, err = d.next(); err != nil {
				return err
			}
			if c != ':' {
				return d.syntaxError("a colon must follow a key")
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
		case closing:
			return nil
		default:
			d.i--
			return d.syntaxError("a comma or a closing bracket is missing")
		}
	}
}

// keySet finds repeated keys of an object. A Bloom filter clears most keys. Beyond
// 64 keys it uses a map, because the search would take quadratic time.
type keySet struct {
	filter uint64
	count  int
	keys   map[string]struct{}
}

func (s *keySet) repeated(r *Record, at int, key *node) bool {
	text := r.keyOf(key)
	s.count++
	if s.count > 64 {
		return s.repeatedInMap(r, at, text)
	}
	h := uint(len(text))
	if n := len(text); n > 0 { // a hash of all bytes takes longer than the searches it saves
		h = ((h*31+uint(text[0]))*31+uint(text[n/2]))*31 + uint(text[n-1])
	}
	bit := uint64(1) << (h % 64)
	if s.filter&bit == 0 {
		s.filter |= bit
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
	if s.keys == nil {
		s.keys = map[string]struct{}{}
		for c := at + 1; c < len(r.nodes); c = int(r.nodes[c].next) {
			s.keys[string(r.keyOf(&r.nodes[c]))] = struct{}{}
		}
	}
	if _, ok := s.keys[string(text)]; ok {
		return true
	}
	s.keys[string(text)] = struct{}{}
	return false
}

func (d *decoder) literal(w string) (uint32, uint32, error) {
	left := d.b[d.i:]
	if len(left) < len(w) {
		if string(left) == w[:len(left)] {
			return 0, 0, errShort
		}
		return 0, 0, d.syntaxError("not a JSON value")
	}
	if string(left[:len(w)]) != w {
		return 0, 0, d.syntaxError("not a JSON value")
	}
	start := d.i
	d.i += len(w)
	return uint32(start), uint32(d.i), nil
}

// number decodes a number after the grammar of JSON. A number at the end of the
// text could be incomplete. Records are objects, so another byte always follows.
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
		return 0, 0, d.syntaxError("not a JSON value")
	}
	d.i = i
	return uint32(start), uint32(i), nil
}
