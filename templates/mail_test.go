package templates

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// brief is what a mail's effect is told about the incident of an input.
func brief(in Input) incident.Brief {
	b := incident.Brief{Incident: in.Incident, Directory: in.Directory, Now: in.Written, Attempt: 1}
	for _, e := range in.Timeline {
		if e.Kind == incident.EventReviewScheduled {
			b.Event = e
		}
	}
	return b
}

func (m Message) file() string { return "Subject: " + m.Subject + "\n\n" + m.Text + "\n\n" + m.HTML }

func TestMails(t *testing.T) {
	w := sample(t)
	w.says("chloe", incident.Command{Verb: incident.VerbScheduleReview, When: start.Add(80 * time.Hour), Text: "Room Curie"})
	b := brief(w.input())
	golden(t, "page-restricted.txt", PageMail(b, 1).file())
	golden(t, "postmortem-mail.txt", PostmortemMail(b).file())
	golden(t, "invitation-restricted.txt", InvitationMail(b).file())
	for what, m := range map[string]Message{"page": PageMail(b, 0), "invitation": InvitationMail(b)} {
		if text := m.file(); strings.Contains(text, "exporter") || strings.Contains(text, "CloudTrail") {
			t.Errorf("the %s of a restricted incident says what it is about", what)
		}
	}
	if strings.Contains(PostmortemMail(b).Subject, "exporter") {
		t.Error("the subject of a restricted incident's postmortem says what it is about")
	}
	b.Incident.Restricted = false
	golden(t, "page.txt", PageMail(b, 0).file())
	golden(t, "invitation.txt", InvitationMail(b).file())
}
