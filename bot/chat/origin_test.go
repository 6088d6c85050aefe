package chat

import (
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestMessages_MarkOrigin requires the mark of a drill in the first line and in the
// notification of every message about its incident.
func TestMessages_MarkOrigin(t *testing.T) {
	inc := incident.New(42)
	inc.Origin, inc.Status, inc.Severity, inc.Title = incident.OriginDrill, incident.InReview, incident.Sev2, "a key leaked"
	inc.Submission = &incident.Submission{Digest: "sha256:abc", Document: incident.SignedDocument{Revision: 1}}
	inc.Runs = []incident.Run{{Playbook: "p", Plan: []incident.Step{{ID: "s", Title: "Involve legal", Action: "involve:legal"}}}}
	b := incident.Brief{Incident: inc, Now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	messages := map[string]Message{
		"card": Card(b), "signature": SignatureRequest(b, incident.Security), "answer": AnswerRequest(b, incident.Consultation{Team: "payroll"}),
		"final": FinalMessage(b), "announcement": Announcement(b), "postmortem": PostmortemAnnouncement(b, incident.ClosingRecord{}),
		"shared": sharedPostmortem(b, incident.Document{}), "page": GroupPage(b, "g"), "person page": PersonalPage(b), "who": Who(b), "record": Record(incident.View{Incident: inc}, b.Now),
		"result": Result(incident.Command{Verb: incident.VerbNote}, incident.Result{Incident: inc}), "shared update": SharedUpdate(b), "update reminder": UpdateReminder(b), "updates": Updates(b, nil),
		"briefing": BriefingMessage(b), "signer": SignerMessage(b, map[string]string{"department": "legal"}), "menu": Menu(incident.View{Incident: inc}, b.Now),
		"playbooks": Playbooks(incident.View{Incident: inc}, b.Now), "timeline": Timeline(incident.View{Incident: inc, Timeline: []incident.Event{{Seq: 1, Kind: incident.EventOpened}}}, incident.TimelineFilter{}, b.Now),
		"message used": MessageUsed(incident.Command{For: 42}, incident.Result{Incident: inc, Unchanged: true}),
	}
	for _, kind := range []incident.EffectKind{incident.EffectMessageSigners, incident.EffectPagePerson, incident.EffectAskUpdate, incident.EffectAskApproval} {
		messages["closed "+string(kind)], _ = RetractedDirect(b, incident.Effect{Args: map[string]string{"request": string(kind), "department": "legal"}})
	}
	for _, kind := range incident.EventKinds() {
		b.Event = incident.Event{Kind: kind, Fields: map[string]string{"run": "p", "step": "s"}}
		if m, ok := EventMessage(b, "plain"); ok {
			messages[string(kind)] = m
		}
	}
	b.Event = incident.Event{Kind: incident.EventDismissed}
	messages["final"] = FinalMessage(b)
	for name, m := range messages {
		var first Text
		switch block := m.Blocks[0].(type) {
		case Headline:
			first = textf("%s", Plain(block))
		case Paragraph:
			first = block.Text
		case Small:
			first = block[0]
		}
		for _, line := range []Text{first, m.Notification()} {
			if !startsWithMark(line) {
				t.Errorf("%s: got %q, want the mark [DRILL] first", name, line)
			}
		}
	}
	if got := topic(b); got != "[DRILL] INC-42" {
		t.Errorf("topic: got %q", got)
	}
	if got := SummaryLine(inc.Summary()); got != "[DRILL] INC-42 · sev2 · in review · a key leaked" {
		t.Errorf("line: got %q", got)
	}
}

// startsWithMark reports whether a text begins with the mark, after its icon.
func startsWithMark(t Text) bool {
	for _, arg := range t.Args {
		switch v := arg.(type) {
		case Icon:
			continue
		case Text:
			return startsWithMark(v)
		case Plain:
			return len(v) >= 7 && v[:7] == "[DRILL]"
		}
		return false
	}
	return false
}
