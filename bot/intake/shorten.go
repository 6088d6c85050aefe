package intake

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// errNotShort is the error of a document that cannot be shortened.
var errNotShort = errors.New("the document cannot be shortened")

// shorten returns a JSON document of at most limit bytes with the first elements of the
// lists in document, and the number of elements that it left out. It shortens the largest
// list, or the largest text if that is larger. The document must be valid.
func shorten(document []byte, limit int) (short []byte, leftOut int, err error) {
	document = bytes.TrimSpace(document)
	if len(document) <= limit {
		return document, 0, nil
	}
	if len(document) == 0 || limit < minShort {
		return nil, 0, errNotShort
	}
	switch document[0] {
	case '{':
		return shortenObject(document, limit)
	case '[':
		return shortenList(document, limit)
	case '"':
		short, err := shortenText(document, limit)
		return short, 0, err
	}
	return nil, 0, errNotShort
}

// minShort is the smallest limit of a value that is shortened.
const minShort = 64

// member is a member of an object. The name of an element of a list is empty.
type member struct{ name, value []byte }

// members returns the members of an object, or the elements of a list.
func members(document []byte) (out []member, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(document), jsontext.AllowInvalidUTF8(true))
	open, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	named := open.Kind() == '{'
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		var m member
		if named {
			name, err := d.ReadValue()
			if err != nil {
				return nil, err
			}
			m.name = bytes.Clone(name)
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = bytes.Clone(value)
		out = append(out, m)
	}
	return out, nil
}

// shortenObject shortens the largest members of an object until it is small enough.
func shortenObject(document []byte, limit int) (short []byte, leftOut int, err error) {
	all, err := members(document)
	if err != nil {
		return nil, 0, err
	}
	size, tried := 2, make([]bool, len(all))
	for _, m := range all {
		size += len(m.name) + len(m.value) + len(":,")
	}
	for size > limit {
		largest := -1
		for n, m := range all {
			if !tried[n] && (largest < 0 || len(m.value) > len(all[largest].value)) {
				largest = n
			}
		}
		if largest < 0 {
			return nil, 0, errNotShort
		}
		tried[largest] = true
		m := &all[largest]
		room := max(len(m.value)-(size-limit), limit/4) // if the others are too large, too, they follow
		value, n, err := shorten(m.value, room)
		if err != nil {
			continue
		}
		size, leftOut, m.value = size-len(m.value)+len(value), leftOut+n, value
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
func shortenList(document []byte, limit int) (short []byte, leftOut int, err error) {
	all, err := members(document)
	if err != nil {
		return nil, 0, err
	}
	var b bytes.Buffer
	for n, m := range all {
		if b.Len()+len(m.value)+len(",]") > limit {
			leftOut = len(all) - n
			break
		}
		b.WriteByte("[,"[min(n, 1)])
		b.Write(m.value)
	}
	if b.Len() == 0 {
		first, n, err := shorten(all[0].value, limit-len("[]"))
		if err != nil {
			return nil, 0, err
		}
		b.WriteByte('[')
		b.Write(first)
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
