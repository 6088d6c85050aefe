package slack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
)

var canary = regexp.MustCompile(`canary[0-9]+x`)

func shownCanaries(m neutral.Message) []string {
	laid := laidOut(m)
	raw, _ := json.Marshal(laid.blocks)
	return canary.FindAllString(laid.text+string(raw), -1)
}

// TestMissedSummary_SaysNoMoreThanThePosts marks every text and every free field of random
// events. The summary shows no mark that the posts of the events do not show.
func TestMissedSummary_SaysNoMoreThanThePosts(t *testing.T) {
	all := fixtures()
	kinds := slices.DeleteFunc(incident.EventKinds(), func(k incident.EventKind) bool { _, ok := all[k]; return !ok && !k.Secret() })
	rapid.Check(t, func(rt *rapid.T) {
		b := brief(fullIncident())
		b.Incident.Status = rapid.SampledFrom(incident.Statuses()).Draw(rt, "status")
		b.Incident.Restricted = rapid.Bool().Draw(rt, "restricted")
		if rapid.Bool().Draw(rt, "unacknowledged") {
			b.Incident.Paging.AcknowledgedBy = ""
		}
		single := map[string]bool{}
		for n := range rapid.IntRange(3, 12).Draw(rt, "events") {
			kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
			e := all[kind].brief(kind).Event
			e.Seq, e.Texts = 10+n, map[string]incident.Text{}
			for _, name := range []string{"text", "reason", "title", "detail", "outcome", "answer", "decisions", "summary", "rule", "url", "who", "where", "name"} {
				e.Texts[name] = incident.Text{Value: fmt.Sprintf("canary%d%dx", n, len(e.Texts))}
			}
			switch rapid.IntRange(0, 2).Draw(rt, "audience") {
			case 0: // as the desk hands it over
				e.Audience, e.Texts = incident.AudienceLegalSecurity, nil
			case 1: // if the desk forgot to withhold the texts
				e.Audience = incident.AudienceLegalSecurity
			}
			b.Missed = append(b.Missed, e)
			one := b
			one.Event = e
			if m, ok := neutral.EventMessage(one, incident.ViaSlack); ok {
				for _, c := range shownCanaries(m) {
					single[c] = true
				}
			}
		}
		m, ok := neutral.MissedSummary(b, incident.ViaSlack)
		if !ok {
			return
		}
		for _, c := range shownCanaries(m) {
			if !single[c] {
				rt.Fatalf("the summary shows %s, and no post does", c)
			}
		}
		if raw, _ := json.Marshal(laidOut(m).blocks); strings.Contains(string(raw), "exclu") {
			rt.Fatalf("the summary mentions an exclusion: %s", raw)
		}
	})
}

func missedBrief(kinds ...incident.EventKind) incident.Brief {
	b := brief(fullIncident())
	b.Incident.Status = incident.Active
	for n, kind := range kinds {
		e := fixtures()[kind].brief(kind).Event
		e.Seq, e.RecordedAt = 20+n, noon
		b.Missed = append(b.Missed, e)
	}
	b.Event, b.Mark = b.Missed[0], b.Incident.ID.String()+"/20/post"
	return b
}

// TestMissedSummary_LeavesOutAnswered checks which events a summary lists.
func TestMissedSummary_LeavesOutAnswered(t *testing.T) {
	kinds := []incident.EventKind{incident.EventPageUnanswered, incident.EventPaged, incident.EventNoted, incident.EventDismissProposed, incident.EventStepStarted}
	b := missedBrief(kinds...)
	b.Incident.Dismissal = nil
	m, ok := neutral.MissedSummary(b, incident.ViaSlack)
	raw, _ := json.Marshal(laidOut(m).blocks)
	text := string(raw)
	if !ok || strings.Contains(text, "did not acknowledge") || strings.Contains(text, "was paged") || strings.Contains(text, "proposed to dismiss") {
		t.Errorf("got %s, want no call and no question that was answered", text)
	}
	if !strings.Contains(text, "(UTC)") {
		t.Errorf("got %s, want the zone of the times", text)
	}
	if !strings.Contains(text, "a text by a responder") || strings.Contains(text, "action_id") {
		t.Errorf("got %s, want the note, and no button that stays after its request is closed", text)
	}

	b.Incident.Paging.AcknowledgedBy, b.Incident.Paging.Round = "", 1 // the call has its own message
	m, _ = neutral.MissedSummary(b, incident.ViaSlack)
	raw, _ = json.Marshal(laidOut(m).blocks)
	if strings.Contains(string(raw), "did not acknowledge") || strings.Contains(string(raw), "action_id") {
		t.Errorf("got %s, want no call for help", raw)
	}
}

// TestMissedSummary_SaysTheDay checks that the times of an outage over midnight have days.
func TestMissedSummary_SaysTheDay(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		want  string
	}{"one day": {time.Minute, noon.Format("15:04") + " "}, "over midnight": {12 * time.Hour, noon.Format("2 Jan 15:04") + " "}} {
		b := missedBrief(incident.EventNoted, incident.EventContained, incident.EventUpdated)
		b.Missed[2].RecordedAt = noon.Add(c.after)
		m, _ := neutral.MissedSummary(b, incident.ViaSlack)
		raw, _ := json.Marshal(laidOut(m).blocks)
		if !strings.Contains(string(raw), c.want) || strings.Contains(string(raw), noon.Format("2 Jan 15:04")) != (name == "over midnight") {
			t.Errorf("%s: got %s, want %q", name, raw, c.want)
		}
	}
}

// TestPostMissed_Once repeats a summary whose answer was lost. More posts waited by then.
func TestPostMissed_Once(t *testing.T) {
	f := newOutboundTest(t)
	opened := f.openChannel()
	channel := opened.Incident.Links[incident.LinkChannel]
	b := missedBrief(incident.EventNoted, incident.EventContained, incident.EventUpdated)
	b.Incident.Links = opened.Incident.Links
	before := len(f.botMessages(channel))
	for attempt := 1; attempt <= 3; attempt++ {
		b.Attempt = attempt
		if attempt == 3 {
			later := b.Missed[0]
			later.Seq, later.Texts = 40, map[string]incident.Text{"text": {Value: "written later"}}
			b.Missed = append(b.Missed, later)
		}
		if _, err := f.effects.Post(f.ctx, b, effect); err != nil {
			t.Fatal(err)
		}
	}
	posted := f.botMessages(channel)[before:]
	if len(posted) != 2 || strings.Contains(string(posted[1].Blocks), "a text by a responder") || !strings.Contains(string(posted[1].Blocks), "written later") {
		t.Fatalf("got %d messages, want the summary and the later note: %+v", len(posted), posted)
	}
}
