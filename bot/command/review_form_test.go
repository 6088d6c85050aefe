package command

import (
	"slices"
	"testing"
	"time"

	. "tocsin/bot/incident"
)

// TestConcludeForm_AsksForReason shows the field for a reason only before the meeting.
func TestConcludeForm_AsksForReason(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		meeting time.Time
		label   string
	}{
		"no meeting": {time.Time{}, "Why without a scheduled meeting?"},
		"early":      {now.Add(time.Minute), "Why before the meeting at 2026-11-20 08:01 UTC?"},
		"in time":    {now, ""},
	} {
		f, _ := FormOf(VerbConclude)
		form := f.Open(FormContext{Given: Command{Verb: VerbConclude, For: 42, Reason: "all met"}, Incident: Incident{ID: 42, Review: Review{At: c.meeting}}, Env: Env{Now: now}})
		n := slices.IndexFunc(form.Fields, func(f Field) bool { return f.Name == "reason" })
		switch {
		case n < 0 && c.label != "":
			t.Errorf("%s: got no field, want %q", name, c.label)
		case n >= 0 && (form.Fields[n].Label != c.label || form.Fields[n].Optional || form.Fields[n].Value != "all met"):
			t.Errorf("%s: got field %+v, want %q, required, with the typed reason", name, form.Fields[n], c.label)
		}
	}
}

// TestFinishButton_SelectsTheItem opens the form of a button that names an action item.
func TestFinishButton_SelectsTheItem(t *testing.T) {
	given := Press(VerbFinishAction, 42, ButtonArgs(Command{Verb: VerbFinishAction, Item: "A2"}))
	f, _ := FormFor(given)
	form := f.Open(FormContext{Given: given, Incident: Incident{ID: 42, Actions: []Action{{ID: "A1", Title: "one"}, {ID: "A2", Title: "two"}, {ID: "A3", Done: time.Unix(1, 0)}}}})
	item := form.field("item")
	if item.Value != "A2" || !slices.Equal(item.Options, []string{"A1", "A2"}) {
		t.Errorf("got value %q of %v, want A2 of the open ones", item.Value, item.Options)
	}
}
