package chat

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestPace_OneEditPerMessage(t *testing.T) {
	var p pace
	if err := p.edit("a", start); err != nil {
		t.Fatalf("first edit: got %v, want nil", err)
	}
	var wait *incident.RetryAfter
	if err := p.edit("a", start.Add(time.Second)); !errors.As(err, &wait) || wait.After != 2*time.Second {
		t.Fatalf("second edit after 1 s: got %v, want a retry after 2 s", err)
	}
	if err := p.edit("b", start.Add(time.Second)); err != nil {
		t.Fatalf("edit of another message: got %v, want nil", err)
	}
	if err := p.edit("a", start.Add(3*time.Second)); err != nil {
		t.Fatalf("second edit after 3 s: got %v, want nil", err)
	}
}

// TestPace_Storm changes 160 cards within a second. The pace allows the edits in
// the order of the changes.
func TestPace_Storm(t *testing.T) {
	var p pace
	var edited []string
	due := map[string]time.Time{}
	for n := range 160 {
		due[fmt.Sprintf("card %03d", n)] = start.Add(time.Duration(n) * time.Millisecond)
	}
	asked := 0
	for len(due) > 0 {
		names := slices.SortedFunc(maps.Keys(due), func(a, b string) int { return due[a].Compare(due[b]) })
		now := due[names[0]]
		asked++
		if wait := p.take(names[0], now); wait > 0 {
			due[names[0]] = now.Add(wait)
			continue
		}
		delete(due, names[0])
		if edited = append(edited, names[0]); now.Sub(start) > 3*time.Minute+time.Second {
			t.Fatalf("%s: got an edit after %v, want 160 edits within 3 minutes", names[0], now.Sub(start))
		}
	}
	if !slices.IsSorted(edited) || asked > 160+120 {
		t.Errorf("got %d questions and the order %v, want at most 280 and the order of the changes", asked, edited)
	}
}

// TestPace_Limits changes messages at random. Their effects run again late or
// never.
func TestPace_Limits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pace
		now := start
		due := map[string]time.Time{} // when the effect of a message runs
		last := map[string]time.Time{}
		var edits []time.Time
		steps := rapid.IntRange(1, 600).Draw(t, "steps")
		for n := 0; n < steps || len(due) > 0; n++ {
			if n < steps {
				name := fmt.Sprint(rapid.IntRange(0, 90).Draw(t, "message"))
				if _, queued := due[name]; !queued {
					due[name] = now
				}
				now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "pause")) * time.Millisecond)
			} else {
				now = now.Add(time.Second)
			}
			if now.Sub(start) > time.Hour {
				t.Fatalf("got %d messages that wait for an hour, want none", len(due))
			}
			for _, name := range slices.Sorted(maps.Keys(due)) {
				if due[name].After(now) {
					continue
				}
				if rapid.IntRange(0, 30).Draw(t, "fate") == 0 {
					delete(due, name) // the effect was discarded
					continue
				}
				if wait := p.take(name, now); wait > 0 {
					due[name] = now.Add(wait + time.Duration(rapid.IntRange(0, 5).Draw(t, "late"))*time.Second)
					continue
				}
				if at, ok := last[name]; ok && now.Sub(at) < editInterval {
					t.Fatalf("message %s: got edits %v apart, want at least %v", name, now.Sub(at), editInterval)
				}
				delete(due, name)
				last[name], edits = now, append(edits, now)
			}
		}
		for n := editsPerMinute; n < len(edits); n++ {
			if d := edits[n].Sub(edits[n-editsPerMinute]); d < time.Minute {
				t.Fatalf("got %d edits within %v, want at most %d in a minute", editsPerMinute+1, d, editsPerMinute)
			}
		}
	})
}
