//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// withRouting sets the routing rules of a configuration.
func withRouting(rules ...map[string]any) configChange {
	return func(config map[string]any) {
		list := make([]any, len(rules))
		for n, rule := range rules {
			list[n] = rule
		}
		config["routing"] = list
	}
}

// TestReplay_WatchedAlerts follows watched alerts. They are listed and explained. After
// a change of the rules they are reprocessed and counted once. As a recording, they
// are replayed to another instance over HTTP and over its control socket.
func TestReplay_WatchedAlerts(t *testing.T) {
	o := company.Options{Seed: 7, Limits: chat.Limits{Off: true}}
	s := startBot(t, storetest.SQLite(t), o, withRouting(
		map[string]any{"when": `source == "cloudtrail" && environment == "staging"`, "drop": "routine calls"},
		map[string]any{"when": `source == "sentry"`, "open": "sev1"}))
	call := feed.StopLogging(7)
	for n := range 3 {
		d := s.company.Trail.Delivery(call, feed.Copy{N: n + 1})
		for range 2 { // EventBridge can deliver twice
			if a, err := s.company.Trail.Send(t.Context(), d); err != nil || a.Status != 202 {
				t.Fatalf("got response %+v, %v, want 202", a, err)
			}
		}
	}
	s.waitFor(time.Minute, "three watched deliveries", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'watched'") == 3 })
	if listed := s.mustRun("incident", "alerts"); !strings.Contains(listed, "1 watched alert, 3 occurrences") || !strings.Contains(listed, "cloudtrail.StopLogging") {
		t.Errorf("got list:\n%s", listed)
	}
	for ref, want := range map[string]string{"A1": "does not match: rule 1", "D1": "SHA-256"} {
		if got := s.mustRun("explain", ref); !strings.Contains(got, want) || !strings.Contains(got, `source = "cloudtrail"`) || !strings.Contains(got, "has not changed since") {
			t.Errorf("explain %s: got:\n%s", ref, got)
		}
	}
	recording := filepath.Join(s.dir, "all.ndjson")
	if got := s.mustRun("replay", "--since", "1h", "--out", recording); got != "3 deliveries\n" {
		t.Errorf("replay --out: got %s", got)
	}
	if info, err := os.Stat(recording); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info, err)
	}

	// Replay to an instance with rules that open incidents.
	opens := withRouting(map[string]any{"when": `source == "cloudtrail"`, "open": "sev2"})
	other := startBot(t, storetest.SQLite(t), company.Options{Seed: 8, Limits: chat.Limits{Off: true}}, opens)
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "sentry=0123456789abcdef"); err == nil {
		t.Error("got no error without a secret of the source")
	}
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "cloudtrail=not-the-right-key"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("wrong key: got error %v, want 401", err)
	}
	for range 2 { // known deliveries are counted once
		s.mustRun("replay", recording, "--to", other.url, "--secret", "cloudtrail="+company.TrailKey)
	}
	counted := func(s *botProcess, id incident.ID, want int64) {
		t.Helper()
		s.waitFor(time.Minute, "the count of the alert", func() bool {
			v := s.view(id)
			return len(v.Alerts) == 1 && v.Alerts[0].Count == want
		})
	}
	// replayed requires a second incident for the replay of the deliveries of the first.
	replayed := func(s *botProcess) {
		t.Helper()
		s.waitFor(time.Minute, "the incident of the replay", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 2 })
		counted(s, 2, 3)
		counted(s, 1, 3)
	}
	other.waitFor(time.Minute, "an incident", func() bool { return other.queryInt("SELECT count(*) FROM incidents") == 1 })
	counted(other, 1, 3)
	if got := other.mustRun("replay", recording); got != "3 deliveries\n" { // over the control socket, also known deliveries
		t.Errorf("replay: got %s", got)
	}
	other.mustRun("replay", recording, "--as-new")
	replayed(other)

	// Change the rules and reprocess the watched deliveries.
	s.stop()
	s.updateConfig(opens)
	s.start()
	if got := s.mustRun("explain", "A1"); !strings.Contains(got, "The routing has changed since") || !strings.Contains(got, "→ open sev2") {
		t.Errorf("explain with changed rules: got:\n%s", got)
	}
	if got := s.mustRun("replay", "--since", "1h"); got != "3 deliveries\n" {
		t.Errorf("reprocess: got %s", got)
	}
	s.waitFor(time.Minute, "an incident", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 1 })
	counted(s, 1, 3)
	if got := s.mustRun("replay", "--since", "1h", "--source", "cloudtrail"); got != "0 deliveries\n" {
		t.Errorf("reprocess deliveries of an incident: got %s, want 0", got)
	}
	s.mustRun("replay", "--since", "1h", "--source", "cloudtrail", "--as-new")
	replayed(s)
	s.mustRun("verify")
}

// TestReplay_SentryBody replays bare bodies of Sentry webhooks, which lack the header
// with the resource.
func TestReplay_SentryBody(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 9, Limits: chat.Limits{Off: true}}, withRouting(map[string]any{"when": "true", "watch": true}))
	for n, data := range []string{
		`"triggered","data":{"issue":{"id":"7","title":"it broke"},"activity":{"type":"set_unresolved"},"alert":{"title":"a rule"}}`,
		`"deleted","data":{"installation":{"uuid":"u"}}`,
		`"critical","data":{"metric_alert":{"id":"9"}}`,
	} {
		body := filepath.Join(s.dir, "body.json")
		if err := os.WriteFile(body, []byte(`{"action":`+data+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.mustRun("replay", body, "--source", "sentry"); got != "1 delivery\n" {
			t.Errorf("replay: got %s", got)
		}
		s.waitFor(time.Minute, "a watched delivery", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'watched'") == n+1 })
	}
}

// TestIncidentCommand_SuppressedAlerts promotes, splits and merges alerts, and
// suppresses alerts with a maintenance window.
func TestIncidentCommand_SuppressedAlerts(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 9, Limits: chat.Limits{Off: true}}, withRouting(
		map[string]any{"when": `kind == "cloudtrail.StopLogging"`, "watch": true}, map[string]any{"when": "true", "open": "sev4"}))
	send := func(call feed.Call, n int) {
		t.Helper()
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.Delivery(call, feed.Copy{N: n})); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
	}
	send(feed.StopLogging(1), 1)
	s.waitFor(time.Minute, "a watched alert", func() bool { return s.queryInt("SELECT count(*) FROM alerts") == 1 })
	if got := s.mustRun("incident", "alerts", "promote", "A1", "sev2"); !strings.Contains(got, "INC-1 is triage") {
		t.Errorf("promote: got %s", got)
	}
	if got := s.mustRun("incident", "alerts", "promote", "A1"); !strings.Contains(got, "No change: INC-1 is triage") {
		t.Errorf("promote again: got %s", got)
	}
	if got := s.mustRun("incident", "maintenance", "add", "2h", `source == "cloudtrail"`, "because", "the auditors sign in"); !strings.Contains(got, "M1 was added. Matching alerts at sev3 and sev4 are suppressed") {
		t.Errorf("got %s", got)
	}
	send(feed.RootConsoleLogin(2), 1)
	s.waitFor(time.Minute, "a suppressed alert", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'maintenance'") == 1 })
	if got := s.mustRun("incident", "alerts", "maintenance"); !strings.Contains(got, "1 maintenance alert:") {
		t.Errorf("got %s", got)
	}
	if got := s.mustRun("explain", "A2"); !strings.Contains(got, "suppressed by maintenance window M1") {
		t.Errorf("got %s", got)
	}
	s.mustRun("incident", "maintenance", "end", "M1")
	s.mustRun("incident", "alerts", "promote", "A2", "into", "INC-1")
	s.mustRun("incident", "split", "INC-1", "alerts", "A2", "Root signs in", "because", "it is another matter")
	if v := s.view(2); v.Incident.SplitFrom != 1 || len(v.Alerts) != 1 || v.Incident.Title != "Root signs in" {
		t.Errorf("got incident %+v", v.Incident)
	}
	s.mustRun("incident", "merge", "INC-2", "into", "INC-1", "after all it is not")
	if got := s.mustRun("incident", "status", "INC-2"); !strings.Contains(got, "merged into") || !strings.Contains(got, "INC-1") {
		t.Errorf("status of the merged incident: got:\n%s", got)
	}
	if _, err := s.run("incident", "legal-hold", "INC-1", "because", "the regulator asked"); err == nil { // the tests run as engineering
		t.Error("got a legal hold set by engineering")
	}
	if v := s.view(1); v.Incident.LegalHold != nil || len(v.Incident.SplitInto) != 1 || v.Incident.Status != incident.Triage {
		t.Errorf("got incident %+v", v.Incident)
	}
	s.mustRun("verify")
}

const sourceToken = "0123456789abcdef-token"

// enableAllSources configures every source and watches all alerts.
func enableAllSources(config map[string]any) {
	sources := config["sources"].(map[string]any)
	title := map[string]any{"title": "body.title"}
	sources["alertmanager"] = map[string]any{"basic": []any{map[string]any{"username": "prometheus", "password": sourceToken}}}
	sources["hackerone"] = map[string]any{"secrets": []string{sourceToken}}
	sources["generic"] = []any{map[string]any{"name": "scanner", "tokens": []string{sourceToken}, "delivery_header": "X-Delivery", "mapping": title},
		map[string]any{"name": "siem", "hmac": map[string]any{"header": "X-Siem-Signature", "prefix": "sha256=", "secrets": []string{sourceToken}}, "delivery_header": "X-Delivery", "mapping": title}}
	sources["sns"] = map[string]any{"topics": []string{"arn:aws:sns:eu-west-3:123456789012:security-events"}}
	sources["report"] = map[string]any{"form": map[string]any{"company": "Payroll"}}
	sources["trail"] = map[string]any{"queue_url": "http://127.0.0.1:1/123456789012/trail", "region": "eu-west-3", "endpoint": "http://127.0.0.1:1"}
	config["routing"] = []any{map[string]any{"when": "true", "watch": true}}
}

// sampleBodies returns one body per source, as the source posts it.
func sampleBodies(t *testing.T) map[string]string {
	record := `{"eventVersion":"1.08","eventID":"e-%s","eventTime":"2026-11-20T02:31:00Z","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","awsRegion":"eu-west-3","recipientAccountId":"123456789012","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/jo","accountId":"123456789012","userName":"jo"},"requestParameters":{"name":"trail"}}`
	message, err := json.Marshal(strings.Replace(record, "e-%s", "e-sns", 1))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"sentry":       `{"action":"created","installation":{"uuid":"u"},"actor":{"type":"application","id":"sentry","name":"Sentry"},"data":{"issue":{"id":"7","title":"it broke","level":"error","project":{"id":"1","slug":"payroll"}}}}`,
		"cloudtrail":   strings.Replace(record, "e-%s", "e-1", 1),
		"pagerduty":    `{"event":{"id":"01ABC","event_type":"incident.annotated","resource_type":"incident","occurred_at":"2026-11-20T02:31:00Z","agent":null,"client":null,"data":{"type":"incident_note","id":"P1"}}}`,
		"alertmanager": `{"version":"4","groupKey":"{}:{}","truncatedAlerts":0,"status":"firing","receiver":"t","groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://a","alerts":[{"status":"firing","labels":{"alertname":"Odd logins"},"annotations":{},"startsAt":"2026-11-20T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"f1"}]}`,
		"hackerone":    `{"data":{"activity":{"type":"activity-bug-filed","id":"1"},"report":{"id":"7","type":"report","attributes":{"title":"A hole","state":"new","created_at":"2026-11-20T02:00:00Z","vulnerability_information":"x"},"relationships":{}}}}`,
		"scanner":      `{"title":"an open port"}`,
		"siem":         `{"title":"an odd process"}`,
		"sns":          `{"Type":"Notification","MessageId":"m1","TopicArn":"arn:aws:sns:eu-west-3:123456789012:security-events","Timestamp":"2026-11-20T02:31:00.000Z","Message":` + string(message) + `}`,
		"report":       "From: Jo <jo@example.com>\r\nTo: security@payroll.example\r\nSubject: a hole\r\nMessage-ID: <1@example.com>\r\n\r\nSeverity: high\r\nIt is open.\r\n",
		"trail":        `{"notice":"object_unreadable","bucket":"logs","key":"AWSLogs/123456789012/CloudTrail/eu-west-3/2026/11/20/x.json.gz","reason":"gzip","detail":"no gzip header"}`,
	}
}

// signingSecrets are the secrets of the sources that can be signed, as configured by
// enableAllSources.
var signingSecrets = map[string]string{"sentry": company.SentrySecret, "cloudtrail": company.TrailKey, "pagerduty": company.PagerSecret,
	"alertmanager": "prometheus:" + sourceToken, "hackerone": sourceToken, "scanner": sourceToken, "siem": sourceToken}

// startWithAllSources starts the bot with every source configured.
func startWithAllSources(t *testing.T, seed uint64) *botProcess {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "none") // the reader of the trail then does not search for credentials
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	return startBot(t, storetest.SQLite(t), company.Options{Seed: seed, Limits: chat.Limits{Off: true}}, enableAllSources)
}

// writeFile writes a file into the bot's folder and returns its path.
func (s *botProcess) writeFile(name, text string) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// recordedLine returns the line of a delivery in a recording, with the id of the
// sender.
func recordedLine(t *testing.T, source, body string) string {
	t.Helper()
	return recordedBody(t, source, "id-"+source, []byte(body))
}

// recordedBody returns the line of a delivery in a recording.
func recordedBody(t *testing.T, source, id string, body []byte) string {
	t.Helper()
	line, err := json.Marshal(control.Recorded{Source: source, ID: id, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// checkDeliveries requires the number of stored deliveries of a source.
func (s *botProcess) checkDeliveries(source string, want int) {
	s.t.Helper()
	if n := s.queryInt("SELECT count(*) FROM inbox WHERE source = '" + source + "'"); n != want {
		s.t.Errorf("got %d deliveries of %s, want %d", n, source, want)
	}
}

// waitHandled waits until all deliveries are handled. It requires that none of the
// sources has an undecodable one.
func (s *botProcess) waitHandled(sources map[string]string) {
	s.t.Helper()
	s.waitFor(time.Minute, "every delivery to be handled", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	for source := range sources {
		if n := s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'undecodable' AND source = '" + source + "'"); n != 0 {
			s.t.Errorf("got %d undecodable deliveries of %s, want 0", n, source)
		}
	}
}

// ingestAll replays one delivery of each source to the instance. If it can be signed,
// it is posted to the endpoint, and otherwise sent over the control socket.
func (s *botProcess) ingestAll(all map[string]string) {
	s.t.Helper()
	for source, body := range all {
		switch secret, signable := signingSecrets[source]; {
		case source == "scanner" || source == "siem": // their endpoints read the id from a header
			s.mustRun("replay", s.writeFile(source+".body", recordedLine(s.t, source, body)), "--to", s.url, "--secret", source+"="+secret)
		case signable:
			s.mustRun("replay", s.writeFile(source+".body", body), "--source", source, "--to", s.url, "--secret", source+"="+secret)
		default:
			s.mustRun("replay", s.writeFile(source+".body", body), "--source", source)
		}
	}
	for source := range all {
		s.checkDeliveries(source, 1)
	}
}

// TestReplay_EverySource replays one delivery of each source from one instance to
// another. It posts signable deliveries over HTTP and sends all of them over the
// control socket. Each must be stored once.
func TestReplay_EverySource(t *testing.T) {
	s, other, all := startWithAllSources(t, 11), startWithAllSources(t, 12), sampleBodies(t)
	s.ingestAll(all)
	total := fmt.Sprintf("%d deliveries\n", len(all))
	recording := filepath.Join(s.dir, "all.ndjson")
	if got := s.mustRun("replay", "--since", "1h", "--out", recording); got != total {
		t.Errorf("replay --out: got %s", got)
	}
	for source := range all {
		secret, signable := signingSecrets[source]
		if !signable {
			_, err := s.run("replay", recording, "--source", source, "--to", other.url)
			if err == nil || !strings.Contains(err.Error(), "deliveries of "+source+" cannot be posted") || !strings.Contains(err.Error(), "--to unix:PATH") {
				t.Errorf("post %s: got error %v", source, err)
			}
			continue
		}
		s.mustRun("replay", "--since", "1h", "--source", source, "--to", other.url, "--secret", source+"="+secret)
		other.checkDeliveries(source, 1)
	}
	for range 2 {
		if got := s.mustRun("replay", recording, "--to", "unix:"+other.socket); got != total {
			t.Errorf("over the socket: got %s, want %s", got, total)
		}
	}
	for source := range all {
		other.checkDeliveries(source, 1)
	}
	s.waitHandled(all)
	other.waitHandled(all)
	s.mustRun("replay", recording, "--to", "unix:"+other.socket, "--as-new", "--source", "sns")
	other.checkDeliveries("sns", 2)
	other.mustRun("verify")
}

// TestReplay_Reprocess reprocesses watched deliveries, which must not be counted again.
func TestReplay_Reprocess(t *testing.T) {
	s, all := startWithAllSources(t, 13), sampleBodies(t)
	s.ingestAll(all)
	s.waitHandled(all)
	before := s.queryInt("SELECT sum(count) FROM alerts")
	if got := s.mustRun("replay", "--since", "1h"); got != fmt.Sprintf("%d deliveries\n", len(all)-1) { // the unreadable log file has an incident
		t.Errorf("reprocess: got %s", got)
	}
	s.waitHandled(all)
	if n := s.queryInt("SELECT sum(count) FROM alerts"); n != before {
		t.Errorf("got total count %d after reprocessing, want %d", n, before)
	}
}

func TestReplay_Errors(t *testing.T) {
	s, all := startWithAllSources(t, 14), sampleBodies(t)
	text := ""
	for _, source := range []string{"cloudtrail", "scanner", "siem", "sns"} {
		text += recordedLine(t, source, all[source])
	}
	recording := s.writeFile("all.ndjson", text)
	for _, wrong := range []struct{ want, args string }{
		{"--secret scanner=", recording + " --source scanner --to " + s.url},
		{"401", recording + " --source siem --to " + s.url + " --secret siem=another-secret-of-ours"},
		{"--as-new has no effect", recording + " --source cloudtrail --as-new --to " + s.url + " --secret cloudtrail=" + company.TrailKey},
		{"--drill has no effect for a URL", recording + " --source scanner --drill --to " + s.url + " --secret scanner=" + sourceToken},
		{"none of the others can be", recording + " --drill --as-new"},
		{"deliveries of sns cannot be posted", recording + " --to " + s.url + " --secret sns=x"},
		{"source osquery is not in this configuration", recording + " --to " + s.url + " --secret osquery=x"},
		{"no bot is running", recording + " --to unix:/nowhere.sock"},
		{"source osquery is not configured", s.writeFile("osquery.body", "{}") + " --source osquery --to unix:" + s.socket},
		{"--secret is only for a URL", recording + " --to unix:" + s.socket + " --secret sentry=x"},
		{"invalid --to", recording + " --to staging.example.com"},
		{"Write https://", recording + " --to http://staging.example.com --secret sentry=x"},
	} {
		if _, err := s.run(append([]string{"replay"}, strings.Fields(wrong.args)...)...); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("replay %s: got error %v, want %q", wrong.args, err, wrong.want)
		}
	}
}
