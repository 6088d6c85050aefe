package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
	"tocsin/store/storetest"
)

// A list has what its filter selects and the person may read, and nothing of the rest.
func TestIncidents_FilterAndAccess(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.open("leaked key in a build log", incident.Sev2)
		s.wait(time.Minute)
		s.open("slow database", incident.Sev4)
		s.wait(time.Minute)
		s.open("stolen laptop of gil", incident.Sev1)
		s.wait(time.Minute)
		s.do("ada", incident.Command{For: 2, Verb: incident.VerbAcknowledge})
		s.do("ada", incident.Command{For: 2, Verb: incident.VerbRestrict, Public: true})
		s.wait(time.Minute)
		s.do("ben", incident.Command{For: 1, Verb: incident.VerbInvolve, Department: incident.Legal})
		for _, test := range []struct {
			who   incident.PersonID
			query string
			want  string // in the order of the list
		}{
			{"ada", "", "1 2 3"}, {"ada", "view=mine", "1 2 3"}, {"ben", "view=mine", ""}, {"ada", "severity=sev1", "3"}, {"ada", "q=KEY+log", "1"}, {"ada", "q=nothing", ""},
			{"ada", "view=closed", ""}, {"ada", "view=all&department=legal", "1"}, {"ada", "from=2026-11-21", ""}, {"ada", "until=2026-11-20", "1 2 3"},
			{"gil", "", "2"}, {"gil", "view=all", "2"}, {"gil", "q=stolen", ""}, {"cleo", "", "1 2"}, {"dan", "severity=sev2", ""},
		} {
			status, page := s.enter(test.who).get("/incidents?" + test.query)
			var got []string
			for _, row := range strings.Split(page, `<tr><th scope="row"><a href="/incidents/INC-`)[1:] {
				got = append(got, row[:1])
			}
			if status != http.StatusOK || strings.Join(got, " ") != test.want {
				t.Errorf("%s %s: got status %d and %v, want %s", test.who, test.query, status, got, test.want)
			}
			if test.who == "gil" && (strings.Contains(page, "laptop") || strings.Contains(page, "INC-3")) {
				t.Errorf("%s: got another incident in the page of Gil", test.query)
			}
		}
		if status, page := s.enter("ada").get("/incidents?from=soon"); status != http.StatusBadRequest || !strings.Contains(page, "Use a date such as") {
			t.Errorf("wrong day: got status %d", status)
		}
	})
}

func TestIncidents_Pages(t *testing.T) {
	s := newSite(t, "")
	for n := range 120 {
		s.open(fmt.Sprintf("incident %d", n), incident.Sev3)
	}
	ada, path, seen := s.enter("ada"), "/incidents?severity=sev3", map[string]bool{}
	for pages := 0; path != ""; pages++ {
		_, page := ada.get(path)
		for _, row := range strings.Split(page, `<tr><th scope="row"><a href="/incidents/`)[1:] {
			id, _, _ := strings.Cut(row, `"`)
			if seen[id] {
				t.Errorf("got %s twice", id)
			}
			seen[id] = true
		}
		path = ""
		if _, rest, more := strings.Cut(page, `<a class="button" href="/incidents?before=`); more {
			query, _, _ := strings.Cut(rest, `"`)
			path = "/incidents?before=" + strings.ReplaceAll(query, "&amp;", "&")
		}
		if pages > 3 {
			t.Fatal("got more than 3 pages")
		}
	}
	if len(seen) != 120 {
		t.Errorf("got %d incidents, want 120", len(seen))
	}
}

func TestIncidents_WaitingForMe(t *testing.T) {
	s := newSite(t, "")
	s.open("leaked key", incident.Sev2)
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionDetection, Title: "alarm", Owner: "eve", Due: noon.AddDate(0, 0, 9)}})
	_, page := s.enter("eve").get("/incidents?view=waiting")
	for _, want := range []string{"alarm", "leaked key", "/incidents/INC-1/do/finish_action"} {
		if !strings.Contains(page, want) {
			t.Errorf("got no %q in %s", want, page)
		}
	}
	if _, page := s.enter("gil").get("/incidents?view=waiting"); !strings.Contains(page, "Nothing waits for you") {
		t.Errorf("got %s", page)
	}
}

func TestIncident_PageAndAccess(t *testing.T) {
	s := newSite(t, "")
	s.open("leaked <key>", incident.Sev2)
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbNote, Text: "seen <b> & done", Audience: incident.AudienceAll})
	status, page := s.enter("ada").get("/incidents/INC-1")
	for _, want := range []string{"leaked &lt;key&gt;", `class="button primary"`, "seen &lt;b&gt; &amp; done", "<svg", "At a glance", "Ada Lindqvist", "is a responder", "do/contain", `data-live="/incidents/INC-1/live?head=`} {
		if !strings.Contains(page, want) {
			t.Errorf("got no %q in %s", want, page)
		}
	}
	if status != http.StatusOK || strings.Contains(page, "<key>") || strings.Contains(page, " style=") {
		t.Errorf("got status %d and a text without escapes or a style: %s", status, page)
	}
	gil := s.enter("gil")
	for _, path := range []string{"/incidents/INC-1", "/incidents/INC-2", "/incidents/INC-1/live?head=1", "/incidents/INC-1/alerts/1", "/incidents/INC-1/postmortem/1"} {
		if status, page := gil.get(path); status < 400 || strings.Contains(page, "leaked") {
			t.Errorf("%s: got status %d: %s", path, status, page)
		}
	}
}

// The page learns of a change after it was loaded, also if the server ends other answers.
func TestIncident_Live(t *testing.T) {
	s := newSite(t, "")
	s.open("leaked key", incident.Sev2)
	ada := s.enter("ada")
	r, err := ada.client.Get(fmt.Sprintf("%s/incidents/INC-1/live?head=%d", s.url, s.incident(1).Head.Seq))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("got %s, want an event stream", got)
	}
	lines := bufio.NewScanner(r.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), ":") {
		t.Fatalf("got %q, want no change", lines.Text())
	}
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	for lines.Scan() {
		if lines.Text() == "event: changed" {
			return
		}
	}
	t.Errorf("got the end of the stream, want a change: %v", lines.Err())
}

// The updates of a page end with the session that opened it.
func TestIncident_LiveEndsWithTheSession(t *testing.T) {
	s := newSite(t, "")
	s.open("leaked key", incident.Sev2)
	ada := s.enter("ada")
	r, err := ada.client.Get(fmt.Sprintf("%s/incidents/INC-1/live?head=%d", s.url, s.incident(1).Head.Seq))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if n, err := s.store.EndSessions(t.Context(), session.Filter{Person: "ada"}); n != 1 || err != nil {
		t.Fatalf("ended %d sessions, %v, want 1", n, err)
	}
	s.do("ada", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	body, err := io.ReadAll(r.Body)
	if err != nil || strings.Contains(string(body), "changed") {
		t.Errorf("got %q, %v, want the end without the change", body, err)
	}
}
