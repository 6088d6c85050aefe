package pagerduty_test

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// The page of a drill begins with its mark, and a note about it still names the
// incident.
func TestPage_BeginsWithMarkOfOrigin(t *testing.T) {
	for _, restricted := range []bool{false, true} {
		a, c := account(t)
		b := brief()
		b.Incident.Origin, b.Incident.Restricted = incident.OriginDrill, restricted
		if _, err := c.Page(t.Context(), b, effect("1", "0")); err != nil {
			t.Fatal(err)
		}
		summary := a.Requests()[0].Event.Payload.Summary
		if !strings.HasPrefix(summary, "[DRILL] INC-42 sev2") {
			t.Errorf("got summary %q", summary)
		}
		note := `{"event":{"id":"N1","event_type":"incident.annotated","resource_type":"incident","occurred_at":"2026-11-20T02:31:00Z","agent":{"id":"PANA","type":"user_reference","summary":"Ana"},` +
			`"data":{"type":"incident_note","id":"P1","content":"on it","incident":{"id":"Q1","summary":"[#17] ` + summary + `"}}}}`
		got, err := source.Decode(nil, []byte(note))
		if err != nil || len(got) != 1 || got[0].Subject.PageKey != "INC-42/1" {
			t.Errorf("got signals %+v, error %v, want a note about INC-42", got, err)
		}
	}
}
