package response_test

import (
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestSeeRecord checks the record that each person saw last.
func TestSeeRecord(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{})
		id := h.do(incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3}).ID
		record := map[string]string{"audience": "all", "language": "en"}
		for _, f := range incident.RecordFields() {
			if record[f.Name] == "" {
				record[f.Name] = "ada@example.com wrote it"
			}
		}
		see := func(who string) *incident.SeenRecord {
			t.Helper()
			seen, err := h.SeeRecord(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: who}, id)
			if err != nil {
				t.Fatal(err)
			}
			return seen
		}
		if got := see("p1"); got != nil {
			t.Errorf("without a record: got %+v, want nil", got)
		}
		for _, cmd := range []incident.Command{{Verb: incident.VerbAcknowledge}, {Verb: incident.VerbResolve, Text: "done"}, {Verb: incident.VerbSubmit, Record: record}} {
			cmd.For = id
			h.do(cmd)
		}
		first := h.now
		if got := see("p1"); got != nil {
			t.Errorf("first look: got %+v, want nil", got)
		}
		h.now = h.now.Add(time.Hour)
		if got := see("p1"); got == nil || !got.At.Equal(first) || got.Document.Record.Summary != record["summary"] {
			t.Errorf("second look: got %+v, want the record at %s", got, first)
		}
		if got := see("p2"); got != nil {
			t.Errorf("another person: got %+v, want nil", got)
		}
		if _, err := h.SeeRecord(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: "stranger"}, id); incident.CodeOf(err) == "" {
			t.Errorf("a stranger: got %v, want an error", err)
		}
	})
}
