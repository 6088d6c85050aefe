package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// Six people take an incident from resolved to closed on the pages alone, without a script and
// without a chat.
func TestPages_FromResolvedToClosed(t *testing.T) {
	s := newSite(t, "")
	s.open("Leaked deploy key", incident.Sev2)
	s.do("eve", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	s.do("eve", incident.Command{For: 1, Verb: incident.VerbResolve, Text: "new key"})
	step := func(who incident.PersonID, verb string, fields map[string]string) {
		t.Helper()
		s.wait(time.Minute)
		b := s.enter(who)
		if status, page := b.submit("/incidents/INC-1/do/"+verb, fields); status != http.StatusSeeOther {
			t.Fatalf("%s by %s: got status %d: %s", verb, who, status, page)
		}
		if status, page := b.get("/incidents/INC-1"); status != http.StatusOK || !strings.Contains(page, `class="notice good"`) {
			t.Fatalf("%s by %s: got status %d and no message: %s", verb, who, status, page)
		}
	}
	step("finn", "edit_record", map[string]string{"root_cause": "The key was in a log line."})
	step("eve", "submit", map[string]string{"summary": "A key leaked.", "impact": "None.", "what_was_done": "A new key.", "what_detected_it": "A person.",
		"what_will_detect_it": "An alarm.", "what_will_prevent_it": "Short keys.", "audience": "all", "language": "en", "root_cause": "The key was in a log line."})
	if got := s.incident(1); got.Status != incident.InReview || got.Record.RootCause != "The key was in a log line." {
		t.Fatalf("got %s and root cause %q, want in review", got.Status, got.Record.RootCause)
	}
	for _, who := range []incident.PersonID{"ada", "ben", "cleo", "dan"} {
		step(who, "sign", map[string]string{"attest": "yes"})
	}
	if got := s.incident(1); got.Status != incident.Approved || len(got.Signatures) != 4 {
		t.Fatalf("got %s and %d signatures, want approved by four", got.Status, len(got.Signatures))
	}
	step("eve", "schedule_review", map[string]string{"when": "tomorrow 10:00"})
	s.wait(24 * time.Hour)
	step("finn", "conclude_review", map[string]string{"attendance": "ada|ben|cleo|dan", "text": "Rotate keys.", "detection": "Alarm on unused keys", "detection_owner": "ada", "detection_due": "2026-12-24",
		"prevention": "Short-lived keys", "prevention_owner": "ben", "prevention_due": "2026-12-24"})
	if got := s.incident(1); got.Status != incident.Closed || len(got.Review.Attendance) != 4 || len(got.Actions) != 2 {
		t.Errorf("got %s, %d attendees and %d action items, want closed, 4 and 2", got.Status, len(got.Review.Attendance), len(got.Actions))
	}
}

// A draft that others overtook shows their text, and nothing is overwritten without it.
func TestRecord_ConcurrentEdits(t *testing.T) {
	s := newSite(t, "")
	s.open("x", incident.Sev3)
	ada, ben := s.enter("ada"), s.enter("ben")
	_, first := ada.get("/incidents/INC-1/do/edit_record")
	s.wait(time.Minute)
	if status, page := ben.submit("/incidents/INC-1/do/edit_record", map[string]string{"impact": "Ben's impact"}); status != http.StatusSeeOther {
		t.Fatalf("ben: got status %d: %s", status, page)
	}
	action, values := filled(t, first, map[string]string{"impact": "Ada's impact"})
	status, page := ada.post(action, values)
	if status != http.StatusUnprocessableEntity || !strings.Contains(page, "Ben Okafor") || !strings.Contains(page, "Ada&#39;s impact") || s.incident(1).Record.Impact != "Ben's impact" {
		t.Fatalf("got status %d, impact %q and %s", status, s.incident(1).Record.Impact, page)
	}
	action, values = filled(t, page, nil)
	if status, page := ada.post(action, values); status != http.StatusSeeOther || s.incident(1).Record.Impact != "Ada's impact" {
		t.Errorf("again: got status %d, impact %q and %s", status, s.incident(1).Record.Impact, page)
	}
}

// The script saves drafts. They are back when the form opens again.
func TestRecord_Autosave(t *testing.T) {
	s := newSite(t, "")
	s.open("x", incident.Sev3)
	ada := s.enter("ada")
	_, page := ada.get("/incidents/INC-1/do/edit_record")
	_, values := filled(t, page, map[string]string{"impact": "half a sentence"})
	values.Set("order", "0000000001")
	if status, page := ada.post("/incidents/INC-1/draft/edit_record", values); status != http.StatusNoContent {
		t.Fatalf("got status %d: %s", status, page)
	}
	if _, page := ada.get("/incidents/INC-1/do/edit_record"); !strings.Contains(page, "half a sentence") || s.incident(1).Record.Impact != "" {
		t.Errorf("got no draft, or a saved record: %s", page)
	}
	if _, page := s.enter("ben").get("/incidents/INC-1/do/edit_record"); strings.Contains(page, "half a sentence") || !strings.Contains(page, "Ada Lindqvist is editing") {
		t.Error("got the draft of another person, or no hint that she edits")
	}
}
