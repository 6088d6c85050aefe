package bot

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/knadh/koanf/parsers/yaml"

	"tocsin/bot/secret"
)

// FuzzConfig: whatever stands in the file is a configuration, or has faults that
// each name a key and what to do; the same file says the same twice; and no
// secret is repeated.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("people: [{id: a}, 7, null]\ndepartments: {legal: [a], security: {members: [{person: a, from: 2026-01-01}]}}\n"))
	f.Add([]byte("sources:\n  generic:\n    - {name: x, mapping: {title: body.title, each: 'body.list'}, tokens: ['${A_TOKEN}']}\n  sns: {topics: [arn]}\n"))
	f.Add([]byte("routing:\n  - {when: 'source == \"sentry\"', open: sev1, recurrence_window: 1h}\n  - {when: true, drop: 1}\nstorm: {per: 1y}\n"))
	f.Add([]byte("a: &a [*a]\nlisten: {<<: {b: 1}}\n? [x]\n: 1\n"))
	f.Add([]byte("slack: {bot_token: ${SLACK_BOT_TOKEN}, botoken: ${X}}\nlanguage: zz\n\xff: \"\\ud800\"\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := yaml.Parser().Unmarshal(file); err != nil {
			return // the parser has said so
		}
		say := func() (Config, ConfigErrors) {
			raw, err := yaml.Parser().Unmarshal(file)
			if err != nil {
				t.Fatalf("the second time it is no YAML: %v", err)
			}
			for key, paths := range map[string]string{"detection": "rules", "playbooks": "folders"} { // they would be looked for on this disk
				if section, ok := raw[key].(map[string]any); ok {
					delete(section, paths)
				}
			}
			c, err := decode(raw, exampleEnv)
			var faults ConfigErrors
			if err != nil && !errors.As(err, &faults) {
				t.Fatalf("%v names no key", err)
			}
			return c, faults
		}
		one, faults := say()
		two, again := say()
		if !reflect.DeepEqual(faults, again) {
			t.Fatalf("%v and then %v", faults, again)
		}
		if len(faults) == 0 && !cmp.Equal(one, two, cmp.Comparer(func(a, b secret.String) bool { return a.Reveal() == b.Reveal() })) {
			t.Fatal("the same file is two configurations")
		}
		for _, fault := range faults {
			if fault.Key == "" || fault.Fix == "" || strings.Contains(fault.Fix, planted[:20]) || utf8.Valid(file) && !utf8.ValidString(fault.String()) {
				t.Fatalf("%q: %q", fault.Key, fault.Fix)
			}
		}
	})
}
