package playbooks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

const good = `version: 1
name: good
title: A good one
description: For tests.
match: severity == "sev1"
roles:
  operations: Works.
  legal: Judges.
consult:
  - {team: payments, blocking: true}
steps:
  - id: first
    title: Do this
    detail: |
      How.
    role: operations
    deadline: 15m
  - id: second
    title: Ask them
    action: {consult: payroll, blocking: true}
    after: [first]
    phase: contained
    when: personal_data != "no"
  - id: third
    title: Say it
    action:
      post: Hello there
`

func TestParse(t *testing.T) {
	p, err := Parse("dir/good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	run := p.Pin()
	if !strings.HasPrefix(run.Digest, "sha256:") || len(run.Digest) != 71 || run.Playbook != "good" || len(run.Plan) != 3 {
		t.Fatalf("pinned: %+v", run)
	}
	first, second, third := run.Plan[0], run.Plan[1], run.Plan[2]
	if first.Role != "operations" || first.Deadline != 15*time.Minute || first.Status != incident.StepOpen || first.Detail != "How." {
		t.Errorf("first step: %+v", first)
	}
	if second.Action != "consult payroll blocking" || second.After[0] != "first" || second.Phase != incident.Contained || second.When == "" {
		t.Errorf("second step: %+v", second)
	}
	if third.Action != "post Hello there" {
		t.Errorf("third step: %+v", third)
	}
	if got := fmt.Sprint(p.Teams()); got != "[payments payroll]" {
		t.Errorf("teams: %s", got)
	}
	if changed, _ := Parse("good.yaml", []byte(good+"\n")); changed.Digest == p.Digest {
		t.Error("another file has the same digest")
	}
}

// Each refusal names its place exactly.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":           {"title: A good one", "titel: A good one", `1:1: a playbook needs title|3:1: a playbook has no "titel"; did you mean title?`},
		"unknown step key":      {"    deadline: 15m", "    dedline: 15m", `17:5: a step has no "dedline"; did you mean deadline?`},
		"far key":               {"    deadline: 15m", "    xyzxyzxyz: 15m", `17:5: a step has no "xyzxyzxyz"; known are id, title, detail, role, action, deadline, after, phase, when`},
		"key twice":             {"title: A good one", "title: A good one\ntitle: B", `4:1: a playbook has "title" twice`},
		"wrong version":         {"version: 1", "version: 2", `1:10: version has to be 1, the only one there is`},
		"version as text":       {"version: 1", `version: "1"`, `1:10: version has to be 1, the only one there is`},
		"name not the file's":   {"name: good", "name: other", `2:7: the name is "other", but the file is called "good"`},
		"name no slug":          {"name: good", "name: Good One", `2:7: "Good One" is no name; use a-z, 0-9 and single dashes, as in leaked-aws-credentials`},
		"empty title":           {"title: A good one", "title:", `3:7: title is empty`},
		"title a number":        {"title: A good one", "title: 42", `3:8: title has to be text; put it between quotes`},
		"title too long":        {"A good one", strings.Repeat("x", 201), `3:8: title has 201 characters, at most 200 fit`},
		"title of two lines":    {"title: A good one", `title: "A\nB"`, `3:8: title has to be one line`},
		"condition name":        {`match: severity == "sev1"`, `match: sevrity == "sev1"`, `5:8: match: "sevrity" is not known here; did you mean severity?`},
		"condition in quotes":   {`match: severity == "sev1"`, `match: 'true and sevrity == "sev1"'`, `5:18: match: "sevrity" is not known here; did you mean severity?`},
		"condition in a block":  {`match: severity == "sev1"`, "match: |\n  true and\n   sevrity == \"sev1\"", `7:4: match: "sevrity" is not known here; did you mean severity?`},
		"condition value":       {`match: severity == "sev1"`, `match: severity == "sve1"`, `5:20: match: severity is never "sve1"; did you mean sev1?`},
		"condition values":      {`match: severity == "sev1"`, `match: severity in ["sev1", "critical"]`, `5:29: match: severity is never "critical"; known are sev1, sev2, sev3, sev4`},
		"condition type":        {`when: personal_data != "no"`, `when: evidence != "no"`, `23:20: when: invalid operation: != (mismatched types int and string)`},
		"condition no bool":     {`when: personal_data != "no"`, `when: severity`, `23:11: when: a condition is true or false: expected bool, but got string`},
		"condition reads clock": {`when: personal_data != "no"`, `when: now().Year() > 1`, `23:11: when: "now" is not known here; known are `},
		"condition syntax":      {`when: personal_data != "no"`, `when: severity ==`, `23:21: when: unexpected token EOF`},
		"alert word in a step":  {`when: personal_data != "no"`, `when: source == "sentry"`, `23:11: when: "source" is not known here; did you mean sources?`},
		"role not declared":     {"    role: operations", "    role: operation", `16:11: the role "operation" is not declared under roles; did you mean operations?`},
		"role name":             {"  legal: Judges.", "  Legal!: Judges.", `8:3: "Legal!" is no role; use a-z, 0-9, - and _`},
		"role without words":    {"  legal: Judges.", "  legal:", `8:9: what legal does is empty`},
		"roles a list":          {"roles:\n  operations: Works.\n  legal: Judges.", "roles:\n  - operations\n  - legal", `7:3: roles has to be a mapping, key: value|16:11: the role "operations" is not declared under roles`},
		"neither role nor bot":  {"    role: operations\n", "", `12:5: a step has either a role that does it, or an action of the bot`},
		"both role and bot":     {"    role: operations", "    role: operations\n    action: {involve: legal}", `12:5: a step has either a role that does it, or an action of the bot`},
		"no id":                 {"  - id: first\n    title", "  - title", `12:5: a step needs id|20:13: there is no step "first"; known are second, third`},
		"bad id":                {"id: third", "id: Third Step", `24:9: "Third Step" is no id; use a-z, 0-9 and single dashes, as in disable-key`},
		"duplicate id":          {"id: third", "id: first", `24:9: there are two steps with the id "first"`},
		"unknown step":          {"after: [first]", "after: [frist]", `21:13: there is no step "frist"; did you mean first?`},
		"after itself":          {"after: [first]", "after: [first, second]", `21:20: "second" cannot come after itself`},
		"after twice":           {"after: [first]", "after: [first, first]", `21:20: "first" is named twice`},
		"after no list":         {"after: [first]", "after: first", `21:5: after has to be a list`},
		"cycle":                 {"    deadline: 15m", "    deadline: 15m\n    after: [second]", `22:13: these steps wait for each other: first after second after first`},
		"phase":                 {"phase: contained", "phase: containd", `22:12: "containd" is no phase; did you mean contained?`},
		"phase triage":          {"phase: contained", "phase: triage", `22:12: "triage" is no phase; known are active, contained, resolved`},
		"deadline":              {"deadline: 15m", "deadline: 15 minutes", `17:15: "15 minutes" is no duration; write it as 15m, 4h or 1h30m`},
		"deadline a number":     {"deadline: 15m", "deadline: 15", `17:15: deadline has to be text; put it between quotes`},
		"deadline negative":     {"deadline: 15m", "deadline: -15m", `17:15: a deadline lies between one minute and 90 days, not -15m`},
		"action unknown":        {"{consult: payroll, blocking: true}", "{cosult: payroll}", `20:13: an action is one of involve, consult, post, note, update|20:14: an action has no "cosult"; did you mean consult?`},
		"two actions":           {"{consult: payroll, blocking: true}", "{consult: payroll, note: x}", `20:32: an action does one thing; note is the second`},
		"blocking involve":      {"{consult: payroll, blocking: true}", "{involve: legal, blocking: true}", `20:30: only a consultation can be blocking`},
		"blocking no bool":      {"{consult: payroll, blocking: true}", "{consult: payroll, blocking: maybe}", `20:42: blocking is true or false`},
		"team name":             {"{consult: payroll, blocking: true}", "{involve: The Lawyers}", `20:23: "The Lawyers" is no team; use a-z, 0-9, - and _`},
		"empty post":            {"      post: Hello there", "      post: ''", `27:13: post is empty`},
		"consult without team":  {"{team: payments, blocking: true}", "{blocking: true}", `10:5: a consultation needs team`},
		"no steps":              {"steps:\n", "steps: []\nsteps:\n", `11:8: a playbook needs at least one step|12:1: a playbook has "steps" twice`},
		"anchor":                {"title: A good one", "title: &a A good one", `3:8: title has to be text; put it between quotes`},
		"two documents":         {"version: 1", "version: 1", ""},
		"control characters":    {"title: A good one", `title: "A\u0007B"`, `3:8: title has control characters in it`},
		"no yaml":               {"roles:", "roles: [", `9:1: this is no YAML: `},
		"everything at once, in order of lines": {"version: 1\nname: good\ntitle: A good one", "version: 9\nname: bad\ntitel: x",
			`1:1: a playbook needs title|1:10: version has to be 1, the only one there is|2:7: the name is "bad", but the file is called "good"|3:1: a playbook has no "titel"; did you mean title?`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("the good file has no %q", c.old)
			}
			_, err := Parse("good.yaml", []byte(strings.Replace(good, c.old, c.new, 1)))
			var want []string
			for _, line := range strings.Split(c.want, "|") {
				if line != "" {
					want = append(want, "good.yaml:"+line)
				}
			}
			if err == nil && len(want) == 0 {
				return
			}
			var bad *ParseErrors
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want %q", err, want)
			}
			got := strings.Split(bad.Error(), "\n")
			if len(got) != len(want) {
				t.Fatalf("got %q\nwant %q", got, want)
			}
			for n := range got {
				if got[n] != want[n] && !(strings.HasSuffix(want[n], " ") && strings.HasPrefix(got[n], want[n])) {
					t.Errorf("got  %s\nwant %s", got[n], want[n])
				}
			}
		})
	}
}

func TestWholeFileRefusals(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"empty":     {"", "x.yaml:1:1: the file is empty"},
		"too large": {strings.Repeat("#", MaxBytes+1), fmt.Sprintf("x.yaml:1:1: the file has %d bytes, at most %d are read", MaxBytes+1, MaxBytes)},
		"binary":    {"\xff\xfe", "x.yaml:1:1: the file is not UTF-8"},
		"deep":      {strings.Repeat("[", 100), "x.yaml:1:1: the file is nested too deeply"},
		"a list":    {"- a\n", "x.yaml:1:1: a playbook needs version"},
	} {
		_, err := Parse("x.yaml", []byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if _, err := Parse("good.yaml", []byte(good+"---\n"+good)); err == nil || !strings.Contains(err.Error(), "a file holds one playbook") {
		t.Errorf("two documents: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good.yaml", good)
	write("README.md", "not a playbook")
	write("data-exposure.yml", strings.Replace(good, "name: good", "name: data-exposure", 1))
	l, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.Names()); got != "[data-exposure good leaked-aws-credentials]" {
		t.Errorf("names: %s", got)
	}
	if p, _ := l.Get("data-exposure"); p.Title != "A good one" {
		t.Error("the user's file does not replace the built-in one")
	}
	if run, ok := l.Pin("good"); !ok || run.Playbook != "good" {
		t.Error("good is not pinned")
	}
	if _, ok := l.Pin("nothing"); ok {
		t.Error("nothing is pinned")
	}
	write("bad.yaml", "version: 2\n")
	write("worse.yaml", "steps: [\n")
	_, err = Load(dir)
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:1:10") || !strings.Contains(err.Error(), "worse.yaml:") {
		t.Errorf("faults of both files: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestActions(t *testing.T) {
	for _, s := range []string{"involve legal", "consult payments", "consult payments blocking", "post Hello\nthere", "note x", "update All is well"} {
		a, err := ParseAction(s)
		if err != nil || a.String() != s || a.Outcome() == "" {
			t.Errorf("%q: %+v %v", s, a, err)
		}
		if cmd := a.Command(42); cmd.For != 42 || (cmd.Verb == "") != (a.Kind == ActionPost) {
			t.Errorf("%q: %+v", s, cmd)
		}
	}
	for _, s := range []string{"", "involve", "involve The Lawyers", "involve legal blocking", "consult a b", "post", "post  ", "sing a song"} {
		if a, err := ParseAction(s); err == nil {
			t.Errorf("%q was read as %+v", s, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	for _, name := range []string{"data-exposure.yaml", "leaked-aws-credentials.yaml"} {
		src, err := builtin.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("a: &a [*a]\n? [x]\n: {<<: *a}\n--- !!tag |\n x"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Parse("good.yaml", src)
		if err != nil {
			var bad *ParseErrors
			if !errors.As(err, &bad) || len(bad.Errors) == 0 {
				t.Fatalf("an error without faults: %v", err)
			}
			for _, fault := range bad.Errors {
				if fault.Line < 1 || fault.Column < 1 || fault.Message == "" {
					t.Fatalf("a fault without a place: %+v", fault)
				}
			}
			return
		}
		inc := incident.New(1)
		inc.Status, inc.Runs = incident.Active, []incident.Run{p.Pin()}
		_ = Next(inc, time.Unix(0, 0))
	})
}
