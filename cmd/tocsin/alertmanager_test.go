//go:build !race

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestAlertmanager_OneIncidentPerFiring sends a large group of alerts, which must open
// one incident and attach its changes. After the end of the incident, repeated alerts
// must not open another, but alerts with a new start must.
func TestAlertmanager_OneIncidentPerFiring(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		const token = "0123456789abcdef-token"
		s := startBot(t, url, company.Options{Seed: 13, Limits: chat.Limits{Off: true}}, func(config map[string]any) {
			config["sources"].(map[string]any)["alertmanager"] = map[string]any{"tokens": []string{token}}
			config["routing"] = []any{map[string]any{"when": `source == "alertmanager"`, "open": "sev4"}}
		})
		type firing struct{ name, status, since string }
		send := func(truncated int, group ...firing) {
			t.Helper()
			var alerts []string
			for _, f := range group {
				alerts = append(alerts, fmt.Sprintf(`{"status":%q,"labels":{"alertname":"Full","instance":%q},"annotations":{"description":"%s <!channel>"},`+
					`"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":%q}`, f.status, f.name, strings.Repeat("x", 400), f.since, f.name))
			}
			body := fmt.Sprintf(`{"version":"4","groupKey":"{}:{alertname=\"Full\"}","truncatedAlerts":%d,"status":"firing","receiver":"t","alerts":[%s]}`, truncated, strings.Join(alerts, ","))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/hooks/alertmanager", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusAccepted {
				t.Fatalf("got status %d, want 202", res.StatusCode)
			}
		}
		handled := func(deliveries, incidents int) {
			t.Helper()
			s.waitFor(time.Minute, "every delivery to be handled", func() bool {
				return s.queryInt("SELECT count(*) FROM inbox WHERE source = 'alertmanager' AND handled_at IS NOT NULL") == deliveries
			})
			if n := s.queryInt("SELECT count(*) FROM incidents"); n != incidents {
				t.Fatalf("got %d incidents after %d deliveries, want %d", n, deliveries, incidents)
			}
		}
		const first, second = "2026-11-20T02:00:00Z", "2026-11-20T09:00:00Z"
		var group []firing
		for n := range 300 {
			group = append(group, firing{fmt.Sprintf("host-%03d", n), "firing", first})
		}
		send(0, group...)
		handled(1, 1)
		send(4, group[:296]...)
		handled(2, 1)
		if n := s.queryInt("SELECT count(*) FROM alerts WHERE incident_id = 1"); n != 301 {
			t.Errorf("got %d alerts in the incident, want 300 and one about those that Alertmanager left out", n)
		}
		for _, command := range []string{"fact INC-1 personal_data no because it is a test", "dismiss INC-1 no-personal-data because a full disk of a test"} {
			if _, err := s.sendCommand(command); err != nil {
				t.Fatalf("%s: %v", command, err)
			}
		}
		if v := s.view(1); v.Incident.Status != incident.Dismissed {
			t.Fatalf("got status %s, want dismissed", v.Incident.Status)
		}
		group[0].status = "resolved"
		send(0, group...)
		handled(3, 1)
		if !timelineContains(s.view(1), "299 alerts recurred after this incident was dismissed") {
			t.Error("got no note that the alerts are still firing")
		}
		group[0] = firing{group[0].name, "firing", second}
		send(0, group...)
		handled(4, 2)
		s.stop()
		s.checkVerify()
	})
}
