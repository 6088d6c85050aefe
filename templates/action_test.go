package templates

import (
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestActionLine_Progress(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return time.Date(2026, 11, 20+n, 0, 0, 0, 0, time.UTC) }
	dir := incident.Directory{People: []incident.Person{{ID: "ada", Name: "Ada Lovelace"}}}
	for want, a := range map[string]incident.Action{
		"A1 · detection · alarm · Ada Lovelace · due 2026-11-20":                       {Due: day(0)},
		"A1 · detection · alarm · Ada Lovelace · due 2026-11-19, 1 day overdue":        {Due: day(-1)},
		"A1 · detection · alarm · Ada Lovelace · due 2026-11-10, 10 days overdue":      {Due: day(-10)},
		"✓ A1 · detection · alarm · Ada Lovelace · done by Ada Lovelace on 2026-11-19": {Due: day(-10), Done: now.AddDate(0, 0, -1), DoneBy: "ada"},
	} {
		a.ID, a.Kind, a.Title, a.Owner = "A1", incident.ActionDetection, "alarm", "ada"
		if got := ActionLine(a, dir, now); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
