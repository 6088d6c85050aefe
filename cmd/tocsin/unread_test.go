//go:build !race

package main_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// TestSources_UnreadAndRefusedDeliveriesAreReported sends odd, unreadable and refused
// deliveries. Each critical alert must open an incident, what nobody can read must open
// one for each cause, and the refusals must be visible.
func TestSources_UnreadAndRefusedDeliveriesAreReported(t *testing.T) {
	const token = "0123456789abcdef-token"
	s := startBot(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"), company.Options{Seed: 17, Limits: chat.Limits{Off: true}}, func(config map[string]any) {
		config["sources"].(map[string]any)["alertmanager"] = map[string]any{"tokens": []string{token}, "usual_severity": "sev2"}
		config["routing"] = []any{map[string]any{"when": `level == "critical"`, "open": "sev4"}}
	})
	post := func(source, token, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/hooks/"+source, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	alert := func(name, status string) string {
		return fmt.Sprintf(`{"status":%q,"labels":{"alertname":%q,"severity":"critical","tags":["a"]},"startsAt":"2026-11-20T02:00:00Z","fingerprint":%q}`, status, name, name)
	}
	for n, body := range []string{
		`{"version":"4","groupKey":"g0","alerts":[` + alert("critical-0", "firing") + `,7]}`,
		`{"version":"4","groupKey":"g1","alerts":[` + alert("critical-1", "firing") + `,{"status":"pending","labels":["odd"]}]}`,
		`{"version":"1","orgId":1,"state":"alerting","groupKey":"g2","alerts":[` + alert("critical-2", "firing") + `]}`,
		"\ufeff" + `{"version":"4","groupKey":"g3","alerts":[` + alert("critical-3", "firing") + `]}`,
		`{"text":"a custom template"}`, `{"text":"and another one"}`,
	} {
		post("alertmanager", token, body)
		s.waitFor(time.Minute, "the delivery to be handled", func() bool {
			return s.queryInt("SELECT count(*) FROM inbox WHERE source = 'alertmanager' AND handled_at IS NOT NULL") == n+1
		})
	}
	if n := s.queryInt("SELECT count(*) FROM incidents"); n != 6 {
		t.Errorf("got %d incidents, want 4 of critical alerts and 2 about unread deliveries:\n%s", n, s.mustRun("incident", "list"))
	}
	fifth, sixth := s.queryInt("SELECT max(id) - 1 FROM inbox WHERE source = 'alertmanager'"), s.queryInt("SELECT max(id) FROM inbox WHERE source = 'alertmanager'")
	for n := fifth; s.queryInt(fmt.Sprintf("SELECT count(*) FROM inbox WHERE id = %d AND source = 'alertmanager'", n)) == 0; n-- { // the pager delivers, too
		fifth = n - 1
	}
	var items []string
	for n := range 1500 {
		items = append(items, strings.Replace(alert(fmt.Sprint("large-", n), "firing"), `"tags"`, fmt.Sprintf(`"x":%q,"tags"`, strings.Repeat("x", 1200)), 1))
	}
	large := `{"receiver":"r","alerts":[` + strings.Join(items, ",") + `],"version":"4","groupKey":"large"}`
	post("alertmanager", token, large)
	s.waitFor(time.Minute, "the large delivery to be handled", func() bool {
		return s.queryInt("SELECT count(*) FROM inbox WHERE source = 'alertmanager' AND handled_at IS NOT NULL") == 7
	})
	shortened := s.view(incident.ID(s.queryInt("SELECT incident_id FROM inbox WHERE source = 'alertmanager' ORDER BY id DESC LIMIT 1")))
	counted, found := incident.SumAlerts(shortened.AlertCounts).Alerts, false
	for _, a := range shortened.Alerts {
		found = found || strings.HasPrefix(a.Title, "A delivery from alertmanager was too large: ")
	}
	if !found || counted < 500 || len(large) < 1<<20 || s.queryInt("SELECT count(*) FROM incidents") != 7 {
		t.Errorf("got %d alerts of a body of %d bytes, want the first ones and one about those that were left out", counted, len(large))
	}
	post("alertmanager", "a-wrong-token", large)
	unread := s.queryInt(fmt.Sprintf("SELECT incident_id FROM inbox WHERE id = %d", fifth))
	if v := s.view(incident.ID(unread)); string(v.Incident.Severity) != "sev2" || v.Incident.Paging.Round == 0 || s.queryInt(fmt.Sprintf("SELECT incident_id FROM inbox WHERE id = %d", sixth)) != unread {
		t.Errorf("got %+v, want one incident at sev2 with a page about both deliveries", v.Incident)
	}
	if out := s.mustRun("sources", "show", fmt.Sprint("D", fifth)); !strings.Contains(out, fmt.Sprintf("D%d from alertmanager", fifth)) || !strings.HasSuffix(out, "\n"+`{"text":"a custom template"}`+"\n") {
		t.Errorf("sources show: got\n%s", out)
	}
	for range 3 {
		post("alertmanager", "a-wrong-token", `{}`)
	}
	if out := s.mustRun("sources"); !strings.Contains(out, "Tocsin has refused all deliveries of alertmanager since") || !strings.Contains(out, "4 times, last from 127.0.0.1. Set sources.alertmanager.tokens") || !strings.Contains(out, "no decoder reads it") {
		t.Errorf("sources: got\n%s", out)
	}
	s.waitFor(time.Minute, "the source to be degraded", func() bool {
		_, body := s.httpGet("/readyz")
		return strings.Contains(body, `"part":"source alertmanager"`) && strings.Contains(body, "credential or signature (401)")
	})
}
