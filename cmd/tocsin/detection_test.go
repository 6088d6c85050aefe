//go:build !race

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

// TestCorrelation_SecretsReadInBulk reads 20 secrets with one role. That must open one
// incident, although the bot is killed in between and records are repeated.
func TestCorrelation_SecretsReadInBulk(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 11, Limits: chat.Limits{Off: true}}, useDefaultRouting)
		calls, at := feed.SecretBurst(11, 20), time.Now()
		send := func(from, to int) {
			t.Helper()
			for n := from; n < to; n++ {
				d := s.company.Trail.Delivery(calls[n], feed.Copy{At: at.Add(time.Duration(n) * time.Second)})
				if a, err := s.company.Trail.Send(t.Context(), d); err != nil || a.Status != 202 {
					t.Fatalf("got response %+v, %v, want 202", a, err)
				}
			}
		}
		handled := func(want int) {
			t.Helper()
			s.waitFor(time.Minute, "every delivery to be handled", func() bool {
				return s.queryInt("SELECT count(*) FROM inbox WHERE source = 'cloudtrail' AND handled_at IS NOT NULL") == want
			})
		}
		send(0, 8)
		handled(8)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 0 {
			t.Fatalf("got %d incidents after eight reads, want 0", n)
		}
		s.kill()
		s.start()
		send(0, 20)
		handled(20)
		send(10, 20)
		s.waitIdle(time.Minute)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 1 {
			t.Fatalf("got %d incidents, want 1", n)
		}
		v := s.view(1)
		if a := v.Incident.Alerts[0]; a.Kind != "cloudtrail.correlation.secrets-read-in-bulk" || !strings.HasSuffix(a.Rule, "by Tocsin") {
			t.Errorf("got alert %+v", a)
		}
		if !timelineContains(v, "Events (10): ") {
			t.Errorf("got timeline %+v, want the events named", v.Timeline)
		}
		if pages := s.company.Pager.Snapshot().Incidents; len(pages) != 1 {
			t.Errorf("got %d pages, want 1", len(pages))
		}
		s.stop()
		s.checkVerify()
	})
}

// timelineContains reports whether a text in the timeline of v contains s.
func timelineContains(v incident.View, s string) bool {
	return slices.ContainsFunc(v.Timeline, func(e incident.Event) bool {
		for _, text := range e.Texts {
			if strings.Contains(text.Value, s) {
				return true
			}
		}
		return false
	})
}

// useDefaultRouting removes the routing from the configuration.
func useDefaultRouting(config map[string]any) { delete(config, "routing") }

// TestDetection_SevereCallsOpenIncidents sends the sandbox's severe AWS calls, and one
// that matches a custom rule, whose author must be named.
func TestDetection_SevereCallsOpenIncidents(t *testing.T) {
	dir := t.TempDir()
	rule := `title: A log group was created
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
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		s.waitFor(time.Minute, fmt.Sprintf("an incident for %s", call.Name), func() bool { return s.queryInt("SELECT count(*) FROM incidents") == n+1 })
	}
	v := s.view(6)
	if a := v.Alerts[0]; a.Rule != "A log group was created (11111111-2222-3333-4444-555555555555) by Ada Lovelace" {
		t.Errorf("got alert %+v", a)
	}
	if !timelineContains(v, "by Ada Lovelace") {
		t.Errorf("got timeline %+v, want the author named", v.Timeline)
	}
	s.waitIdle(time.Minute)
	s.stop()
	s.checkVerify()
}
