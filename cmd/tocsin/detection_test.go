package main_test

import (
	"fmt"
	"os"
	"path/filepath"
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

// TestSecretsReadInBulk: a role that reads twenty secrets is one incident,
// though the bot dies in the middle and everything is told twice.
func TestSecretsReadInBulk(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 11, Limits: chat.Limits{Off: true}}, useDefaultRouting)
		calls, at := feed.SecretBurst(11, 20), time.Now()
		tell := func(from, to int) {
			t.Helper()
			for n := from; n < to; n++ {
				d := s.company.Trail.Delivery(calls[n], feed.Copy{At: at.Add(time.Duration(n) * time.Second)})
				if a, err := s.company.Trail.Send(t.Context(), d); err != nil || a.Status != 202 {
					t.Fatalf("%+v, %v", a, err)
				}
			}
		}
		handled := func(want int) {
			t.Helper()
			s.waitFor(time.Minute, "all is handled", func() bool {
				return s.queryInt("SELECT count(*) FROM inbox WHERE source = 'cloudtrail' AND handled_at IS NOT NULL") == want
			})
		}
		tell(0, 8)
		handled(8)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 0 {
			t.Fatalf("%d incidents of eight reads", n)
		}
		s.kill()
		s.start()
		tell(0, 20)
		handled(20)
		tell(10, 20)
		s.waitIdle(time.Minute)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 1 {
			t.Fatalf("%d incidents", n)
		}
		v := s.view(1)
		if a := v.Incident.Alerts[0]; a.Kind != "cloudtrail.correlation.secrets-read-in-bulk" || !strings.HasSuffix(a.Rule, "by Tocsin") {
			t.Errorf("alert %+v", a)
		}
		if !timelineContains(v, "Events (10): ") {
			t.Errorf("the events are not named: %+v", v.Timeline)
		}
		if pages := s.company.Pager.Snapshot().Incidents; len(pages) != 1 {
			t.Errorf("%d pages", len(pages))
		}
		s.stop()
		s.checkVerify()
	})
}

// timelineContains reports whether a text of the timeline says so.
func timelineContains(v incident.View, what string) bool {
	return slices.ContainsFunc(v.Timeline, func(e incident.Event) bool {
		for _, text := range e.Texts {
			if strings.Contains(text.Value, what) {
				return true
			}
		}
		return false
	})
}

// useDefaultRouting is the routing that stands where the configuration says nothing.
func useDefaultRouting(config map[string]any) { delete(config, "routing") }

// TestGraveCallsOpenIncidents sends what the sandbox can do in AWS, and a rule
// of somebody else's that is shown with its author.
func TestGraveCallsOpenIncidents(t *testing.T) {
	dir := t.TempDir()
	rule := `title: Somebody did something
id: 11111111-2222-3333-4444-555555555555
author: Ada Lovelace
level: low
logsource: {product: aws, service: cloudtrail}
detection: {sel: {eventName: CreateLogGroup}, condition: sel}
`
	if err := os.WriteFile(filepath.Join(dir, "own.yml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 12, Limits: chat.Limits{Off: true}}, useDefaultRouting, func(config map[string]any) {
		config["detection"] = map[string]any{"rules": []string{dir}, "levels": map[string]any{"11111111-2222-3333-4444-555555555555": "critical"}}
	})
	own := feed.StopLogging(99)
	own.Source, own.Name = "logs.amazonaws.com", "CreateLogGroup"
	own.Account = "999988887777"
	calls := []feed.Call{feed.CreateAccessKey(1), feed.StopLogging(2), feed.RootConsoleLogin(3), feed.PublicBucketPolicy(4), feed.OpenSecurityGroup(5), own}
	for n, call := range calls {
		if a, err := s.company.Trail.Deliver(t.Context(), call, feed.Copy{}); err != nil || a.Status != 202 {
			t.Fatalf("%+v, %v", a, err)
		}
		s.waitFor(time.Minute, fmt.Sprintf("%s has opened an incident", call.Name), func() bool { return s.queryInt("SELECT count(*) FROM incidents") == n+1 })
	}
	v := s.view(6)
	if a := v.Alerts[0]; a.Rule != "Somebody did something (11111111-2222-3333-4444-555555555555) by Ada Lovelace" {
		t.Errorf("alert %+v", a)
	}
	if !timelineContains(v, "by Ada Lovelace") {
		t.Errorf("the author is not named: %+v", v.Timeline)
	}
	s.waitIdle(time.Minute)
	s.stop()
	s.checkVerify()
}
