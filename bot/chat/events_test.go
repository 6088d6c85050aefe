package chat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestLayouts_PostOnlyWithAPlace compares the table with the effects of the domain: an event
// that people read nowhere enqueues no post, and any other one does.
func TestLayouts_PostOnlyWithAPlace(t *testing.T) {
	inc := incident.Incident{ID: 42, Status: incident.Active, Links: map[string]string{incident.LinkChannel: "C1"}}
	for kind, l := range layouts {
		e := incident.Event{Seq: 7, Kind: kind}
		posts := slices.ContainsFunc(e.Effects(inc, incident.Incident{}, incident.Env{}), func(e incident.Effect) bool {
			return e.Kind == incident.EffectPost || e.Kind == incident.EffectArchive
		})
		if posts && l.place == nowhere && exceptions[kind] == nil {
			t.Errorf("%s: got a post, want none, because nobody reads it", kind)
		}
		// A step of Tocsin, or one that is not in the plan, has no message.
		if !posts && l.place != nowhere && kind != incident.EventStepStarted && kind != incident.EventStepDone {
			t.Errorf("%s: got no post, want one at place %d", kind, l.place)
		}
	}
}

func TestLayouts_CoverEveryKindOfEvent(t *testing.T) {
	for _, kind := range incident.EventKinds() {
		if _, known := layouts[kind]; !known {
			t.Errorf("got no layout for %q, want one", kind)
		}
	}
	if len(layouts) != len(incident.EventKinds()) {
		t.Errorf("got %d layouts for %d kinds, want equal numbers", len(layouts), len(incident.EventKinds()))
	}
}

// TestStepDetails_NotStarted shows the deadline of a step before its start as people read
// durations.
func TestStepDetails_NotStarted(t *testing.T) {
	inc := incident.New(42)
	inc.Runs = []incident.Run{{Playbook: "p", Plan: []incident.Step{{ID: "s", Title: "Stop it", Deadline: 15 * time.Minute}}}}
	m := EventDetails(incident.Brief{Incident: inc, Event: incident.Event{Kind: incident.EventStepStarted, Fields: map[string]string{"run": "p", "step": "s"}}})
	if got := fmt.Sprint(m.Blocks); !strings.Contains(got, "due within 15 min of its start") {
		t.Errorf("got %s", got)
	}
}

// TestResolved_NamesOpenSteps shows the steps that were left open by their titles, and does
// not list more than people read.
func TestResolved_NamesOpenSteps(t *testing.T) {
	inc := incident.New(42)
	inc.Runs = []incident.Run{{Playbook: "p", Plan: []incident.Step{{ID: "save", Title: "Save settings, and logs"}, {ID: "stop", Title: "Stop it"}}}}
	resolved := func(steps string) string {
		m, ok := EventMessage(incident.Brief{Incident: inc, Event: incident.Event{Kind: incident.EventResolved, Fields: map[string]string{"open_steps": steps}}}, incident.ViaSlack)
		if !ok {
			t.Fatal("got no message")
		}
		return fmt.Sprint(m.Blocks)
	}
	if got := resolved("save,stop"); !strings.Contains(got, "Save settings, and logs") || !strings.Contains(got, "Stop it") || strings.Contains(got, "save,") {
		t.Errorf("got %s, want the titles", got)
	}
	if got := resolved(strings.TrimSuffix(strings.Repeat("save,", 13), ",")); !strings.Contains(got, "3") || strings.Count(got, "Save settings") != maxNamedSteps {
		t.Errorf("got %s, want 10 titles and 3 more", got)
	}
}
