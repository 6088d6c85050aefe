package incident

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// FlexString is a text in what a source sends: a JSON string, a number or a boolean.
// Anything else reads as absent. Sources send numbers where they document
// strings, and a delivery must not be lost over that.
type FlexString string

// UnmarshalJSON implements json.Unmarshaler.
func (l *FlexString) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		if text := b[1 : len(b)-1]; bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
			*l = FlexString(text) // as nearly all are: it was checked already, and there is nothing to take apart
			return nil
		}
		return json.Unmarshal(b, (*string)(l))
	case '{', '[', 'n':
		*l = ""
	default:
		*l = FlexString(b)
	}
	return nil
}
