//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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

const customRule = `
title: A user came from elsewhere
id: own-user
logsource: {product: aws, service: cloudtrail}
detection:
  act:
    eventName: TagUser
    userIdentity.userName|expand: '%admins%'
  tool:
    userAgent|contains: terraform
  condition: act and not tool
level: high
`

// explainTest is a bot with one custom detection rule.
type explainTest struct {
	*botProcess
	rulesDir string // folder of the custom rule
}

// detectionConfig makes the custom rule match the given user.
func (e *explainTest) detectionConfig(admin string) configChange {
	return func(config map[string]any) {
		config["detection"] = map[string]any{"rules": []string{e.rulesDir}, "placeholders": map[string]any{"admins": []string{admin}}}
	}
}

// startExplainTest starts a bot whose custom rule matches the user ada.
func startExplainTest(t *testing.T) *explainTest {
	t.Helper()
	e := &explainTest{rulesDir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(e.rulesDir, "own.yml"), []byte(customRule), 0o600); err != nil {
		t.Fatal(err)
	}
	e.botProcess = startBot(t, storetest.SQLite(t), company.Options{Seed: 7, Limits: chat.Limits{Off: true}}, e.detectionConfig("ada"), withRouting(
		map[string]any{"when": `source == "cloudtrail" && level in ["high", "critical"] && environment == ""`, "open": "sev2"},
		map[string]any{"when": `kind == "cloudtrail.ListUsers"`, "drop": "everyday noise"}))
	return e
}

// lastDelivery returns the newest delivery of a source. PagerDuty's webhooks may have
// added others in between.
func (e *explainTest) lastDelivery(source string) string {
	e.t.Helper()
	e.waitFor(time.Minute, "every delivery to be handled", func() bool { return e.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	return fmt.Sprintf("D%d", e.queryInt("SELECT max(id) FROM inbox WHERE source = '"+source+"'"))
}

// post posts a body to the CloudTrail endpoint and returns the delivery.
func (e *explainTest) post(body string) string {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url+"/hooks/cloudtrail", strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", company.TrailKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		e.t.Fatalf("post %s: got status %d, want 202", body, res.StatusCode)
	}
	return e.lastDelivery("cloudtrail")
}

// cloudTrailRecord returns the record of a call in its EventBridge envelope.
func cloudTrailRecord(id, call, user, agent string) string {
	return `{"detail-type":"AWS API Call via CloudTrail","source":"aws.iam","id":"d-` + id + `","account":"123456789012","region":"us-east-1","detail":{"eventVersion":"1.08","eventID":"` + id +
		`","eventTime":"2026-11-20T02:31:00Z","eventSource":"iam.amazonaws.com","eventName":"` + call + `","awsRegion":"us-east-1","recipientAccountId":"123456789012","userAgent":"` + agent +
		`","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/` + user + `","accountId":"123456789012","userName":"` + user + `"}}}`
}

// expectOutput requires `tocsin explain` of an alert or delivery to print each text.
func (e *explainTest) expectOutput(ref string, want ...string) {
	e.t.Helper()
	got := e.mustRun("explain", ref)
	for _, w := range want {
		if !strings.Contains(got, w) {
			e.t.Errorf("explain %s: want %q, got:\n%s", ref, w, got)
		}
	}
}

// explain returns the detection part of `tocsin explain --json`.
func (e *explainTest) explain(ref string) incident.Detection {
	e.t.Helper()
	var result incident.AlertResult
	if err := json.Unmarshal([]byte(e.mustRun("explain", ref, "--json")), &result); err != nil || result.Explanation == nil {
		e.t.Fatalf("explain %s: got %+v, %v", ref, result, err)
	}
	return result.Explanation.Detection
}

// TestExplain_DetectionRules explains records that were opened, watched and dropped.
func TestExplain_DetectionRules(t *testing.T) {
	e := startExplainTest(t)
	opened := e.post(cloudTrailRecord("e1", "TagUser", "ada", "aws-cli"))
	watched := e.post(cloudTrailRecord("e2", "TagUser", "bob", "terraform/1.9"))
	dropped := e.post(cloudTrailRecord("e3", "ListUsers", "bob", "aws-cli"))
	own := filepath.Join(e.rulesDir, "own.yml") + ":2"
	e.expectOutput(opened, "Outcome: opened INC-1", "matches: rule 1", "TagUser of iam.amazonaws.com in "+opened+", event e1:", "matches: high · A user came from elsewhere · own-user · "+own,
		`line 8, userIdentity.userName|expand: expects "ada", the record has "ada"`, `line 10, userAgent|contains: excludes "terraform", the record has "aws-cli"`, "They have not changed since", "other rules apply to other events")
	e.expectOutput(watched, "Outcome: watched", "does not match: high · A user came from elsewhere · own-user · "+own, `line 8, userIdentity.userName|expand: expects "ada", the record has "bob"`,
		`line 10, userAgent|contains: excludes "terraform", the record has "terraform/1.9"`, "No rule rates the record above informational")
	e.expectOutput(dropped, "Outcome: dropped by the matching rule", "matches: rule 2", "ListUsers of iam.amazonaws.com in "+dropped, "No rule rates the record above informational")
}

// TestExplain_UndecodableAndOtherSources explains deliveries that were undecodable, and
// one of a source without detection rules.
func TestExplain_UndecodableAndOtherSources(t *testing.T) {
	e := startExplainTest(t)
	unread := e.post(`{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}`)
	issue, err := e.company.Sentry.IssueCreated(t.Context(), feed.NewIssue(feed.Crash, 7), feed.Copy{N: 1})
	if err != nil || issue.Status != http.StatusAccepted {
		t.Fatalf("%+v, %v", issue, err)
	}
	elsewhere := e.lastDelivery("sentry")
	again := e.post(`{"detail-type":"Another Event","source":"aws.events","detail":{}}`)
	kind := func(kind string) string {
		return fmt.Sprintf("A%d", e.queryInt("SELECT min(id) FROM alerts WHERE kind = '"+kind+"'"))
	}
	e.expectOutput(kind("cloudtrail.unreadable"), `Undecodable: detail-type "Scheduled Event"`, "1 time, last "+unread+" at ",
		`Undecodable: detail-type "Another Event"`, "1 time, last "+again+" at ", "Outcome: attached to INC-1", "matches: a delivery that cannot be read, at the usual severity of its source → open sev3")
	e.expectOutput(kind("sentry.issue"), "First delivery: "+elsewhere+"\n")
	e.expectOutput(unread, "Outcome: undecodable", "Routing sha256:", unread+" contains no record that detection rules evaluate.")
	e.expectOutput(elsewhere, "sentry", "The routing has not changed since.", "Detection rules sha256:")
}

// TestExplain_ChangedRules changes a placeholder. An earlier record must be explained
// with the rules of that time and with the current ones.
func TestExplain_ChangedRules(t *testing.T) {
	e := startExplainTest(t)
	opened := e.post(cloudTrailRecord("e1", "TagUser", "ada", "aws-cli"))
	then := e.explain("A1")
	if then.Digest == "" || then.Digest != then.CurrentDigest || fmt.Sprintf("D%d", then.Delivery) != opened || len(then.Records) != 1 || then.CurrentRecords != nil || !then.Records[0].Rules[0].Matched || then.Records[0].Rules[0].ID != "own-user" {
		t.Errorf("%+v", then)
	}
	e.stop()
	e.updateConfig(e.detectionConfig("bob"))
	e.start()
	e.expectOutput("A1", "The routing has not changed since.", "Detection rules "+then.Digest+". They have changed since", "event e1:\nmatches: high · A user came from elsewhere", "in "+opened+", with the current rules, event e1:",
		`expects "bob", the record has "ada"`)
	now := e.explain(opened)
	if now.Digest != then.Digest || now.CurrentDigest == then.CurrentDigest || !now.Records[0].Rules[0].Matched || len(now.CurrentRecords) != 1 || now.CurrentRecords[0].Rules[0].Matched {
		t.Errorf("%+v", now)
	}
	if d := e.explain(e.post(cloudTrailRecord("e6", "TagUser", "bob", "aws-cli"))); d.Digest != now.CurrentDigest || d.CurrentRecords != nil {
		t.Errorf("%+v", d)
	}
	if n := e.queryInt("SELECT count(*) FROM configurations"); n != 2 {
		t.Errorf("got %d stored configurations, want 2", n)
	}
	e.mustRun("verify")
}
