package mail_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/mailbox"
)

// cancellation returns the effect that cancels the meeting for two people with an address,
// a former person and a person without an address.
func cancellation(when time.Time) incident.Effect {
	return incident.Effect{Key: "INC-42/50/mail_cancellation", Kind: incident.EffectMailCancellation, Incident: 42,
		Args: map[string]string{"people": "p1,p4,gone,p3", "when": when.UTC().Format(time.RFC3339Nano)}}
}

func TestInvitation(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	invite := func(seq int, when time.Time) *ics.VEvent {
		t.Helper()
		b := brief()
		b.Mark = fmt.Sprintf("INC-42/%d/mail_invitation", seq)
		b.Event.Seq, b.Event.Fields = seq, map[string]string{"when": when.Format(time.RFC3339)}
		b.Incident.Review.At = when
		b.Incident.Title = "Leak; \"x\",\r\nATTENDEE:mailto:evil@example.com"
		cmd, err := m.Invitation(t.Context(), b, incident.Effect{})
		if err != nil {
			t.Fatal(err)
		}
		if cmd.Verb != incident.VerbReviewInvited || fmt.Sprint(cmd.People) != "[p1 p2 p4]" || !cmd.When.Equal(when) {
			t.Errorf("got command %+v, want the invited people", cmd)
		}
		all := server.Messages()
		part, ok := all[len(all)-1].Calendar()
		if !ok || part.Params["method"] != "REQUEST" {
			t.Fatalf("got no invitation in %s", all[len(all)-1].Raw)
		}
		cal, err := ics.ParseCalendar(strings.NewReader(string(part.Content)))
		if err != nil {
			t.Fatalf("%v in %s", err, part.Content)
		}
		if len(cal.Events()) != 1 || !strings.Contains(string(part.Content), "METHOD:REQUEST") {
			t.Fatalf("got calendar %s", part.Content)
		}
		return cal.Events()[0]
	}
	meeting := time.Date(2026, 11, 10, 15, 0, 0, 0, time.FixedZone("CET", 3600))
	first, moved := invite(30, meeting), invite(41, meeting.Add(24*time.Hour))
	if first.Id() != "inc-42-review@example.com" || moved.Id() != first.Id() {
		t.Errorf("got UIDs %q and %q", first.Id(), moved.Id())
	}
	if a, b := first.GetProperty(ics.ComponentPropertySequence).Value, moved.GetProperty(ics.ComponentPropertySequence).Value; a != "30" || b != "41" {
		t.Errorf("got sequences %s and %s", a, b)
	}
	if start, err := first.GetStartAt(); err != nil || !start.Equal(meeting) {
		t.Errorf("got start %v, error %v", start, err)
	}
	if end, err := first.GetEndAt(); err != nil || !end.Equal(meeting.Add(time.Hour)) {
		t.Errorf("got end %v, error %v", end, err)
	}
	var attendees []string
	for _, a := range first.Attendees() {
		attendees = append(attendees, a.Email())
	}
	if fmt.Sprint(attendees) != "[ana@example.com ben@example.com di@example.com]" {
		t.Errorf("got attendees %v", attendees)
	}
	if s := first.GetProperty(ics.ComponentPropertySummary).Value; s != `Postmortem review of INC-42: Leak; "x", ATTENDEE:mailto:evil@example.com` {
		t.Errorf("got summary %q", s)
	}
	if !strings.Contains(server.Messages()[0].Text, meeting.UTC().Format("2006-01-02 15:04")) {
		t.Errorf("got text %s", server.Messages()[0].Text)
	}
	if _, err := m.Invitation(t.Context(), brief(), incident.Effect{}); !errors.As(err, new(*incident.Permanent)) {
		t.Errorf("no date: got error %v, want a permanent one", err)
	}
}

// TestCancellation checks the UID and the sequence, by which a calendar finds the meeting.
func TestCancellation(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	meeting := time.Date(2026, 11, 10, 15, 0, 0, 0, time.UTC)
	b := brief()
	b.Mark, b.Event.Seq = "INC-42/50/mail_cancellation", 50
	b.Event.Kind, b.Event.Fields = incident.EventReviewCancelled, map[string]string{"when": meeting.Format(time.RFC3339), "cause": "reopened"}
	if _, err := m.Cancellation(t.Context(), b, cancellation(meeting)); err != nil {
		t.Fatal(err)
	}
	msg := onlyMessage(t, server)
	if got := fmt.Sprint(msg.Recipients); got != "[ana@example.com di@example.com]" {
		t.Errorf("got recipients %s, want the invited people who have an address", got)
	}
	part, ok := msg.Calendar()
	if !ok || part.Params["method"] != "CANCEL" {
		t.Fatalf("got no cancellation in %s", msg.Raw)
	}
	cal, err := ics.ParseCalendar(strings.NewReader(string(part.Content)))
	if err != nil {
		t.Fatal(err)
	}
	ev := cal.Events()[0]
	sequence, status := ev.GetProperty(ics.ComponentPropertySequence).Value, ev.GetProperty(ics.ComponentPropertyStatus).Value
	if !strings.Contains(string(part.Content), "METHOD:CANCEL") || ev.Id() != "inc-42-review@example.com" || sequence != "50" || status != "CANCELLED" || len(ev.Attendees()) != 2 {
		t.Errorf("got calendar %s", part.Content)
	}
	if start, err := ev.GetStartAt(); err != nil || !start.Equal(meeting) {
		t.Errorf("got start %v, error %v", start, err)
	}
	if !strings.HasPrefix(msg.Subject, "Cancelled: review of INC-42") || !strings.Contains(msg.Text, "the incident was reopened") {
		t.Errorf("got subject %q, text %s", msg.Subject, msg.Text)
	}
}

func TestCancellation_NobodyHasAnAddress(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	e := cancellation(at)
	e.Args["people"] = "p3"
	if _, err := m.Cancellation(t.Context(), brief(), e); err != nil || len(server.Messages()) != 0 {
		t.Errorf("got error %v and %d mails, want neither", err, len(server.Messages()))
	}
}

// TestInvitation_MeetingChanged performs an invitation after the meeting was cancelled or
// moved. Only a second attempt reports recipients, because the first may have reached them.
func TestInvitation_MeetingChanged(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := brief()
	b.Event.Fields = map[string]string{"when": at.Add(24 * time.Hour).Format(time.RFC3339)}
	for name, next := range map[string]time.Time{"cancelled": {}, "moved": at.Add(48 * time.Hour)} {
		for attempt, want := range map[int]incident.Verb{1: "", 2: incident.VerbReviewInvited} {
			b.Incident.Review.At, b.Attempt = next, attempt
			cmd, err := m.Invitation(t.Context(), b, incident.Effect{})
			if err != nil || cmd.Verb != want || len(server.Messages()) != 0 {
				t.Errorf("%s, attempt %d: got verb %q, error %v and %d mails, want verb %q", name, attempt, cmd.Verb, err, len(server.Messages()), want)
			}
		}
	}
}
