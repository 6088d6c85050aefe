package detect_test

import (
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
)

// titled returns a rule without name. Its event name is its id.
func titled(id, title string) string {
	r := strings.Replace(rule(id), "title: valid", "title: "+title, 1)
	return strings.Replace(r, "eventName: E", "eventName: "+id, 1) + "---\n"
}

const countTitles = "title: many\nid: many\ncorrelation:\n  type: event_count\n  rules: [Key made, b]\n  group-by: [who]\n  timespan: 1m\n  condition: {gte: 2}\n  aliases: {who: {Key made: user, b: name}}\n"

func TestLoad_RulesByTitle(t *testing.T) {
	file := titled("a", "Key made") + titled("b", "Key used") + countTitles +
		"---\ntitle: chain\nid: chain\ncorrelation: {type: temporal, rules: [many, Key used], timespan: 1m, group-by: [x]}\n"
	rs, result := load(t, detect.Options{}, map[string]string{"one.yml": file, "other.yml": titled("c", "Key made")})
	if err := result.Err(); err != nil || len(result.Warnings) > 0 {
		t.Fatal(err, result.Warnings)
	}
	got := playEvents(rs, newEvent("a", "1", 0, `,"user":"ada"`), newEvent("b", "2", 1, `,"name":"ada"`), newEvent("c", "3", 2, `,"user":"ada"`))
	if !slices.Contains(got, "many: 1 2") {
		t.Errorf("got firings %q, want many: 1 2", got)
	}
	for _, r := range rs.Rules() {
		if r.ID == "c" && r.Silent {
			t.Error("the rule with the same title in another file is silent, want it unaffected")
		}
	}
}

func TestLoad_FilterByTitle(t *testing.T) {
	file := titled("a", "Key made") + "title: ours\nfilter: {rules: [Key made], s: {who: ada}, condition: s}\n"
	rs, result := load(t, detect.Options{}, map[string]string{"one.yml": file, "other.yml": titled("c", "Key made")})
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	for record, want := range map[string]bool{
		`{"eventName":"a","who":"ada"}`: false, `{"eventName":"a","who":"mallory"}`: true, `{"eventName":"c","who":"ada"}`: true,
	} {
		if got := matches(t, rs, record); got != want {
			t.Errorf("%s: got a hit %t, want %t", record, got, want)
		}
	}
}

// A name that could mean two rules is an error that names both.
func TestLoad_RejectsUnclearTitles(t *testing.T) {
	named := func(id, title, name string) string {
		return strings.Replace(titled(id, title), "id: ", "name: "+name+"\nid: ", 1)
	}
	count := strings.ReplaceAll(countTitles, "  aliases: {who: {Key made: user, b: name}}\n", "")
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"two rules in the file": {
			map[string]string{"one.yml": titled("a", "Key made") + titled("b", "Key made") + count},
			[]string{`2 rules in this file have the title "Key made" (lines 1, 6)`, "Write the id or name of the rule instead"},
		},
		"a rule in another file": {
			map[string]string{"one.yml": titled("b", "Key used") + count, "two.yml": titled("a", "Key made")},
			[]string{`unknown rule "Key made"`, "two.yml:1 has this title, but a title works only in the same file", "Write its id or name instead"},
		},
		"no such title": {
			map[string]string{"one.yml": titled("a", "key made") + titled("b", "Key used") + count},
			[]string{`unknown rule "Key made"`, "or the title of a rule in the same file"},
		},
		"the title is the name of another rule": {
			map[string]string{"one.yml": titled("a", "Key made") + titled("b", "Key used") + count, "two.yml": named("c", "other", "Key made")},
			[]string{`"Key made" is the id or name of the rule in `, "two.yml:1, and also the title of the rule in line 1", "Change the title, or write the id of the rule instead"},
		},
		"once by title, once by name": {
			map[string]string{"one.yml": named("a", "Key made", "b") + count},
			[]string{`names the rule "b" twice`},
		},
		"the correlation itself": {
			map[string]string{"one.yml": titled("b", "Key used") + strings.Replace(count, "[Key made, b]", "[many]", 1)},
			[]string{"refers to itself"},
		},
		"an alias for two rules": {
			map[string]string{"one.yml": titled("a", "Key made") + titled("b", "Key made") + strings.Replace(countTitles, "[Key made, b]", "[a, b]", 1)},
			[]string{`the alias "who" names 2 rules with "Key made". Write the id of one of them`},
		},
		"an alias twice for one rule": {
			map[string]string{"one.yml": titled("a", "Key made") + titled("b", "Key used") + strings.Replace(countTitles, "b: name", "a: name", 1)},
			[]string{`the alias "who" names the rule "a" twice`},
		},
		"a filter for two rules": {
			map[string]string{"one.yml": titled("a", "Key made") + titled("b", "Key made") + "title: ours\nfilter: {rules: [Key made], s: {who: ada}, condition: s}\n"},
			[]string{`2 rules in this file have the title "Key made"`},
		},
	} {
		_, result := load(t, detect.Options{}, c.files)
		if len(result.Refused) != 1 || result.Refused[0].Line == 0 {
			t.Errorf("%s: got errors %v, want one with a line", name, result.Err())
			continue
		}
		for _, want := range c.want {
			if got := result.Err().Error(); !strings.Contains(got, want) {
				t.Errorf("%s: got error %q, want %q in it", name, got, want)
			}
		}
	}
}
