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

const validPlaybook = `version: 1
name: good
title: A valid playbook
description: For tests.
match: severity == "sev1"
roles:
  operations: Works.
  legal: Decides.
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
    title: Say hello
    action:
      post: Hello there
`

func TestParse(t *testing.T) {
	p, err := Parse("dir/good.yaml", []byte(validPlaybook))
	if err != nil {
		t.Fatal(err)
	}
	run := p.Pin()
	if !strings.HasPrefix(run.Digest, "sha256:") || len(run.Digest) != 71 || run.Playbook != "good" || len(run.Plan) != 3 {
		t.Fatalf("wrong plan: %+v", run)
	}
	first, second, third := run.Plan[0], run.Plan[1], run.Plan[2]
	if first.Role != "operations" || first.Deadline != 15*time.Minute || first.Status != incident.StepOpen || first.Detail != "How." {
		t.Errorf("wrong first step: %+v", first)
	}
	if second.Action != "consult payroll blocking" || second.After[0] != "first" || second.Phase != incident.Contained || second.When == "" {
		t.Errorf("wrong second step: %+v", second)
	}
	if third.Action != "post Hello there" {
		t.Errorf("wrong third step: %+v", third)
	}
	if got := fmt.Sprint(p.Teams()); got != "[payments payroll]" {
		t.Errorf("teams: got %s, want [payments payroll]", got)
	}
	if changed, _ := Parse("good.yaml", []byte(validPlaybook+"\n")); changed.Digest == p.Digest {
		t.Error("a changed file has an unchanged digest")
	}
}

// Every error has the exact line and column.
func TestParse_Errors(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":               {"title: A valid playbook", "titel: A good one", `1:1: missing key "title", add it to the playbook|3:1: unknown key "titel" in a playbook (did you mean title?)`},
		"unknown step key":          {"    deadline: 15m", "    dedline: 15m", `17:5: unknown key "dedline" in a step (did you mean deadline?)`},
		"dissimilar key":            {"    deadline: 15m", "    xyzxyzxyz: 15m", `17:5: unknown key "xyzxyzxyz" in a step (use one of id, title, detail, role, action, deadline, after, phase, when)`},
		"duplicate key":             {"title: A valid playbook", "title: A valid playbook\ntitle: B", `4:1: duplicate key "title" in a playbook, remove one`},
		"wrong version":             {"version: 1", "version: 2", `1:10: version must be 1`},
		"version as text":           {"version: 1", `version: "1"`, `1:10: version must be 1`},
		"name is not the file name": {"name: good", "name: other", `2:7: name "other" does not match the file name "good", change one of them`},
		"invalid name":              {"name: good", "name: Good One", `2:7: invalid name "Good One", use a-z, 0-9 and single dashes, as in leaked-aws-credentials`},
		"empty title":               {"title: A valid playbook", "title:", `3:7: title is empty, enter a text`},
		"title is a number":         {"title: A valid playbook", "title: 42", `3:8: title must be text, put it in quotes`},
		"title too long":            {"A valid playbook", strings.Repeat("x", 201), `3:8: title has 201 characters, shorten it to 200`},
		"two-line title":            {"title: A valid playbook", `title: "A\nB"`, `3:8: title has several lines, use one`},
		"condition name":            {`match: severity == "sev1"`, `match: sevrity == "sev1"`, `5:8: match: unknown name "sevrity" (did you mean severity?)`},
		"condition in quotes":       {`match: severity == "sev1"`, `match: 'true and sevrity == "sev1"'`, `5:18: match: unknown name "sevrity" (did you mean severity?)`},
		"condition in a block":      {`match: severity == "sev1"`, "match: |\n  true and\n   sevrity == \"sev1\"", `7:4: match: unknown name "sevrity" (did you mean severity?)`},
		"condition value":           {`match: severity == "sev1"`, `match: severity == "sve1"`, `5:20: match: severity cannot be "sve1" (did you mean sev1?)`},
		"condition values":          {`match: severity == "sev1"`, `match: severity in ["sev1", "critical"]`, `5:29: match: severity cannot be "critical" (use one of sev1, sev2, sev3, sev4)`},
		"condition type":            {`when: personal_data != "no"`, `when: evidence != "no"`, `23:20: when: values of different types, compare values of one type (invalid operation: != (mismatched types int and string))`},
		"condition is not a bool":   {`when: personal_data != "no"`, `when: severity`, `23:11: when: the condition must be true or false, add a comparison such as severity == "sev1" (expected bool, but got string)`},
		"condition with clock":      {`when: personal_data != "no"`, `when: now().Year() > 1`, `23:11: when: the function now is not allowed, because the result must depend on the values alone. Use one of: abs, `},
		"condition syntax":          {`when: personal_data != "no"`, `when: severity ==`, `23:21: when: the expression is incomplete, add the missing part (unexpected token EOF)`},
		"alert name in a step":      {`when: personal_data != "no"`, `when: source == "sentry"`, `23:11: when: unknown name "source" (did you mean sources?)`},
		"role not declared":         {"    role: operations", "    role: operation", `16:11: role "operation" is not declared under roles (did you mean operations?)`},
		"role name":                 {"  legal: Decides.", "  Legal!: Judges.", `8:3: invalid role "Legal!", use a-z, 0-9, - and _, starting with a letter`},
		"empty role":                {"  legal: Decides.", "  legal:", `8:9: description of role legal is empty, enter a text`},
		"roles is a list":           {"roles:\n  operations: Works.\n  legal: Decides.", "roles:\n  - operations\n  - legal", `7:3: roles must be a mapping, written as key: value|16:11: role "operations" is not declared, add it under roles`},
		"no role and no action":     {"    role: operations\n", "", `12:5: a step must have either a role or an action, add or remove one`},
		"role and action":           {"    role: operations", "    role: operations\n    action: {involve: legal}", `12:5: a step must have either a role or an action, add or remove one`},
		"no id":                     {"  - id: first\n    title", "  - title", `12:5: missing key "id", add it to the step|20:13: unknown step "first" in after (use one of second, third)`},
		"bad id":                    {"id: third", "id: Third Step", `24:9: invalid id "Third Step", use a-z, 0-9 and single dashes, as in disable-key`},
		"duplicate id":              {"id: third", "id: first", `24:9: duplicate step id "first", rename one of the steps`},
		"unknown step":              {"after: [first]", "after: [frist]", `21:13: unknown step "frist" in after (did you mean first?)`},
		"after itself":              {"after: [first]", "after: [first, second]", `21:20: step "second" cannot wait for itself, remove it from after`},
		"after twice":               {"after: [first]", "after: [first, first]", `21:20: step "first" is listed twice in after, remove one`},
		"after is not a list":       {"after: [first]", "after: first", `21:5: after must be a list, as in [a, b]`},
		"cycle":                     {"    deadline: 15m", "    deadline: 15m\n    after: [second]", `22:13: steps wait for each other (first after second after first), remove one of these entries from after`},
		"phase":                     {"phase: contained", "phase: containd", `22:12: invalid phase "containd" (did you mean contained?)`},
		"phase triage":              {"phase: contained", "phase: triage", `22:12: invalid phase "triage" (use one of active, contained, resolved)`},
		"deadline":                  {"deadline: 15m", "deadline: 15 minutes", `17:15: invalid deadline "15 minutes", write it as 15m, 4h or 1h30m`},
		"deadline is a number":      {"deadline: 15m", "deadline: 15", `17:15: deadline must be text, put it in quotes`},
		"deadline negative":         {"deadline: 15m", "deadline: -15m", `17:15: deadline -15m is out of range, use 1 minute to 90 days`},
		"action unknown":            {"{consult: payroll, blocking: true}", "{cosult: payroll}", `20:13: the action is missing, use one of involve, consult, post, note, update|20:14: unknown key "cosult" in an action (did you mean consult?)`},
		"two actions":               {"{consult: payroll, blocking: true}", "{consult: payroll, note: x}", `20:32: an action can do only one thing, move note to another step`},
		"blocking involve":          {"{consult: payroll, blocking: true}", "{involve: legal, blocking: true}", `20:30: only consult can be blocking, remove blocking`},
		"blocking is not a bool":    {"{consult: payroll, blocking: true}", "{consult: payroll, blocking: maybe}", `20:42: blocking must be true or false`},
		"team name":                 {"{consult: payroll, blocking: true}", "{involve: The Lawyers}", `20:23: invalid team "The Lawyers", use a-z, 0-9, - and _, starting with a letter`},
		"empty post":                {"      post: Hello there", "      post: ''", `27:13: post is empty, enter a text`},
		"consult without team":      {"{team: payments, blocking: true}", "{blocking: true}", `10:5: missing key "team", add it to the consultation`},
		"no steps":                  {"steps:\n", "steps: []\nsteps:\n", `11:8: steps is empty, add at least one step|12:1: duplicate key "steps" in a playbook, remove one`},
		"anchor":                    {"title: A valid playbook", "title: &a A good one", `3:8: title must be text, put it in quotes`},
		"two documents":             {"version: 1", "version: 1", ""},
		"control characters":        {"title: A valid playbook", `title: "A\u0007B"`, `3:8: title contains control characters, remove them`},
		"invalid yaml":              {"roles:", "roles: [", `9:1: invalid YAML: `},
		"several errors, sorted by line": {"version: 1\nname: good\ntitle: A valid playbook", "version: 9\nname: bad\ntitel: x",
			`1:1: missing key "title", add it to the playbook|1:10: version must be 1|2:7: name "bad" does not match the file name "good", change one of them|3:1: unknown key "titel" in a playbook (did you mean title?)`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(validPlaybook, c.old) {
				t.Fatalf("validPlaybook does not contain %q", c.old)
			}
			_, err := Parse("good.yaml", []byte(strings.Replace(validPlaybook, c.old, c.new, 1)))
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

func TestParse_FileErrors(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"empty":     {"", "x.yaml:1:1: the file is empty, add a playbook"},
		"too large": {strings.Repeat("#", MaxBytes+1), fmt.Sprintf("x.yaml:1:1: the file has %d bytes, reduce it to at most %d", MaxBytes+1, MaxBytes)},
		"binary":    {"\xff\xfd", "x.yaml:1:1: the file is not UTF-8, save it as UTF-8"},
		"deep":      {strings.Repeat("[", 100), "x.yaml:1:1: the file is nested too deeply, use at most 40 levels"},
		"a list":    {"- a\n", `x.yaml:1:1: missing key "version", add it to the playbook`},
	} {
		_, err := Parse("x.yaml", []byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if _, err := Parse("good.yaml", []byte(validPlaybook+"---\n---\n"+validPlaybook)); err == nil || !strings.Contains(err.Error(), "an empty document hides the rest of the file") {
		t.Errorf("after an empty document: got error %v", err)
	}
	if p, err := Parse("good.yaml", []byte("\ufeff"+validPlaybook)); err != nil || p.Name == "" {
		t.Errorf("with a byte order mark: got error %v", err)
	}
	if _, err := Parse("good.yaml", []byte(validPlaybook+"---\n"+validPlaybook)); err == nil || !strings.Contains(err.Error(), "the file has a second document, put each playbook in a separate file") {
		t.Errorf("two documents: got %v", err)
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
	write("good.yaml", validPlaybook)
	write("README.md", "not a playbook")
	write("data-exposure.yml", strings.Replace(validPlaybook, "name: good", "name: data-exposure", 1))
	l, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.Names()); got != "[data-exposure good leaked-aws-credentials]" {
		t.Errorf("names: got %s", got)
	}
	if p, _ := l.Get("data-exposure"); p.Title != "A valid playbook" {
		t.Error("the user's file did not replace the built-in one")
	}
	if run, ok := l.Pin("good"); !ok || run.Playbook != "good" {
		t.Error("Pin did not return the playbook good")
	}
	if _, ok := l.Pin("unknown"); ok {
		t.Error("Pin returned an unknown playbook")
	}
	write("bad.yaml", "version: 2\n")
	write("worse.yaml", "steps: [\n")
	_, err = Load(dir)
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:1:10") || !strings.Contains(err.Error(), "worse.yaml:") {
		t.Errorf("two invalid files: got %v, want the errors of both", err)
	}
	if _, err := Load(filepath.Join(dir, "missing")); err == nil {
		t.Error("missing folder: got no error")
	}
}

func TestParseAction(t *testing.T) {
	for _, s := range []string{"involve legal", "consult payments", "consult payments blocking", "post Hello\nthere", "note x", "update All is well"} {
		a, err := ParseAction(s)
		if err != nil || a.String() != s || a.Outcome() == "" {
			t.Errorf("%q: got %+v, %v", s, a, err)
		}
		if cmd := a.Command(42); cmd.For != 42 || (cmd.Verb == "") != (a.Kind == ActionPost) {
			t.Errorf("%q: wrong command %+v", s, cmd)
		}
	}
	for _, s := range []string{"", "involve", "involve The Lawyers", "involve legal blocking", "consult a b", "post", "post  ", "sing a song"} {
		if a, err := ParseAction(s); err == nil {
			t.Errorf("%q: got %+v, want an error", s, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(validPlaybook))
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
				t.Fatalf("got %v, want a list of errors", err)
			}
			for _, e := range bad.Errors {
				if e.Line < 1 || e.Column < 1 || e.Message == "" {
					t.Fatalf("error without position or message: %+v", e)
				}
			}
			return
		}
		inc := incident.New(1)
		inc.Status, inc.Runs = incident.Active, []incident.Run{p.Pin()}
		_ = Next(inc, time.Unix(0, 0))
	})
}
