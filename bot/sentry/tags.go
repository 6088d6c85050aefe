package sentry

import (
	"cmp"
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// actor is a person or an application. It decodes an object or a bare ID.
type actor struct {
	ID, Name scalar
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (a *actor) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return a.ID.UnmarshalJSONFrom(d)
	}
	var v struct {
		ID    scalar `json:"id"`
		Name  scalar `json:"name"`
		Email scalar `json:"email"`
	}
	err := json.UnmarshalDecode(d, &v)
	a.ID, a.Name = v.ID, scalar(cmp.Or(string(v.Name), string(v.Email)))
	return err
}

func (a actor) name() string { return cmp.Or(string(a.Name), string(a.ID)) }

// tags decodes a list of pairs, a list of {key, value} objects, or one object. It
// drops tags whose key suggests a credential.
type tags map[string]string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *tags) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*t = tags{}
	switch d.PeekKind() {
	case '{':
		return readMembers(d, func() error {
			var key, value scalar
			if err := errors.Join(key.UnmarshalJSONFrom(d), value.UnmarshalJSONFrom(d)); err != nil {
				return err
			}
			t.put(key, value)
			return nil
		})
	case '[':
		return readMembers(d, func() error { return t.pair(d) })
	}
	return d.SkipValue()
}

func (t tags) put(key, value scalar) {
	if key != "" && !isSensitive(string(key)) {
		t[string(key)] = string(value)
	}
}

// pair reads one element of a list of tags.
func (t tags) pair(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '[':
		var list []scalar
		err := readMembers(d, func() error {
			list = append(list, "")
			return list[len(list)-1].UnmarshalJSONFrom(d)
		})
		if len(list) == 2 {
			t.put(list[0], list[1])
		}
		return err
	case '{':
		var o struct {
			Key   scalar `json:"key"`
			Value scalar `json:"value"`
		}
		err := json.UnmarshalDecode(d, &o)
		t.put(o.Key, o.Value)
		return err
	}
	return d.SkipValue()
}

// readMembers reads an object or a list and calls read for each member.
func readMembers(d *jsontext.Decoder, read func() error) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for {
		switch d.PeekKind() {
		case '}', ']':
			_, err := d.ReadToken()
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

func isSensitive(tag string) bool {
	tag = strings.ToLower(tag)
	for _, word := range []string{"cookie", "authorization", "password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "csrf", "session"} {
		if strings.Contains(tag, word) {
			return true
		}
	}
	return false
}
