package templates

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestAlertResult(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l := incident.AlertLine{ID: 17, Kind: "sentry.issue", Level: "high", Title: "it\nbroke", Count: 3, LastAt: noon, Reason: "noise"}
	rules := []incident.RuleTrace{{Index: 1, When: `level == "low"`, Why: []string{`level == "low" is false: level = "high"`}}, {When: "default rule", Action: "watch", Matched: true}}
	record := incident.RecordTrace{Name: "StopLogging", Service: "cloudtrail.amazonaws.com", ID: "e1", Others: 7, Rules: []incident.DetectionTrace{
		{ID: "r1", Title: "Trail stopped", Level: "high", File: "builtin/eyes.yaml", Line: 3, Matched: true, Counts: []string{"Many (r9), from 5 events within 10m0s"}},
		{ID: "r2", Title: "By root", Level: "critical", File: "own.yml", Line: 1, Why: []incident.FieldComparison{{Field: "userIdentity.type", Line: 8, Expected: `"Root"`, Actual: `"IAMUser"`},
			{Field: "userAgent|contains", Line: 9, Expected: `"terraform"`, Actual: `"terraform 1"`, Negated: true}}}}}
	unmatched := record
	unmatched.Rules = record.Rules[1:]
	unmatchedLines := "StopLogging of cloudtrail.amazonaws.com in D4%s, event e1:\ndoes not match: critical · By root · r2 · own.yml:1\n  line 8, userIdentity.type: expects \"Root\", the record has \"IAMUser\"\n" +
		"  line 9, userAgent|contains: excludes \"terraform\", the record has \"terraform 1\"\nNo rule rates the record above informational. 7 other rules apply to other events."
	for name, c := range map[string]struct {
		a    incident.AlertResult
		want string
	}{
		"nothing":   {incident.AlertResult{Disposition: incident.DispositionDropped}, "There are no dropped alerts."},
		"alerts":    {incident.AlertResult{Disposition: incident.DispositionDropped, Kinds: 2, Occurrences: 9, Alerts: []incident.AlertLine{l}}, "2 dropped alerts, 9 occurrences, newest 1:\nA17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise"},
		"no window": {incident.AlertResult{}, "There are no maintenance windows."},
		"window":    {incident.AlertResult{Done: "Done.", MaintenanceWindows: []incident.MaintenanceWindow{{ID: 3, When: "sample", Reason: "a move", Owner: "p1", From: noon, To: noon.Add(time.Hour), Suppressed: 4}}}, "Done.\nM3 active · 2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · 4 suppressed · unconfirmed: suppresses sev3 and sev4 only · when sample · reason: a move"},
		"explained": {incident.AlertResult{Explanation: &incident.Explanation{Alert: l, Outcome: "watched", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules}}, "A17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise\nOutcome: watched\nRouting sha256:1:\ndoes not match: rule 1, level == \"low\"\n  level == \"low\" is false: level = \"high\"\nmatches: default rule → watch\nThe routing has not changed since."},
		"undecodable": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "watched", Digest: "sha256:1", CurrentDigest: "sha256:1", FirstDelivery: 3, DecodeFailures: []incident.DecodeFailure{{Reason: "resource \"x\"\nis unknown", Count: 2, Last: 9, At: noon}}}},
			"First delivery: D3\nUndecodable: resource \"x\" is unknown · 2 times, last D9 at 2026-11-20 12:00 UTC\nOutcome: watched\nRouting sha256:1. No rule was evaluated, because there was no alert.\nThe routing has not changed since."},
		"changed since": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:2", Rules: rules[1:], CurrentRules: rules[1:]}}, "Outcome: x\nRouting sha256:1:\nmatches: default rule → watch\nThe routing has changed since. Current routing sha256:2:\nmatches: default rule → watch"},
		"detected": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Detection: incident.Detection{Digest: "sha256:d", CurrentDigest: "sha256:d", Delivery: 4, Records: []incident.RecordTrace{record}}}},
			"Outcome: x\nRouting sha256:1. No rule was evaluated, because there was no alert.\nThe routing has not changed since.\nDetection rules sha256:d. They have not changed since.\nStopLogging of cloudtrail.amazonaws.com in D4, event e1:\n" +
				"matches: high · Trail stopped · r1 · builtin/eyes.yaml:3\n  counted for Many (r9), from 5 events within 10m0s\n" + strings.Replace(strings.SplitN(fmt.Sprintf(unmatchedLines, ""), "\n", 2)[1], "No rule rates the record above informational. ", "", 1)},
		"counted": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules[1:], Detection: incident.Detection{CurrentDigest: "sha256:d", Counted: "Many (r9). Events (2): a, b", Note: "They are not stored."}}},
			"Outcome: x\nRouting sha256:1:\nmatches: default rule → watch\nThe routing has not changed since.\nCurrent detection rules: sha256:d\nThey are not stored.\nSeveral events together: Many (r9). Events (2): a, b"},
		"detected with other rules": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules[1:], Detection: incident.Detection{Digest: "sha256:d", CurrentDigest: "sha256:e", Delivery: 4, Records: []incident.RecordTrace{unmatched}, CurrentRecords: []incident.RecordTrace{unmatched}, More: 2}}},
			"Outcome: x\nRouting sha256:1:\nmatches: default rule → watch\nThe routing has not changed since.\nDetection rules sha256:d. They have changed since. Current rules: sha256:e\n" +
				fmt.Sprintf(unmatchedLines, "") + "\n" + fmt.Sprintf(unmatchedLines, ", with the current rules") + "\n2 more records are not shown."},
	} {
		if got := strings.Join(AlertResult(c.a, incident.Directory{}, noon), "\n"); got != c.want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

func TestTestPageLine(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	page := incident.TestPage{StartedAt: noon, StartedBy: "p1", EscalationStep: 1, SteppedAt: noon.Add(5 * time.Minute), MissedAt: noon.Add(5 * time.Minute)}
	d := incident.Directory{People: []incident.Person{{ID: "p1", Name: "Ana Lima"}}}
	if got := TestPageLine(page, d, noon.Add(8*time.Minute)); got != "2026-11-20 12:00 UTC · started by Ana Lima · missed at step 1 after 5 min · step 2 has waited for 3 min" {
		t.Errorf("running: got %q", got)
	}
	page.EndedAt = noon.Add(10 * time.Minute)
	if got := TestPageLine(page, d, noon.Add(time.Hour)); !strings.HasSuffix(got, " · ended without an acknowledgement after 2 steps") {
		t.Errorf("ended: got %q", got)
	}
}
