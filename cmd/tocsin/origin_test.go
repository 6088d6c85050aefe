//go:build !race

package main_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// summaries returns the summaries of the pages in PagerDuty.
func (s *botProcess) summaries() []string {
	var out []string
	for _, in := range s.company.Pager.Snapshot().Incidents {
		out = append(out, in.Title)
	}
	return out
}

// waitIncident waits for an incident and returns it.
func (s *botProcess) waitIncident(id incident.ID) incident.Incident {
	s.t.Helper()
	s.waitFor(time.Minute, id.String(), func() bool { return s.queryInt("SELECT count(*) FROM incidents") >= int(id) })
	return s.view(id).Incident
}

// TestOrigin_LiveReplayDrillAndRecording sends one alert live and as a replay, a drill and
// a recording. Each opens its own incident, with its mark. Only the live one and the
// drill page.
func TestOrigin_LiveReplayDrillAndRecording(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 21, Limits: chat.Limits{Off: true}}, withRouting(map[string]any{"when": "true", "open": "sev1"}))
		call := feed.StopLogging(21)
		d := s.company.Trail.Delivery(call, feed.Copy{N: 1})
		recording := s.writeFile("recording.ndjson", recordedBody(t, "cloudtrail", d.ID, d.Body))

		s.mustRun("replay", recording)
		if inc := s.waitIncident(1); inc.Origin != incident.OriginRecording || inc.NeedsPage() {
			t.Errorf("recording: got origin %s, needs a page %v", inc.Origin, inc.NeedsPage())
		}
		s.mustRun("replay", recording) // a known recording changes nothing
		if a, err := s.company.Trail.Send(t.Context(), d); err != nil || a.Status != http.StatusAccepted {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		if inc := s.waitIncident(2); inc.Origin != incident.OriginLive || !inc.NeedsPage() {
			t.Errorf("live: got origin %s, needs a page %v", inc.Origin, inc.NeedsPage())
		}
		s.mustRun("replay", recording, "--as-new")
		if inc := s.waitIncident(3); inc.Origin != incident.OriginReplay || inc.NeedsPage() {
			t.Errorf("replay: got origin %s, needs a page %v", inc.Origin, inc.NeedsPage())
		}
		s.mustRun("replay", "--since", "1h", "--source", "cloudtrail", "--drill")
		if inc := s.waitIncident(4); inc.Origin != incident.OriginDrill || !inc.NeedsPage() {
			t.Errorf("drill: got origin %s, needs a page %v", inc.Origin, inc.NeedsPage())
		}
		s.waitFor(time.Minute, "the pages", func() bool { return len(s.summaries()) == 2 })
		s.waitIdle(time.Minute)
		s.checkMarks()
		for id, want := range map[incident.ID]int64{1: 1, 2: 1, 3: 1, 4: 3} { // the drill replays the other three
			if v := s.view(id); len(v.Alerts) != 1 || v.Alerts[0].Count != want || v.Alerts[0].Origin != v.Incident.Origin {
				t.Errorf("%s: got alerts %+v, want one with %d occurrences", id, v.Alerts, want)
			}
		}

		// A person acknowledges the page of the drill in the pager.
		if err := s.company.Pager.Acknowledge(s.company.Pager.ByKey("INC-4/1")[0].ID, s.company.In("engineering")[0].Pager); err != nil {
			t.Fatal(err)
		}
		s.waitFor(time.Minute, "the acknowledgement of the drill", func() bool { return s.view(4).Incident.Paging.Acknowledged() })
		for _, args := range [][]string{{"merge", "INC-3", "into", "INC-2", "the same"}, {"merge", "INC-2", "into", "INC-3", "the same"}, {"page", "INC-3"}} {
			if out, err := s.run(append([]string{"incident"}, args...)...); err == nil {
				t.Errorf("%v: got %s, want an error", args, out)
			}
		}
		if p := s.view(2).Incident.Paging; p.Acknowledged() || s.view(3).Incident.Paging.Round != 0 {
			t.Errorf("got paging %+v of the live incident", p)
		}
		s.mustRun("verify")
	})
}

// checkMarks requires the mark of each incident in the list, in its status, in the
// pager, and in the announce channel, and in name and topic of its channel.
func (s *botProcess) checkMarks() {
	s.t.Helper()
	marks := map[string]string{"INC-1": "[RECORDING] ", "INC-2": "", "INC-3": "[REPLAY] ", "INC-4": "[DRILL] "}
	list := s.mustRun("incident", "list")
	announced := map[string]string{}
	for _, m := range s.company.Chat.Messages(announceChannelID) {
		for id := range marks {
			if strings.Contains(m.Text, id) {
				announced[id] = m.Text
			}
		}
	}
	for id, mark := range marks {
		n, _ := incident.ParseID(id)
		line := strings.Split(list[strings.Index(list, id):], "\n")[0]
		if got := strings.Contains(line, "["); got != (mark != "") || !strings.Contains(line, mark) {
			s.t.Errorf("%s: got line %q in the list", id, line)
		}
		if got := s.mustRun("incident", "status", id); !strings.HasPrefix(got, mark+id) {
			s.t.Errorf("%s: got status %q", id, got)
		}
		if got := announced[id]; got == "" || !strings.Contains(got, ": "+mark) || strings.Contains(got, "[") != (mark != "") {
			s.t.Errorf("%s: got announcement %q", id, got)
		}
		inc := s.view(n).Incident
		channel, _ := s.company.Chat.Channel(inc.Links[incident.LinkChannel])
		if !strings.HasPrefix(channel.Topic, mark+id+" ") {
			s.t.Errorf("%s: got topic %q", id, channel.Topic)
		}
		if name := strings.ToLower(strings.Trim(mark, "[] ")); !strings.HasPrefix(channel.Name, strings.TrimPrefix(name+"-", "-")+"inc-") {
			s.t.Errorf("%s: got channel %q", id, channel.Name)
		}
	}
	pages := s.summaries()
	slices.Sort(pages)
	if len(pages) != 2 || !strings.HasPrefix(pages[0], "INC-2 sev1") || !strings.HasPrefix(pages[1], "[DRILL] INC-4 sev1") {
		s.t.Errorf("got pages %q, want the live one and the drill", pages)
	}
}

// TestOrigin_ClaimedBySender posts genuine deliveries with headers that claim an
// origin. They have no effect, also if the source stores them.
func TestOrigin_ClaimedBySender(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		names := []string{"Tocsin-Drill", "Tocsin-Recorded", "Tocsin-Origin", "Origin", "X-Tocsin-Origin"}
		s := startBot(t, url, company.Options{Seed: 22, Limits: chat.Limits{Off: true}}, withRouting(map[string]any{"when": "true", "open": "sev1"}), func(config map[string]any) {
			config["sources"].(map[string]any)["generic"] = []any{map[string]any{"name": "monitor", "tokens": []string{sourceToken}, "headers": names,
				"mapping": map[string]any{"title": "body.title", "fingerprint": "body.key", "correlation": "body.key"}}}
		})
		post := func(title string, headers ...string) {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/hooks/monitor", strings.NewReader(`{"title":"`+title+`","key":"\u001fdrill\u001f`+title+`","origin":"drill"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+sourceToken)
			for _, name := range headers {
				req.Header.Set(name, "drill")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusAccepted {
				t.Fatalf("got status %d, want 202", res.StatusCode)
			}
		}
		for n, name := range names {
			post(name, name)
			if inc := s.waitIncident(incident.ID(n + 1)); inc.Origin != incident.OriginLive || !inc.NeedsPage() {
				t.Errorf("%s: got origin %s, needs a page %v", name, inc.Origin, inc.NeedsPage())
			}
		}
		post("all", names...)
		s.waitFor(time.Minute, "the pages", func() bool { return len(s.summaries()) == len(names)+1 })
		for _, summary := range s.summaries() {
			if strings.Contains(summary, "[") {
				t.Errorf("got page %q, want no mark", summary)
			}
		}
		if got := s.mustRun("incident", "list"); strings.Contains(got, "[") {
			t.Errorf("got list %s, want no mark", got)
		}
	})
}
