package playbooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

var start = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func running(steps ...incident.Step) incident.Incident {
	i := incident.New(42)
	i.Status, i.Severity = incident.Triage, incident.Sev2
	i.Facts.PersonalData = incident.PersonalUnknown
	for n := range steps {
		steps[n].Status = incident.StepOpen
	}
	i.Runs = []incident.Run{{Playbook: "p", Plan: steps}}
	return i
}

func due(i incident.Incident, at time.Time) string {
	var out []string
	for _, d := range Next(i, at) {
		s := d.Step
		if d.Bot {
			s += "/bot"
		}
		if d.Late {
			s += "/late"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestNext(t *testing.T) {
	i := running(
		incident.Step{ID: "a", Role: "x", Deadline: 10 * time.Minute},
		incident.Step{ID: "b", Action: "involve legal", After: []string{"a"}},
		incident.Step{ID: "c", Role: "x", Phase: incident.Contained},
		incident.Step{ID: "d", Role: "x", When: `personal_data in ["suspected", "confirmed"]`},
		incident.Step{ID: "e", Role: "x", After: []string{"d"}},
		incident.Step{ID: "f", Role: "x", After: []string{"g"}},
		incident.Step{ID: "g", Role: "x", When: `severity == "sev1"`, After: []string{"a"}},
	)
	step := func(n int) *incident.Step { return &i.Runs[0].Plan[n] }
	want := func(at time.Time, list string) {
		t.Helper()
		if got := due(i, at); got != list {
			t.Fatalf("due: %q, want %q", got, list)
		}
	}
	want(start, "a e") // e: d is not wanted; f waits for a, by way of g
	i.Facts.PersonalData = incident.PersonalSuspected
	want(start, "a d")
	step(0).Started, step(3).Started = start, start
	want(start.Add(9*time.Minute), "")
	want(start.Add(10*time.Minute), "a/late")
	step(0).Status = incident.StepLate
	want(start.Add(time.Hour), "") // said once
	step(0).Status = incident.StepDone
	want(start.Add(time.Hour), "b/bot f")
	step(1).Status, step(5).Started = incident.StepSkipped, start
	i.Status = incident.Active
	want(start, "")
	i.Facts.PersonalData = incident.PersonalNo // d was started: it has to be settled before e
	want(start, "")
	step(3).Status = incident.StepSkipped
	want(start, "e")
	i.Status = incident.Contained
	want(start, "c e")
	i.Status = incident.Resolved
	want(start, "c e")
	for _, s := range []incident.Status{incident.InReview, incident.Approved, incident.Closed, incident.Dismissed, incident.Merged} {
		i.Status = s
		want(start, "")
	}
}

// A plan that no longer makes sense never hides a step or hangs.
func TestNextOfABrokenPlan(t *testing.T) {
	i := running(
		incident.Step{ID: "a", Role: "x", When: "a name of yesterday =="},
		incident.Step{ID: "b", Role: "x", After: []string{"gone"}},
		incident.Step{ID: "c", Role: "x", After: []string{"d"}, When: "false"},
		incident.Step{ID: "d", Role: "x", After: []string{"c"}, When: "false"},
		incident.Step{ID: "e", Role: "x", When: `steps["p/a"] == "open" and sources[7] == "x"`},
	)
	if got := due(i, start); got != "a b e" {
		t.Errorf("due: %q", got)
	}
}

// Both built-in playbooks can be walked to their end, whatever turns out to be so.
func TestBuiltinsCanBeFinished(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range l.Names() {
		for _, personal := range []incident.PersonalData{incident.PersonalUnknown, incident.PersonalNo, incident.PersonalSuspected, incident.PersonalConfirmed} {
			t.Run(fmt.Sprint(name, " ", personal), func(t *testing.T) {
				p, _ := l.Get(name)
				i := running()
				i.Runs = []incident.Run{p.Pin()}
				i.Facts.PersonalData = personal
				did := map[string]bool{}
				for _, status := range []incident.Status{incident.Triage, incident.Active, incident.Contained, incident.Resolved} {
					i.Status = status
					for list := Next(i, start); len(list) > 0; list = Next(i, start) {
						for _, d := range list {
							_, s := i.Step(d.Run + "/" + d.Step)
							s.Status, s.Started, did[s.ID] = incident.StepDone, start, true
						}
					}
				}
				for _, s := range p.Steps {
					if !did[s.ID] && s.When == "" {
						t.Errorf("step %s never became due", s.ID)
					}
				}
			})
		}
		if p, _ := l.Get(name); len(p.Steps) < 12 || len(p.Teams()) == 0 {
			t.Errorf("%s has %d steps and calls %v", name, len(p.Steps), p.Teams())
		}
	}
}

func TestMatch(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	inc := incident.New(1)
	inc.Severity, inc.Facts.PersonalData = incident.Sev2, incident.PersonalUnknown
	for name, c := range map[string]struct {
		title string
		alert *incident.Alert
		want  string
	}{
		"cloudtrail":       {"", &incident.Alert{Source: "cloudtrail", Level: incident.LevelHigh, Title: "StopLogging"}, "leaked-aws-credentials"},
		"cloudtrail, low":  {"", &incident.Alert{Source: "cloudtrail", Level: incident.LevelLow, Title: "ConsoleLogin"}, ""},
		"a tag":            {"", &incident.Alert{Source: "sentry", Title: "TypeError", Tags: map[string]string{"data_leak": "true"}}, "data-exposure"},
		"a person, a key":  {"Leaked AWS key in a public repository", nil, "leaked-aws-credentials"},
		"a person, a leak": {"Customer data exposed in a bucket", nil, "data-exposure"},
		"something else":   {"The site is slow", nil, ""},
	} {
		inc.Title = c.title
		var got []string
		for _, run := range l.Match(inc, c.alert) {
			got = append(got, run.Playbook)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
