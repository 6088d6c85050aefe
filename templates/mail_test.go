package templates

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// mailBrief returns the brief of a mail effect for the incident of an input.
func mailBrief(in Input) incident.Brief {
	b := incident.Brief{Incident: in.Incident, Directory: in.Directory, Now: in.Written, Attempt: 1}
	for _, e := range in.Timeline {
		if e.Kind == incident.EventReviewScheduled {
			b.Event = e
		}
	}
	return b
}

func (m Message) goldenText() string {
	return "Subject: " + m.Subject + "\n\n" + m.Text + "\n\n" + m.HTML
}

func TestMails(t *testing.T) {
	w := signedIncident(t)
	w.do("chloe", incident.Command{Verb: incident.VerbScheduleReview, When: startTime.Add(80 * time.Hour), Text: "Room Curie"})
	b := mailBrief(w.input())
	b.Page = incident.PageInfo{Subject: "possible leaked credentials (Sentry)", Links: incident.PageLinks{Status: "https://tocsin.example.com/i/42-0", Chat: "https://slack.com/app_redirect?channel=C1", Call: "https://meet.example.com/INC-42", Runbook: "https://wiki.example.com/keys"}}
	golden(t, "page-restricted.txt", PageMail(b, 1).goldenText())
	golden(t, "postmortem-mail.txt", PostmortemMail(b).goldenText())
	golden(t, "invitation-restricted.txt", InvitationMail(b).goldenText())
	for kind, m := range map[string]Message{"page": PageMail(b, 0), "invitation": InvitationMail(b)} {
		if text := m.goldenText(); strings.Contains(text, "exporter") || strings.Contains(text, "CloudTrail") {
			t.Errorf("the %s of a restricted incident contains details", kind)
		}
	}
	if strings.Contains(PostmortemMail(b).Subject, "exporter") {
		t.Error("the postmortem subject of a restricted incident contains details")
	}
	b.Page.Note = "Tocsin is paused"
	if m := PageMail(b, 0); !strings.Contains(m.Text, "Tocsin is paused.") {
		t.Errorf("got %q, want the note", m.Text)
	}
	b.Page.Note = ""
	b.Withheld = 2
	if m := PostmortemMail(b); !strings.Contains(m.Text, "2 notes for legal and security were left out.") || !strings.Contains(m.HTML, "2 notes for legal and security were left out.") {
		t.Error("the postmortem mail does not say that notes were left out")
	}
	b.Withheld, b.Incident.Restricted = 0, false
	golden(t, "page.txt", PageMail(b, 0).goldenText())
	golden(t, "invitation.txt", InvitationMail(b).goldenText())
}
