//go:build !race

package main_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// TestSources_MalformedBodiesAreReported posts bodies that are not one JSON document to
// every source, with a valid and with a wrong credential. Each source opens one incident at
// its usual severity, and a stranger causes nothing.
func TestSources_MalformedBodiesAreReported(t *testing.T) {
	s := startBot(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"), company.Options{Seed: 23, Limits: chat.Limits{Off: true}}, enableAllSources, func(c map[string]any) {
		c["sources"].(map[string]any)["hackerone"].(map[string]any)["usual_severity"] = "sev2"
	})
	c, err := config.Load(s.config)
	if err != nil {
		t.Fatal(err)
	}
	malformed := []string{"", "<html>502 Bad Gateway</html>", `{"a":1,}`, `{"a":1,"a":2}`, `{"a":1}{"b":2}`, `{"event":{"id":"7"`, "\ufeff{", "{\"a\":\"\xff\x00\"}"}
	signed := 0
	for _, one := range c.Sources.On() {
		if one.Post.Sign == nil {
			continue
		}
		signed++
		send := func(key, body string) int {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/hooks/"+one.Name, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			one.Post.Sign(req.Header, key, "d-1", []byte(body))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode
		}
		for _, body := range malformed {
			for range 2 { // the second one is a retry
				if status := send(signingSecrets[one.Name], body); status != http.StatusAccepted {
					t.Errorf("%s: got status %d for %q, want 202", one.Name, status, body)
				}
			}
		}
		if status := send("prometheus:another-secret-of-20-characters", malformed[1]); status != http.StatusUnauthorized {
			t.Errorf("%s: got status %d for a wrong credential, want 401", one.Name, status)
		}
	}
	if signed != len(signingSecrets) {
		t.Errorf("got %d sources, want %d", signed, len(signingSecrets))
	}
	s.waitFor(2*time.Minute, "the deliveries to be handled", func() bool {
		return s.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL AND source <> 'pagerduty'") >= (signed-1)*len(malformed) &&
			s.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0
	})
	titles := map[string]int{}
	for n := range s.queryInt("SELECT count(*) FROM incidents") {
		v := s.view(incident.ID(n + 1))
		source := v.Alerts[0].Source
		titles[source]++
		want := incident.Sev3
		if source == "hackerone" {
			want = incident.Sev2
		}
		if alerts := incident.SumAlerts(v.AlertCounts).Occurrences; !strings.HasPrefix(v.Incident.Title, "A delivery from "+source+" cannot be read: ") || v.Incident.Severity != want || alerts != int64(len(malformed)) || v.Incident.Paging.Round > 1 {
			t.Errorf("got %q at %s with %d alerts and round %d, want %s, %d alerts and at most one round", v.Incident.Title, v.Incident.Severity, alerts, v.Incident.Paging.Round, want, len(malformed))
		}
	}
	for source := range signingSecrets {
		if titles[source] != 1 {
			t.Errorf("%s: got %d incidents, want 1", source, titles[source])
		}
	}
	if out := s.mustRun("sources", "show", fmt.Sprint("D", s.queryInt("SELECT max(id) FROM inbox WHERE source = 'hackerone'"))); (!utf8.ValidString(out) || strings.Contains(out, "\x00")) || !strings.Contains(out, "Tocsin-Malformed") {
		t.Errorf("sources show: got %q, want the reason without control characters", out)
	}
}
