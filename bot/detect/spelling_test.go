package detect_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tocsin/bot/detect"
)

// mapStrings returns a copy of v with each text changed.
func mapStrings(v any, change func(string) string) any {
	return mapLeaves(v, func(v any) any {
		if s, ok := v.(string); ok {
			return change(s)
		}
		return v
	})
}

// mapLeaves returns a copy of v with each value changed that is not a list or map.
func mapLeaves(v any, change func(any) any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = mapLeaves(e, change)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = mapLeaves(e, change)
		}
		return out
	}
	return change(v)
}

// unwrapSingles returns a copy of v with each list of one object replaced by the
// object, as converters from XML write it.
func unwrapSingles(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = unwrapSingles(e)
		}
		return out
	case []any:
		if len(v) == 1 {
			if o, ok := v[0].(map[string]any); ok {
				return unwrapSingles(o)
			}
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = unwrapSingles(e)
		}
		return out
	}
	return v
}

// isJSONObject reports whether a text is JSON of an object.
func isJSONObject(s string) bool {
	return strings.HasPrefix(s, "{") && json.Valid([]byte(s))
}

// equalSpellings are changes of a record that do not change what the call means.
var equalSpellings = map[string]func(map[string]any) any{
	"booleans as texts": func(r map[string]any) any {
		return mapLeaves(r, func(v any) any {
			if b, ok := v.(bool); ok {
				return fmt.Sprint(b)
			}
			return v
		})
	},
	"numbers as texts": func(r map[string]any) any {
		return mapLeaves(r, func(v any) any {
			switch v.(type) {
			case uint64, int64, float64:
				return fmt.Sprint(v)
			}
			return v
		})
	},
	"a list of one as its element": func(r map[string]any) any { return unwrapSingles(r) },
	"explicit null": func(r map[string]any) any {
		out := maps.Clone(r)
		for _, name := range []string{"errorCode", "errorMessage", "responseElements", "additionalEventData", "requestParameters"} {
			if _, ok := out[name]; !ok {
				out[name] = nil
			}
		}
		return out
	},
	"another partition": func(r map[string]any) any {
		return mapStrings(r, func(s string) string { return strings.ReplaceAll(s, "arn:aws:", "arn:aws-us-gov:") })
	},
	"policies with spaces": func(r map[string]any) any {
		return mapStrings(r, func(s string) string {
			if !isJSONObject(s) || hasRepeatedKeys(s) {
				return s
			}
			var v any
			_ = json.Unmarshal([]byte(s), &v)
			b, _ := json.MarshalIndent(v, " ", "   ")
			return " " + string(b) + "\n"
		})
	},
	"percent-encoded policies": func(r map[string]any) any {
		return mapStrings(r, func(s string) string {
			if !strings.HasPrefix(s, `{"Statement`) {
				return s
			}
			return url.PathEscape(s)
		})
	},
	"networks with host bits": func(r map[string]any) any {
		return mapStrings(r, func(s string) string {
			p, err := netip.ParsePrefix(s)
			if err != nil || p.Bits() == p.Addr().BitLen() {
				return s
			}
			b := p.Addr().AsSlice()
			b[len(b)-1] |= 1
			addr, _ := netip.AddrFromSlice(b)
			return fmt.Sprintf("%s/%d", addr.StringExpanded(), p.Bits())
		})
	},
	"a version of the API": func(r map[string]any) any {
		out := maps.Clone(r)
		if name, ok := r["eventName"].(string); ok && r["eventSource"] == "lambda.amazonaws.com" && !strings.Contains(name, "20") {
			out["eventName"] = name + "20150331v2"
		}
		return out
	},
	"words in another case": func(r map[string]any) any {
		out := maps.Clone(r)
		for _, part := range []string{"requestParameters", "responseElements"} {
			if v, ok := r[part]; ok {
				out[part] = mapStrings(v, func(s string) string {
					if strings.ContainsAny(s, ":/{ -") {
						return s
					}
					return strings.ToUpper(s)
				})
			}
		}
		return out
	},
}

func hasRepeatedKeys(s string) bool { return refRepeats(refDecode([]byte(s))) }

// The built-in rules match each record of their fixtures in every spelling that
// means the same.
func TestBuiltinRules_SpellingDoesNotMatter(t *testing.T) {
	rs, _ := detect.Load(detect.Options{Builtin: true, All: true})
	matching := func(t *testing.T, record any) []string {
		b, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		r, err := detect.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, rule := range rs.Evaluate(r) {
			names = append(names, rule.Name)
		}
		slices.Sort(names)
		return names
	}
	eachFixtureRecord(t, func(record map[string]any) {
		want := matching(t, record)
		for name, change := range equalSpellings {
			changed := change(record)
			if got := matching(t, changed); !slices.Equal(got, want) {
				b, _ := json.Marshal(changed)
				t.Errorf("%s: got hits of %v, want %v: %s", name, got, want, b)
			}
		}
	})
}

// A parameter that is null was not given, but counts as present for exists. Rules
// therefore test presence with neq: null.
func TestBuiltinRules_NullIsAbsent(t *testing.T) {
	files, _ := filepath.Glob("rules/*.yaml")
	exists := regexp.MustCompile(`(?m)^.*\bexists: (?:true|false).*$`)
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range exists.FindAllString(string(src), -1) {
			if !strings.Contains(line, "tocsin.") {
				t.Errorf("%s: got %q, want neq: null", file, strings.TrimSpace(line))
			}
		}
	}
}

// eachFixtureRecord calls each with the records of the fixtures of the built-in
// rules.
func eachFixtureRecord(t *testing.T, each func(map[string]any)) {
	files, err := filepath.Glob("rules/fixtures/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		src, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		docs := yaml.NewDecoder(src)
		for {
			var fixture struct{ Records []map[string]any }
			if err := docs.Decode(&fixture); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, record := range fixture.Records {
				each(record)
			}
		}
	}
}
