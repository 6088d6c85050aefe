package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// redactSecret replaces the word SECRET.
type redactSecret struct{}

func (redactSecret) Text(s string) string { return strings.ReplaceAll(s, "SECRET", "[redacted]") }

// TestMissed_OneSummary refuses the posts of an incident for an hour. Afterwards one
// message covers all of them, and requests of other kinds have their own.
func TestMissed_OneSummary(t *testing.T) {
	for name, outage := range map[string]time.Duration{"an hour": time.Hour, "a few seconds": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			away := true
			var posts []string
			fx := newFixture(t, func(o *Options) {
				o.Redact, o.MissedAfter = redactSecret{}, time.Minute
				o.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
					if away {
						return incident.Command{}, errUnavailable
					}
					var texts []string
					for _, missed := range b.Missed {
						texts = append(texts, fmt.Sprint(missed.Seq, missed.Text("text")))
					}
					posts = append(posts, strings.Join(texts, "|"))
					return incident.Command{}, nil
				}
			})
			id := fx.open(t, incident.Sev3)
			fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
			fx.runQueue(t)
			for n := range 4 {
				fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: fmt.Sprintf("note %d SECRET", n)})
			}
			fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "for legal SECRET", Audience: incident.AudienceLegalSecurity})
			fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbConsult, Department: incident.Communications})
			fx.runQueue(t)
			fx.now = fx.now.Add(outage)
			fx.runQueue(t)
			away = false
			fx.now = fx.now.Add(maxPause)
			if outage < time.Minute {
				fx.now = fx.now.Add(outage - maxPause)
			}
			fx.runQueue(t)
			fx.now = fx.now.Add(maxPause)
			fx.runQueue(t)
			if outage >= time.Minute {
				if len(posts) != 1 {
					t.Fatalf("got posts %q, want one summary", posts)
				}
				for n := range 4 {
					if !strings.Contains(posts[0], fmt.Sprintf("note %d [redacted]", n)) {
						t.Errorf("got %q, want note %d, redacted", posts[0], n)
					}
				}
				if strings.Contains(posts[0], "SECRET") || strings.Contains(posts[0], "for legal") {
					t.Errorf("got %q, want no text that the posts leave out", posts[0])
				}
			}
			if countOf(fx.calls, string(incident.EffectAskConsult)) != 1 {
				t.Errorf("got calls %v, want the question once", fx.calls)
			}
			for _, e := range fx.store.effects {
				if !e.done && e.Kind != incident.EffectDeadline {
					t.Errorf("%s is not done", e.Key)
				}
			}
		})
	}
}

// TestMissed_OpenRequestsKeepTheirMessages refuses posts for an hour. Open requests have
// their own messages afterwards, which Tocsin edits later, and all others one summary.
func TestMissed_OpenRequestsKeepTheirMessages(t *testing.T) {
	away := false
	var summaries, alone []incident.EventKind
	fx := newFixture(t, func(o *Options) {
		o.MissedAfter = time.Minute
		o.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			switch {
			case away:
				return incident.Command{}, errUnavailable
			case len(b.Missed) == 0:
				alone = append(alone, b.Event.Kind)
			}
			for _, e := range b.Missed {
				summaries = append(summaries, e.Kind)
			}
			return incident.Command{}, nil
		}
	})
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.runQueue(t)
	alone, away = nil, true
	note := func() { fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello"}) }
	note()
	note()
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "over"})
	note()
	fx.runQueue(t)
	fx.now, away = fx.now.Add(10*time.Minute), false
	fx.runQueue(t)
	want := []incident.EventKind{incident.EventNoted, incident.EventNoted, incident.EventNoted}
	if !slices.Equal(summaries, want) || !slices.Equal(alone, []incident.EventKind{incident.EventResolved}) {
		t.Errorf("got a summary of %v and %v alone, want the notes, and the request for the closing record", summaries, alone)
	}
}
