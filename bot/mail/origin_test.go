package mail_test

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/mailbox"
)

// Every mail about a drill begins with its mark, also if the incident is restricted.
func TestMails_BeginWithMarkOfOrigin(t *testing.T) {
	for _, restricted := range []bool{false, true} {
		server, m := relay(t, mailbox.Config{}, nil)
		b := brief()
		b.Incident.Origin, b.Incident.Restricted = incident.OriginDrill, restricted
		b.Document = &incident.Document{Revision: 1, Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}}
		b.Event.Fields = map[string]string{"when": "2026-11-24T10:00:00Z"}
		b.Incident.Review.At = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		if _, err := m.PageTo([]string{"ana@example.com"})(t.Context(), b, page); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Invitation(t.Context(), b, incident.Effect{}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Cancellation(t.Context(), b, cancellation(b.Incident.Review.At)); err != nil {
			t.Fatal(err)
		}
		if err := m.PagePerson(t.Context(), b, "ana@example.com"); err != nil {
			t.Fatal(err)
		}
		b.Incident.Status, b.Incident.Submission = incident.InReview, &incident.Submission{}
		b.Incident.Requests = []incident.Request{{Effect: incident.EffectAskSign, Department: incident.Legal, Seq: 9}}
		if _, err := m.Signers(t.Context(), b, incident.Effect{Args: map[string]string{"department": "legal", "request": "9", "people": "p1"}}); err != nil {
			t.Fatal(err)
		}
		b.Directory.Audiences = []incident.UpdateAudience{{Name: "company", Mail: []string{"all@example.com"}}}
		b.Event = incident.Event{Kind: incident.EventUpdated, Texts: map[string]incident.Text{"text": {Value: "Logins work again."}}}
		if _, err := m.Update(t.Context(), b, incident.Effect{Args: map[string]string{"audience": "company"}}); err != nil {
			t.Fatal(err)
		}
		if n := len(server.Messages()); n != 7 {
			t.Fatalf("got %d mails, want 7", n)
		}
		for _, msg := range server.Messages() {
			if !strings.HasPrefix(msg.Subject, "[DRILL] ") || !strings.HasPrefix(msg.Text, "[DRILL] ") || !strings.Contains(msg.HTML, "[DRILL] ") {
				t.Errorf("got subject %q, text %q", msg.Subject, msg.Text)
			}
		}
		invitation, _ := server.Messages()[2].Calendar()
		if !strings.Contains(string(invitation.Content), "SUMMARY:[DRILL] Postmortem review of INC-42") {
			t.Errorf("got invitation %s", invitation.Content)
		}
	}
}
