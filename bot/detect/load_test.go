package detect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
)

// load writes rule files to a folder and loads it.
func load(t testing.TB, o detect.Options, files map[string]string) (*detect.Ruleset, detect.LoadResult) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return detect.Load(o, dir)
}

func TestLoad_RejectsInvalidRules(t *testing.T) {
	for _, c := range []struct{ detection, reason, line string }{
		{"s: {f|nonsense: a}\ncondition: s", `unknown modifier "nonsense"`, ":6:"},
		{"s: {f|contains|startswith: a}\ncondition: s", `"contains" and "startswith" cannot be combined`, ":6:"},
		{"s: {f|i: a}\ncondition: s", `"i" needs re before it`, ":6:"},
		{"s: {f|re: '('}\ncondition: s", "missing closing )", ":6:"},
		{"s: {f|re: '(?=x)'}\ncondition: s", "invalid or unsupported Perl syntax", ":6:"},
		{"s: {f|cidr: 10.0.0.0/99}\ncondition: s", "not a network", ":6:"},
		{"s: {f|gt: many}\ncondition: s", "needs a number", ":6:"},
		{"s: {f|exists: maybe}\ncondition: s", "true or false", ":6:"},
		{"s: {f|expand: '%unknown%'}\ncondition: s", "%unknown% has no value", ":6:"},
		{"s: {f|base64: 'a*'}\ncondition: s", "wildcards cannot be encoded", ":6:"},
		{"s: {f|contains: null}\ncondition: s", "cannot be compared with null", ":6:"},
		{"s: {f|fieldref|re: g}\ncondition: s", "fieldref can only be combined with", ":6:"},
		{"s: {f: []}\ncondition: s", "has no value", ":6:"},
		{"s: {f: {g: 1}}\ncondition: s", "has a map among its values", ":6:"},
		{"s: {f: [[a]]}\ncondition: s", "has a list among its values", ":6:"},
		{"s: {}\ncondition: s", "empty map", ":6:"},
		{"s: []\ncondition: s", "empty list", ":6:"},
		{"s:\ncondition: s", "is empty", ":6:"},
		{"s: {f: a}", "condition is missing", ":6:"},
		{"condition: s", "the detection has nothing except a condition", ":6:"},
		{"s: {f: a}\ncondition: ''", "condition is empty", ":7:"},
		{"s: {f: a}\ncondition: t", `names "t", which is not defined`, ":7:"},
		{"s: {f: a}\ncondition: 1 of t*", `names "t*", which matches no detection`, ":7:"},
		{"s: {f: a}\ncondition: 2 of them", `"2 of" is not supported`, ":7:"},
		{"s: {f: a}\ncondition: s*", `needs "1 of" or "all of"`, ":7:"},
		{"s: {f: a}\ncondition: s and", "condition is incomplete", ":7:"},
		{"s: {f: a}\ncondition: (s", "closing parenthesis", ":7:"},
		{"s: {f: a}\ncondition: s s", `unexpected "s" in the condition`, ":7:"},
		{"s: {f: a}\ncondition: s or and s", `lacks a name before "and"`, ":7:"},
		{"s: {f: a}\ncondition: s | count() by x > 5", "is obsolete, write a correlation", ":7:"},
		{"s: {f: a}\ntimeframe: 5m\ncondition: s", "timeframe is obsolete", ":7:"},
		{"s: {f: a}\nt: {g: 1, h|nope: 2}\ncondition: s", `unknown modifier "nope"`, ":7:"},
		{"s: {f: a}\ns: {g: b}\ncondition: s", "already defined", ""},
		{"s: {f: [a\ncondition: s", "YAML", ""},
		{"s: &x {f: a}\ncondition: s", "anchor is not supported", ":6:"},
	} {
		rs, result := compile(t, c.detection)
		if len(result.Refused) != 1 || len(rs.Rules()) != 0 {
			t.Errorf("%q: got %d rules and errors %v, want one error", c.detection, len(rs.Rules()), result.Refused)
			continue
		}
		if got := result.Refused[0].Error(); !strings.Contains(got, c.reason) || !strings.Contains(got, "rule.yml"+c.line) {
			t.Errorf("%q: got error %s, want %s at line %s", c.detection, got, c.reason, c.line)
		}
	}
}

func TestLoad_ReportsAllErrorsOfARule(t *testing.T) {
	_, result := compile(t, "s:\n  f|nonsense: a\n  g|re: '('\nt:\n  - {h|gt: x}\n  - [a]\ncondition: s and t and u")
	var lines []int
	for _, r := range result.Refused {
		lines = append(lines, r.Line)
	}
	if !slices.Equal(lines, []int{7, 8, 10, 11, 12}) {
		t.Errorf("got errors at lines %v: %v", lines, result.Refused)
	}
}

const ruleTemplate = "title: valid\nid: %\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {eventName: E}, condition: s}\n"

func rule(id string) string { return strings.Replace(ruleTemplate, "%", id, 1) }

func TestLoad_ContinuesAfterBadFile(t *testing.T) {
	rs, result := load(t, detect.Options{}, map[string]string{
		"a.yml":            rule("a"),
		"sub/b.yaml":       rule("b") + "---\n" + rule("b2") + "---\n---\n# nothing\n",
		"broken.yml":       "title: [",
		"again.yml":        rule("a"),
		"level.yml":        strings.Replace(rule("level"), "detection", "level: dire\ndetection", 1),
		"nosource.yml":     strings.Replace(rule("no"), "logsource: {product: aws, service: cloudtrail}\n", "", 1),
		"nodetection.yml":  "title: x\nlogsource: {product: aws}\ndetecton: {}\n",
		"windows.yml":      strings.Replace(rule("w"), "product: aws, service: cloudtrail", "product: windows", 1),
		"guardduty.yml":    strings.Replace(rule("g"), "cloudtrail", "guardduty", 1),
		"mkdocs.yml":       "site_name: x\n",
		"global.yml":       "action: global\ntitle: x\n",
		"notes.txt":        "not read",
		".github/ci.yml":   "on: [push]",
		"fixtures/fix.yml": "not: a rule",
	})
	var refused, skipped []string
	for _, r := range result.Refused {
		refused = append(refused, r.Error())
	}
	for _, r := range result.Skipped {
		skipped = append(skipped, r.Error())
	}
	if len(rs.Rules()) != 3 || result.Usable != 3 || len(refused) != 6 || len(skipped) != 3 {
		t.Errorf("got %d rules\nrefused:\n%s\nskipped:\n%s", len(rs.Rules()), strings.Join(refused, "\n"), strings.Join(skipped, "\n"))
	}
	for _, want := range []string{"already the id or name of the rule in", `unknown level "dire"`, "logsource is missing", "detection is missing", "action: global is obsolete"} {
		if !strings.Contains(strings.Join(refused, "\n"), want) {
			t.Errorf("got errors %q, want one with %q", refused, want)
		}
	}
	if _, result = detect.Load(detect.Options{}, "/nowhere/at/all"); len(result.Refused) != 1 {
		t.Errorf("missing folder: got errors %v, want one", result.Refused)
	}
}

func TestLoad_DisableAndEnable(t *testing.T) {
	files := map[string]string{
		"off.yml": strings.Replace(rule("off"), "detection", "custom: {default: off, reason: too loud}\ndetection", 1),
		"old.yml": strings.Replace(rule("old"), "detection", "status: deprecated\ndetection", 1),
		"on.yml":  rule("on"),
	}
	ids := func(o detect.Options) string {
		rs, result := load(t, o, files)
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range rs.Rules() {
			out = append(out, r.ID)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		o    detect.Options
		want string
	}{
		{detect.Options{}, "on"},
		{detect.Options{Enable: []string{"off"}}, "off on"},
		{detect.Options{All: true}, "off old on"},
		{detect.Options{All: true, Disable: []string{"on"}}, "off old"},
		{detect.Options{Enable: []string{"on"}, Disable: []string{"on"}}, ""},
	} {
		if got := ids(c.o); got != c.want {
			t.Errorf("%+v: got rules %q, want %q", c.o, got, c.want)
		}
	}
	rs, result := load(t, detect.Options{
		Enable: []string{"unknown"}, Levels: map[string]detect.Level{"on": detect.Critical, "old": "dire", "none": detect.Low},
	}, files)
	if rs.Rules()[0].Level != detect.Critical || len(result.Warnings) != 3 || len(result.Refused) != 0 {
		t.Errorf("got level %s, warnings %v, errors %v", rs.Rules()[0].Level, result.Warnings, result.Refused)
	}
	// A disabled rule may have errors.
	files["bad.yml"] = strings.Replace(rule("bad"), "eventName", "eventName|nonsense", 1)
	_, result = load(t, detect.Options{Disable: []string{"bad"}}, files)
	if len(result.Refused)+len(result.Warnings) != 0 || !strings.Contains(result.Off[0].Error(), `unknown modifier "nonsense"`) {
		t.Errorf("disabled rule with an error: got %+v", result)
	}
	delete(files, "bad.yml")
	files["off.yml"] = strings.Replace(files["off.yml"], ", reason: too loud", "", 1)
	if _, result := load(t, detect.Options{}, files); len(result.Refused) != 1 {
		t.Errorf("rule off without a reason: got errors %v, want one", result.Refused)
	}
}

func TestLoad_Filters(t *testing.T) {
	filter := "title: ours\nfilter:\n  rules: [a]\n  ours: {who: terraform}\n  condition: "
	for _, c := range []struct {
		condition string
		left      string // values of who that still match
	}{
		{"ours", "mallory ci"}, {"not ours", "mallory ci"},
		{"ours\n  ci: {who: ci}", "mallory ci"},
		{"not ours and not ci\n  ci: {who: ci}", "mallory"},
		{"1 of *\n  ci: {who: ci}", "mallory"},
	} {
		rs, result := load(t, detect.Options{}, map[string]string{"a.yml": rule("a"), "b.yml": rule("b"), "z.yml": filter + c.condition})
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		for _, who := range []string{"mallory", "ci", "terraform"} {
			r, err := detect.DecodeRecord([]byte(`{"eventName":"E","who":"` + who + `"}`))
			if err != nil {
				t.Fatal(err)
			}
			hits := map[string]bool{}
			rs.Match(r, func(h detect.Hit) { hits[h.Rule.ID] = true })
			if want := strings.Contains(c.left, who); hits["a"] != want {
				t.Errorf("%s: %s: got hits %v, want a: %t", c.condition, who, hits, want)
			}
			if !hits["b"] {
				t.Errorf("%s: got no hit of b, which the filter does not name", c.condition)
			}
		}
	}
	for _, c := range []struct{ filter, reason string }{
		{strings.Replace(filter, "[a]", "[zz]", 1) + "ours", `names the unknown rule "zz"`},
		{strings.Replace(filter, "  rules: [a]\n", "", 1) + "ours", "names no rules"},
		{filter + "nope", "not defined"},
	} {
		_, result := load(t, detect.Options{}, map[string]string{"a.yml": rule("a"), "z.yml": c.filter})
		if len(result.Refused) != 1 || !strings.Contains(result.Err().Error(), c.reason) {
			t.Errorf("got error %v, want one with %s", result.Err(), c.reason)
		}
	}
	any := strings.Replace(filter, "[a]", "any", 1) + "ours"
	rs, _ := load(t, detect.Options{}, map[string]string{"a.yml": rule("a"), "z.yml": any})
	if matches(t, rs, `{"eventName":"E","who":"terraform"}`) || !matches(t, rs, `{"eventName":"E"}`) {
		t.Error("the filter for any rule does not apply")
	}
}

// The detections cover all ways to compare event names that the index handles.
func TestMatch_IndexFindsAllRules(t *testing.T) {
	for _, c := range []struct{ detection, yes, no string }{
		{"s: {eventName: CreateFunction}\ncondition: s", `{"eventName":"createfunction"}`, `{"eventName":"CreateFunction20150331"}`},
		{"s: {eventName|startswith: CreateFunction}\ncondition: s", `{"eventName":"CreateFunction20150331v2"}`, `{"eventName":"Create"}`},
		{"s: {eventName: 'Create*31'}\ncondition: s", `{"eventName":"CreateFunction20150331"}`, `{"eventName":"CreateFunction"}`},
		{"s: {eventName|startswith: [Create, CreateFunction], x: 1}\ncondition: s", `{"eventName":"CreateFunction","x":1}`, `{"eventName":"CreateFunction"}`},
		{"s: {eventName: [Create, 'Create*', Create]}\ncondition: s", `{"eventName":"Create"}`, `{"eventName":"Delete"}`},
		{"s: {eventName: A}\nt: {eventSource: b}\ncondition: s or t", `{"eventSource":"B","eventName":"x"}`, `{"eventName":"x"}`},
		{"s: {eventSource: [b, B]}\ncondition: s", `{"eventSource":"b"}`, `{"eventName":"x"}`},
		{"s: {eventName|neq: A}\ncondition: s", `{"eventName":"x"}`, `{"eventName":"a"}`},
		{"s: {eventName: ''}\ncondition: s", `{"eventName":""}`, `{"eventName":"a"}`},
		{"s: {eventName: null}\ncondition: s", `{"x":1}`, `{"eventName":"a"}`},
		{"s: {eventName: A}\ncondition: s", `{"eventName":["x","a"]}`, `{"eventName":["x"]}`},
		{"s: {eventName: A}\ncondition: not s", `{"eventName":"x"}`, `{"eventName":"a"}`},
		{"s: {eventName: 7}\ncondition: s", `{"eventName":7}`, `{"eventName":8}`},
		{"s: {eventName: k}\ncondition: s", `{"eventName":"\u212a"}`, `{"eventName":"x"}`},
		{"s: {eventName|cased: Ab}\ncondition: s", `{"eventName":"Ab"}`, `{"eventName":"ab"}`},
		{"s: {eventName|all: ['A*', '*b']}\ncondition: s", `{"eventName":"ab"}`, `{"eventName":"a"}`},
		{"s: {a|contains: [kali, parrot]}\ncondition: s", `{"a":"x Parrot KALI parrot"}`, `{"a":"kal"}`},
		{"s: {a|contains: kali}\ncondition: s", `{"a":"x\u212aali"}`, `{"b":"kali"}`},
		{"s: {a|contains: 'k\u212a'}\ncondition: s", `{"a":"xKK"}`, `{"a":"xKx"}`},
		{"s: {a|contains: kali}\ncondition: s", `{"a":["x","my kali"]}`, `{"a":["x"]}`},
		{"s: {a|contains: kali}\ncondition: s", `{"a":{"b":"kali"}}`, `{"a":{"b":"x"}}`},
		{"s: {a.b|contains: kali}\ncondition: s", `{"a":[{"b":"x"},{"b":"kali"}]}`, `{"a":[{"b":"x"}]}`},
		{"s: {a|contains: 12}\ncondition: s", `{"a":4125}`, `{"a":45}`},
		{"s: {a|endswith: [Operation, x]}\ncondition: s", `{"a":"unauthorizedoperation"}`, `{"a":"operations"}`},
		{"s: {a: ['*ab?cd*', '?']}\ncondition: s", `{"a":"xabXcdx"}`, `{"a":"xabcdx"}`},
		{"s: {a: ['*ab?cde*f', y*]}\ncondition: s", `{"a":"xabXcdef"}`, `{"a":"xabXcde"}`},
		{"s: {a|contains: ab}\nt: {a|contains: cd}\ncondition: s or t", `{"a":"cdab"}`, `{"a":"ac"}`},
		{"s: {a|contains: ab}\nt: {b|contains: cd}\ncondition: s or t", `{"b":"cd"}`, `{"a":"cd"}`},
		{"s: {a|contains|all: [ab, cd]}\ncondition: s", `{"a":"cdab"}`, `{"a":"ab"}`},
		{"s: {a|contains|cased: Ab}\ncondition: s", `{"a":"xAbx"}`, `{"a":"xabx"}`},
		{"s: {a|contains: ab}\nt: {c: 1}\ncondition: s and not t", `{"a":"xabx"}`, `{"a":"xabx","c":1}`},
		{"s: {a|re|i: '(?:^|[^a-z])(?:kali|parrot)(?:$|[^a-z])'}\ncondition: s", `{"a":"x Parrot/1"}`, `{"a":"parrots"}`},
		{"s: {a|re|i: 'k(?:ali|x)'}\ncondition: s", `{"a":"\u212aALI"}`, `{"a":"ali"}`},
		{"s: {a|re: '(?:ab|)c'}\ncondition: s", `{"a":"xc"}`, `{"a":"xC"}`},
		{"s: {a|re: '(?:ab)*'}\ncondition: s", `{"a":""}`, `{"b":"ab"}`},
		{"s: {a|re: '(?:ab)+|[cd]'}\ncondition: s", `{"a":"d"}`, `{"a":"e"}`},
		{"s: {a|re: ['a(b|c+)d', 'E']}\ncondition: s", `{"a":"xaccd"}`, `{"a":"axd"}`},
		{"s: {a|re: 'Ab{2}c{0,3}D'}\ncondition: s", `{"a":"AbbD"}`, `{"a":"Abb"}`},
		{"s: {a|contains: [kali, kal]}\ncondition: s", `{"a":"xkal"}`, `{"a":"xka"}`},
		{"s: {a|contains: [kali, stratus-red-team]}\ncondition: s", `{"a":"Stratus-Red-Team_1"}`, `{"a":"stratus-red-tea"}`},
		{"s: {a|contains: [kali]}\ncondition: s", `{"a":"KALI"}`, `{"a":"ali"}`},
		{"s: {a|contains|wide: ab}\ncondition: s", `{"a":"a\u0000b\u0000"}`, `{"a":"ab"}`},
	} {
		rs, result := compile(t, c.detection)
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		for record, want := range map[string]int{c.yes: 1, c.no: 0} {
			r, err := detect.DecodeRecord([]byte(record))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			rs.Match(r, func(detect.Hit) { n++ })
			if n != want {
				t.Errorf("%s: %s: got %d hits, want %d", c.detection, record, n, want)
			}
		}
	}
}

// More rules need a part of one field than the index holds.
func TestMatch_ManyRulesNeedPartsOfOneField(t *testing.T) {
	files := map[string]string{}
	for i := range 150 {
		files[fmt.Sprintf("%d.yml", i)] = strings.Replace(rule(fmt.Sprint(i)), "eventName: E", fmt.Sprintf("'a|contains': [x%03d, y%d]", i, i%2), 1)
	}
	rs, result := load(t, detect.Options{}, files)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	for record, want := range map[string]int{`{"a":"x007 X149 x007"}`: 2, `{"a":"Y1 x001"}`: 75, `{"a":["y0","y1"]}`: 150, `{"a":"x150"}`: 0} {
		r, err := detect.DecodeRecord([]byte(record))
		if err != nil {
			t.Fatal(err)
		}
		hits := map[string]int{}
		rs.Match(r, func(h detect.Hit) { hits[h.Rule.ID]++ })
		for id, n := range hits {
			if n != 1 {
				t.Errorf("%s: got %d hits of rule %s, want one", record, n, id)
			}
		}
		if len(hits) != want {
			t.Errorf("%s: got hits of %d rules, want %d", record, len(hits), want)
		}
	}
}

func TestLoad_YAMLScalars(t *testing.T) {
	for item, f := range map[string]string{
		"f: 012345678901": `"012345678901"`, "f: 0x10": `16`, "f: 2026-01-02": `"2026-01-02"`, "f: yes": `"yes"`, "f: 1_000": `1000`,
		"f: >-\n    two\n    words": `"two words"`, "f: 123456789012345678": `123456789012345678`, "f: -5": `-5`, "'f' : \"a\\tb\"": `"a\tb"`,
	} {
		rs, result := compile(t, "s:\n  "+item+"\ncondition: s")
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", item, err)
		} else if !matches(t, rs, `{"f":`+f+`}`) {
			t.Errorf("%s: got no hit for %s", item, f)
		}
	}
}

// Goroutines share a ruleset, but each uses a separate record.
func TestMatch_Concurrent(t *testing.T) {
	rs, _ := detect.Load(detect.Options{Builtin: true})
	done := make(chan int)
	for range 4 {
		go func() {
			n := 0
			var r detect.Record
			for range 200 {
				if r.Decode([]byte(`{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","userIdentity":{"type":"Root"}, "x":"\u00e9"}`)) == nil {
					rs.Match(&r, func(detect.Hit) { n++ })
				}
			}
			done <- n
		}()
	}
	for range 4 {
		if n := <-done; n != 400 {
			t.Errorf("got %d hits, want 400", n)
		}
	}
}
