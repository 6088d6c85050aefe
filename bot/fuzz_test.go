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

// FuzzConfig checks that decode accepts a file or returns errors with a key and a
// fix, that its result is deterministic, and that no error contains a secret.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("people: [{id: a}, 7, null]\ndepartments: {legal: [a], security: {members: [{person: a, from: 2026-01-01}]}}\n"))
	f.Add([]byte("sources:\n  generic:\n    - {name: x, mapping: {title: body.title, each: 'body.list'}, tokens: ['${A_TOKEN}']}\n  sns: {topics: [arn]}\n"))
	f.Add([]byte("routing:\n  - {when: 'source == \"sentry\"', open: sev1, recurrence_window: 1h}\n  - {when: true, drop: 1}\nstorm: {per: 1y}\n"))
	f.Add([]byte("a: &a [*a]\nlisten: {<<: {b: 1}}\n? [x]\n: 1\n"))
	f.Add([]byte("slack: {bot_token: ${SLACK_BOT_TOKEN}, botoken: ${X}}\nlanguage: zz\n\xff: \"\\ud800\"\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := yaml.Parser().Unmarshal(file); err != nil {
			return // not YAML
		}
		decodeFile := func() (Config, ConfigErrors) {
			raw, err := yaml.Parser().Unmarshal(file)
			if err != nil {
				t.Fatalf("parse the file again: %v", err)
			}
			for key, paths := range map[string]string{"detection": "rules", "playbooks": "folders"} { // decode would read these folders from disk
				if section, ok := raw[key].(map[string]any); ok {
					delete(section, paths)
				}
			}
			c, err := decode(raw, exampleEnv)
			var problems ConfigErrors
			if err != nil && !errors.As(err, &problems) {
				t.Fatalf("got %v, want ConfigErrors", err)
			}
			return c, problems
		}
		first, problems := decodeFile()
		second, again := decodeFile()
		if !reflect.DeepEqual(problems, again) {
			t.Fatalf("got %v, then %v", problems, again)
		}
		if len(problems) == 0 && !cmp.Equal(first, second, cmp.Comparer(func(a, b secret.String) bool { return a.Reveal() == b.Reveal() })) {
			t.Fatal("decoding the file twice gives different configurations")
		}
		for _, e := range problems {
			if e.Key == "" || e.Fix == "" || strings.Contains(e.Fix, canary[:20]) || utf8.Valid(file) && !utf8.ValidString(e.String()) {
				t.Fatalf("got invalid error %q: %q", e.Key, e.Fix)
			}
		}
	})
}
