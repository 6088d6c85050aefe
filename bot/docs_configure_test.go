package bot

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"tocsin/bot/config"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// documentedKey is one key of the configuration as docs/configure.md lists it: a
// list is written people[], the name of a map's entry NAME. The limits of the
// sources and what is usual for them, which all have the same keys, are listed once.
type documentedKey struct {
	name, kind, standard string
}

// documentedKeys lists every key that holds a value, with its type and default.
func documentedKeys() []documentedKey {
	var out []documentedKey
	seen := map[string]bool{}
	var walk func(t reflect.Type, v reflect.Value, key string, days bool)
	walk = func(t reflect.Type, v reflect.Value, key string, days bool) {
		if t.Kind() == reflect.Pointer {
			t, v = t.Elem(), reflect.Value{}
		}
		switch {
		case t == reflect.TypeFor[intake.Limits]():
			key = "sources.SOURCE.limits"
		case t == reflect.TypeFor[intake.Usual]():
			key, v = "sources.SOURCE", reflect.Value{}
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && hasKeys(t.Elem()):
			walk(t.Elem(), reflect.Value{}, key+"[]", false)
			return
		case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
			walk(t.Elem(), reflect.Value{}, key+".NAME", false)
			return
		}
		if t.Kind() == reflect.Struct && hasKeys(t) {
			for n := range t.NumField() {
				field := reflect.Value{}
				if v.IsValid() {
					field = v.Field(n)
				}
				if tag, inline := strings.CutSuffix(t.Field(n).Tag.Get("yaml"), ",inline"); tag != "" || inline {
					walk(t.Field(n).Type, field, setting.Join(key, tag), t.Field(n).Tag.Get("unit") == "days")
				}
			}
			return
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, documentedKey{key, kindOf(t, days), defaultOf(v, days)})
		}
	}
	walk(reflect.TypeFor[config.Config](), reflect.ValueOf(config.Defaults()), "", false)
	return out
}

// hasKeys reports whether a type is a struct with keys of the configuration.
func hasKeys(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("yaml") != ""
}

// kindOf names a type as people write its values.
func kindOf(t reflect.Type, days bool) string {
	if days {
		return "duration, days"
	}
	switch t {
	case reflect.TypeFor[secret.String]():
		return "secret"
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[setting.Day]():
		return "date"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + kindOf(t.Elem(), false)
	case reflect.Map:
		return "map of " + kindOf(t.Elem(), false)
	case reflect.Pointer:
		return kindOf(t.Elem(), false)
	}
	return "text"
}

// defaultOf writes a default as the table does, or "" if there is none.
func defaultOf(v reflect.Value, days bool) string {
	if !v.IsValid() || v.IsZero() {
		return ""
	}
	if d, ok := v.Interface().(time.Duration); ok {
		if days {
			return fmt.Sprintf("`%dd`", int(d.Hours()/24))
		}
		return "`" + shortDuration(d) + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var configRow = regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9_.\\[\\]]+)` \\| ([^|\n]*) \\| ([^|\n]*) \\| (.*) \\|$")

// TestDocs_Configuration compares the tables of docs/configure.md with the
// configuration: every key, its type and its default. With -update it corrects
// types and defaults.
func TestDocs_Configuration(t *testing.T) {
	p := openPage(t, "docs/configure.md")
	known, listed := map[string]documentedKey{}, map[string]bool{}
	for _, k := range documentedKeys() {
		known[k.name] = k
	}
	text := configRow.ReplaceAllStringFunc(p.text, func(row string) string {
		m := configRow.FindStringSubmatch(row)
		k, ok := known[m[1]]
		if !ok {
			t.Errorf("docs/configure.md: got the key %s, want a key of the configuration; remove the row", m[1])
			return row
		}
		if listed[m[1]] {
			t.Errorf("docs/configure.md: got two rows for %s, want one", m[1])
		}
		listed[m[1]] = true
		want := fmt.Sprintf("| `%s` | %s | %s | %s |", k.name, k.kind, k.standard, m[4])
		if row != want && !*update {
			t.Errorf("docs/configure.md: %s is out of date; run: %s\ngot:  %s\nwant: %s", k.name, regenerate, row, want)
		}
		return want
	})
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !listed[name] {
			t.Errorf("docs/configure.md: got no row for %s, want: | `%[1]s` | %s | %s | MEANING |", name, known[name].kind, known[name].standard)
		}
	}
	if *update && text != p.text {
		p.write(text)
	}
}

// TestDocs_ConfigurationSnippets checks every YAML example of a configuration:
// together with the rest of bot/config/example.yaml it must be valid.
func TestDocs_ConfigurationSnippets(t *testing.T) {
	for _, p := range allPages(t) {
		for _, f := range p.fences("yaml") {
			var tree, part map[string]any
			if err := yaml.Unmarshal([]byte(config.Example), &tree); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(f.text), &part); err != nil {
				t.Errorf("%s:%d: got %v, want YAML", p.path, f.line, err)
				continue
			}
			overlay(tree, part)
			if detection, ok := tree["detection"].(map[string]any); ok {
				detection["rules"] = []any{} // the folders of an example do not exist
			}
			if books, ok := tree["playbooks"].(map[string]any); ok {
				books["folders"] = []any{}
			}
			whole, err := yaml.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := config.Parse("tocsin.yaml", whole, nil, exampleVariable); err != nil {
				t.Errorf("%s:%d: got %v, want a valid configuration", p.path, f.line, err)
			}
		}
	}
}

// TestDocs_ConfigurationErrors compares the example of an error message with
// the program's.
func TestDocs_ConfigurationErrors(t *testing.T) {
	text := strings.Replace(config.Example, "listen: ", "listn: ", 1)
	text = strings.Replace(text, "escalate_after: 5m ", "escalate_after: 5 min", 1)
	_, err := config.Parse("tocsin.yaml", []byte(text), nil, exampleVariable)
	if err == nil {
		t.Fatal("got a valid configuration, want errors")
	}
	openPage(t, "docs/configure.md").generated("errors", "```text\ntocsin: "+err.Error()+"\n```\n")
}

// exampleVariable returns a value for each variable that bot/config/example.yaml names.
func exampleVariable(name string) (string, bool) {
	if name == "SENTRY_DSN" {
		return "https://0123456789abcdef@sentry.example.com/1", true
	}
	return "0123456789abcdef0123456789abcdef", true
}

// overlay replaces the keys of tree with the keys of part.
func overlay(tree, part map[string]any) {
	for key, v := range part {
		below, ok := v.(map[string]any)
		under, ok2 := tree[key].(map[string]any)
		if ok && ok2 {
			overlay(under, below)
			continue
		}
		tree[key] = v
	}
}
