package playbooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

var startTime = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func runningIncident(steps ...incident.Step) incident.Incident {
	i := incident.New(42)
	i.Status, i.Severity = incident.Triage, incident.Sev2
	i.Facts.PersonalData = incident.PersonalUnknown
	for n := range steps {
		steps[n].Status = incident.StepOpen
	}
	i.Runs = []incident.Run{{Playbook: "p", Plan: steps}}
	return i
}

func dueSteps(i incident.Incident, at time.Time) string {
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
	i := runningIncident(
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
		if got := dueSteps(i, at); got != list {
			t.Fatalf("due: got %q, want %q", got, list)
		}
	}
	want(startTime, "a e") // the condition of d is false, and f waits for a through g
	i.Facts.PersonalData = incident.PersonalSuspected
	want(startTime, "a d")
	step(0).Started, step(3).Started = startTime, startTime
	want(startTime.Add(9*time.Minute), "")
	want(startTime.Add(10*time.Minute), "a/late")
	step(0).Status = incident.StepLate
	want(startTime.Add(time.Hour), "") // reported once
	step(0).Status = incident.StepDone
	want(startTime.Add(time.Hour), "b/bot f")
	step(1).Status, step(5).Started = incident.StepSkipped, startTime
	i.Status = incident.Active
	want(startTime, "")
	i.Facts.PersonalData = incident.PersonalNo // d was started and must be finished before e
	want(startTime, "")
	step(3).Status = incident.StepSkipped
	want(startTime, "e")
	i.Status = incident.Contained
	want(startTime, "c e")
	i.Status = incident.Resolved
	want(startTime, "c e")
	for _, s := range []incident.Status{incident.InReview, incident.Approved, incident.Closed, incident.Dismissed, incident.Merged} {
		i.Status = s
		want(startTime, "")
	}
}

// An invalid plan must neither hide a step nor make Next loop.
func TestNext_InvalidPlan(t *testing.T) {
	i := runningIncident(
		incident.Step{ID: "a", Role: "x", When: "a removed name =="},
		incident.Step{ID: "b", Role: "x", After: []string{"gone"}},
		incident.Step{ID: "c", Role: "x", After: []string{"d"}, When: "false"},
		incident.Step{ID: "d", Role: "x", After: []string{"c"}, When: "false"},
		incident.Step{ID: "e", Role: "x", When: `steps["p/a"] == "open" and sources[7] == "x"`},
	)
	if got := dueSteps(i, startTime); got != "a b e" {
		t.Errorf("due: got %q, want %q", got, "a b e")
	}
}

// Every built-in playbook can be finished for all values of personal_data.
func TestNext_FinishesBuiltinPlaybooks(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range l.Names() {
		for _, personal := range []incident.PersonalData{incident.PersonalUnknown, incident.PersonalNo, incident.PersonalSuspected, incident.PersonalConfirmed} {
			t.Run(fmt.Sprint(name, " ", personal), func(t *testing.T) {
				p, _ := l.Get(name)
				i := runningIncident()
				i.Runs = []incident.Run{p.Pin()}
				i.Facts.PersonalData = personal
				done := map[string]bool{}
				for _, status := range []incident.Status{incident.Triage, incident.Active, incident.Contained, incident.Resolved} {
					i.Status = status
					for list := Next(i, startTime); len(list) > 0; list = Next(i, startTime) {
						for _, d := range list {
							_, s := i.Step(d.Run + "/" + d.Step)
							s.Status, s.Started, done[s.ID] = incident.StepDone, startTime, true
						}
					}
				}
				for _, s := range p.Steps {
					if !done[s.ID] && s.When == "" {
						t.Errorf("step %s never became due", s.ID)
					}
				}
			})
		}
		if p, _ := l.Get(name); len(p.Steps) < 12 || len(p.Teams()) == 0 {
			t.Errorf("%s: got %d steps and teams %v, want at least 12 steps and one team", name, len(p.Steps), p.Teams())
		}
	}
}

func TestLibrary_Match(t *testing.T) {
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
		"cloudtrail":           {"", &incident.Alert{Source: "cloudtrail", Level: incident.LevelHigh, Title: "StopLogging"}, "leaked-aws-credentials"},
		"cloudtrail, low":      {"", &incident.Alert{Source: "cloudtrail", Level: incident.LevelLow, Title: "ConsoleLogin"}, ""},
		"tag":                  {"", &incident.Alert{Source: "sentry", Title: "TypeError", Tags: map[string]string{"data_leak": "true"}}, "data-exposure"},
		"person, leaked key":   {"Leaked AWS key in a public repository", nil, "leaked-aws-credentials"},
		"person, exposed data": {"Customer data exposed in a bucket", nil, "data-exposure"},
		"unrelated title":      {"The site is slow", nil, ""},
		"title of 1 MiB":       {"", &incident.Alert{Source: "sentry", Title: "data leak" + strings.Repeat("Ж ", 1<<18)}, "data-exposure"},
	} {
		inc.Title = c.title
		var got []string
		runs, failed := l.Match(inc, c.alert)
		if len(failed) > 0 {
			t.Errorf("got failures %v", failed)
		}
		for _, run := range runs {
			got = append(got, run.Playbook)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestLibrary_MatchFails(t *testing.T) {
	match, bad := compile(`int(tags["users"]) > 1`, matchEnv{})
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	l := &Library{byName: map[string]*Playbook{"users": {Name: "users", match: match}}}
	runs, failed := l.Match(incident.New(1), &incident.Alert{})
	if len(runs) > 0 || len(failed) != 1 || failed["users"] == nil {
		t.Errorf("got runs %v, failures %v; want the failure of users", runs, failed)
	}
}

func TestParse_UnboundedCondition(t *testing.T) {
	_, bad := compile(`any(kinds, any(sources, # == "x"))`, stepEnv{})
	if len(bad) != 1 || bad[0].Column != 24 || !strings.Contains(bad[0].Message, "a predicate inside a predicate is not allowed") {
		t.Errorf("got %+v, want the predicate refused at column 24", bad)
	}
	if run := (&runState{}); !run.conditionHolds(&incident.Step{When: `all(1..900000, # > 0)`}) {
		t.Error("got a step hidden by a stored condition that is refused, want it shown")
	}
}
