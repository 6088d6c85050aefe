package response

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// FuzzRouting checks that a condition is rejected with its position, or compiled.
// A compiled one must give every alert one answer and one digest, also after it
// was stored and restored.
func FuzzRouting(f *testing.F) {
	for _, when := range []string{"true", `source == "sentry" && level in ["high", "critical"]`, `tags["env"] == "prod"`, `title matches "(?i)root"`, `int(tags["n"]) > 3`, `any(tags, # == "x")`,
		`let x = title; len(x) > 3`, `detail contains "a" or not sample`, `url startsWith "https://" and date("2026-01-01").Year() == 2026`, `source ==`, `now().Unix() > 0`, `fromJSON(detail).a == 1`,
		`reduce(1..1000, #acc + #) > 7`, `principal matches account`} {
		f.Add(when, "StopLogging by root", `{"a":1}`)
	}
	f.Fuzz(func(t *testing.T, when, title, detail string) {
		when = strings.ToValidUTF8(when, "") // YAML contains only valid UTF-8
		rules := []Rule{{When: when, Open: incident.Sev2}, {When: "true", Drop: "noise"}}
		r, err := NewRouting(rules, nil)
		again, err2 := NewRouting(rules, nil)
		if err != nil {
			if err2 == nil || err.Error() != err2.Error() || !strings.HasPrefix(err.Error(), "routing[0]: when") {
				t.Fatalf("got errors %v and %v, want equal errors about routing[0]", err, err2)
			}
			return
		}
		restored, err := restoreRouting(r.source)
		if err != nil || r.Digest() != again.Digest() || restored.Digest() != r.Digest() {
			t.Fatalf("got digests %s, %s and %s, %v", r.Digest(), again.Digest(), restored.Digest(), err)
		}
		a := incident.Alert{Source: "sentry", Kind: "sentry.issue", Level: incident.LevelHigh, Title: title, Detail: detail, Principal: title, Account: detail, Tags: map[string]string{"env": title, "n": detail}}
		first := r.route(a)
		if first.position != 1 && first.position != 2 || first.rule.When != rules[first.position-1].When {
			t.Fatalf("got rule %d: %+v", first.position, first.rule)
		}
		for _, other := range []*Routing{r, again, restored} {
			if second := other.route(a); second.position != first.position {
				t.Fatalf("got rule %d, then rule %d", first.position, second.position)
			}
		}
	})
}
