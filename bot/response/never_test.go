package response_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/expression"
	"tocsin/bot/response"
)

var allLevels = []string{"critical", "high", "medium", "low", "informational"}

// given are the alerts of three sources.
var given = []response.Given{
	{Source: "sentry", Kinds: []string{"sentry.issue", "sentry.error"}, Levels: allLevels},
	{Source: "pagerduty", Kinds: []string{"pagerduty.incident"}, Levels: []string{"high", "medium"}},
	{Source: "cloudtrail", Kinds: []string{"cloudtrail.*", "guardduty.*"}, Levels: allLevels},
	{Source: "scanner", Levels: allLevels},
}

func TestFindNever(t *testing.T) {
	const fine, never, shadowed, mismatch = "", "never", "shadowed", "mismatch"
	for _, test := range []struct {
		name, when string
		earlier    []string
		want       string
	}{
		{name: "ordinary", when: `source == "sentry" && level in ["high", "critical"]`, want: fine},
		{name: "every alert", when: `true`, want: fine},
		{name: "never", when: `false`, want: never},
		{name: "two sources", when: `source == "sentry" and source == "pagerduty"`, want: never},
		{name: "two environments", when: `environment == "a" && environment == "b"`, want: never},
		{name: "two tags", when: `tags["a"] == "1" && tags["b"] == "2"`, want: fine},
		{name: "one tag twice", when: `tags["a"] == "1" && tags["a"] in ["2", "3"]`, want: never},
		{name: "empty list", when: `source in []`, want: never},
		{name: "text first", when: `"sentry" == source and "pagerduty" == source`, want: never},
		{name: "negated", when: `not (source == "sentry") && source == "sentry"`, want: never},
		{name: "not in", when: `level not in ["critical", "high", "medium", "low", "informational"]`, want: never},
		{name: "sample and not", when: `sample and not sample`, want: never},
		{name: "level that the source does not give", when: `source == "pagerduty" && level == "critical"`, want: never},
		{name: "kind of another source", when: `source == "sentry" && kind == "pagerduty.incident"`, want: never},
		{name: "kind with an open end", when: `source == "cloudtrail" && kind == "guardduty.Trojan"`, want: fine},
		{name: "kind of a mapping", when: `source == "scanner" && kind == "port"`, want: fine},
		{name: "function", when: `title contains "x" and not (title contains "x")`, want: never},
		{name: "two functions", when: `title contains "x" and not (title contains "y")`, want: fine},
		{name: "word of Sentry", when: `level == "error"`, want: mismatch},
		{name: "word of Sentry, unequal", when: `level != "error"`, want: mismatch},
		{name: "spelling of a kind", when: `kind == "sentry.isue"`, want: mismatch},
		{name: "same again", when: `title contains "x"`, earlier: []string{`title contains "x"`}, want: shadowed},
		{name: "stricter later", when: `source == "sentry" && level == "high"`, earlier: []string{`level in ["high", "critical"]`}, want: shadowed},
		{name: "covered by two", when: `source == "pagerduty"`, earlier: []string{`level == "high"`, `level == "medium"`}, want: shadowed},
		{name: "stricter first", when: `level == "high"`, earlier: []string{`source == "sentry" && level == "high"`}, want: fine},
		{name: "earlier depends on more", when: `level == "high"`, earlier: []string{`level == "high" && environment == "a"`}, want: fine},
		{name: "kind that an earlier rule excludes", when: `source == "cloudtrail"`, earlier: []string{`kind != "cloudtrail.A"`}, want: fine},
		{name: "does not compile", when: `source ==`, want: fine},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rules []response.Rule
			for _, when := range append(test.earlier, test.when) {
				rules = append(rules, response.Rule{When: when, Watch: true})
			}
			got := fine
			for _, n := range response.FindNever(rules, given) {
				switch {
				case n.Rule != len(test.earlier):
					t.Errorf("rule %d: got %+v, want nothing", n.Rule, n)
				case len(n.Otherwise) > 0:
					got = mismatch
				case n.Shadowed:
					got = shadowed
				default:
					got = never
				}
			}
			if got != test.want {
				t.Errorf("%s: got %q, want %q", test.when, got, test.want)
			}
		})
	}
}

// TestFindNever_Evaluation evaluates random conditions for random alerts: a rule that
// matches one is not one that never matches, and is not shadowed if no earlier rule does.
func TestFindNever_Evaluation(t *testing.T) {
	type alert struct {
		Source string `expr:"source"`
		Level  string `expr:"level"`
		Kind   string `expr:"kind"`
		Title  string `expr:"title"`
		Sample bool   `expr:"sample"`
	}
	leaf := rapid.SampledFrom([]string{`source == "sentry"`, `source != "pagerduty"`, `source in ["sentry", "scanner"]`, `level == "high"`, `level in ["critical", "low"]`,
		`kind == "sentry.issue"`, `kind != "guardduty.A"`, `kind == "port"`, `title == "a"`, `title in ["a", "b"]`, `title contains "a"`, `title startsWith "b"`, `sample`, `true`, `false`})
	var condition func(depth int) *rapid.Generator[string]
	condition = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			if depth == 0 {
				return leaf.Draw(t, "leaf")
			}
			a, b := condition(depth-1).Draw(t, "a"), condition(depth-1).Draw(t, "b")
			return rapid.SampledFrom([]string{"(" + a + ") and (" + b + ")", "(" + a + ") or (" + b + ")", "not (" + a + ")", a}).Draw(t, "form")
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		var rules []response.Rule
		for range rapid.IntRange(1, 3).Draw(t, "rules") {
			rules = append(rules, response.Rule{When: condition(rapid.IntRange(0, 3).Draw(t, "depth")).Draw(t, "when"), Watch: true})
		}
		g := rapid.SampledFrom(given).Draw(t, "given")
		kinds := map[string][]string{"sentry": {"sentry.issue", "sentry.error"}, "pagerduty": {"pagerduty.incident"}, "cloudtrail": {"guardduty.A", "cloudtrail.B"}, "scanner": {"port", "x"}}
		a := alert{g.Source, rapid.SampledFrom(g.Levels).Draw(t, "level"), rapid.SampledFrom(kinds[g.Source]).Draw(t, "kind"),
			rapid.SampledFrom([]string{"a", "b", "ab", ""}).Draw(t, "title"), rapid.Bool().Draw(t, "sample")}
		found := response.FindNever(rules, given)
		for n, r := range rules {
			program, err := expression.Compile(r.When, alert{}, expression.Condition)
			if err != nil {
				t.Fatal(err)
			}
			matched, err := program.Matches(a)
			if err != nil {
				t.Fatal(err)
			}
			if !matched {
				continue
			}
			for _, f := range found {
				if f.Rule == n && len(f.Otherwise) == 0 {
					t.Fatalf("rule %d of %q decides about %+v, but got %+v", n, fmt.Sprint(rules), a, f)
				}
			}
			break // later rules do not decide
		}
	})
}
