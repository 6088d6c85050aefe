package templates

import (
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestClocks_SayAnotherDay checks times whose day differs from the day beside them.
func TestClocks_SayAnotherDay(t *testing.T) {
	at := time.Date(2026, 12, 24, 23, 30, 0, 0, time.UTC)
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	var b incident.Brief
	b.Incident.Facts.TimeZone = "Europe/Paris"
	oneDay, twoDays := scale{times: []time.Time{at, at.Add(time.Minute)}}, scale{times: []time.Time{at, at.Add(time.Hour)}}
	for _, c := range [][2]string{
		{formatLocal(b, at), "Friday, 25 December 2026, 00:30 CET (Thursday 23:30 UTC)"},
		{formatLocal(b, at.Add(-time.Hour)), "Thursday, 24 December 2026, 23:30 CET (22:30 UTC)"},
		{localClock(at.In(paris), at), "2026-12-25 00:30 CET"},
		{localClock(at.Add(-time.Hour).In(paris), at.Add(-time.Hour)), "23:30 CET"},
		{oneDay.clock(at), "23:30"},
		{twoDays.clock(at), "24 Dec 23:30"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}
