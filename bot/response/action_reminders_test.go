package response

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// reminders returns the queued reminders since a position, as "PERSON: INC-1 A1".
func (fx *fixture) reminders(since int) []string {
	var out []string
	for _, e := range fx.store.effects[since:] {
		if e.Kind != incident.EffectRemindActions && e.Kind != incident.EffectMailRemindActions {
			continue
		}
		for _, item := range strings.Split(e.Args["items"], "; ") {
			f := strings.Fields(item)
			out = append(out, e.Args["person"]+": "+f[0]+" "+f[1])
		}
	}
	slices.Sort(out)
	return out
}

func (fx *fixture) addAction(t testingT, id incident.ID, owner incident.PersonID, due time.Time) {
	t.Helper()
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: "x", Owner: owner, Due: due}})
}

func day(start time.Time, n int) time.Time {
	return time.Date(start.Year(), start.Month(), start.Day()+n, 0, 0, 0, 0, time.UTC)
}

func TestRemindActions_Stages(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.addAction(t, id, "p2", day(startTime, 10))
	a1 := id.String() + " A1"
	var head incident.PersonID
	for _, team := range fx.store.directory.Teams {
		if fx.store.directory.Member("p2", team.Name) && team.Head != "p2" {
			head = team.Head
		}
	}
	if head == "" {
		t.Fatal("the owner has no head")
	}
	for n := range 40 {
		before := len(fx.store.effects)
		fx.now = startTime.AddDate(0, 0, n)
		for range 2 {
			if err := fx.RemindActions(t.Context(), fx.now); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		switch {
		case n == 3, n == 10, n == 17:
			want = []string{"p2: " + a1}
		case n == 24, n == 31, n == 38:
			want = []string{"p2: " + a1, string(head) + ": " + a1}
			slices.Sort(want)
		}
		if got := fx.reminders(before); !slices.Equal(got, want) {
			t.Errorf("day %d: got %q, want %q", n, got, want)
		}
	}
	before := len(fx.store.effects)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbFinishAction, Item: "A1"})
	if err := fx.RemindActions(t.Context(), startTime.AddDate(0, 0, 60)); err != nil {
		t.Fatal(err)
	}
	if got := fx.reminders(before); len(got) != 0 {
		t.Errorf("done: got %q, want no reminder", got)
	}
}

// TestRemindActions_OneMessageADay reminds of several items of several incidents at once.
// Only numbers and dates leave, and an owner who left or is excluded gets nothing.
func TestRemindActions_OneMessageADay(t *testing.T) {
	fx := newFixture(t, nil)
	one, two := fx.open(t, incident.Sev3), fx.open(t, incident.Sev3)
	for _, id := range []incident.ID{one, two} {
		for n := range 3 {
			fx.addAction(t, id, "p2", day(startTime, n))
		}
	}
	before := len(fx.store.effects)
	if err := fx.RemindActions(t.Context(), startTime); err != nil {
		t.Fatal(err)
	}
	if sent := fx.store.effects[before:]; len(sent) != 1 || len(fx.reminders(before)) != 6 || strings.Contains(fmt.Sprint(sent[0].Args), "Keys") {
		t.Errorf("got %+v, want one message with six items", sent)
	}
}

// TestRemindActions_OnceForEachStage runs the schedule on random days, repeats it, stops the
// process before a commit, and adds and completes items. An item is in the messages of a
// day exactly if one of its dates lies between the last run and that day.
func TestRemindActions_OnceForEachStage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fx := newFixture(rt, nil)
		id := fx.open(rt, incident.Sev3)
		due, done, last := map[string]int{}, map[string]bool{}, map[string]int{}
		for n := 0; n < 80; n += rapid.IntRange(1, 12).Draw(rt, "days") {
			fx.now = startTime.AddDate(0, 0, n)
			if len(due) < 5 && rapid.Bool().Draw(rt, "add") {
				name := fmt.Sprintf("A%d", len(due)+1)
				due[name], last[name] = n+rapid.IntRange(0, 30).Draw(rt, "due"), -1000
				fx.addAction(rt, id, "p2", day(startTime, due[name]))
			}
			if name := fmt.Sprintf("A%d", rapid.IntRange(1, 5).Draw(rt, "item")); due[name] != 0 && rapid.IntRange(0, 5).Draw(rt, "finish") == 0 {
				fx.do(rt, "p1", incident.Command{For: id, Verb: incident.VerbFinishAction, Item: name})
				done[name] = true
			}
			var want []string
			for name, d := range due {
				for date := d - 7; date <= n; date += 7 {
					if !done[name] && date > last[name] {
						want = append(want, "p2: "+id.String()+" "+name)
						break
					}
				}
				last[name] = n
			}
			slices.Sort(want)
			before := len(fx.store.effects)
			if rapid.Bool().Draw(rt, "crash") {
				fx.store.crash = 1
				if err := fx.RemindActions(t.Context(), fx.now); err != nil && !errors.Is(err, errCrash) {
					rt.Fatal(err)
				}
				fx.store.crash = 0
			}
			for range rapid.IntRange(1, 3).Draw(rt, "runs") {
				if err := fx.RemindActions(t.Context(), fx.now); err != nil {
					rt.Fatal(err)
				}
			}
			got := slices.DeleteFunc(fx.reminders(before), func(line string) bool { return !strings.HasPrefix(line, "p2: ") }) // and the head
			if !slices.Equal(got, want) {
				rt.Fatalf("day %d: got %q, want %q", n, got, want)
			}
		}
	})
}
