package bot

import (
	"errors"
	"fmt"
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

// ConfigError is one thing wrong with the configuration: which key, and what to do.
type ConfigError struct {
	Key string
	Fix string
}

func (f ConfigError) String() string { return f.Key + ": " + f.Fix }

// ConfigErrors are all the things wrong with a configuration.
type ConfigErrors []ConfigError

func (f ConfigErrors) Error() string {
	lines := make([]string, len(f))
	for n, fault := range f {
		lines[n] = "  " + fault.String()
	}
	count := fmt.Sprintf("%d faults", len(f))
	if len(f) == 1 {
		count = "a fault"
	}
	return fmt.Sprintf("the configuration has %s:\n%s", count, strings.Join(lines, "\n"))
}

func (f *ConfigErrors) add(key, format string, args ...any) {
	*f = append(*f, ConfigError{key, fmt.Sprintf(format, args...)})
}

// envPrefix starts the environment variables that override the file:
// TOCSIN_DATABASE, TOCSIN_SLACK__BOT_TOKEN.
const envPrefix = "TOCSIN_"

// Load reads a configuration file. ${NAME} stands for an environment variable,
// and TOCSIN_… variables override single keys. It reports every fault at once,
// as Faults.
func Load(path string) (Config, error) {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	named := map[string]bool{} // variables that the file itself asks for
	expand(k.Raw(), "", func(name string) (string, bool) { named[name] = true; return "", true }, &ConfigErrors{})
	var faults ConfigErrors
	overrides := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(variable, value string) (string, any) {
		name, ok := envKey(variable)
		if !ok && !named[variable] && !kubernetesVars.MatchString(variable+"="+value) {
			faults.add(variable, "%s", suggestVar(variable))
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
	if faults = append(faults, found...); len(faults) > 0 {
		return c, faults
	}
	return c, nil
}

// kubernetesVars are the variables that begin like ours and are none of our settings:
// what Kubernetes tells every container about services that are called tocsin or
// tocsin-…, and what begins with TOCSIN_TEST_, for tests that start this program.
var kubernetesVars = regexp.MustCompile(`^TOCSIN_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=` +
	`|^TOCSIN_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://|^TOCSIN_TEST_`)

// envKey is the key that a TOCSIN_… variable sets; "" and false for none.
func envKey(variable string) (key string, ok bool) {
	key = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "__", "."))
	if !slices.Contains(knownKeys(), key) {
		return "", false
	}
	return key, true
}

// suggestVar says what was meant by a variable that sets nothing.
func suggestVar(variable string) string {
	var known []string
	for _, key := range knownKeys() {
		known = append(known, strings.ToUpper(strings.ReplaceAll(key, ".", "__")))
	}
	if near := incident.Nearest(strings.TrimPrefix(variable, envPrefix), known); near != "" {
		return "this variable sets nothing; the nearest that does is " + envPrefix + near
	}
	return "this variable sets nothing: it is named after a key that holds one value, with two underscores for a dot, as in TOCSIN_SLACK__BOT_TOKEN; what is your own, call otherwise"
}

// decode turns the raw tree into a Config and collects what is wrong with it.
func decode(raw map[string]any, lookup func(string) (string, bool)) (Config, error) {
	var faults ConfigErrors
	tree := expand(raw, "", lookup, &faults)
	findUnknownKeys(tree, reflect.TypeFor[Config](), "", &faults)
	c := Defaults()
	if _, given := raw["routing"]; given {
		c.Routing = nil // the first match wins: defaults must not stay behind it
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{TagName: "koanf", Result: &c, WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), dayHook, mapstructure.TextUnmarshallerHookFunc())})
	if err != nil {
		return c, err
	}
	if err := decoder.Decode(tree); err != nil {
		typeFaults(err, &faults)
	}
	faults = append(faults, withoutParents(c.Validate(), faults)...)
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b ConfigError) int { return strings.Compare(a.Key, b.Key) })
		return c, slices.CompactFunc(faults, func(a, b ConfigError) bool { return a.Key == b.Key })
	}
	return c, nil
}

// withoutParents leaves out what is said about the parents of keys that are wrong
// already: where a day cannot be read, its department is not missing.
func withoutParents(found, known ConfigErrors) ConfigErrors {
	return slices.DeleteFunc(found, func(f ConfigError) bool {
		return slices.ContainsFunc(known, func(k ConfigError) bool {
			return strings.HasPrefix(k.Key, f.Key+".") || strings.HasPrefix(k.Key, f.Key+"[")
		})
	})
}

// dayHook takes a day that YAML has read as a time already.
func dayHook(from, to reflect.Type, v any) (any, error) {
	if at, ok := v.(time.Time); ok && to == reflect.TypeFor[Day]() && from == reflect.TypeFor[time.Time]() {
		return Day{at}, nil
	}
	return v, nil
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} everywhere; one that is not set is a fault.
func expand(v any, key string, lookup func(string) (string, bool), faults *ConfigErrors) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			out[name] = expand(e, join(key, name), lookup, faults)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for n, e := range v {
			out[n] = expand(e, fmt.Sprintf("%s[%d]", key, n), lookup, faults)
		}
		return out
	case string:
		return variable.ReplaceAllStringFunc(v, func(m string) string {
			name := variable.FindStringSubmatch(m)[1]
			value, ok := lookup(name)
			if !ok {
				faults.add(key, "the environment variable %s is not set", name)
			}
			return value
		})
	}
	return v
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// findUnknownKeys reports keys that the configuration does not have, with the nearest
// one that it has.
func findUnknownKeys(v any, t reflect.Type, key string, faults *ConfigErrors) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		tree, ok := v.(map[string]any)
		if !ok {
			return // a secret, a day; or a type fault that the decoder reports
		}
		fields := map[string]reflect.Type{}
		for n := range t.NumField() {
			if tag := t.Field(n).Tag.Get("koanf"); tag != "" {
				fields[tag] = t.Field(n).Type
			}
		}
		if len(fields) == 0 { // a secret, a day
			faults.add(key, "has the wrong type or form: write one value, in quotes if need be")
			return
		}
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			if ft, ok := fields[name]; ok {
				findUnknownKeys(tree[name], ft, join(key, name), faults)
				continue
			}
			known := slices.Sorted(maps.Keys(fields))
			if near := incident.Nearest(name, known); near != "" {
				faults.add(join(key, name), "there is no such key; the nearest is %s", near)
			} else {
				faults.add(join(key, name), "there is no such key; here are %s", strings.Join(known, ", "))
			}
		}
	case reflect.Map:
		tree, _ := v.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			findUnknownKeys(tree[name], t.Elem(), join(key, name), faults)
		}
	case reflect.Slice:
		list, _ := v.([]any)
		for n, e := range list {
			findUnknownKeys(e, t.Elem(), fmt.Sprintf("%s[%d]", key, n), faults)
		}
	}
}

// typeFaults takes the decoder's errors apart. It does not repeat the values,
// which may be secrets.
func typeFaults(err error, faults *ConfigErrors) {
	var one *mapstructure.DecodeError
	var many interface{ Unwrap() []error }
	switch {
	case errors.As(err, &many):
		for _, e := range many.Unwrap() {
			typeFaults(e, faults)
		}
	case errors.As(err, &one):
		key := lower(one.Name())
		faults.add(key, "has the wrong type or form: %s", describeType(typeOf(key)))
	default:
		faults.add("configuration", "cannot be read")
	}
}

// lower turns the decoder's path into the key as it is written.
func lower(name string) string { return mapKey.ReplaceAllString(strings.ToLower(name), ".$1") }

// mapKey is how the decoder writes the key of a map: departments[legal].
var mapKey = regexp.MustCompile(`\[([^\]]*[^\]0-9][^\]]*)\]`)

// typeOf is what a key holds; nil where there is no such key.
func typeOf(key string) reflect.Type {
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

// describeType says how what a key holds is written.
func describeType(t reflect.Type) string {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case nil:
		return "compare it with `tocsin config example`"
	case reflect.TypeFor[time.Duration]():
		return "write a duration such as 5m or 24h"
	case reflect.TypeFor[Duration]():
		return "write a duration such as 24h or 400d"
	case reflect.TypeFor[Day]():
		return "write a day such as 2026-12-20"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "write true or false"
	case reflect.Int, reflect.Int64:
		return "write a whole number"
	case reflect.Float64:
		return "write a number"
	case reflect.String:
		return "write a text"
	case reflect.Slice:
		return "write a list, such as [a, b]"
	}
	return "compare it with `tocsin config example`"
}

// knownKeys lists the keys that an environment variable may set: those that hold one value.
func knownKeys() []string {
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
				walk(ft, join(key, tag))
			case ft.Kind() != reflect.Map && ft.Kind() != reflect.Slice:
				out = append(out, join(key, tag))
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
}

func hasKeys(t reflect.Type) bool {
	return t.NumField() > 0 && t.Field(0).Tag.Get("koanf") != ""
}
