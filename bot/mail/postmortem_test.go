package mail_test

import (
	"fmt"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/mailbox"
)

// TestWithdrawPostmortem mails a postmortem, its withdrawal and the next revision to each
// audience. All reach the same people, and the withdrawal is a reply to the postmortem.
func TestWithdrawPostmortem(t *testing.T) {
	for audience, to := range map[incident.Audience]string{
		incident.AudienceAll:           "[all@example.com]",
		incident.AudienceLegalSecurity: "[di@example.com ben@example.com]",
		incident.AudienceResponders:    "[ana@example.com ben@example.com di@example.com]",
	} {
		t.Run(string(audience), func(t *testing.T) {
			server, m := relay(t, mailbox.Config{}, nil)
			b := brief()
			b.Incident.Record.Audience = audience
			readers := b.Incident.PostmortemReaders(audience, b.Directory, b.Now)
			send := func(revision int) {
				t.Helper()
				b.Mark = fmt.Sprintf("INC-42/%d/mail_postmortem", revision)
				b.Document = &incident.Document{Revision: revision, Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}}
				if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil {
					t.Fatal(err)
				}
			}
			b.Incident.Postmortems = []incident.Postmortem{{Revision: 1}}
			send(1)
			b.Incident.Postmortems[0].Superseded = true
			send(1) // the next attempt of a mail that the relay partly refused
			withdrawn := brief()
			withdrawn.Incident.Postmortems = b.Incident.Postmortems
			var ids []string
			for _, p := range readers {
				ids = append(ids, string(p))
			}
			withdrawn.Event = incident.Event{Kind: incident.EventPostmortemWithdrawn, Seq: 50, Fields: map[string]string{"revision": "1", "audience": string(audience), "people": strings.Join(ids, ","), "cause": "reopened"}}
			withdrawn.Mark = "INC-42/50/mail_withdrawal"
			if _, err := m.WithdrawPostmortem(t.Context(), withdrawn, incident.Effect{Args: map[string]string{"revision": "1"}}); err != nil {
				t.Fatal(err)
			}
			b.Incident.Postmortems = append(b.Incident.Postmortems, incident.Postmortem{Revision: 4})
			send(4)
			all := server.Messages()
			if len(all) != 3 {
				t.Fatalf("got %d mails, want the postmortem, its withdrawal and the next revision", len(all))
			}
			for _, msg := range all {
				if fmt.Sprint(msg.Recipients) != to || fmt.Sprint(msg.Header["References"]) != "[<INC-42@example.com>]" {
					t.Errorf("%s: got recipients %s and references %v, want %s", msg.Subject, msg.Recipients, msg.Header["References"], to)
				}
			}
			if fmt.Sprint(all[1].Header["In-Reply-To"]) != "[<"+all[0].MessageID+">]" || all[0].MessageID == all[2].MessageID {
				t.Errorf("got a reply to %v, want to %s", all[1].Header["In-Reply-To"], all[0].MessageID)
			}
			if !strings.Contains(all[1].Text, "The postmortem, revision 1, no longer applies because the incident was reopened.") || !strings.Contains(all[1].Subject, "postmortem, revision 1, no longer applies") {
				t.Errorf("got subject %q and text %s", all[1].Subject, all[1].Text)
			}
			if strings.Contains(all[0].Text, "replaces") || !strings.Contains(all[2].Text, "This revision replaces revision 1.") {
				t.Errorf("got texts %s and %s, want that revision 4 replaces revision 1", all[0].Text, all[2].Text)
			}
		})
	}
}
