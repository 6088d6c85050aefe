package templates

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestAnswers(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l := incident.AlertLine{ID: 17, Kind: "sentry.issue", Level: "high", Title: "it\nbroke", Count: 3, LastAt: noon, Reason: "noise"}
	rules := []incident.TriedRule{{Place: 1, When: `level == "low"`, Why: []string{`level == "low" is false: level = "high"`}}, {When: "no rule fits", Does: "watch", Fits: true}}
	for name, c := range map[string]struct {
		a    incident.Answer
		want string
	}{
		"nothing":       {incident.Answer{Shelf: incident.ShelfDropped}, "There are no dropped alerts."},
		"alerts":        {incident.Answer{Shelf: incident.ShelfDropped, Kinds: 2, Copies: 9, Alerts: []incident.AlertLine{l}}, "2 dropped alerts with 9 copies; the newest 1:\nA17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise"},
		"no window":     {incident.Answer{}, "There is no maintenance window."},
		"window":        {incident.Answer{Done: "Done.", Windows: []incident.Maintenance{{ID: 3, When: "sample", Reason: "a move", Owner: "p1", From: noon, To: noon.Add(time.Hour), Matched: 4}}}, "Done.\nM3 holds · 2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · kept back 4 · when sample · because a move"},
		"explained":     {incident.Answer{Explanation: &incident.Explanation{Alert: l, Outcome: "watched", Digest: "sha256:1", Present: "sha256:1", Rules: rules}}, "A17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise\nDecided: watched\nBy the routing sha256:1:\ndoes not fit: rule 1, level == \"low\"\n  level == \"low\" is false: level = \"high\"\nfits: behind all rules → watch\nThe routing has not changed since."},
		"changed since": {incident.Answer{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", Present: "sha256:2", Rules: rules[1:], Today: rules[1:]}}, "Decided: x\nBy the routing sha256:1:\nfits: behind all rules → watch\nThe routing has changed since; by today's, sha256:2:\nfits: behind all rules → watch"},
	} {
		if got := strings.Join(Answer(c.a, incident.Directory{}, noon), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}
