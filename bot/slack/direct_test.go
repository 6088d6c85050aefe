package slack

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// TestDirectMessages compares the direct messages that ask people for something, the
// register of updates and the messages to audiences with their golden files.
func TestDirectMessages(t *testing.T) {
	b := updateBrief()
	first := b
	first.Incident.Updates = nil
	waiting := waitingUpdate()
	sent := waiting
	sent.Incident.Updates = []incident.Update{{ID: "U1", Seq: 9, By: "p1", At: noon, Audiences: []string{"company"}, ApprovedBeforehand: "Dan Roe", Sent: []incident.UpdateSent{{Audience: "company", Medium: incident.SystemSlack, At: noon}}},
		{ID: "U2", Seq: 10, By: "p1", At: noon, Corrects: "U1", Audiences: []string{"company", "support"}, ApprovedBy: "p5", ApprovedAt: noon, Sent: []incident.UpdateSent{{Audience: "company", Medium: incident.SystemSlack, At: noon, Withheld: true}}},
		{ID: "U3", Seq: 11, By: "p2", At: noon, Audiences: []string{"company"}}, {ID: "U4", Seq: 12, By: "p2", At: noon}}
	sent.Incident.UpdateDue = noon.Add(time.Hour)
	normal := b
	normal.Event.Fields = map[string]string{"update": "U2"}
	items := incident.EncodeReminders([]incident.ActionReminder{{Incident: 42, Action: incident.Action{ID: "A1", Owner: "p1", Due: noon.AddDate(0, 0, -3)}}, {Incident: 43, Action: incident.Action{ID: "A2", Owner: "p2", Due: noon}}}, noon)
	retracted := func(kind incident.EffectKind) neutral.Message {
		m, ok := neutral.RetractedDirect(waiting, incident.Effect{Kind: incident.EffectRetract, Args: map[string]string{"request": string(kind)}})
		if !ok {
			t.Errorf("%s: got no message about the end of the request", kind)
		}
		return m
	}
	review := brief(fullIncident())
	for name, m := range map[string]neutral.Message{
		"first_update_due": neutral.UpdateReminder(first), "next_update_due": neutral.UpdateReminder(sent), "approve_update": neutral.ApprovalRequest(waiting, waiting.Incident.Updates[0]),
		"update_approval_over": retracted(incident.EffectAskApproval), "update_due_over": retracted(incident.EffectAskUpdate),
		"update": neutral.SharedUpdate(normal), "update_correction": neutral.SharedUpdate(b), "updates": neutral.Updates(sent, []incident.Event{b.Event}),
		"sign_members":  neutral.SignerMessage(review, map[string]string{"department": "legal", "stage": "0"}),
		"sign_deputies": neutral.SignerMessage(review, map[string]string{"department": "legal", "stage": "1"}), "sign_head": neutral.SignerMessage(review, map[string]string{"department": "legal", "stage": "2"}),
		"actions_due": neutral.ActionReminder(b, map[string]string{"person": "p1", "items": items}),
	} {
		t.Run(name, func(t *testing.T) { checkGolden(t, "direct_"+name, laidOut(m)) })
	}
}

// waitingUpdate returns a brief with an update that waits for an approval.
func waitingUpdate() incident.Brief {
	b := updateBrief()
	b.Incident.Updates = []incident.Update{{ID: "U2", Seq: 9, By: "p3", At: noon, Audiences: []string{"company", "support"}}}
	b.Event.By = "p3"
	b.Event.Fields = map[string]string{"update": "U2", "audiences": "company,support", "update_due": "2026-11-24T07:00:00Z"}
	return b
}

// TestAskApproval asks legal and communications without the author, with a fault at the
// first attempt. The messages lose their button when the update is approved.
func TestAskApproval(t *testing.T) {
	for _, fault := range append(slices.Clone(lostReplyFaults), rejectedFaults...) {
		t.Run(string(fault), func(t *testing.T) {
			f := newOutboundTest(t)
			b := waitingUpdate()
			b.Mark = "INC-42/9/ask_approval"
			f.ws.SetFault(chat.Fault{Method: "chat.postMessage", Kind: fault, Count: 1})
			f.failThenRetry(f.effects.AskApproval, b)
			f.wantDirect(t, "Approve and send", "U0EVE")
			b.Incident.Updates[0].ApprovedBy, b.Incident.Updates[0].ApprovedAt = "p5", noon
			f.must(f.effects.AskApproval, b)
			f.wantDirect(t, "Approve and send", "U0EVE")
			if _, err := f.effects.Retract(f.ctx, b, incident.Effect{Incident: 42, Kind: incident.EffectRetract, Args: map[string]string{"request": string(incident.EffectAskApproval), "seq": "9"}}); err != nil {
				t.Fatal(err)
			}
			f.wantDirect(t, "Approve and send")
			f.wantDirect(t, "no longer waits", "U0EVE")
		})
	}
}

// wantDirect checks who has a direct message with a text.
func (f *outboundTest) wantDirect(t *testing.T, text string, people ...string) {
	t.Helper()
	var got []string
	for _, p := range f.ws.Config().People {
		for _, c := range f.ws.DMs(p.ID) {
			for _, m := range f.botMessages(c.ID) {
				if strings.Contains(string(m.Blocks), text) {
					got = append(got, p.ID)
				}
			}
		}
	}
	if !slices.Equal(got, people) {
		t.Errorf("got direct messages with %q for %v, want %v", text, got, people)
	}
}

// TestPersonalData_AsksLegal mentions legal when personal data is suspected. The button is
// gone when legal recorded the awareness.
func TestPersonalData_AsksLegal(t *testing.T) {
	b := brief(incident.Incident{ID: 42, Status: incident.Active, Severity: incident.Sev2, OpenedAt: noon, Facts: incident.Facts{PersonalData: incident.PersonalSuspected}})
	b.Event = incident.Event{Seq: 9, Kind: incident.EventFactSet, RecordedAt: noon, HappenedAt: noon, By: "p1", Fields: map[string]string{"fact": "personal_data", "value": "suspected"}}
	text := func() string {
		m, ok := neutral.EventMessage(b, incident.ViaSlack)
		if !ok {
			return ""
		}
		return laidOut(m).text + rawBlocks(t, laidOut(m))
	}
	if got := text(); !strings.Contains(got, "<@U0CLEO>") || !strings.Contains(got, "72 hours") || !strings.Contains(got, "fact INC-42 aware") {
		t.Errorf("got %q, want a mention of legal and a button", got)
	}
	b.Incident.Facts.Aware = map[string]incident.Instant{incident.RegimeGDPR: {At: noon, By: "p3"}}
	if got := text(); strings.Contains(got, "<@U0CLEO>") || strings.Contains(got, "fact INC-42 aware") {
		t.Errorf("got %q after the awareness, want no request", got)
	}
	b.Event.Fields["fact"], b.Event.Fields["regime"], b.Event.Fields["value"] = "aware", "gdpr", "2026-11-20T12:00:00Z"
	if got := text(); !strings.Contains(got, "Deadline: GDPR by") || !strings.Contains(got, "decides") {
		t.Errorf("got %q, want the deadline and the person who decides", got)
	}
	b.Event.Fields = map[string]string{"fact": "personal_data", "value": "no"}
	if got := text(); got != "" {
		t.Errorf("got %q for no personal data, want no message", got)
	}
}

func rawBlocks(t *testing.T, m message) string {
	t.Helper()
	raw, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(raw))
}
