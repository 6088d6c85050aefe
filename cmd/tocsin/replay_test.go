package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// withRouting sets the routing of a configuration.
func withRouting(rules ...map[string]any) configChange {
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
	s := startBot(t, storetest.SQLite(t), o, withRouting(
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
	s.waitFor(time.Minute, "three are watched", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'watched'") == 3 })
	if listed := s.mustRun("incident", "alerts"); !strings.Contains(listed, "1 watched alert, 3 occurrences") || !strings.Contains(listed, "cloudtrail.StopLogging") {
		t.Errorf("listed:\n%s", listed)
	}
	for what, want := range map[string]string{"A1": "does not match: rule 1", "D1": "SHA-256"} {
		if told := s.mustRun("explain", what); !strings.Contains(told, want) || !strings.Contains(told, `source = "cloudtrail"`) || !strings.Contains(told, "has not changed since") {
			t.Errorf("explain %s:\n%s", what, told)
		}
	}
	recording := filepath.Join(s.dir, "all.ndjson")
	if said := s.mustRun("replay", "--since", "1h", "--out", recording); said != "3 deliveries\n" {
		t.Errorf("recorded: %s", said)
	}
	if info, err := os.Stat(recording); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// Elsewhere, where such alerts open incidents.
	opens := withRouting(map[string]any{"when": `source == "cloudtrail"`, "open": "sev2"})
	other := startBot(t, storetest.SQLite(t), company.Options{Seed: 8, Limits: chat.Limits{Off: true}}, opens)
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "sentry=0123456789abcdef"); err == nil {
		t.Error("deliveries were posted without a secret of their source")
	}
	if _, err := s.run("replay", recording, "--to", other.url, "--secret", "cloudtrail=not-the-right-key"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong key: %v", err)
	}
	for range 2 { // what is known there counts once
		s.mustRun("replay", recording, "--to", other.url, "--secret", "cloudtrail="+company.TrailKey)
	}
	counted := func(s *botProcess, want int64) {
		t.Helper()
		s.waitFor(time.Minute, "the copies are counted", func() bool {
			v := s.view(1)
			return len(v.Alerts) == 1 && v.Alerts[0].Count == want
		})
	}
	other.waitFor(time.Minute, "the incident is open", func() bool { return other.queryInt("SELECT count(*) FROM incidents") == 1 })
	counted(other, 3)
	if said := other.mustRun("replay", recording); said != "3 deliveries\n" { // over the socket, and known as well
		t.Errorf("replayed: %s", said)
	}
	other.mustRun("replay", recording, "--as-new")
	counted(other, 6)

	// Here the rules change, and what was watched is evaluated anew.
	s.stop()
	s.updateConfig(opens)
	s.start()
	if told := s.mustRun("explain", "A1"); !strings.Contains(told, "The routing has changed since") || !strings.Contains(told, "→ open sev2") {
		t.Errorf("explained under other rules:\n%s", told)
	}
	if said := s.mustRun("replay", "--since", "1h"); said != "3 deliveries\n" {
		t.Errorf("evaluated anew: %s", said)
	}
	s.waitFor(time.Minute, "the incident is open", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 1 })
	counted(s, 3)
	if said := s.mustRun("replay", "--since", "1h", "--source", "cloudtrail"); said != "0 deliveries\n" {
		t.Errorf("what belongs to an incident was touched: %s", said)
	}
	s.mustRun("replay", "--since", "1h", "--source", "cloudtrail", "--as-new")
	counted(s, 6)
	s.mustRun("verify")
}

// A bare body of Sentry has lost the header that says what it is; it is taken
// for that all the same.
func TestABareBodyOfSentryIsRead(t *testing.T) {
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
		if said := s.mustRun("replay", body, "--source", "sentry"); said != "1 delivery\n" {
			t.Errorf("replayed: %s", said)
		}
		s.waitFor(time.Minute, "it is read", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'watched'") == n+1 })
	}
}

// TestKeptAlertsAtTheCommandLine promotes, splits, holds back and holds.
func TestKeptAlertsAtTheCommandLine(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 9, Limits: chat.Limits{Off: true}}, withRouting(map[string]any{"when": "true", "watch": true}))
	send := func(call feed.Call, n int) {
		t.Helper()
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.Delivery(call, feed.Copy{N: n})); err != nil || a.Status != 202 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	send(feed.StopLogging(1), 1)
	s.waitFor(time.Minute, "it is watched", func() bool { return s.queryInt("SELECT count(*) FROM alerts") == 1 })
	if said := s.mustRun("incident", "alerts", "promote", "A1", "sev2"); !strings.Contains(said, "INC-1 is triage") {
		t.Errorf("promoted: %s", said)
	}
	if said := s.mustRun("incident", "alerts", "promote", "A1"); !strings.Contains(said, "No change: INC-1 is triage") {
		t.Errorf("promoted twice: %s", said)
	}
	if said := s.mustRun("incident", "maintenance", "add", "2h", `source == "cloudtrail"`, "because", "the auditors sign in"); !strings.Contains(said, "M1 was added. Matching alerts are suppressed") {
		t.Errorf("%s", said)
	}
	send(feed.RootConsoleLogin(2), 1)
	s.waitFor(time.Minute, "it is kept back", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'maintenance'") == 1 })
	if said := s.mustRun("incident", "alerts", "maintenance"); !strings.Contains(said, "1 maintenance alert:") {
		t.Errorf("%s", said)
	}
	if said := s.mustRun("explain", "A2"); !strings.Contains(said, "in the maintenance window M1") {
		t.Errorf("%s", said)
	}
	s.mustRun("incident", "maintenance", "end", "M1")
	s.mustRun("incident", "alerts", "promote", "A2", "into", "INC-1")
	s.mustRun("incident", "split", "INC-1", "alerts", "A2", "Root signs in", "because", "it is another matter")
	if v := s.view(2); v.Incident.SplitFrom != 1 || len(v.Alerts) != 1 || v.Incident.Title != "Root signs in" {
		t.Errorf("%+v", v.Incident)
	}
	s.mustRun("incident", "merge", "INC-2", "into", "INC-1", "after all it is not")
	if said := s.mustRun("incident", "status", "INC-2"); !strings.Contains(said, "merged into") || !strings.Contains(said, "INC-1") {
		t.Errorf("the merged one says:\n%s", said)
	}
	if _, err := s.run("incident", "legal-hold", "INC-1", "because", "the regulator asked"); err == nil { // the tests run as engineering
		t.Error("engineering set a legal hold")
	}
	if v := s.view(1); v.Incident.LegalHold != nil || len(v.Incident.SplitInto) != 1 || v.Incident.Status != incident.Triage {
		t.Errorf("%+v", v.Incident)
	}
	s.mustRun("verify")
}

const sourceToken = "0123456789abcdef-token"

// enableAllSources switches on whatever can take something in.
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

// sampleBodies are one delivery of every source, as their senders post them.
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

// signingSecrets are those of the sources that a door takes, as everySource has them.
var signingSecrets = map[string]string{"sentry": company.SentrySecret, "cloudtrail": company.TrailKey, "pagerduty": company.PagerSecret,
	"alertmanager": "prometheus:" + sourceToken, "hackerone": sourceToken, "scanner": sourceToken, "siem": sourceToken}

// startWithAllSources starts the bot with every source.
func startWithAllSources(t *testing.T, seed uint64) *botProcess {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "none") // the reader of the trail finds no queue, and looks for no credentials
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	return startBot(t, storetest.SQLite(t), company.Options{Seed: seed, Limits: chat.Limits{Off: true}}, enableAllSources)
}

// writeFile writes what a replay is to read.
func (s *botProcess) writeFile(name, text string) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// recordedLine is a delivery as a recording has it, with the id that its sender gave.
func recordedLine(t *testing.T, source, body string) string {
	t.Helper()
	line, err := json.Marshal(bot.Recorded{Source: source, ID: "id-" + source, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// checkDeliveries fails unless there are so many deliveries of a source.
func (s *botProcess) checkDeliveries(source string, want int) {
	s.t.Helper()
	if n := s.queryInt("SELECT count(*) FROM inbox WHERE source = '" + source + "'"); n != want {
		s.t.Errorf("%d deliveries of %s are here, want %d", n, source, want)
	}
}

// waitHandled waits until all deliveries are, and fails where one could not be read.
func (s *botProcess) waitHandled(sources map[string]string) {
	s.t.Helper()
	s.waitFor(time.Minute, "all are handled", func() bool { return s.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	for source := range sources {
		if n := s.queryInt("SELECT count(*) FROM inbox WHERE outcome = 'undecodable' AND source = '" + source + "'"); n != 0 {
			s.t.Errorf("%d deliveries of %s could not be read", n, source)
		}
	}
}

// ingestAll brings one delivery of each source into an instance: through its door, as
// the sender would come, where that can be signed.
func (s *botProcess) ingestAll(all map[string]string) {
	s.t.Helper()
	for source, body := range all {
		switch secret, door := signingSecrets[source]; {
		case source == "scanner" || source == "siem": // whose door takes the id from a header
			s.mustRun("replay", s.writeFile(source+".body", recordedLine(s.t, source, body)), "--to", s.url, "--secret", source+"="+secret)
		case door:
			s.mustRun("replay", s.writeFile(source+".body", body), "--source", source, "--to", s.url, "--secret", source+"="+secret)
		default:
			s.mustRun("replay", s.writeFile(source+".body", body), "--source", source)
		}
	}
	for source := range all {
		s.checkDeliveries(source, 1)
	}
}

// TestEverySourceIsReplayed brings one delivery of each source into an instance,
// and from there into another: what can be signed through its door, everything
// over the control socket. Each counts once there, whatever the ways.
func TestEverySourceIsReplayed(t *testing.T) {
	s, other, all := startWithAllSources(t, 11), startWithAllSources(t, 12), sampleBodies(t)
	s.ingestAll(all)
	total := fmt.Sprintf("%d deliveries\n", len(all))
	recording := filepath.Join(s.dir, "all.ndjson")
	if said := s.mustRun("replay", "--since", "1h", "--out", recording); said != total {
		t.Errorf("recorded: %s", said)
	}
	for source := range all {
		secret, door := signingSecrets[source]
		if !door {
			_, err := s.run("replay", recording, "--source", source, "--to", other.url)
			if err == nil || !strings.Contains(err.Error(), "deliveries of "+source+" cannot be posted") || !strings.Contains(err.Error(), "--to unix:PATH") {
				t.Errorf("posting %s: %v", source, err)
			}
			continue
		}
		s.mustRun("replay", "--since", "1h", "--source", source, "--to", other.url, "--secret", source+"="+secret)
		other.checkDeliveries(source, 1)
	}
	for range 2 {
		if said := s.mustRun("replay", recording, "--to", "unix:"+other.socket); said != total {
			t.Errorf("over the socket: %s", said)
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

// What led nowhere is evaluated anew, and counts no second time.
func TestEverySourceIsEvaluatedAnew(t *testing.T) {
	s, all := startWithAllSources(t, 13), sampleBodies(t)
	s.ingestAll(all)
	s.waitHandled(all)
	before := s.queryInt("SELECT sum(count) FROM alerts")
	if said := s.mustRun("replay", "--since", "1h"); said != fmt.Sprintf("%d deliveries\n", len(all)) {
		t.Errorf("evaluated anew: %s", said)
	}
	s.waitHandled(all)
	if n := s.queryInt("SELECT sum(count) FROM alerts"); n != before {
		t.Errorf("%d copies were counted, and %d when they were evaluated anew", before, n)
	}
}

func TestAReplaySaysWhatIsWrong(t *testing.T) {
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
		{"deliveries of sns cannot be posted", recording + " --to " + s.url + " --secret sns=x"},
		{"source osquery is not in this configuration", recording + " --to " + s.url + " --secret osquery=x"},
		{"no bot is running", recording + " --to unix:/nowhere.sock"},
		{"source osquery is not configured", s.writeFile("osquery.body", "{}") + " --source osquery --to unix:" + s.socket},
		{"--secret is only for a URL", recording + " --to unix:" + s.socket + " --secret sentry=x"},
		{"invalid --to", recording + " --to staging.example.com"},
		{"write https://", recording + " --to http://staging.example.com --secret sentry=x"},
	} {
		if _, err := s.run(append([]string{"replay"}, strings.Fields(wrong.args)...)...); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("replay %s: %v", wrong.args, err)
		}
	}
}
