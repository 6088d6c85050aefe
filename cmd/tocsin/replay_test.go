package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// routes sets the routing of a configuration.
func routes(rules ...map[string]any) settings {
	return func(config map[string]any) {
		list := make([]any, len(rules))
		for n, rule := range rules {
			list[n] = rule
		}
		config["routing"] = list
	}
}

// TestWatchedIsExplainedAndReplayed follows alerts that nobody was woken for:
// they are listed and explained; by other rules they are evaluated anew and
// counted once; recorded, they come into another instance through its own door.
func TestWatchedIsExplainedAndReplayed(t *testing.T) {
	o := company.Options{Seed: 7, Limits: chat.Limits{Off: true}}
	s := raise(t, storetest.SQLite(t), o, routes(
		map[string]any{"when": `source == "cloudtrail" && environment == "staging"`, "drop": "everyday noise"},
		map[string]any{"when": `source == "sentry"`, "open": "sev1"}))
	call := feed.StopLogging(7)
	for n := range 3 {
		d := s.company.Trail.Delivery(call, feed.Copy{N: n + 1})
		for range 2 { // EventBridge repeats itself
			if a, err := s.company.Trail.Send(t.Context(), d); err != nil || a.Status != 202 {
				t.Fatalf("%+v, %v", a, err)
			}
		}
	}
	s.until(time.Minute, "three are watched", func() bool { return s.count("SELECT count(*) FROM inbox WHERE outcome = 'watched'") == 3 })
	if listed := s.must("incident", "alerts"); !strings.Contains(listed, "1 watched alerts with 3 copies") || !strings.Contains(listed, "cloudtrail.StopLogging") {
		t.Errorf("listed:\n%s", listed)
	}
	for what, want := range map[string]string{"A1": "does not fit: rule 1", "D1": "SHA-256"} {
		if told := s.must("explain", what); !strings.Contains(told, want) || !strings.Contains(told, `source = "cloudtrail"`) || !strings.Contains(told, "has not changed since") {
			t.Errorf("explain %s:\n%s", what, told)
		}
	}
	recording := filepath.Join(s.dir, "all.ndjson")
	if said := s.must("replay", "--since", "1h", "--out", recording); said != "3 deliveries\n" {
		t.Errorf("recorded: %s", said)
	}
	if info, err := os.Stat(recording); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// Elsewhere, where such alerts open incidents.
	opens := routes(map[string]any{"when": `source == "cloudtrail"`, "open": "sev2"})
	other := raise(t, storetest.SQLite(t), company.Options{Seed: 8, Limits: chat.Limits{Off: true}}, opens)
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "sentry=0123456789abcdef"); err == nil {
		t.Error("deliveries were posted without a secret of their source")
	}
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "cloudtrail=not-the-right-key"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong key: %v", err)
	}
	for range 2 { // what is known there counts once
		s.must("replay", recording, "--to", other.url, "--secret", "cloudtrail="+company.TrailKey)
	}
	counted := func(s *survivor, want int64) {
		t.Helper()
		s.until(time.Minute, "the copies are counted", func() bool {
			v := s.view(1)
			return len(v.Alerts) == 1 && v.Alerts[0].Count == want
		})
	}
	other.until(time.Minute, "the incident is open", func() bool { return other.count("SELECT count(*) FROM incidents") == 1 })
	counted(other, 3)
	if said := other.must("replay", recording); said != "3 deliveries\n" { // over the socket, and known as well
		t.Errorf("replayed: %s", said)
	}
	other.must("replay", recording, "--again")
	counted(other, 6)

	// Here the rules change, and what was watched is evaluated anew.
	s.stop()
	s.rewrite(opens)
	s.start()
	if told := s.must("explain", "A1"); !strings.Contains(told, "The routing has changed since") || !strings.Contains(told, "→ open sev2") {
		t.Errorf("explained under other rules:\n%s", told)
	}
	if said := s.must("replay", "--since", "1h"); said != "3 deliveries\n" {
		t.Errorf("evaluated anew: %s", said)
	}
	s.until(time.Minute, "the incident is open", func() bool { return s.count("SELECT count(*) FROM incidents") == 1 })
	counted(s, 3)
	if said := s.must("replay", "--since", "1h", "--source", "cloudtrail"); said != "0 deliveries\n" {
		t.Errorf("what belongs to an incident was touched: %s", said)
	}
	s.must("replay", "--since", "1h", "--source", "cloudtrail", "--again")
	counted(s, 6)
	s.must("verify")
}

// TestKeptAlertsAtTheCommandLine promotes, splits, holds back and holds.
func TestKeptAlertsAtTheCommandLine(t *testing.T) {
	s := raise(t, storetest.SQLite(t), company.Options{Seed: 9, Limits: chat.Limits{Off: true}}, routes(map[string]any{"when": "true", "watch": true}))
	send := func(call feed.Call, n int) {
		t.Helper()
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.Delivery(call, feed.Copy{N: n})); err != nil || a.Status != 202 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	send(feed.StopLogging(1), 1)
	s.until(time.Minute, "it is watched", func() bool { return s.count("SELECT count(*) FROM alerts") == 1 })
	if said := s.must("incident", "alerts", "promote", "A1", "sev2"); !strings.Contains(said, "INC-1 is triage") {
		t.Errorf("promoted: %s", said)
	}
	if said := s.must("incident", "alerts", "promote", "A1"); !strings.Contains(said, "it was so already") {
		t.Errorf("promoted twice: %s", said)
	}
	if said := s.must("incident", "maintenance", "add", "2h", `source == "cloudtrail"`, "because", "the auditors sign in"); !strings.Contains(said, "M1: matching alerts open nothing") {
		t.Errorf("%s", said)
	}
	send(feed.RootConsoleLogin(2), 1)
	s.until(time.Minute, "it is kept back", func() bool { return s.count("SELECT count(*) FROM inbox WHERE outcome = 'maintenance'") == 1 })
	if said := s.must("incident", "alerts", "maintenance"); !strings.Contains(said, "1 maintenance alerts") {
		t.Errorf("%s", said)
	}
	if said := s.must("explain", "A2"); !strings.Contains(said, "in the maintenance window M1") {
		t.Errorf("%s", said)
	}
	s.must("incident", "maintenance", "end", "M1")
	s.must("incident", "alerts", "promote", "A2", "into", "INC-1")
	s.must("incident", "split", "INC-1", "alerts", "A2", "Root signs in", "because", "it is another matter")
	if v := s.view(2); v.Incident.SplitFrom != 1 || len(v.Alerts) != 1 || v.Incident.Title != "Root signs in" {
		t.Errorf("%+v", v.Incident)
	}
	s.must("incident", "merge", "INC-2", "into", "INC-1", "after all it is not")
	if said := s.must("incident", "status", "INC-2"); !strings.Contains(said, "goes on in") || !strings.Contains(said, "INC-1") {
		t.Errorf("the merged one says:\n%s", said)
	}
	if _, err := s.run("incident", "hold", "INC-1", "because", "the regulator asked"); err == nil { // the tests run as engineering
		t.Error("engineering set a legal hold")
	}
	if v := s.view(1); v.Incident.Hold != nil || len(v.Incident.SplitInto) != 1 || v.Incident.Status != incident.Triage {
		t.Errorf("%+v", v.Incident)
	}
	s.must("verify")
}
