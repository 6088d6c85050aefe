package intake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// errNotShort is the error of a document that cannot be shortened.
var errNotShort = errors.New("the document cannot be shortened")

// shorten returns a JSON document of at most limit bytes with the first elements of the
// lists in document, and the number of elements that it left out. It shortens the largest
// list, or the largest text if that is larger. The document must be valid. depth is 0 for
// the whole document.
func shorten(document []byte, limit, depth int) (short []byte, leftOut int, err error) {
	document = bytes.TrimSpace(document)
	if len(document) <= limit {
		return document, 0, nil
	}
	if len(document) == 0 || limit < minShort || depth > maxShortenDepth {
		return nil, 0, errNotShort
	}
	switch document[0] {
	case '{':
		return shortenObject(document, limit, depth)
	case '[':
		return shortenList(document, limit, depth)
	case '"':
		short, err := shortenText(document, limit)
		return short, 0, err
	}
	return nil, 0, errNotShort
}

const (
	// minShort is the smallest limit of a value that is shortened.
	minShort = 64
	// maxShortenDepth is how deep a list or text can be that is shortened. Each level is
	// read again.
	maxShortenDepth = 16
)

// member is a member of an object. It shares the memory of the document.
type member struct{ name, value []byte }

// elements returns the names and values of an object, or the values of a list, without
// copying them.
func elements(document []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		d := jsontext.NewDecoder(bytes.NewBuffer(document), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
		_, err := d.ReadToken()
		for err == nil && d.PeekKind() != '}' && d.PeekKind() != ']' {
			var value jsontext.Value
			if value, err = d.ReadValue(); err != nil {
				break
			}
			end := d.InputOffset()
			if !yield(document[end-int64(len(value)):end], nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// members returns the members of an object.
func members(document []byte) (out []member, err error) {
	var name []byte
	for one, err := range elements(document) {
		switch {
		case err != nil:
			return nil, err
		case name == nil:
			name = one
		default:
			out, name = append(out, member{name, one}), nil
		}
	}
	return out, nil
}

// shortenObject shortens the largest members of an object until it is small enough.
func shortenObject(document []byte, limit, depth int) (short []byte, leftOut int, err error) {
	all, err := members(document)
	if err != nil {
		return nil, 0, err
	}
	size := 2
	var large []int
	for n, m := range all {
		size += len(m.name) + len(m.value) + len(":,")
		if len(m.value) > minShort {
			large = append(large, n)
		}
	}
	slices.SortStableFunc(large, func(a, b int) int { return cmp.Compare(len(all[b].value), len(all[a].value)) })
	for _, n := range large {
		if size <= limit {
			break
		}
		m := &all[n]
		room := max(len(m.value)-(size-limit), limit/4) // if the others are too large, too, they follow
		value, out, err := shorten(m.value, room, depth+1)
		if err != nil {
			continue
		}
		size, leftOut, m.value = size-len(m.value)+len(value), leftOut+out, value
	}
	if size > limit {
		return nil, 0, errNotShort
	}
	var b bytes.Buffer
	for n, m := range all {
		b.WriteByte("{,"[min(n, 1)])
		b.Write(m.name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), leftOut, nil
}

// shortenList keeps the first elements of a list. If not even the first one fits, it
// shortens that one.
func shortenList(document []byte, limit, depth int) (short []byte, leftOut int, err error) {
	var b bytes.Buffer
	var first []byte
	for one, err := range elements(document) {
		switch {
		case err != nil:
			return nil, 0, err
		case first == nil:
			first = one
		}
		if leftOut > 0 || b.Len()+len(one)+len(",]") > limit {
			leftOut++
			continue
		}
		b.WriteByte("[,"[min(b.Len(), 1)])
		b.Write(one)
	}
	if first == nil { // only white space
		return []byte("[]"), 0, nil
	}
	if b.Len() == 0 {
		short, n, err := shorten(first, limit-len("[]"), depth+1)
		if err != nil {
			return nil, 0, err
		}
		b.WriteByte('[')
		b.Write(short)
		leftOut += n - 1
	}
	b.WriteByte(']')
	return b.Bytes(), leftOut, nil
}

// shortenText keeps the beginning of a string.
func shortenText(document []byte, limit int) ([]byte, error) {
	text, err := jsontext.AppendUnquote(nil, document)
	if err != nil {
		return nil, err
	}
	for keep := min(len(text), limit-len(`"…"`)-2); keep > 0; keep /= 2 { // an escaped character is longer
		for keep > 0 && keep < len(text) && !utf8.RuneStart(text[keep]) {
			keep--
		}
		quoted, err := jsontext.AppendQuote(nil, string(text[:keep])+"…")
		if err != nil {
			return nil, err
		}
		if len(quoted) <= limit {
			return quoted, nil
		}
	}
	return nil, errNotShort
}

// completeJSON returns the beginning of a document that ends early as a valid document:
// without the value that is incomplete, and with the brackets closed.
func completeJSON(beginning []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(beginning), jsontext.AllowInvalidUTF8(true))
	var open, closers []byte
	end := int64(0)
	for {
		token, err := d.ReadToken()
		if err != nil {
			break
		}
		switch kind := token.Kind(); kind {
		case '{', '[':
			if len(open) > maxDepth {
				return nil, fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
			}
			open = append(open, byte(kind)+2) // the closing bracket
		case '}', ']':
			open = open[:len(open)-1]
		case '"':
			if parent, length := d.StackIndex(d.StackDepth()); parent == '{' && length%2 == 1 {
				continue // the name of a member without its value
			}
		}
		end = d.InputOffset()
		closers = append(closers[:0], open...)
	}
	if len(closers) == 0 {
		return nil, errNotShort
	}
	out := bytes.Clone(beginning[:end])
	for n := range closers {
		out = append(out, closers[len(closers)-1-n])
	}
	return out, nil
}
