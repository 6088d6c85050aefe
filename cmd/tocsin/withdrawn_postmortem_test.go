package main

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
)

// TestWithdrawnPostmortem brings an incident to its signed postmortem and reopens it. Each
// recipient of the postmortem gets one mail about its end, as a reply, and the announcement
// has one reply in its thread.
func TestWithdrawnPostmortem(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	id := h.open(incident.Sev3)
	do := func(person int, department string, cmd incident.Command) incident.Incident {
		t.Helper()
		cmd.For, cmd.Via, cmd.Auth = id, incident.ViaSlack, "test"
		cmd.By = incident.Identity{Provider: incident.ProviderSlack, ID: h.company.In(department)[person].ID}
		result, err := h.bot.Desk().Do(t.Context(), cmd)
		if err != nil {
			t.Fatalf("%s: %v", cmd.Verb, err)
		}
		return result.Incident
	}
	record := map[string]string{"audience": string(incident.AudienceAll)}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			record[f.Name] = f.Label
		}
	}
	do(1, "engineering", incident.Command{Verb: incident.VerbAcknowledge})
	do(1, "engineering", incident.Command{Verb: incident.VerbContain, Text: "disabled"})
	do(1, "engineering", incident.Command{Verb: incident.VerbResolve, Text: "rotated"})
	digest := do(1, "engineering", incident.Command{Verb: incident.VerbSubmit, Record: record}).Submission.Digest
	for _, d := range incident.RequiredDepartments() {
		do(0, string(d), incident.Command{Verb: incident.VerbSign, Department: d, Expect: digest})
	}
	mails := func(subject string) (out []mailbox.Message) {
		for _, m := range h.company.Mail.Messages() {
			if strings.Contains(m.Subject, subject) {
				out = append(out, m)
			}
		}
		return out
	}
	posts := func(text string) (out []chat.Message) {
		for _, m := range h.company.Chat.Messages("C0INCIDENTS") {
			if strings.Contains(m.Text+string(m.Blocks), text) {
				out = append(out, m)
			}
		}
		return out
	}
	h.waitFor("the postmortem", func() bool {
		return len(mails("postmortem, revision 1")) == 1 && len(posts("is signed by every department")) == 1
	})
	do(1, "engineering", incident.Command{Verb: incident.VerbReopen, Text: "it goes on"})
	h.waitFor("the mail", func() bool { return len(mails("no longer applies")) > 0 })
	announced := posts("is signed by every department")[0]
	h.waitFor("the reply in the thread", func() bool { return len(h.company.Chat.Thread("C0INCIDENTS", announced.TS)) > 1 })
	sent, ended := mails("postmortem, revision 1")[0], mails("no longer applies")
	if len(ended) != 1 || strings.Join(ended[0].Recipients, " ") != strings.Join(sent.Recipients, " ") || ended[0].Header["In-Reply-To"][0] != "<"+sent.MessageID+">" {
		t.Errorf("got %+v, want one reply to the mail", ended)
	}
	replies := h.company.Chat.Thread("C0INCIDENTS", announced.TS)[1:]
	if len(replies) != 1 || !strings.Contains(replies[0].Text, "no longer applies because the incident was reopened") || len(posts("no longer applies")) != 0 {
		t.Errorf("got %+v, want one reply to the announcement", replies)
	}
}
