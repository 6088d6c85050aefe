package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// FuzzConfig checks that Parse accepts a file or returns errors with a place, a key and
// a fix, that its result is deterministic, and that no error contains a secret.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("people: [{id: a}, 7, null]\ndepartments: {legal: [a], security: {members: [{person: a, from: 2026-01-01}]}}\n"))
	f.Add([]byte("sources:\n  generic:\n    - {name: x, mapping: {title: body.title, each: 'body.list'}, tokens: ['${A_TOKEN}']}\n  sns: {topics: [arn]}\n"))
	f.Add([]byte("routing:\n  - {when: 'source == \"sentry\"', open: sev1, recurrence_window: 1h}\n  - {when: true, drop: 1}\nstorm: {per: 1y}\n"))
	f.Add([]byte("a: &a [*a]\nlisten: {<<: {b: 1}}\n? [x]\n: 1\n"))
	f.Add([]byte("slack: {bot_token: ${SLACK_BOT_TOKEN}, botoken: ${X}}\nlanguage: zz\n\xff: \"\\ud800\"\n"))
	f.Add([]byte("\xef\xbb\xbfslack: &s\r\n  bot_token: '${SLACK_BOT_TOKEN}'\r\n  bot_token: x\r\nmail: {<<: *s, port: 0x1F}\r\n"))
	f.Add([]byte("a: &a [x, x, x]\nb: &b [*a, *a, *a]\nredaction: {literals: [*b, *b]}\n---\nlisten: !!str 1\n"))
	validate := func(c Config) setting.Problems { // without reading files that the configuration names
		c.Detection.Rules, c.Playbooks.Folders = nil, nil
		c.Sources.Report.Keys, c.Sources.Report.Signers = nil, nil
		return c.problems()
	}
	environ := []string{"TOCSIN_SLACK__COMMAND=/secure", "TOCSIN_SOURCES__REPORT__FORM__COMPANY=${SLACK_NAME}", "TOCSIN_MAIL__PORT=" + canary}
	sameSecret := cmp.Comparer(func(a, b secret.String) bool { return a.Reveal() == b.Reveal() })
	f.Fuzz(func(t *testing.T, file []byte) {
		first, _, err := parse("file", file, environ, exampleEnv, validate)
		second, _, again := parse("file", file, environ, exampleEnv, validate)
		if !reflect.DeepEqual(err, again) {
			t.Fatalf("got %v, then %v", err, again)
		}
		if err == nil && !cmp.Equal(first, second, sameSecret, cmpopts.EquateComparable()) {
			t.Fatal("parsing the file twice gives different configurations")
		}
		if err != nil && (strings.Contains(err.Error(), canary[:20]) || utf8.Valid(file) && !utf8.ValidString(err.Error())) {
			t.Fatalf("got invalid error %q", err)
		}
		var problems Errors
		if err != nil && !errors.As(err, &problems) && !strings.HasPrefix(err.Error(), "read configuration file:") {
			t.Fatalf("got %v, want Errors or an error with a place", err)
		}
		keys, last := map[string]bool{}, place{}
		for _, e := range problems {
			var at place
			_, _ = fmt.Sscanf(e.Place, "file:%d:%d", &at.line, &at.column) // environment variables come first
			if e.Place == "" || e.Key == "" || e.Fix == "" || keys[e.Key] || at.line < last.line || at.line == last.line && at.column < last.column {
				t.Fatalf("got invalid error %+v", e)
			}
			keys[e.Key], last = true, at
		}
	})
}
