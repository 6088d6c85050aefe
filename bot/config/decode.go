package config

import (
	"encoding"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// field is a key of a configuration struct.
type field struct {
	name  string
	index []int
	typ   reflect.Type
	days  bool // a duration that may be written in days
}

// fieldsOf returns the keys of a struct, including those of inline structs. It
// returns none for a type with one value, such as a secret.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for n := range t.NumField() {
		f := t.Field(n)
		switch name := f.Tag.Get("yaml"); name {
		case "", "-":
		case ",inline":
			for _, below := range fieldsOf(f.Type) {
				below.index = append([]int{n}, below.index...)
				out = append(out, below)
			}
		default:
			out = append(out, field{name, []int{n}, f.Type, f.Tag.Get("unit") == "days"})
		}
	}
	return out
}

// hasKeys reports whether a type is a struct with keys.
func hasKeys(t reflect.Type) bool { return t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 }

// decoder converts a tree to a [Config]. It continues after a problem to report all
// of them.
type decoder struct {
	lookup   func(string) (string, bool) // of environment variables
	secrets  secretsFile                 // variables that are not in the environment
	marked   map[string]bool             // placeholders that are already a problem
	places   map[string]place            // by key
	unread   map[string]bool             // keys whose variables may be in a file of secrets with a problem
	problems setting.Problems
	left     int // values that may still be decoded, because aliases repeat values
}

// decode sets v to the value of a key.
func (d *decoder) decode(n *node, v reflect.Value, key string, days bool) {
	if d.left--; d.left < 0 {
		return
	}
	if _, known := d.places[key]; !known || n.kind == isText || n.kind == isNumber || n.kind == isBool { // otherwise the place of the key
		d.places[key] = n.at
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if n.kind != isNull {
			v.Set(reflect.New(t.Elem()))
			d.decode(n, v.Elem(), key, days)
		}
	case hasKeys(t):
		d.decodeStruct(n, v, key)
	case t.Kind() == reflect.Map:
		d.decodeMap(n, v, key)
	case t.Kind() == reflect.Slice:
		d.decodeList(n, v, key)
	case n.kind == isMap || n.kind == isList:
		if t.Kind() == reflect.Struct && n.kind == isMap {
			d.problems.Add(key, "has the wrong type or format. Write one value, in quotes if necessary")
			return
		}
		d.wrongType(n, t, key, days)
	case n.kind != isNull:
		text := d.expand(n.text, key)
		if strings.Contains(text, Placeholder) {
			d.reportPlaceholder(text, key)
		}
		if err := setScalar(v, text, days); err != nil {
			d.wrongType(n, t, key, days)
		}
	}
}

// reportPlaceholder adds the problem of a placeholder once, also if other keys refer
// to it.
func (d *decoder) reportPlaceholder(text, key string) {
	if d.marked == nil {
		d.marked = map[string]bool{}
	}
	if !d.marked[text] {
		d.marked[text] = true
		d.problems.Add(key, "%s", describePlaceholder(key))
	}
}

func (d *decoder) wrongType(n *node, t reflect.Type, key string, days bool) {
	fix := describeType(t, days)
	if !mayHaveKind(t, n.kind) {
		fix += ", not " + string(n.kind)
	}
	d.problems.Add(key, "has the wrong type or format. %s", fix)
}

// mayHaveKind reports whether a value of the kind can have type t. If so, its format is
// wrong.
func mayHaveKind(t reflect.Type, k kind) bool {
	switch t.Kind() {
	case reflect.Bool:
		return k == isBool
	case reflect.Int, reflect.Float64:
		return k == isNumber
	case reflect.Int64, reflect.Struct: // a duration, or a type that parses text
		return k == isText
	}
	return false
}

func (d *decoder) decodeStruct(n *node, v reflect.Value, key string) {
	if n.kind == isNull {
		return
	}
	if n.kind != isMap {
		d.problems.Add(key, "has the wrong type or format. Compare it with `tocsin config example`")
		return
	}
	defer d.checkRepeated(n, key)
	fields := fieldsOf(v.Type())
	for _, e := range n.keys {
		below := setting.Join(key, e.name)
		d.places[below] = e.at
		if f := slices.IndexFunc(fields, func(f field) bool { return f.name == e.name }); f >= 0 {
			d.decode(e.value, v.FieldByIndex(fields[f].index), below, fields[f].days)
			continue
		}
		known := make([]string, len(fields))
		for n, f := range fields {
			known[n] = f.name
		}
		slices.Sort(known)
		if near := incident.Nearest(e.name, known); near != "" {
			d.problems.Add(below, "unknown key. Did you mean %s?", near)
		} else {
			d.problems.Add(below, "unknown key. Use one of %s", strings.Join(known, ", "))
		}
	}
}

// checkRepeated adds a problem for each key that a map has twice.
func (d *decoder) checkRepeated(n *node, key string) {
	for _, r := range n.repeated {
		below := setting.Join(key, r.name)
		d.places[below] = r.at
		d.problems.Add(below, "is already set in line %d. Remove one of the two", r.first.line)
	}
}

func (d *decoder) decodeMap(n *node, v reflect.Value, key string) {
	if n.kind != isMap && n.kind != isNull {
		d.wrongType(n, v.Type(), key, false)
		return
	}
	v.SetZero()
	if n.kind == isNull {
		return
	}
	defer d.checkRepeated(n, key)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.keys)))
	for _, e := range n.keys {
		below := setting.Join(key, e.name)
		d.places[below] = e.at
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.value, value, below, false)
		v.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), value)
	}
}

// decodeList accepts a value without brackets as a list of one. An empty text is an
// empty list.
func (d *decoder) decodeList(n *node, v reflect.Value, key string) {
	items := n.items
	switch {
	case n.kind == isNull:
	case n.kind == isMap && !hasKeys(v.Type().Elem()):
		d.wrongType(n, v.Type(), key, false)
		return
	case n.kind != isList && (n.kind == isMap || d.expand(n.text, key) != ""):
		items = []*node{n}
	}
	v.SetZero()
	for n, item := range items {
		at := setting.Index(key, n)
		value := reflect.New(v.Type().Elem()).Elem()
		d.places[at] = item.at
		d.decode(item, value, at, false)
		v.Set(reflect.Append(v, value))
	}
}

// setScalar sets v to the value that text has in its type. An empty text is zero.
func setScalar(v reflect.Value, text string, days bool) error {
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		parse := time.ParseDuration
		if days {
			parse = setting.ParseDuration
		}
		d, err := parse(text)
		*to = d
		return err
	case *netip.Prefix:
		p, err := setting.ParseNetwork(text)
		*to = p
		return err
	case encoding.TextUnmarshaler:
		return to.UnmarshalText([]byte(text))
	}
	if v.Kind() == reflect.String {
		v.SetString(text)
		return nil
	}
	if text == "" {
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 0, v.Type().Bits())
		v.SetInt(n)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err
	}
	return fmt.Errorf("type %s is not supported", v.Type())
}

// describeType returns how to write a value of type t.
func describeType(t reflect.Type, days bool) string {
	switch {
	case days:
		return "Write a duration such as 24h or 400d"
	case t == reflect.TypeFor[time.Duration]():
		return "Write a duration such as 5m or 24h"
	case t == reflect.TypeFor[setting.Day]():
		return "Write a day such as 2026-12-20"
	case t == reflect.TypeFor[netip.Prefix]():
		return "Write a network such as 192.0.2.0/24, or an address"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "Write true or false"
	case reflect.Int, reflect.Int64:
		return "Write a whole number"
	case reflect.Float64:
		return "Write a number"
	case reflect.Slice:
		return "Write a list, such as [a, b]"
	case reflect.Map:
		return "Write a map, such as {a: b}"
	}
	return "Write text"
}

var envRef = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} in a text. It adds a problem for each variable that is not
// set.
func (d *decoder) expand(text, key string) string {
	return envRef.ReplaceAllStringFunc(text, func(m string) string {
		name := envRef.FindStringSubmatch(m)[1]
		value, ok := d.lookup(name)
		if value == "" && d.secrets.path != "" { // an empty variable is as good as none
			value, ok = d.secrets.lookup(name)
		}
		if !ok {
			d.problems.Add(key, "%s", d.secrets.describeMissing(name))
			d.unread[key] = d.secrets.unread && key != secretsKey
		}
		return value
	})
}

// singleValueKeys returns the keys with a single value, sorted. Environment variables
// can set only these keys.
func singleValueKeys() []string {
	keys := map[string]bool{}
	var walk func(t reflect.Type, key string)
	walk = func(t reflect.Type, key string) {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case hasKeys(t):
			for _, f := range fieldsOf(t) {
				walk(f.typ, setting.Join(key, f.name))
			}
		case t.Kind() != reflect.Map && t.Kind() != reflect.Slice:
			keys[key] = true
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return slices.Sorted(maps.Keys(keys))
}
