package sentry

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// actor is who did it: a person, an application, or only an id in any form.
type actor struct {
	ID, Name text
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (a *actor) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return a.ID.UnmarshalJSONFrom(d)
	}
	var v struct {
		ID    text `json:"id"`
		Name  text `json:"name"`
		Email text `json:"email"`
	}
	err := json.UnmarshalDecode(d, &v)
	a.ID, a.Name = v.ID, text(first(string(v.Name), string(v.Email)))
	return err
}

func (a actor) name() string { return first(string(a.Name), string(a.ID)) }

// tags come as pairs, as {key, value} objects or as one object. Those whose
// name says that they hold a credential are dropped.
type tags map[string]string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *tags) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*t = tags{}
	switch d.PeekKind() {
	case '{':
		return each(d, func() error {
			var key, value text
			if err := errors.Join(key.UnmarshalJSONFrom(d), value.UnmarshalJSONFrom(d)); err != nil {
				return err
			}
			t.put(key, value)
			return nil
		})
	case '[':
		return each(d, func() error { return t.pair(d) })
	}
	return d.SkipValue()
}

func (t tags) put(key, value text) {
	if key != "" && !sensitive(string(key)) {
		t[string(key)] = string(value)
	}
}

// pair reads a tag in a list of them.
func (t tags) pair(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '[':
		var list []text
		err := each(d, func() error {
			list = append(list, "")
			return list[len(list)-1].UnmarshalJSONFrom(d)
		})
		if len(list) == 2 {
			t.put(list[0], list[1])
		}
		return err
	case '{':
		var o struct {
			Key   text `json:"key"`
			Value text `json:"value"`
		}
		err := json.UnmarshalDecode(d, &o)
		t.put(o.Key, o.Value)
		return err
	}
	return d.SkipValue()
}

// each reads an object or a list, whose members read reads.
func each(d *jsontext.Decoder, read func() error) error {
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

func sensitive(tag string) bool {
	tag = strings.ToLower(tag)
	for _, word := range []string{"cookie", "authorization", "password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "csrf", "session"} {
		if strings.Contains(tag, word) {
			return true
		}
	}
	return false
}
