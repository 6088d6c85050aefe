package incident

import (
	"errors"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Loose is a text in what a source sends: a JSON string, a number or a boolean.
// Anything else reads as absent. Sources send numbers where they document
// strings, and a delivery must not be lost over that.
type Loose string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *Loose) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '{', '[', 'n':
		*l = ""
		return d.SkipValue()
	}
	token, err := d.ReadToken()
	if err == nil {
		*l = Loose(token.String())
	}
	return err
}

// UnmarshalJSON implements json.Unmarshaler of the standard library.
func (l *Loose) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, l) }

// loosely are the options of Loosely. A body that came through the edge is
// known to be well-formed; of a key that is repeated elsewhere the last counts.
var loosely = json.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(fitting)),
)

// Loosely decodes JSON that a source sent. A field of another type than expected
// reads as absent rather than failing the whole, at any depth; only what is no
// JSON is an error.
func Loosely(body []byte, into any) error {
	err := json.Unmarshal(body, into, loosely)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return errors.New("the body is no JSON")
	}
	return err
}

// fitting skips a value that its field has no room for.
func fitting(d *jsontext.Decoder, field any) error {
	switch field.(type) {
	case json.UnmarshalerFrom, json.Unmarshaler: // it sees to that itself
		return json.SkipFunc
	}
	fits := true
	switch kind := d.PeekKind(); reflect.TypeOf(field).Elem().Kind() {
	case reflect.Struct, reflect.Map:
		fits = kind == '{'
	case reflect.Slice:
		fits = kind == '['
	case reflect.String:
		fits = kind == '"'
	case reflect.Bool:
		fits = kind == 't' || kind == 'f'
	}
	if fits || d.PeekKind() == 'n' {
		return json.SkipFunc
	}
	return d.SkipValue()
}
