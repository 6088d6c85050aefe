package templates

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestNotificationMails compares reminders, requests and updates by mail with their golden
// files.
func TestNotificationMails(t *testing.T) {
	w := submittedIncident(t, "A title that no mail contains")
	b := incident.Brief{Incident: w.inc, Directory: w.dir, Now: w.now, Attempt: 1}
	update := func(fields map[string]string) string {
		b.Event = incident.Event{Kind: incident.EventUpdated, By: "grace", RecordedAt: w.now, Fields: fields, Texts: map[string]incident.Text{"text": {Value: "Exports are off.\nLogins work."}}}
		return UpdateMail(b).goldenText()
	}
	signers := func(stage incident.SignerStage) string {
		return SignRequestMail(map[string]string{"department": "legal", "stage": itoa(int(stage))}, b).goldenText()
	}
	items := incident.EncodeReminders([]incident.ActionReminder{
		{Incident: 42, Action: incident.Action{ID: "A1", Owner: "dev", Due: w.now.AddDate(0, 0, -3)}},
		{Incident: 43, Action: incident.Action{ID: "A2", Owner: "chloe", Due: w.now}},
	}, w.now)
	for name, got := range map[string]string{
		"update":          update(map[string]string{"update": "U1", "audiences": "customers", "update_due": "2026-11-24T05:00:00Z", "zone": "Europe/Paris"}),
		"correction":      update(map[string]string{"update": "U2", "audiences": "customers", "corrects": "U1"}),
		"sign-members":    signers(incident.SignerMembers),
		"sign-deputies":   signers(incident.SignerDeputies),
		"sign-head":       signers(incident.SignerHead),
		"action-reminder": ReminderMail(map[string]string{"person": "dev", "items": items}, w.dir).goldenText(),
	} {
		golden(t, "mail-"+name+".txt", got)
		if strings.Contains(got, "A title that no mail contains") {
			t.Errorf("mail %s contains the title of the incident", name)
		}
	}
}

// TestPostmortem_ListsUpdates posts an update to an audience, which another person
// approves, a correction without an approval and an update for the responders.
func TestPostmortem_ListsUpdates(t *testing.T) {
	w := submittedIncident(t, "A title")
	w.dir.Audiences = []incident.UpdateAudience{{Name: "customers", Mail: []string{"c@example.com"}, Restricted: true}}
	w.do("grace", incident.Command{Verb: incident.VerbUpdate, Text: "Exports are off.\n\n# Not a heading", Audiences: []string{"customers"}})
	w.do("elena", incident.Command{Verb: incident.VerbApproveUpdate, Item: "U2"})
	w.do("", incident.Command{Verb: incident.VerbUpdateSent, Item: "U2", Text: "customers", Channel: incident.SystemMail})
	w.do("grace", incident.Command{Verb: incident.VerbUpdate, Text: "Logins too.", Item: "U2"})
	doc, err := Postmortem(w.sign().input())
	if err != nil {
		t.Fatal(err)
	}
	sent := formatUTC(w.inc.Update("U2").Sent[0].At)
	for _, f := range doc.Files {
		_, section, found := strings.Cut(f.Content, "Updates")
		section, _, ended := strings.Cut(section, "Action items")
		if !found || !ended {
			t.Fatalf("%s: got no section with updates", f.Name)
		}
		for _, want := range []string{"U1", "Next update at 04:00 UTC", "U2", "Exports are off.", "customers by mail at " + sent, "Elena Fischer approved it at", "U3", "a correction of U2", "Nobody approved it for customers"} {
			if !strings.Contains(section, want) {
				t.Errorf("%s: got updates without %q: %s", f.Name, want, section)
			}
		}
	}
}

// An update whose text is for legal and security only, or was erased, has no text.
func TestPostmortem_WithholdsTextsOfUpdates(t *testing.T) {
	for want, change := range map[string]func(*incident.Event){
		restrictedText:          func(e *incident.Event) { e.Audience = incident.AudienceLegalSecurity },
		string(incident.Erased): func(e *incident.Event) { e.Texts = map[string]incident.Text{"text": {Commitment: "x"}} },
	} {
		w := signedIncident(t)
		in := w.input()
		for n := range in.Timeline {
			if in.Timeline[n].Kind == incident.EventUpdated {
				change(&in.Timeline[n])
			}
		}
		doc, err := Postmortem(in)
		if err != nil {
			t.Fatal(err)
		}
		if md := contentOf(doc, "text/markdown"); strings.Contains(md, "A credential was misused") || !strings.Contains(rendered(t, md), want) {
			t.Errorf("got the text of the update, want %q", want)
		}
	}
}
