package response

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// TestDueCards_WithinLimit runs the schedule late or after missed minutes. No card waits
// longer for a refresh than its limit and the delay of the schedule, and no minute has more
// cards than the limit of the chat leaves.
func TestDueCards_WithinLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
		var live []incident.Summary
		refreshed := map[incident.ID]time.Time{}
		for n := range rapid.IntRange(1, 60).Draw(t, "incidents") {
			quiet := rapid.SampledFrom([]time.Duration{0, 2 * time.Hour, 26 * time.Hour}).Draw(t, "quiet")
			live = append(live, incident.Summary{ID: incident.ID(n + 1), UpdatedAt: now.Add(-quiet)})
			refreshed[incident.ID(n+1)] = now
		}
		from := now
		for range 55 { // all stay in their interval
			missed := rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "missed minutes")
			now = from.Add(time.Duration(missed)*time.Minute + time.Duration(rapid.IntRange(0, 50).Draw(t, "late"))*time.Second)
			if now.Sub(live[0].UpdatedAt) > 55*time.Minute && cardInterval(now.Sub(live[0].UpdatedAt)) != cardIntervalFirstHour {
				break
			}
			fresh := 0
			for _, s := range live {
				if cardInterval(now.Sub(s.UpdatedAt)) == cardIntervalFirstHour {
					fresh++
				}
			}
			due := dueCards(live, from, now)
			for _, s := range live {
				limit := cardInterval(now.Sub(s.UpdatedAt))
				if limit == cardIntervalFirstHour {
					limit *= time.Duration(max(1, (fresh+maxCardsPerMinute-1)/maxCardsPerMinute))
				}
				if slices.Contains(due, s.ID) {
					refreshed[s.ID] = now
				}
				if age := now.Sub(refreshed[s.ID]); age > limit+2*time.Minute+time.Duration(missed)*time.Minute {
					t.Fatalf("%s, quiet for %v: got a card %v old, want at most %v", s.ID, now.Sub(s.UpdatedAt), age, limit)
				}
			}
			if most := maxCardsPerMinute*(missed+1) + len(live)/5 + 2; len(due) > most {
				t.Fatalf("got %d cards in %d minutes, want at most %d", len(due), missed+1, most)
			}
			from = now.Truncate(time.Minute).Add(time.Minute)
		}
	})
}

// TestRefreshCards_OnlyWhenChanged lets time pass without events. Two replicas call the
// schedule, the card is edited once for each new text, and never after the end.
func TestRefreshCards_OnlyWhenChanged(t *testing.T) {
	edits := 0
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectCard] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			edits++
			return incident.Command{}, nil
		}
		o.Shows = func(b incident.Brief, _ incident.Effect) string { // as a card that shows tens of minutes
			return fmt.Sprint(b.Incident.Status, int(b.Now.Sub(b.Incident.OpenedAt)/(10*time.Minute)))
		}
	})
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.runQueue(t)
	if edits == 0 {
		t.Fatal("got no card")
	}
	edits = 0
	tick := func(minutes int) {
		for range minutes {
			fx.now = fx.now.Add(time.Minute)
			for range 2 { // replicas
				if err := fx.RefreshCards(t.Context(), fx.now); err != nil {
					t.Fatal(err)
				}
			}
			fx.runQueue(t)
		}
	}
	if tick(30); edits != 3 {
		t.Errorf("got %d edits in 30 minutes, want 3", edits)
	}
	edits = 0
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbDismiss, Text: "a drill", NoPersonalData: true})
	if fx.runQueue(t); edits != 1 {
		t.Errorf("got %d edits after the end, want 1", edits)
	}
	if tick(30); edits != 1 {
		t.Errorf("got %d edits, want none of an ended incident", edits-1)
	}
}
