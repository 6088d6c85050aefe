package slack

import (
	"testing"

	"pgregory.net/rapid"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
)

// TestOverview_HostileTexts lays out the answers to the questions of people with hostile
// and long texts.
func TestOverview_HostileTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return hostileText().Draw(t, name) }
		b := cardIncident(rapid.SampledFrom(incident.Statuses()).Draw(t, "status"), func(name, _ string) string { return text(name) })
		v := incident.View{Incident: b.Incident, Directory: b.Directory, Possible: incident.AllowedVerbs(b.Incident.Status)}
		var o incident.Overview
		for n := range rapid.IntRange(0, 40).Draw(t, "many") {
			kind := rapid.SampledFrom(incident.EventKinds()).Draw(t, "kind")
			v.Timeline = append(v.Timeline, incident.Event{Seq: n + 1, Kind: kind, By: "p1", HappenedAt: noon, RecordedAt: noon,
				Texts: map[string]incident.Text{"text": {Value: text("text")}, "reason": {Value: text("reason")}, "title": {Value: text("title")}}})
			v.Playbooks = append(v.Playbooks, incident.PlaybookInfo{Name: text("playbook"), Title: text("title")})
			v.Tasks = append(v.Tasks, incident.Task{Incident: 42, Due: noon, Title: text("task"), Typed: "step done " + text("step"), Command: incident.Command{For: 42, Verb: incident.VerbStepDone, Step: text("step")}})
			o.Mine = append(o.Mine, incident.Summary{ID: 42, Status: incident.Active, Severity: incident.Sev1, Title: text("title")})
		}
		o.Tasks, o.Others, o.Ended, o.Directory = v.Tasks, o.Mine, o.Mine, v.Directory
		for _, m := range []neutral.Message{neutral.Menu(v, noon), neutral.Timeline(v, incident.TimelineFilter{}, noon), neutral.Playbooks(v, noon),
			neutral.Overview(o, true), neutral.BriefingMessage(b), neutral.Welcome()} {
			checkMessage(t, laidOut(m))
		}
	})
}
