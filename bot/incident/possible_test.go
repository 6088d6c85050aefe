package incident

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPossible_AgreesWithDecide compares, for every status, person and verb, the verbs that
// people are offered with the authority that their commands meet.
func TestPossible_AgreesWithDecide(t *testing.T) {
	offered := 0
	for _, status := range Statuses() {
		for _, actor := range actors {
			w := actorFixture(t, status)
			env := Env{Now: w.now, Actor: actor, Directory: w.dir, Policy: w.policy}
			possible := Possible(w.inc, env)
			if !w.inc.MayRead(w.dir, actor, w.now) && len(possible) > 0 {
				t.Errorf("%s: %q may not read the incident and got %v", status, actor, possible)
			}
			for _, v := range possible {
				offered++
				w := actorFixture(t, status)
				cmd := matrixCommand(v, w)
				if v == VerbFinishAction {
					cmd.Item = "A9"
				}
				if row := transition(v, status); row == nil || v == VerbOpen {
					t.Errorf("%s: %q is offered %s, which the status does not allow", status, actor, v)
				}
				team := w.inc.departmentsFor(v, w.dir, actor, w.now)
				if len(team) > 0 {
					cmd.Department, cmd.Item = team[0], ""
				}
				if err := Authorize(cmd, w.inc, Env{Now: w.now, Actor: actor, Directory: w.dir, Policy: w.policy}); err != nil {
					t.Errorf("%s: %q is offered %s, and gets %v", status, actor, v, err)
				}
			}
		}
	}
	if offered < 300 {
		t.Errorf("got %d offers, want many", offered)
	}
}

// A verb that people may use and that changes something is offered to them.
func TestPossible_IsComplete(t *testing.T) {
	for _, status := range Statuses() {
		for v := range statusMatrix {
			w := fixtureIn(t, status)
			by, cmd := validCommand(v, w)
			row := transition(v, status)
			if row == nil || row.Who&^TheBot == 0 || by == administrator || v == VerbRequestAccess || v == VerbBreakGlass { // the last two are for people who may not read
				continue
			}
			before := Possible(w.inc, Env{Now: w.now, Actor: by, Directory: w.dir, Policy: w.policy})
			if events, err := w.decideAs(by, cmd); err == nil && len(events) > 0 && !slices.Contains(before, v) {
				t.Errorf("%s: %s may use %s, which is not in %v", status, by, v, before)
			}
		}
	}
}

func TestDecide_RefusalsNameWhatIsPossible(t *testing.T) {
	w := actorFixture(t, Active)
	for actor, want := range map[PersonID]string{"reader": "You can use note or here", "holder": "You can use update, step or note"} {
		_, err := w.decideAs(actor, Command{Verb: VerbContain, Text: "x"})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", actor, err, want)
		}
	}
	if _, err := w.decideAs("outsider", Command{Verb: VerbContain, Text: "x"}); err == nil || strings.Contains(err.Error(), "You can use") {
		t.Errorf("outsider: got %v, want no commands", err)
	}
}

func TestTasks(t *testing.T) {
	typed := func(w *fixture, p PersonID) []string {
		var out []string
		for _, task := range w.inc.Tasks(Env{Now: w.now, Actor: p, Directory: w.dir, Policy: w.policy}) {
			if task.Incident != w.inc.ID || task.Sentence().Format == "" || task.Command.Verb == "" || task.Command.For != w.inc.ID {
				t.Errorf("task %+v is incomplete", task)
			}
			out = append(out, task.Typed)
		}
		return out
	}
	triage := fixtureIn(t, Triage)
	review := fixtureIn(t, InReview)
	held := fixtureIn(t, Active)
	held.inc.setRole("keeper", "com1")
	held.inc.Runs = append(held.inc.Runs, Run{Playbook: "q", Plan: []Step{{ID: "s", Role: "keeper", Started: held.now, Deadline: time.Hour}, {ID: "free", Role: "nobody", Started: held.now}, {ID: "done", Role: "keeper", Started: held.now, Status: StepDone}}})
	held.inc.Actions = append(held.inc.Actions, Action{ID: "A1", Title: "x", Owner: "out1", Due: held.now.AddDate(0, 0, -2)}, Action{ID: "A2", Owner: "out1", Done: held.now})
	held.inc.Restricted = false
	for _, test := range []struct {
		name string
		w    *fixture
		p    PersonID
		want []string
	}{
		{"page", triage, "eng2", []string{"ack"}},
		{"no responder", triage, "com1", nil},
		{"signature", review, "leg1", []string{"sign legal"}},
		{"the submitter signs nothing", review, review.inc.Submission.By, nil},
		{"step of a role", held, "com1", []string{"step done q/s"}},
		{"step of a free role", held, held.inc.Commander, []string{"step done q/free"}},
		{"action item", held, "out1", []string{"action done A1"}},
	} {
		if got := typed(test.w, test.p); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	if task := held.inc.Tasks(Env{Now: held.now, Actor: "out1", Directory: held.dir})[0]; !task.Late {
		t.Errorf("got %+v, want a late action item", task)
	}
	held.inc.Restricted = true
	if got := typed(held, "out1"); got != nil {
		t.Errorf("outsider: got %q, want nothing", got)
	}
}
