package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Flex decodes a JSON string, number or boolean as text. Any other JSON value decodes as
// empty. Some sources send numbers although they document strings, and Tocsin must not
// reject their deliveries for that.
type Flex string

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Flex) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		if inner := b[1 : len(b)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
			*f = Flex(inner) // fast path: no escapes, and encoding/json checked the syntax
			return nil
		}
		return json.Unmarshal(b, (*string)(f))
	case '{', '[', 'n':
		*f = ""
	default:
		*f = Flex(b)
	}
	return nil
}

// DecodeJSON decodes a JSON document into v. A field of an unexpected type stays empty,
// because sources send other types than they document.
func DecodeJSON(document []byte, v any) error {
	err := json.Unmarshal(document, v)
	var mismatch *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mismatch) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}
