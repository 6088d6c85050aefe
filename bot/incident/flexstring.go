package incident

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// FlexString decodes a JSON string, number or boolean as text. Any other JSON value
// decodes as empty. Some sources send numbers although they document strings, and
// Tocsin must not reject their deliveries for that.
type FlexString string

// UnmarshalJSON implements json.Unmarshaler.
func (f *FlexString) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		if text := b[1 : len(b)-1]; bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
			*f = FlexString(text) // fast path: no escapes, and encoding/json checked the syntax
			return nil
		}
		return json.Unmarshal(b, (*string)(f))
	case '{', '[', 'n':
		*f = ""
	default:
		*f = FlexString(b)
	}
	return nil
}
