package incident

import "encoding/json"

// Loose is a text in what a source sends: a JSON string, a number or a boolean.
// Anything else reads as absent. Sources send numbers where they document
// strings, and a delivery must not be lost over that.
type Loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *Loose) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(l))
	case '{', '[', 'n':
		*l = ""
	default:
		*l = Loose(b)
	}
	return nil
}
