package detect

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Record is one CloudTrail record, decoded once. It keeps the bytes it was
// decoded from and a flat list of what stands where in them, so that matching
// allocates nothing. Matching uses scratch memory in it: one goroutine at a time.
type Record struct {
	raw          []byte
	nodes        []node
	text         []byte // the decoded form of strings with escapes
	root         int32
	rawIsCompact bool // raw needs no rendering: no spaces between tokens, no escape that JSON does not require
	renderings   []rendering
	numberBuf    [344]byte // scratch for a number's text; the longest float64 fits
	foldBuf      []byte    // scratch for a folded text
	refBuf       []byte    // scratch for the second text of a comparison

	derived     *Record // see derive
	derivedFrom int32   // the root it was derived from, -1 for none
}

type kind uint8

const (
	kindNull kind = iota
	kindFalse
	kindTrue
	kindNumber
	kindString
	kindArray
	kindObject
)

// node is one value. Children follow their parent; next is the index after the
// whole subtree. Keys and values are spans of raw, or of text where they were
// escaped.
type node struct {
	key, keyEnd uint32
	val, valEnd uint32
	next        int32
	kind        kind
	keyEscaped  bool
	escaped     bool
}

// rendering is the compact text of an object that had to be made.
type rendering struct {
	node int32
	text []byte
}

// DecodeRecord decodes one JSON object. The record keeps b, which must not
// change afterwards. Malformed JSON, invalid UTF-8, repeated keys, nesting
// beyond MaxDepth and anything but an object are errors.
func DecodeRecord(b []byte) (*Record, error) {
	r := new(Record)
	if err := r.Decode(b); err != nil {
		return nil, err
	}
	return r, nil
}

// Decode is DecodeRecord into a record whose memory is used again.
func (r *Record) Decode(b []byte) error {
	n, err := r.decode(b)
	if err != nil {
		return err
	}
	if rest := bytes.TrimLeft(b[n:], " \t\r\n"); len(rest) > 0 {
		return &SyntaxError{Offset: len(b) - len(rest), Reason: "something follows the object"}
	}
	if r.nodes[0].kind != kindObject {
		return &SyntaxError{Reason: "not a JSON object"}
	}
	return nil
}

// Raw is the record as it was sent.
func (r *Record) Raw() []byte {
	n := &r.nodes[r.root]
	return r.raw[n.val:n.valEnd]
}

// EventName is what was called, such as StopLogging; empty where the record has none.
func (r *Record) EventName() string { return r.Field("eventName") }

// EventSource is the service that was called; empty where the record has none.
func (r *Record) EventSource() string { return r.Field("eventSource") }

// EventID tells the record from all others; empty where the record has none.
func (r *Record) EventID() string { return r.Field("eventID") }

// EventTime is the text of eventTime, or of @timestamp in records that were
// exported without it.
func (r *Record) EventTime() string {
	if t := r.Field("eventTime"); t != "" {
		return t
	}
	return r.Field("@timestamp")
}

// Time is EventTime as an instant; zero where it is none.
func (r *Record) Time() time.Time {
	t, err := time.Parse(time.RFC3339, r.EventTime())
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Field is the text of the first value at a path, "" where there is none.
func (r *Record) Field(path string) string {
	s, _ := r.Lookup(path)
	return s
}

// Lookup is the text of the first value at a path, and whether there is one
// that is not null.
func (r *Record) Lookup(path string) (string, bool) {
	r = r.recordFor(path)
	n, ok := r.firstNode(r.root, path)
	if !ok || r.nodes[n].kind == kindNull {
		return "", false
	}
	return string(r.textOf(n)), true
}

func (r *Record) firstNode(n int32, path string) (int32, bool) {
	if path == "" {
		return n, true
	}
	switch nd := &r.nodes[n]; nd.kind {
	case kindObject:
		if child, used := r.member(n, path); child >= 0 {
			return r.firstNode(child, rest(path, used))
		}
	case kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if found, ok := r.firstNode(c, path); ok {
				return found, true
			}
		}
	}
	return 0, false
}

// rest is the path after a key of that length.
func rest(path string, used int) string {
	if used == len(path) {
		return ""
	}
	return path[used+1:]
}

// member finds the longest key of an object that spells the beginning of a
// path, and how much of the path it takes. The child is negative when there is
// none.
func (r *Record) member(n int32, path string) (child int32, used int) {
	child = -1
	end := r.nodes[n].next
	for c := n + 1; c < end; {
		nd := &r.nodes[c]
		size := int(nd.keyEnd - nd.key)
		if size <= len(path) && (size == len(path) || path[size] == '.') && (child < 0 || size > used) {
			if string(r.keyOf(nd)) == path[:size] {
				if size == len(path) {
					return c, size
				}
				child, used = c, size
			}
		}
		c = nd.next
	}
	return child, used
}

func (r *Record) keyOf(n *node) []byte {
	if n.keyEscaped {
		return r.text[n.key:n.keyEnd]
	}
	return r.raw[n.key:n.keyEnd]
}

// stringOf is the decoded text of a string.
func (r *Record) stringOf(n *node) []byte {
	if n.escaped {
		return r.text[n.val:n.valEnd]
	}
	return r.raw[n.val:n.valEnd]
}

// textOf is what a value compares as. It is good until the next call.
func (r *Record) textOf(n int32) []byte {
	nd := &r.nodes[n]
	switch nd.kind {
	case kindString:
		return r.stringOf(nd)
	case kindNumber:
		return plainNumber(r.raw[nd.val:nd.valEnd], r.numberBuf[:0])
	case kindArray, kindObject:
		return r.compact(n)
	}
	return r.raw[nd.val:nd.valEnd]
}

// plainNumber writes a number without exponent and without a needless fraction.
// One too large for that keeps its spelling.
func plainNumber(s, buf []byte) []byte {
	if !bytes.ContainsAny(s, ".eE") {
		return s
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil {
		return s
	}
	return strconv.AppendFloat(buf, f, 'f', -1, 64)
}

// compact is the JSON text of an object or array without spaces and needless
// escapes: the bytes as sent wherever they are like that already.
func (r *Record) compact(n int32) []byte {
	nd := &r.nodes[n]
	if r.rawIsCompact {
		return r.raw[nd.val:nd.valEnd]
	}
	for _, m := range r.renderings {
		if m.node == n {
			return m.text
		}
	}
	text := r.render(nil, n)
	r.renderings = append(r.renderings, rendering{n, text})
	return text
}

func (r *Record) render(dst []byte, n int32) []byte {
	nd := &r.nodes[n]
	switch nd.kind {
	case kindString:
		return appendQuoted(dst, r.stringOf(nd))
	case kindArray, kindObject:
		open, shut := byte('['), byte(']')
		if nd.kind == kindObject {
			open, shut = '{', '}'
		}
		dst = append(dst, open)
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if c > n+1 {
				dst = append(dst, ',')
			}
			if nd.kind == kindObject {
				dst = append(appendQuoted(dst, r.keyOf(&r.nodes[c])), ':')
			}
			dst = r.render(dst, c)
		}
		return append(dst, shut)
	}
	return append(dst, r.raw[nd.val:nd.valEnd]...)
}

// appendQuoted writes a JSON string with the escapes that JSON requires alone.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, b := range s {
		switch short := shortEscape(b); {
		case short != 0:
			dst = append(dst, '\\', short)
		case b < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, b)
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}

// shortEscape is the letter after the backslash in the two-letter escape of b.
func shortEscape(b byte) byte {
	switch b {
	case '"', '\\':
		return b
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}
