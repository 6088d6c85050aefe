package bot

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"tocsin/bot/incident"
)

// ConfigError is a problem with one key of the configuration. Fix describes the
// problem and its fix, without secrets.
type ConfigError struct {
	Key string
	Fix string
}

func (f ConfigError) String() string { return f.Key + ": " + f.Fix }

// ConfigErrors are all problems of a configuration. [Load] returns the errors of
// environment variables first, then the errors of the file, sorted by key.
type ConfigErrors []ConfigError

func (f ConfigErrors) Error() string {
	lines := make([]string, len(f))
	for n, e := range f {
		lines[n] = "  " + e.String()
	}
	count := fmt.Sprintf("%d errors", len(f))
	if len(f) == 1 {
		count = "1 error"
	}
	return fmt.Sprintf("the configuration has %s:\n%s", count, strings.Join(lines, "\n"))
}

func (f *ConfigErrors) add(key, format string, args ...any) {
	*f = append(*f, ConfigError{key, fmt.Sprintf(format, args...)})
}

// envPrefix is the prefix of the environment variables that override the file:
// TOCSIN_DATABASE, TOCSIN_SLACK__BOT_TOKEN.
const envPrefix = "TOCSIN_"

// Load reads and validates a configuration file. It replaces ${NAME} with the
// environment variable NAME, and TOCSIN_… variables override single keys. It
// returns all problems of the configuration as [ConfigErrors], and another error
// if the file cannot be read or parsed.
func Load(path string) (Config, error) {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Config{}, fmt.Errorf("read configuration %s: %w (choose another file with --config, or create one with: tocsin config example)", path, err)
		}
		return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	named := map[string]bool{} // variables that the file refers to
	expandVars(k.Raw(), "", func(name string) (string, bool) { named[name] = true; return "", true }, &ConfigErrors{})
	var problems ConfigErrors
	overrides := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(variable, value string) (string, any) {
		name, ok := envKey(variable)
		if !ok && !named[variable] && !kubernetesVars.MatchString(variable+"="+value) {
			problems.add(variable, "%s", suggestVar(variable))
		}
		return name, value
	}})
	if err := k.Load(overrides, nil); err != nil {
		return Config{}, fmt.Errorf("read configuration from the environment: %w", err)
	}
	c, err := decode(k.Raw(), os.LookupEnv)
	var found ConfigErrors
	if err != nil && !errors.As(err, &found) {
		return c, err
	}
	if problems = append(problems, found...); len(problems) > 0 {
		return c, problems
	}
	return c, nil
}

// kubernetesVars matches NAME=VALUE of variables that have the prefix but set no
// key. Kubernetes sets them in every container if a service is named tocsin or
// tocsin-…. TOCSIN_TEST_… is reserved for tests that start this program.
var kubernetesVars = regexp.MustCompile(`^TOCSIN_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=` +
	`|^TOCSIN_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://|^TOCSIN_TEST_`)

// envKey returns the key that a TOCSIN_… variable sets. If it sets none, ok is
// false.
func envKey(variable string) (key string, ok bool) {
	key = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "__", "."))
	if !slices.Contains(singleValueKeys(), key) {
		return "", false
	}
	return key, true
}

// suggestVar returns the error for a variable that sets no key, with the most
// similar variable that does.
func suggestVar(variable string) string {
	var known []string
	for _, key := range singleValueKeys() {
		known = append(known, strings.ToUpper(strings.ReplaceAll(key, ".", "__")))
	}
	if near := incident.Nearest(strings.TrimPrefix(variable, envPrefix), known); near != "" {
		return "does not set any key. Did you mean " + envPrefix + near + "?"
	}
	return "does not set any key. Write the name of a key with two underscores for a dot, such as TOCSIN_SLACK__BOT_TOKEN, or choose a name without the prefix TOCSIN_. Only keys with a single value can be set"
}

// decode converts a YAML tree to a Config. It returns all problems as
// [ConfigErrors], sorted by key, with one problem for each key.
func decode(raw map[string]any, lookup func(string) (string, bool)) (Config, error) {
	var problems ConfigErrors
	tree := expandVars(raw, "", lookup, &problems)
	findUnknownKeys(tree, reflect.TypeFor[Config](), "", &problems)
	c := Defaults()
	if _, given := raw["routing"]; given {
		c.Routing = nil // the first match decides, so the default rules must not follow the configured ones
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{TagName: "koanf", Result: &c, WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), dayHook, mapstructure.TextUnmarshallerHookFunc())})
	if err != nil {
		return c, err
	}
	if err := decoder.Decode(tree); err != nil {
		addTypeErrors(err, &problems)
	}
	problems = append(problems, withoutParents(c.Validate(), problems)...)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b ConfigError) int { return strings.Compare(a.Key, b.Key) })
		return c, slices.CompactFunc(problems, func(a, b ConfigError) bool { return a.Key == b.Key })
	}
	return c, nil
}

// withoutParents returns the errors in found, except those about a parent of a
// key in known. If a day cannot be parsed, for example, its department is
// incomplete only for that reason.
func withoutParents(found, known ConfigErrors) ConfigErrors {
	return slices.DeleteFunc(found, func(f ConfigError) bool {
		return slices.ContainsFunc(known, func(k ConfigError) bool {
			return strings.HasPrefix(k.Key, f.Key+".") || strings.HasPrefix(k.Key, f.Key+"[")
		})
	})
}

// dayHook converts a date that the YAML parser decoded as a [time.Time].
func dayHook(from, to reflect.Type, v any) (any, error) {
	if at, ok := v.(time.Time); ok && to == reflect.TypeFor[Day]() && from == reflect.TypeFor[time.Time]() {
		return Day{at}, nil
	}
	return v, nil
}

var envRef = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expandVars replaces ${NAME} in all strings of v. It adds an error for each
// variable that is not set.
func expandVars(v any, key string, lookup func(string) (string, bool), problems *ConfigErrors) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			out[name] = expandVars(e, joinKey(key, name), lookup, problems)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for n, e := range v {
			out[n] = expandVars(e, fmt.Sprintf("%s[%d]", key, n), lookup, problems)
		}
		return out
	case string:
		return envRef.ReplaceAllStringFunc(v, func(m string) string {
			name := envRef.FindStringSubmatch(m)[1]
			value, ok := lookup(name)
			if !ok {
				problems.add(key, "the environment variable %s is not set. Set it or write the value", name)
			}
			return value
		})
	}
	return v
}

func joinKey(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// findUnknownKeys adds an error for each key that t does not have, with the most
// similar key or all keys.
func findUnknownKeys(v any, t reflect.Type, key string, problems *ConfigErrors) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		tree, ok := v.(map[string]any)
		if !ok {
			return // a single value, or a type error that the decoder reports
		}
		fields := map[string]reflect.Type{}
		for n := range t.NumField() {
			if tag := t.Field(n).Tag.Get("koanf"); tag != "" {
				fields[tag] = t.Field(n).Type
			}
		}
		if len(fields) == 0 { // a type with one value, such as secret.String or Day
			problems.add(key, "has the wrong type or format. Write one value, in quotes if necessary")
			return
		}
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			if ft, ok := fields[name]; ok {
				findUnknownKeys(tree[name], ft, joinKey(key, name), problems)
				continue
			}
			known := slices.Sorted(maps.Keys(fields))
			if near := incident.Nearest(name, known); near != "" {
				problems.add(joinKey(key, name), "unknown key. Did you mean %s?", near)
			} else {
				problems.add(joinKey(key, name), "unknown key. Use one of %s", strings.Join(known, ", "))
			}
		}
	case reflect.Map:
		tree, _ := v.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			findUnknownKeys(tree[name], t.Elem(), joinKey(key, name), problems)
		}
	case reflect.Slice:
		list, _ := v.([]any)
		for n, e := range list {
			findUnknownKeys(e, t.Elem(), fmt.Sprintf("%s[%d]", key, n), problems)
		}
	}
}

// addTypeErrors adds an error for each error of the decoder. It omits the values,
// because they may be secrets.
func addTypeErrors(err error, problems *ConfigErrors) {
	var one *mapstructure.DecodeError
	var many interface{ Unwrap() []error }
	switch {
	case errors.As(err, &many):
		for _, e := range many.Unwrap() {
			addTypeErrors(e, problems)
		}
	case errors.As(err, &one):
		key := configKey(one.Name())
		problems.add(key, "has the wrong type or format. %s", describeType(keyType(key)))
	default:
		problems.add("configuration", "cannot be decoded. Compare it with `tocsin config example`")
	}
}

// configKey converts a path of the decoder to a key of the configuration.
func configKey(name string) string {
	return mapKeyPattern.ReplaceAllString(strings.ToLower(name), ".$1")
}

// mapKeyPattern matches a map key in a path of the decoder, such as
// departments[legal].
var mapKeyPattern = regexp.MustCompile(`\[([^\]]*[^\]0-9][^\]]*)\]`)

// keyType returns the type of a key's value, or nil if the key does not exist.
func keyType(key string) reflect.Type {
	t := reflect.TypeFor[Config]()
	for _, name := range strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Slice, reflect.Map:
			t = t.Elem()
			continue
		case reflect.Struct:
		default:
			return nil
		}
		field, found := reflect.StructField{}, false
		for n := 0; n < t.NumField() && !found; n++ {
			field = t.Field(n)
			found = field.Tag.Get("koanf") == name
		}
		if !found {
			return nil
		}
		t = field.Type
	}
	return t
}

// describeType returns how to write a value of type t.
func describeType(t reflect.Type) string {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case nil:
		return "Compare it with `tocsin config example`"
	case reflect.TypeFor[time.Duration]():
		return "Write a duration such as 5m or 24h"
	case reflect.TypeFor[Duration]():
		return "Write a duration such as 24h or 400d"
	case reflect.TypeFor[Day]():
		return "Write a day such as 2026-12-20"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "Write true or false"
	case reflect.Int, reflect.Int64:
		return "Write a whole number"
	case reflect.Float64:
		return "Write a number"
	case reflect.String:
		return "Write text"
	case reflect.Slice:
		return "Write a list, such as [a, b]"
	}
	return "Compare it with `tocsin config example`"
}

// singleValueKeys returns the keys with a single value. Environment variables
// can set only these keys.
func singleValueKeys() []string {
	var out []string
	var walk func(t reflect.Type, key string)
	walk = func(t reflect.Type, key string) {
		for n := range t.NumField() {
			tag, ft := t.Field(n).Tag.Get("koanf"), t.Field(n).Type
			if ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			switch {
			case tag == "":
			case ft.Kind() == reflect.Struct && hasKeys(ft):
				walk(ft, joinKey(key, tag))
			case ft.Kind() != reflect.Map && ft.Kind() != reflect.Slice:
				out = append(out, joinKey(key, tag))
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
}

func hasKeys(t reflect.Type) bool {
	return t.NumField() > 0 && t.Field(0).Tag.Get("koanf") != ""
}
