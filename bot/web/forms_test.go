package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestForm_GivesCommand(t *testing.T) {
	s := newSite(t, "")
	ada := s.enter("ada")
	if status, page := ada.submit("/do/open", map[string]string{"title": "Leaked <key>", "severity": "sev2"}); status != http.StatusSeeOther || s.incident(1).Title != "Leaked <key>" {
		t.Fatalf("open: got status %d and %s", status, page)
	}
	if status, _ := ada.post("/incidents/INC-1/do/acknowledge", url.Values{"key": {"k"}}); status != http.StatusSeeOther || s.incident(1).Commander != "ada" {
		t.Fatalf("acknowledge: got status %d and commander %s", status, s.incident(1).Commander)
	}
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbInvolve, Department: incident.Legal})
	for path, fields := range map[string]map[string]string{
		"/incidents/INC-1/do/note":                      {"text": "first line\r\nsecond <b>", "happened_at": "11:30", "audience": "all"},
		"/incidents/INC-1/do/assign_role":               {"role": "scribe", "person": "eve"},
		"/incidents/INC-1/do/set_fact?fact=occurred":    {"value": "2026-11-19 10:00 CET", "text": "in the log"},
		"/incidents/INC-1/do/set_severity?arg=":         {"severity": "sev1", "text": "spreads"},
		"/incidents/INC-1/do/add_action":                {"kind": "detection", "title": "alarm", "owner": "ben", "due": "2026-12-24"},
		"/incidents/INC-1/do/set_legal_hold":            {"text": "a lawsuit"},
		"/incidents/INC-1/do/involve":                   {"department": "communications"},
		"/incidents/INC-1/do/evidence":                  {"name": "the log", "where": "s3://x", "sha256": strings.Repeat("ab", 32)},
		"/incidents/INC-1/do/grant_access?person=gil":   {"text": "forensics"},
		"/incidents/INC-1/do/consult":                   {"department": "legal", "blocking": "yes"},
		"/incidents/INC-1/do/set_fact?fact=occurred&x=": {"value": "2026-11-19 09:00:30 UTC", "text": "exact"},
	} {
		who := ada
		if strings.Contains(path, "legal_hold") {
			who = s.enter("cleo")
		}
		if status, page := who.submit(path, fields); status != http.StatusSeeOther {
			t.Errorf("%s: got status %d and %s", path, status, page)
		}
	}
	inc := s.incident(1)
	if inc.Severity != incident.Sev1 || inc.Roles[incident.Scribe] != "eve" || inc.Facts.Occurred == nil || len(inc.Actions) != 1 || inc.LegalHold == nil || len(inc.Evidence) != 1 || len(inc.Access) == 0 || len(inc.Consultations) != 1 || !inc.Consultations[0].Blocking {
		t.Errorf("got %+v, want every command in it", inc)
	}
	v, err := s.desk.Show(context.Background(), incident.System, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range v.Timeline {
		if e.Kind == incident.EventNoted && e.Text("text") == "first line\nsecond <b>" {
			found = e.Via == incident.ViaWeb && e.By == "ada" && strings.Contains(e.Auth, "session through test") && e.HappenedAt.Equal(noon.Add(-30*time.Minute))
		}
	}
	if !found {
		t.Error("got no note of Ada with its lines, time and session")
	}
}

// The same form counts once, also if the browser sends it again.
func TestForm_CountsOnce(t *testing.T) {
	s := newSite(t, "")
	s.open("x", incident.Sev3)
	ada := s.enter("ada")
	_, page := ada.get("/incidents/INC-1/do/note")
	action, values := filled(t, page, map[string]string{"text": "once", "audience": "all"})
	before := s.incident(1).Head.Seq
	for range 3 {
		if status, body := ada.post(action, values); status != http.StatusSeeOther {
			t.Fatalf("got status %d: %s", status, body)
		}
	}
	if got := s.incident(1).Head.Seq; got != before+1 {
		t.Errorf("got %d events for one form, want 1", got-before)
	}
	values.Set("f-text", "twice")
	ada.post(action, values)
	if got := s.incident(1).Head.Seq; got != before+2 {
		t.Errorf("got %d events, want 2 after the text was changed", got-before)
	}
}

// An error appears at its field, and nothing that the person typed is lost.
func TestForm_KeepsWhatWasTyped(t *testing.T) {
	s := newSite(t, "")
	s.open("x", incident.Sev3)
	ada := s.enter("ada")
	status, page := ada.submit("/incidents/INC-1/do/note", map[string]string{"text": "a long <text>", "happened_at": "2099-01-01 10:00", "audience": "legal_and_security"})
	for _, want := range []string{`id="f-happened_at-error"`, "future", "a long &lt;text&gt;", `value="2099-01-01 10:00"`, `value="legal_and_security" checked`, `aria-invalid="true"`, "Nothing was changed"} {
		if !strings.Contains(page, want) {
			t.Errorf("got no %q in %s", want, page)
		}
	}
	if status != http.StatusUnprocessableEntity {
		t.Errorf("got status %d, want 422", status)
	}
	action, values := filled(t, page, map[string]string{"happened_at": ""})
	if status, page := ada.post(action, values); status != http.StatusSeeOther {
		t.Errorf("corrected: got status %d: %s", status, page)
	}
	if _, page := ada.get("/incidents/INC-1/do/note"); strings.Contains(page, "a long") {
		t.Error("got the submitted text in a new form, want it gone")
	}
}

// People see nothing of an incident that they may not read, and give no command.
func TestForm_RefusesOthers(t *testing.T) {
	s := newSite(t, "")
	s.open("secret title", incident.Sev1)
	gil := s.enter("gil")
	for _, path := range []string{"/incidents/INC-1/do/resolve", "/incidents/INC-99/do/resolve"} {
		if status, page := gil.get(path); status != http.StatusForbidden && status != http.StatusNotFound || strings.Contains(page, "secret title") {
			t.Errorf("%s: got status %d: %s", path, status, page)
		}
	}
	if status, page := gil.post("/incidents/INC-1/do/acknowledge", url.Values{}); status < 400 || strings.Contains(page, "secret") || s.incident(1).Commander != "" {
		t.Errorf("acknowledge: got status %d: %s", status, page)
	}
	for _, verb := range []string{"page", "ack_timeout", "nonsense", "erase%00"} {
		if status, _ := s.enter("ada").post("/incidents/INC-1/do/"+verb, url.Values{}); status < 400 {
			t.Errorf("%s: got status %d, want an error", verb, status)
		}
	}
	if status, page := gil.submit("/do/request_access", map[string]string{"incident": "INC-1", "text": "forensics"}); status != http.StatusSeeOther || strings.Contains(page, "secret") {
		t.Errorf("request: got %s", page)
	}
}

// Another website cannot submit a form with the cookies of a person.
func TestForm_RefusesOtherSites(t *testing.T) {
	s := newSite(t, "")
	s.open("x", incident.Sev3)
	ada := s.enter("ada")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/incidents/INC-1/do/acknowledge", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _ := ada.read(ada.client.Do(req)); status != http.StatusForbidden || s.incident(1).Commander != "" {
		t.Errorf("got status %d, want 403", status)
	}
}
