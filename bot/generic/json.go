package generic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxDepth is the maximum nesting of objects and lists. No practical expression
// needs more.
const maxDepth = 100

// parse decodes a JSON document for expressions. Whole numbers become ints, other
// numbers become floats, and a number too large for either becomes a string of its
// digits. parse rejects a repeated key in an object, because parsers disagree
// about which value counts and a sender could exploit the difference.
func parse(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data follows the JSON document")
	}
	return v, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	delim, ok := t.(json.Delim)
	switch {
	case !ok:
		return scalar(t), nil
	case depth == maxDepth:
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	case delim == '[':
		return list(d, depth)
	}
	return object(d, depth)
}

func list(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, closeBracket(d)
}

func object(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		key, _ := t.(string)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("the key %.60q is repeated in one object", key)
		}
		if out[key], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	return out, closeBracket(d)
}

// closeBracket reads the closing bracket of a list or an object.
func closeBracket(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

func scalar(t json.Token) any {
	n, ok := t.(json.Number)
	if !ok {
		return t
	}
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n.String()
}
