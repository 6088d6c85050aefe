package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// TestChangedKeys_SeesEveryKey changes each value of the example, and expects
// exactly its key.
func TestChangedKeys_SeesEveryKey(t *testing.T) {
	var base, changed Config
	for _, c := range []*Config{&base, &changed} {
		var err error
		if *c, err = decode(exampleTree(t), exampleEnv); err != nil {
			t.Fatal(err)
		}
	}
	if got := ChangedKeys(base, changed); len(got) > 0 {
		t.Fatalf("got changes %v without a change", got)
	}
	seen := 0
	try := func(v reflect.Value, key string, next any) {
		t.Helper()
		seen++
		old := reflect.ValueOf(v.Interface())
		v.Set(reflect.ValueOf(next).Convert(v.Type()))
		if got := ChangedKeys(base, changed); !slices.Equal(got, []string{key}) {
			t.Errorf("got changes %v, want %s", got, key)
		}
		v.Set(old)
	}
	var walk func(v reflect.Value, key string)
	walk = func(v reflect.Value, key string) {
		switch {
		case v.Type() == reflect.TypeFor[secret.String]():
			try(v, key, secret.New("another secret of this key"))
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(v.Elem(), key)
		case v.Kind() == reflect.Slice && v.Len() > 0:
			walk(v.Index(0), key+"[0]")
			try(v, key, v.Slice(0, v.Len()-1).Interface())
		case v.Kind() == reflect.Struct && hasKeys(v.Type()):
			for _, f := range fieldsOf(v.Type()) {
				walk(v.FieldByIndex(f.index), setting.Join(key, f.name))
			}
		case v.Kind() == reflect.String:
			try(v, key, v.String()+"x")
		case v.Kind() == reflect.Bool:
			try(v, key, !v.Bool())
		case v.CanInt():
			try(v, key, v.Int()+1)
		}
	}
	walk(reflect.ValueOf(&changed).Elem(), "")
	if seen < 100 {
		t.Errorf("got %d keys, want at least 100", seen)
	}
}

// TestCanReload_IsDocumented compares the keys that a reload can change with the
// table in docs/operations.md. A new key needs a restart until it is listed.
func TestCanReload_IsDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "<!-- reload:begin -->")
	table, _, found := strings.Cut(rest, "<!-- reload:end -->")
	if !found {
		t.Fatal("docs/operations.md has no table of the keys")
	}
	documented := map[string][]string{}
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
				documented[strings.TrimSpace(cells[1])] = append(documented[strings.TrimSpace(cells[1])], m[1])
			}
		}
	}
	if got := documented["Reload"]; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(Reloadable()))) {
		t.Errorf("got keys %v, want %v", got, Reloadable())
	}
	fixed := slices.Clone(fixedBelow)
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		if f.name != "sources" && !CanReload(f.name) {
			fixed = append(fixed, f.name)
		}
	}
	for _, key := range fixed {
		if !slices.Contains(documented["Restart"], key) {
			t.Errorf("docs/operations.md does not list %s as a key that needs a restart", key)
		}
	}
}

func TestCanReload(t *testing.T) {
	for key, want := range map[string]bool{"people[3].email": true, "departments.legal.members": true, "routing": true, "sources.generic[0].tokens[1]": true,
		"sources.generic[0].limits.rate": false, "sources.generic[0].name": false, "mail.from": false, "mail.host": true, "listen": false, "slack.app_token": false,
		"database": false, "keyset_file": false, "peoples": false, "": false, "a_new_key": false, "sources.sentry.limits.rate": false} {
		if got := CanReload(key); got != want {
			t.Errorf("%s: got %t, want %t", key, got, want)
		}
	}
}
