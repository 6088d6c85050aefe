package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// Reloadable returns the keys that a running process can change, with everything
// below them. All others need a restart. A source that is not fixed can change,
// except for its limits.
func Reloadable() []string {
	keys := []string{"secrets_file", "administrators", "people", "departments", "teams", "language", "public_url", "conference_url", "pagerduty", "mail", "escalation", "routing", "storm",
		"retention", "backup", "notary", "playbooks", "updates", "sign_off", "sign_in", "redaction", "detection"}
	for _, s := range kinds() {
		switch {
		case s.Fixed:
		case s.listed():
			keys = append(keys, indexPattern.ReplaceAllString(s.Key, ""))
		default:
			for _, f := range fieldsOf(reflect.TypeOf(s.Settings)) {
				if f.name != "limits" {
					keys = append(keys, setting.Join(s.Key, f.name))
				}
			}
		}
	}
	return keys
}

// fixedBelow are the keys below [Reloadable] that need a restart: the webhooks
// keep their limits, and the reader of the report mailbox keeps the sender.
var fixedBelow = []string{"mail.from", "sources.generic.limits", "sources.generic.name"}

var indexPattern = regexp.MustCompile(`\[[0-9]+\]`)

// CanReload reports whether a running process can change a key.
func CanReload(key string) bool {
	key = indexPattern.ReplaceAllString(key, "")
	within := func(parent string) bool { return key == parent || strings.HasPrefix(key, parent+".") }
	return slices.ContainsFunc(Reloadable(), within) && !slices.ContainsFunc(fixedBelow, within)
}

// ChangedKeys returns the keys whose values differ, sorted. A list or map whose
// length differs is one key.
func ChangedKeys(old, next Config) []string {
	var out []string
	compareValues("", reflect.ValueOf(old), reflect.ValueOf(next), &out)
	slices.Sort(out)
	return slices.Compact(out)
}

// compareValues adds the keys below key whose values differ.
func compareValues(key string, a, b reflect.Value, out *[]string) {
	switch {
	case a.Type() == reflect.TypeFor[secret.String]():
		if a.Interface().(secret.String).Reveal() != b.Interface().(secret.String).Reveal() {
			*out = append(*out, key)
		}
	case a.Type() == reflect.TypeFor[setting.Day]():
		if !a.Interface().(setting.Day).Equal(b.Interface().(setting.Day).Time) {
			*out = append(*out, key)
		}
	case a.Kind() == reflect.Pointer:
		switch {
		case a.IsNil() != b.IsNil():
			*out = append(*out, key)
		case !a.IsNil():
			compareValues(key, a.Elem(), b.Elem(), out)
		}
	case hasKeys(a.Type()):
		for _, f := range fieldsOf(a.Type()) {
			compareValues(setting.Join(key, f.name), a.FieldByIndex(f.index), b.FieldByIndex(f.index), out)
		}
	case a.Kind() == reflect.Slice:
		if a.Len() != b.Len() {
			*out = append(*out, key)
			return
		}
		for n := range a.Len() {
			compareValues(setting.Index(key, n), a.Index(n), b.Index(n), out)
		}
	case a.Kind() == reflect.Map:
		for _, name := range append(a.MapKeys(), b.MapKeys()...) {
			if in, also := a.MapIndex(name), b.MapIndex(name); in.IsValid() && also.IsValid() {
				compareValues(setting.Join(key, name.String()), in, also, out)
				continue
			}
			*out = append(*out, setting.Join(key, name.String()))
		}
	case !a.Equal(b):
		*out = append(*out, key)
	}
}
