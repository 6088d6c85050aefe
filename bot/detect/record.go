package detect

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tocsin/bot/text"
)

// Record is one decoded CloudTrail record. It refers to the bytes it was decoded
// from and holds a flat list of the values in them. Matching therefore allocates
// no memory. A Record is not safe for concurrent use, because matching uses
// buffers in it.
//
// The decoder is written here for speed. Libraries that decode into maps take nine
// times as long and allocate, as BenchmarkDecode shows.
type Record struct {
	raw          []byte
	nodes        []node
	text         []byte        // the decoded form of strings with escapes
	escaped      []escapedText // strings with escapes, by their place in text
	root         int32
	rawIsCompact bool // no spaces between tokens, no escapes that JSON does not require
	renderings   []rendering
	numberBuf    [344]byte // buffer for the text of a number, large enough for any float64
	foldBuf      []byte    // buffer for a folded text
	refBuf       []byte    // buffer for the first text of a fieldref comparison

	derived [families]derivedRecord // see derive
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

// node is one value. Its children follow it in the list, and next is the index
// after the last of them. Keys and values are spans of raw, or of text if they
// contained escapes.
type node struct {
	key, keyEnd uint32
	val, valEnd uint32
	next        int32
	kind        kind
	keyEscaped  bool
	escaped     bool
}

// escapedText is the place of a string with escapes in raw, including its quotes. It
// begins at the offset text of the decoded strings.
type escapedText struct{ text, start, end uint32 }

// rendering is the compact JSON text of an object or array.
type rendering struct {
	node int32
	text []byte
}

// pool reuses the memory of records.
var pool = sync.Pool{New: func() any { return new(Record) }}

// AcquireRecord returns a Record to decode. The caller should call [Record.Release].
func AcquireRecord() *Record { return pool.Get().(*Record) }

// maxPooled is the maximum number of values of a record whose memory is reused.
const maxPooled = 16 << 10

// maxPooledText is the maximum memory for its decoded strings, in bytes.
const maxPooledText = 1 << 20

// Release makes the memory of r available to [AcquireRecord]. The caller must not use
// r or its values any more.
func (r *Record) Release() {
	if r.raw = nil; cap(r.nodes) <= maxPooled && cap(r.text) <= maxPooledText {
		pool.Put(r)
	}
}

// DecodeRecord decodes one JSON object. The record refers to b, which must not
// change while the record is in use. DecodeRecord returns an error for malformed
// JSON, invalid UTF-8, repeated keys, nesting deeper than [MaxDepth] and values
// other than an object.
func DecodeRecord(b []byte) (*Record, error) {
	r := new(Record)
	if err := r.Decode(b); err != nil {
		return nil, err
	}
	return r, nil
}

// Decode is like [DecodeRecord] but reuses the memory of r.
func (r *Record) Decode(b []byte) error {
	if err := r.decodeWhole(b); err != nil {
		return err
	}
	if r.nodes[0].kind != kindObject {
		return &SyntaxError{Reason: "not a JSON object"}
	}
	return nil
}

// DecodeItem decodes one JSON value of any kind. The item is valid until r is decoded
// again, and has an error instead of the record if the value cannot be decoded. An
// array of records is one item.
func (r *Record) DecodeItem(b []byte) Item {
	if err := r.decodeWhole(b); err != nil {
		return Item{Raw: b, Err: err}
	}
	return Item{Raw: b, Record: r}
}

// Raw returns the original bytes of the record.
func (r *Record) Raw() []byte {
	return r.Root().Raw()
}

// EventName returns the called action, such as StopLogging, or "".
func (r *Record) EventName() string { return r.Field("eventName") }

// EventSource returns the called service, such as iam.amazonaws.com, or "".
func (r *Record) EventSource() string { return r.Field("eventSource") }

// EventID returns the unique ID of the record, or "".
func (r *Record) EventID() string { return r.Field("eventID") }

// EventTime returns the text of eventTime. Some exports lack this field, and then
// it returns the text of @timestamp.
func (r *Record) EventTime() string {
	if t := r.Field("eventTime"); t != "" {
		return t
	}
	return r.Field("@timestamp")
}

// Time returns the EventTime in UTC, or the zero time if it cannot be read.
func (r *Record) Time() time.Time { return text.Timestamp(r.EventTime()) }

// Field returns the text of the first value at a path, or "" if there is none.
func (r *Record) Field(path string) string {
	s, _ := r.Lookup(path)
	return s
}

// Lookup returns the text of the first value at a path. It returns false if there
// is no value or the value is null.
func (r *Record) Lookup(path string) (string, bool) {
	r = r.recordFor(path)
	n, ok := r.firstNode(r.root, path)
	if !ok || r.nodes[n].kind == kindNull {
		return "", false
	}
	return string(r.textOf(n)), true
}

// firstNode returns the first node at a path below n.
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

// rest returns the path after its first used bytes and a dot.
func rest(path string, used int) string {
	if used == len(path) {
		return ""
	}
	return path[used+1:]
}

// member returns the child with the longest key that equals the beginning of the
// path, and the length of that key. The child is negative if there is none.
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

// stringOf returns the decoded text of a string.
func (r *Record) stringOf(n *node) []byte {
	if n.escaped {
		return r.text[n.val:n.valEnd]
	}
	return r.raw[n.val:n.valEnd]
}

// textOf returns the text that a value compares as. It is valid until the next
// call.
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

// plainNumber returns a number without an exponent and without trailing zeros. It
// returns numbers outside the range of float64 unchanged.
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

// compact returns the JSON text of an object or array without spaces and
// unnecessary escapes. It returns the original bytes if these are compact.
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
		opening, closing := byte('['), byte(']')
		if nd.kind == kindObject {
			opening, closing = '{', '}'
		}
		dst = append(dst, opening)
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if c > n+1 {
				dst = append(dst, ',')
			}
			if nd.kind == kindObject {
				dst = append(appendQuoted(dst, r.keyOf(&r.nodes[c])), ':')
			}
			dst = r.render(dst, c)
		}
		return append(dst, closing)
	}
	return append(dst, r.raw[nd.val:nd.valEnd]...)
}

// appendQuoted appends a JSON string with only the escapes that JSON requires.
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

// shortEscape returns the character after the backslash in the two-character
// escape of b, or 0 if there is none.
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
