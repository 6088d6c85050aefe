package page_test

import (
	"net/http"
	"net/smtp"
	"strings"
	"testing"

	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/page"
)

func TestPager_ActsAsWorkspaceUser(t *testing.T) {
	w := newFixture(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.paged+"/v2/enqueue", strings.NewReader(
		`{"routing_key":"`+routingKey+`","event_action":"trigger","dedup_key":"INC-42/1","payload":{"summary":"a key leaked","source":"tocsin","severity":"critical"}}`))
	if err != nil {
		t.Fatal(err)
	}
	w.do(req)
	state := w.get("/api/pager")
	id := state.str("incidents", 0, "id")
	if id == "" || state.str("pages", 0, "user") != "PADA" || w.get("/api/state").str("ringing") != "1" {
		t.Fatalf("got pager state %v", state.v)
	}
	w.post("/api/pager/ack", m{"user": ben, "incident": id})
	w.post("/api/pager/note", m{"user": "PADA", "incident": id, "text": "on it"})
	if got := w.get("/api/pager"); got.str("incidents", 0, "status") != "acknowledged" || got.str("incidents", 0, "acknowledged_by", 0) != "PBEN" || got.str("incidents", 0, "notes", 0, "content") != "on it" {
		t.Errorf("got pager state %v, want acknowledged with a note", got.v)
	}
	w.postError("/api/pager/ack", m{"user": lena, "incident": id}, http.StatusNotFound)
	w.postError("/api/pager/resolve", m{"user": ben, "incident": "none"}, http.StatusNotFound)
	w.post("/api/pager/resolve", m{"user": ada, "incident": id})
	w.postError("/api/pager/ack", m{"user": ada, "incident": id}, http.StatusConflict)
}

func TestFiles_PolicyAndVisibility(t *testing.T) {
	w := newFixture(t)
	f := w.post("/api/upload", m{"user": ada, "channel": locked, "name": "post mortem.html", "content": []byte("<script>alert(1)</script>")}).str("message", "files", 0, "id")
	get := func(path string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, body := w.do(req)
		return res, string(body)
	}
	res, body := get("/files/" + f + "?user=" + ada)
	if body != "<script>alert(1)</script>" || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox; default-src 'none'") {
		t.Errorf("got file %q with policy %q", body, res.Header.Get("Content-Security-Policy"))
	}
	if res, _ = get("/files/" + f + "?download=1&user=" + ada); !strings.Contains(res.Header.Get("Content-Disposition"), "post%20mortem.html") {
		t.Errorf("got Content-Disposition %q", res.Header.Get("Content-Disposition"))
	}
	if res, _ = get("/files/" + f + "?user=" + ben); res.StatusCode != http.StatusNotFound {
		t.Errorf("got status %d for a person outside the channel, want 404", res.StatusCode)
	}
}

const invite = "From: Tocsin <tocsin@example.com>\r\nTo: Ada <ada@example.com>\r\nSubject: Review\r\nMessage-ID: <r42@tocsin>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1>Review</h1>\r\n--b\r\n" +
	"Content-Type: text/calendar; method=REQUEST; name=invite.ics\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Paris\r\nBEGIN:STANDARD\r\n" +
	"DTSTART:19701025T030000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:inc-42\r\nSUMMARY:Review of INC-42\\, four depart\r\n ments\r\n" +
	"DTSTART;TZID=Europe/Paris:20261124T100000\r\nDTEND:20261124T100000Z\r\nORGANIZER;CN=Tocsin:mailto:tocsin@example.com\r\n" +
	"ATTENDEE;CN=\"Roth: Lena\":mailto:lena@example.com\r\nATTENDEE:mailto:ada@example.com\r\nBEGIN:VALARM\r\nDESCRIPTION:wake up\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n--b--\r\n"

func TestMail_PartsAndInvitation(t *testing.T) {
	w := newFixture(t)
	if err := smtp.SendMail(w.smtp, nil, "tocsin@example.com", []string{"ada@example.com"}, []byte(invite)); err != nil {
		t.Fatal(err)
	}
	mail := w.get("/api/mail").at("mails", 0)
	want := map[string]string{"summary": "Review of INC-42, four departments", "method": "REQUEST", "start": "2026-11-24T10:00:00+01:00", "end": "2026-11-24T10:00:00Z",
		"organizer": "Tocsin <tocsin@example.com>", "attendees": "[Roth: Lena <lena@example.com> ada@example.com]", "description": "", "uid": "inc-42"}
	for field, v := range want {
		if got := mail.str("invitation", field); got != v {
			t.Errorf("invitation %s: got %q, want %q", field, got, v)
		}
	}
	if mail.at("html").v != true || mail.str("subject") != "Review" {
		t.Errorf("got mail %v", mail.v)
	}
	for path, want := range map[string]string{"/mail/1/html": "<h1>Review</h1>", "/mail/1/raw": "Subject: Review", "/mail/1/part/0": "BEGIN:VCALENDAR", "/mail/1/part/1": "not_found", "/mail/9/html": "not_found", "/mail/1/none": "not_found"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, body := w.do(req)
		if !strings.Contains(string(body), want) || want != "not_found" && !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: got %s, want %q", path, body, want)
		}
	}
}

func TestAlert_SendsSignedDeliveries(t *testing.T) {
	w := newFixture(t)
	for _, c := range w.get("/api/state").list("alerts") {
		id := c.str("id")
		w.mu.Lock()
		w.hooks = nil
		w.mu.Unlock()
		got := w.post("/api/alert", m{"alert": id})
		want := "202"
		if id == "forged" {
			want = "401"
		}
		n := len(w.hooks)
		if n == 0 || got.str("answers", want) != got.str("sent") {
			t.Errorf("%s: got %v, want only status %s", id, got.v, want)
		}
		for _, h := range w.hooks {
			if h.path == "/hooks/cloudtrail" && h.header.Get("X-Api-Key") != apiKey {
				t.Errorf("%s: got API key %q, want %q", id, h.header.Get("X-Api-Key"), apiKey)
			}
		}
	}
	w.postError("/api/alert", m{"alert": "none"}, http.StatusNotFound)
	w.postError("/api/alert", m{"alert": "forged", "copies": 100_000}, http.StatusBadRequest)
}

func TestAlert_CopiesHaveUniqueIDs(t *testing.T) {
	w := newFixture(t)
	first := w.post("/api/alert", m{"alert": "sentry-data-leak"})
	w.post("/api/alert", m{"alert": "sentry-data-leak", "copies": 49, "seed": first.at("seed").v})
	second := w.post("/api/alert", m{"alert": "sentry-data-leak"})
	if first.str("seed") == second.str("seed") {
		t.Error("got equal seeds for two alerts")
	}
	ids := map[string]bool{}
	for _, h := range w.hooks {
		ids[h.header.Get("Request-ID")] = true
	}
	if len(w.hooks) != 51 || len(ids) != 51 {
		t.Errorf("got %d deliveries with %d ids, want 51", len(w.hooks), len(ids))
	}
}

func TestAlertChoices_HiddenWithoutURL(t *testing.T) {
	w := newFixture(t, func(c *page.Config) { c.Sentry = feed.Sentry{} })
	for _, c := range w.get("/api/state").list("alerts") {
		if c.str("from") != "CloudTrail" {
			t.Errorf("got choice %s of a source without URL", c.str("id"))
		}
	}
}

func TestFaults_SwitchesAreIndependent(t *testing.T) {
	w := newFixture(t)
	on := func() string {
		var out []string
		for _, s := range w.get("/api/state").list("faults") {
			if s.at("on").v == true {
				out = append(out, s.str("name"))
			}
		}
		return strings.Join(out, " ")
	}
	var all []string
	for _, s := range w.get("/api/state").list("faults") {
		name := s.str("name")
		all = append(all, name)
		w.post("/api/faults", m{"name": name, "on": true})
		w.post("/api/faults", m{"name": name, "on": true}) // no effect
		if got := on(); got != strings.Join(all, " ") {
			t.Fatalf("after %s: got %q, want %q", name, got, all)
		}
	}
	for len(all) > 3 {
		w.post("/api/faults", m{"name": all[1], "on": false})
		all = append(all[:1], all[2:]...)
		if got := on(); got != strings.Join(all, " ") {
			t.Fatalf("got %q, want %q", got, all)
		}
	}
	if got := w.post("/api/faults", m{"clear": true}); on() != "" || len(got.list("faults")) == 0 {
		t.Errorf("after clearing: got %q, want none", on())
	}
	w.postError("/api/faults", m{"name": "none", "on": true}, http.StatusNotFound)
}

func TestLog_ContainsAllSystems(t *testing.T) {
	w := newFixture(t)
	w.api("auth.test", nil)
	w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident list"})
	w.post("/api/alert", m{"alert": "forged"})
	if err := smtp.SendMail(w.smtp, nil, "a@example.com", []string{"b@example.com"}, []byte(invite)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range w.get("/api/log").list("entries") {
		seen[e.str("what")] = e.str("system") + " " + e.str("to_app") + " " + e.str("status")
	}
	for what, want := range map[string]string{"auth.test": "Slack false 200", "/incident": "Slack true 200", "forged": "Alerts true 1 × 401", "SMTP": "Mail false 250"} {
		if seen[what] != want {
			t.Errorf("%s: got log entry %q, want %q", what, seen[what], want)
		}
	}
	if n := len(w.get("/api/log?limit=1").list("entries")); n != 1 {
		t.Errorf("got %d entries with limit=1, want 1", n)
	}
	w.request(http.MethodGet, "/api/log?limit=x", nil, http.StatusBadRequest)
}
