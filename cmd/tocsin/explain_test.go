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

// explainTest is an instance whose records are judged by a rule of its own.
type explainTest struct {
	*botProcess
	rulesDir string // of the rule
}

// detectionConfig has the rule look for a person.
func (e *explainTest) detectionConfig(admin string) configChange {
	return func(config map[string]any) {
		config["detection"] = map[string]any{"rules": []string{e.rulesDir}, "placeholders": map[string]any{"admins": []string{admin}}}
	}
}

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

// lastDelivery names the newest delivery of a source; the pager speaks up in between.
func (e *explainTest) lastDelivery(source string) string {
	e.t.Helper()
	e.waitFor(time.Minute, "all are handled", func() bool { return e.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	return fmt.Sprintf("D%d", e.queryInt("SELECT max(id) FROM inbox WHERE source = '"+source+"'"))
}

// post hands a body to CloudTrail's door and names the delivery.
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
		e.t.Fatalf("%s: %d", body, res.StatusCode)
	}
	return e.lastDelivery("cloudtrail")
}

// cloudTrailRecord is what somebody called, as EventBridge brings it.
func cloudTrailRecord(id, call, user, agent string) string {
	return `{"detail-type":"AWS API Call via CloudTrail","source":"aws.iam","id":"d-` + id + `","account":"123456789012","region":"us-east-1","detail":{"eventVersion":"1.08","eventID":"` + id +
		`","eventTime":"2026-11-20T02:31:00Z","eventSource":"iam.amazonaws.com","eventName":"` + call + `","awsRegion":"us-east-1","recipientAccountId":"123456789012","userAgent":"` + agent +
		`","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/` + user + `","accountId":"123456789012","userName":"` + user + `"}}}`
}

// expectOutput has something explained, and each of these said.
func (e *explainTest) expectOutput(what string, want ...string) {
	e.t.Helper()
	told := e.mustRun("explain", what)
	for _, w := range want {
		if !strings.Contains(told, w) {
			e.t.Errorf("explain %s lacks %q:\n%s", what, w, told)
		}
	}
}

func (e *explainTest) explain(what string) incident.Detection {
	e.t.Helper()
	var answer incident.AlertResult
	if err := json.Unmarshal([]byte(e.mustRun("explain", what, "--json")), &answer); err != nil || answer.Explanation == nil {
		e.t.Fatalf("%v: %+v", err, answer)
	}
	return answer.Explanation.Detection
}

// TestExplainNamesTheDetectionRules follows records that were opened, dropped and
// watched: each is explained by the rules that judged it.
func TestExplainNamesTheDetectionRules(t *testing.T) {
	e := startExplainTest(t)
	opened := e.post(cloudTrailRecord("e1", "TagUser", "ada", "aws-cli"))
	watched := e.post(cloudTrailRecord("e2", "TagUser", "bob", "terraform/1.9"))
	dropped := e.post(cloudTrailRecord("e3", "ListUsers", "bob", "aws-cli"))
	own := filepath.Join(e.rulesDir, "own.yml") + ":2"
	e.expectOutput(opened, "Outcome: opened INC-1", "matches: rule 1", "TagUser of iam.amazonaws.com in "+opened+", event e1:", "matches: high · A user came from elsewhere · own-user · "+own,
		`line 8, userIdentity.userName|expand: expects "ada", the record has "ada"`, `line 10, userAgent|contains: excludes "terraform", the record has "aws-cli"`, "They have not changed since", "other rules apply to other events")
	e.expectOutput(watched, "Outcome: watched", "does not match: high · A user came from elsewhere · own-user · "+own, `line 8, userIdentity.userName|expand: expects "ada", the record has "bob"`,
		`line 10, userAgent|contains: excludes "terraform", the record has "terraform/1.9"`, "No rule rates the record above informational")
	e.expectOutput(dropped, "Outcome: dropped by the rule that fits", "matches: rule 2", "ListUsers of iam.amazonaws.com in "+dropped, "No rule rates the record above informational")
}

// TestExplainOfWhatIsNoRecord: what could not be read names each delivery and
// reason, and what no detection rule judges says so.
func TestExplainOfWhatIsNoRecord(t *testing.T) {
	e := startExplainTest(t)
	unread := e.post(`{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}`)
	issue, err := e.company.Sentry.IssueCreated(t.Context(), feed.NewIssue(feed.Crash, 7), feed.Copy{N: 1})
	if err != nil || issue.Status != http.StatusAccepted {
		t.Fatalf("%+v, %v", issue, err)
	}
	elsewhere := e.lastDelivery("sentry")
	again := e.post(`{"detail-type":"Another Event","source":"aws.events","detail":{}}`)
	kind := func(kind string) string {
		return fmt.Sprintf("A%d", e.queryInt("SELECT id FROM alerts WHERE kind = '"+kind+"'"))
	}
	e.expectOutput(kind("cloudtrail.unreadable"), `Undecodable: decode cloudtrail event: detail-type "Scheduled Event"`, "1 time, last "+unread+" at ",
		`Undecodable: decode cloudtrail event: detail-type "Another Event"`, "1 time, last "+again+" at ", "Outcome: watched")
	e.expectOutput(kind("sentry.issue"), "First delivery: "+elsewhere)
	e.expectOutput(unread, "Outcome: it could not be read", "Routing sha256:", unread+" contains no record that detection rules evaluate.")
	e.expectOutput(elsewhere, "sentry", "The routing has not changed since.", "Detection rules sha256:")
}

// TestExplainTellsTheRulesOfThatTime changes a placeholder, and nothing else: what
// was judged before is explained by the rules of then and of today.
func TestExplainTellsTheRulesOfThatTime(t *testing.T) {
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
		t.Errorf("%d configurations were kept", n)
	}
	e.mustRun("verify")
}
