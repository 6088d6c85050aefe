package main_test

import (
	"bytes"
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

const ownRule = `
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

// TestExplainNamesTheDetectionRules follows records that were opened, dropped
// and watched, and what was no record: each is explained by the rules of that
// time, also after they have changed.
func TestExplainNamesTheDetectionRules(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "own.yml"), []byte(ownRule), 0o600); err != nil {
		t.Fatal(err)
	}
	detection := func(admins string) settings {
		return func(config map[string]any) {
			config["detection"] = map[string]any{"rules": []string{folder}, "placeholders": map[string]any{"admins": []string{admins}}}
		}
	}
	s := raise(t, storetest.SQLite(t), company.Options{Seed: 7, Limits: chat.Limits{Off: true}}, detection("ada"), routes(
		map[string]any{"when": `source == "cloudtrail" && level in ["high", "critical"] && environment == ""`, "open": "sev2"},
		map[string]any{"when": `kind == "cloudtrail.ListUsers"`, "drop": "everyday noise"}))
	last := func(source string) string { // the pager speaks up in between
		t.Helper()
		s.until(time.Minute, "all are handled", func() bool { return s.count("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
		return fmt.Sprintf("D%d", s.count("SELECT max(id) FROM inbox WHERE source = '"+source+"'"))
	}
	post := func(body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/hooks/cloudtrail", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", company.TrailKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %d", body, res.StatusCode)
		}
		return last("cloudtrail")
	}
	record := func(id, call, user, agent string) string {
		return `{"detail-type":"AWS API Call via CloudTrail","source":"aws.iam","id":"d-` + id + `","account":"123456789012","region":"us-east-1","detail":{"eventVersion":"1.08","eventID":"` + id +
			`","eventTime":"2026-11-20T02:31:00Z","eventSource":"iam.amazonaws.com","eventName":"` + call + `","awsRegion":"us-east-1","recipientAccountId":"123456789012","userAgent":"` + agent +
			`","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/` + user + `","accountId":"123456789012","userName":"` + user + `"}}}`
	}
	opened := post(record("e1", "TagUser", "ada", "aws-cli"))
	watched := post(record("e2", "TagUser", "bob", "terraform/1.9"))
	dropped := post(record("e3", "ListUsers", "bob", "aws-cli"))
	unread := post(`{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}`)
	issue, err := s.company.Sentry.IssueCreated(t.Context(), feed.NewIssue(feed.Crash, 7), feed.Copy{N: 1})
	if err != nil || issue.Status != http.StatusAccepted {
		t.Fatalf("%+v, %v", issue, err)
	}
	elsewhere := last("sentry")

	expect := func(what string, want ...string) {
		t.Helper()
		told := s.must("explain", what)
		for _, w := range want {
			if !strings.Contains(told, w) {
				t.Errorf("explain %s lacks %q:\n%s", what, w, told)
			}
		}
	}
	own := filepath.Join(folder, "own.yml") + ":2"
	expect(opened, "Decided: opened INC-1", "fits: rule 1", "TagUser of iam.amazonaws.com in "+opened+", event e1:", "matches: high · A user came from elsewhere · own-user · "+own,
		`line 8, userIdentity.userName|expand: asks for "ada", the record has "ada"`, `line 10, userAgent|contains: leaves out "terraform", the record has "aws-cli"`, "they have not changed since", "other rules ask for other events")
	expect(watched, "Decided: watched", "does not match: high · A user came from elsewhere · own-user · "+own, `line 8, userIdentity.userName|expand: asks for "ada", the record has "bob"`,
		`line 10, userAgent|contains: leaves out "terraform", the record has "terraform/1.9"`, "No rule makes it more than informational")
	expect(dropped, "Decided: dropped by the rule that fits", "fits: rule 2", "ListUsers of iam.amazonaws.com in "+dropped, "No rule makes it more than informational")
	again := post(`{"detail-type":"Another Event","source":"aws.events","detail":{}}`)
	kind := func(kind string) string {
		return fmt.Sprintf("A%d", s.count("SELECT id FROM alerts WHERE kind = '"+kind+"'"))
	}
	expect(kind("cloudtrail.unreadable"), `Not read: decode cloudtrail event: detail-type "Scheduled Event"`, "1 times, last "+unread+" at ",
		`Not read: decode cloudtrail event: detail-type "Another Event"`, "1 times, last "+again+" at ", "Decided: watched")
	expect(kind("sentry.issue"), "It came first with "+elsewhere+".")
	expect(unread, "Decided: it could not be read", "The routing was sha256:", unread+" holds no record that detection rules judge.")
	expect(elsewhere, "sentry", "The routing has not changed since.", "Detection rules sha256:")
	var answer incident.Answer
	explain := func(what string) incident.Detection {
		t.Helper()
		answer = incident.Answer{}
		if err := json.NewDecoder(bytes.NewReader([]byte(s.must("explain", what, "--json")))).Decode(&answer); err != nil || answer.Explanation == nil {
			t.Fatalf("%v: %+v", err, answer)
		}
		return answer.Explanation.Detection
	}
	then := explain("A1")
	if then.Digest == "" || then.Digest != then.Present || fmt.Sprintf("D%d", then.Delivery) != opened || len(then.Records) != 1 || then.Today != nil || !then.Records[0].Rules[0].Hit || then.Records[0].Rules[0].ID != "own-user" {
		t.Errorf("%+v", then)
	}

	// A placeholder changes, and nothing else.
	s.stop()
	s.rewrite(detection("bob"))
	s.start()
	expect("A1", "The routing has not changed since.", "Detection rules "+then.Digest+"; they have changed since", "event e1:\nmatches: high · A user came from elsewhere", "in "+opened+", by today's rules, event e1:",
		`asks for "bob", the record has "ada"`)
	now := explain(opened)
	if now.Digest != then.Digest || now.Present == then.Present || !now.Records[0].Rules[0].Hit || len(now.Today) != 1 || now.Today[0].Rules[0].Hit {
		t.Errorf("%+v", now)
	}
	if d := explain(post(record("e6", "TagUser", "bob", "aws-cli"))); d.Digest != now.Present || d.Today != nil {
		t.Errorf("%+v", d)
	}
	if n := s.count("SELECT count(*) FROM routings"); n != 2 {
		t.Errorf("%d configurations were kept", n)
	}
	s.must("verify")
}
