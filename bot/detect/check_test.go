package detect_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tocsin/bot/detect"
)

// All built-in rules have fixtures, and some fixture fails if any condition of a
// rule is removed.
func TestCheck_BuiltinRules(t *testing.T) {
	result := detect.Check(detect.Options{Builtin: true})
	for _, f := range result.Problems {
		t.Error(f)
	}
	if len(report.Untested) > 0 {
		t.Errorf("without fixtures: %v", report.Untested)
	}
	t.Logf("%d rules, %d records, %d mutants", report.Rules, report.Records, report.Mutants)
}

func TestOwnRulesSayWhatTheyMean(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	rs, report := detect.Load(detect.Options{Builtin: true, All: true})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range report.Warnings {
		t.Error(w)
	}
	for _, r := range rs.Rules() {
		switch {
		case !uuid.MatchString(r.ID), r.Name == "", r.Author != "Tocsin", r.Description == "", len(r.FalsePositives) == 0, r.Title == r.ID:
			t.Errorf("%s (%s) lacks something", r.ID, r.Title)
		case !strings.HasPrefix(strings.Join(r.Tags, " "), "attack.") || !strings.Contains(strings.Join(r.Tags, " "), "attack.t1"):
			t.Errorf("%s: tags %v", r.Name, r.Tags)
		}
	}
}

// TestARefusedCallIsNoChange: what AWS refused raises the level of no rule about
// a change, whatever the rule is. Those about who calls are named here.
func TestARefusedCallIsNoChange(t *testing.T) {
	whoever := []string{"root-used", "attack-distribution", "instance-credentials-used", "instance-credentials-on-workstation", "console-login-without-mfa", "console-login-failed",
		"refused-call", "grave-call-refused"}
	rs, _ := detect.Load(detect.Options{Builtin: true, All: true})
	files, err := filepath.Glob("rules/fixtures/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		src, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		docs := yaml.NewDecoder(src)
		for {
			var fixture struct {
				Rule    string
				Records []map[string]any
			}
			if err := docs.Decode(&fixture); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, record := range fixture.Records {
				record["errorCode"] = "AccessDenied"
				b, err := json.Marshal(record)
				if err != nil {
					t.Fatal(err)
				}
				r, err := detect.DecodeRecord(b)
				if err != nil {
					t.Fatal(err)
				}
				rs.Match(r, func(h detect.Hit) {
					if !slices.Contains(whoever, h.Rule.Name) {
						t.Errorf("%s matches %s, which was refused", h.Rule.Name, b)
					}
				})
			}
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	const fixture = "rule: a\nrecords: [{eventName: E}]\n"
	for name, c := range map[string]struct{ rule, fixture, want string }{
		"good":             {rule("a"), fixture + "not: [{eventName: F}]\n", ""},
		"not noticed":      {rule("a"), fixture, "no fixture notices the rule without eventName"},
		"does not match":   {rule("a"), "rule: a\nrecords: [{eventName: F}]\n", "should match"},
		"matches":          {rule("a"), fixture + "not: [{eventName: e}, {eventName: F}]\n", "should not match"},
		"two fields":       {rule("a"), fixture + "not: [{eventName: F, x: 1}]\n", "differs in one field"},
		"no such rule":     {rule("a"), "rule: b\nrecords: [{}]\n", "not loaded"},
		"no such place":    {rule("a"), fixture + "not: [{a.b.c: F}]\n", "has no place"},
		"no such record":   {rule("a"), fixture + "not: [{of: 2, eventName: F}]\n", "one field, and perhaps the number"},
		"no records":       {rule("a"), "rule: a\n", "has no records"},
		"a value":          {strings.Replace(rule("a"), "eventName: E", "eventName: [E, F]", 1), fixture + "not: [{eventName: G}]\n", "without value 2 of eventName"},
		"an operand of or": {strings.Replace(rule("a"), "{s: {eventName: E}, condition: s}", "{s: {eventName: E}, t: {x: 1}, condition: s or t}", 1), fixture + "not: [{eventName: G}]\n", "without x"},
		"a negation":       {strings.Replace(rule("a"), "condition: s", "t: {x: 1}, condition: s and not t", 1), fixture + "not: [{eventName: G}]\n", "without not x"},
		"broken":           {rule("a"), "rule: [", "YAML"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "fixtures"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"a.yml": c.rule, "fixtures/a.yml": c.fixture} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report := detect.Check(detect.Options{}, dir)
		var got []string
		for _, f := range result.Problems {
			got = append(got, f.Error())
		}
		if all := strings.Join(got, "\n"); (c.want == "") != (len(got) == 0) || !strings.Contains(all, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if result := detect.Check(detect.Options{}, t.TempDir()); len(result.Problems) != 0 || result.Rules != 0 {
		t.Errorf("empty folder: got %+v, want no rules and no errors", result)
	}
}
