package detect

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// Value is one JSON value of a [Record]. It is valid until the record is decoded
// again. The zero Value is not a JSON value and has no members.
type Value struct {
	record *Record
	node   int32
}

// Root returns the record as a value.
func (r *Record) Root() Value { return Value{r, r.root} }

// Enter makes v the root of its record, which rules are then matched against. An
// example is the record in an EventBridge envelope.
func (v Value) Enter() *Record {
	v.record.root = v.node
	return v.record
}

func (v Value) kind() kind {
	if v.record == nil {
		return kindNull
	}
	return v.record.nodes[v.node].kind
}

// IsObject reports whether the value is a JSON object.
func (v Value) IsObject() bool { return v.kind() == kindObject }

// IsArray reports whether the value is a JSON array.
func (v Value) IsArray() bool { return v.kind() == kindArray }

// IsString reports whether the value is a JSON string.
func (v Value) IsString() bool { return v.kind() == kindString }

// IsNull reports whether the value is null or the zero Value.
func (v Value) IsNull() bool { return v.kind() == kindNull }

// Text returns the text of a string, number or boolean, as text.Flex decodes it.
// For other values it returns "".
func (v Value) Text() string {
	switch v.kind() {
	case kindString:
		return string(v.record.stringOf(&v.record.nodes[v.node]))
	case kindNumber, kindTrue, kindFalse:
		return string(v.Raw())
	}
	return ""
}

// HasText reports whether the Text of the value is not empty.
func (v Value) HasText() bool {
	switch v.kind() {
	case kindString:
		n := &v.record.nodes[v.node]
		return n.valEnd > n.val
	case kindNumber, kindTrue, kindFalse:
		return true
	}
	return false
}

// Raw returns the JSON text of the value.
func (v Value) Raw() []byte {
	if v.record == nil {
		return nil
	}
	start, end := v.record.span(v.node)
	return v.record.raw[start:end]
}

// span returns the bytes of a value in the text of the record.
func (r *Record) span(n int32) (start, end uint32) {
	nd := &r.nodes[n]
	switch {
	case nd.kind != kindString:
		return nd.val, nd.valEnd
	case !nd.escaped:
		return nd.val - 1, nd.valEnd + 1 // with the quotes
	}
	i, _ := slices.BinarySearchFunc(r.escaped, nd.val, func(e escapedText, text uint32) int { return cmp.Compare(e.text, text) })
	return r.escaped[i].start, r.escaped[i].end
}

// Elements returns the elements of an array.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if !v.IsArray() {
			return
		}
		nodes := v.record.nodes
		for n := v.node + 1; n < nodes[v.node].next; n = nodes[n].next {
			if !yield(Value{v.record, n}) {
				return
			}
		}
	}
}

// Members returns the keys and values of an object, in their order. A key is valid
// as long as its value.
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if !v.IsObject() {
			return
		}
		r := v.record
		for n := v.node + 1; n < r.nodes[v.node].next; n = r.nodes[n].next {
			if !yield(r.keyOf(&r.nodes[n]), Value{r, n}) {
				return
			}
		}
	}
}

// Fields finds keys among a fixed set of names. Like encoding/json, it ignores the
// case of letters, because many tools export records in slightly different forms.
type Fields struct {
	names   []string
	buckets [64][]int // indexes of names by fieldHash
}

// NewFields returns the set of the given names, which must be ASCII.
func NewFields(names ...string) *Fields {
	f := &Fields{names: names}
	for i, name := range names {
		h := fieldHash([]byte(name))
		f.buckets[h] = append(f.buckets[h], i)
	}
	return f
}

// fieldHash returns the bucket of a key. It depends only on the length and the
// folded first letter.
func fieldHash(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	return (len(key)*7 + int(key[0]|0x20)) % 64
}

// Name returns the name with an index.
func (f *Fields) Name(i int) string { return f.names[i] }

// Index returns the index of the name that the key matches, or -1.
func (f *Fields) Index(key []byte) int {
	for _, i := range f.buckets[fieldHash(key)] {
		if string(key) == f.names[i] {
			return i
		}
	}
	for _, i := range f.buckets[fieldHash(key)] {
		if strings.EqualFold(string(key), f.names[i]) {
			return i
		}
	}
	for _, c := range key {
		if c >= utf8.RuneSelf { // a few letters outside ASCII fold to ASCII
			return f.indexBySearch(string(key))
		}
	}
	return -1
}

func (f *Fields) indexBySearch(key string) int {
	for i, name := range f.names {
		if strings.EqualFold(key, name) {
			return i
		}
	}
	return -1
}
