package templates

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestAnswers(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l := incident.AlertLine{ID: 17, Kind: "sentry.issue", Level: "high", Title: "it\nbroke", Count: 3, LastAt: noon, Reason: "noise"}
	rules := []incident.RuleTrace{{Index: 1, When: `level == "low"`, Why: []string{`level == "low" is false: level = "high"`}}, {When: "no rule fits", Action: "watch", Matched: true}}
	record := incident.RecordTrace{Name: "StopLogging", Service: "cloudtrail.amazonaws.com", ID: "e1", Others: 7, Rules: []incident.DetectionTrace{
		{ID: "r1", Title: "Trail stopped", Level: "high", File: "builtin/eyes.yaml", Line: 3, Matched: true, Counts: []string{"Many (r9), from 5 events within 10m0s"}},
		{ID: "r2", Title: "By root", Level: "critical", File: "own.yml", Line: 1, Why: []incident.FieldComparison{{Field: "userIdentity.type", Line: 8, Expected: `"Root"`, Actual: `"IAMUser"`},
			{Field: "userAgent|contains", Line: 9, Expected: `"terraform"`, Actual: `"terraform 1"`, Negated: true}}}}}
	quiet := record
	quiet.Rules = record.Rules[1:]
	judgedQuiet := "StopLogging of cloudtrail.amazonaws.com in D4%s, event e1:\ndoes not match: critical · By root · r2 · own.yml:1\n  line 8, userIdentity.type: asks for \"Root\", the record has \"IAMUser\"\n" +
		"  line 9, userAgent|contains: leaves out \"terraform\", the record has \"terraform 1\"\nNo rule makes it more than informational; 7 other rules ask for other events."
	for name, c := range map[string]struct {
		a    incident.AlertResult
		want string
	}{
		"nothing":   {incident.AlertResult{Disposition: incident.DispositionDropped}, "There are no dropped alerts."},
		"alerts":    {incident.AlertResult{Disposition: incident.DispositionDropped, Kinds: 2, Occurrences: 9, Alerts: []incident.AlertLine{l}}, "2 dropped alerts, which came 9 times; the newest 1:\nA17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise"},
		"no window": {incident.AlertResult{}, "There is no maintenance window."},
		"window":    {incident.AlertResult{Done: "Done.", MaintenanceWindows: []incident.MaintenanceWindow{{ID: 3, When: "sample", Reason: "a move", Owner: "p1", From: noon, To: noon.Add(time.Hour), Suppressed: 4}}}, "Done.\nM3 holds · 2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · kept back 4 · when sample · because a move"},
		"explained": {incident.AlertResult{Explanation: &incident.Explanation{Alert: l, Outcome: "watched", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules}}, "A17 · sentry.issue · high · it broke · 3 times, last 2026-11-20 12:00 UTC · noise\nDecided: watched\nBy the routing sha256:1:\ndoes not fit: rule 1, level == \"low\"\n  level == \"low\" is false: level = \"high\"\nfits: behind all rules → watch\nThe routing has not changed since."},
		"unread": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "watched", Digest: "sha256:1", CurrentDigest: "sha256:1", FirstDelivery: 3, DecodeFailures: []incident.DecodeFailure{{Reason: "resource \"x\"\nis unknown", Count: 2, Last: 9, At: noon}}}},
			"It came first with D3.\nNot read: resource \"x\" is unknown · 2 times, last D9 at 2026-11-20 12:00 UTC\nDecided: watched\nThe routing was sha256:1; no rule was tried: there was no alert.\nThe routing has not changed since."},
		"changed since": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:2", Rules: rules[1:], CurrentRules: rules[1:]}}, "Decided: x\nBy the routing sha256:1:\nfits: behind all rules → watch\nThe routing has changed since; by today's, sha256:2:\nfits: behind all rules → watch"},
		"detected": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Detection: incident.Detection{Digest: "sha256:d", CurrentDigest: "sha256:d", Delivery: 4, Records: []incident.RecordTrace{record}}}},
			"Decided: x\nThe routing was sha256:1; no rule was tried: there was no alert.\nThe routing has not changed since.\nDetection rules sha256:d; they have not changed since.\nStopLogging of cloudtrail.amazonaws.com in D4, event e1:\n" +
				"matches: high · Trail stopped · r1 · builtin/eyes.yaml:3\n  counted by Many (r9), from 5 events within 10m0s\n" + strings.Replace(strings.SplitN(fmt.Sprintf(judgedQuiet, ""), "\n", 2)[1], "No rule makes it more than informational; ", "", 1)},
		"counted": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules[1:], Detection: incident.Detection{CurrentDigest: "sha256:d", Counted: "Many (r9). Events (2): a, b", Note: "They were not kept."}}},
			"Decided: x\nBy the routing sha256:1:\nfits: behind all rules → watch\nThe routing has not changed since.\nDetection rules of today sha256:d.\nThey were not kept.\nIt is about several events. Counted by Many (r9). Events (2): a, b"},
		"detected otherwise": {incident.AlertResult{Explanation: &incident.Explanation{Outcome: "x", Digest: "sha256:1", CurrentDigest: "sha256:1", Rules: rules[1:], Detection: incident.Detection{Digest: "sha256:d", CurrentDigest: "sha256:e", Delivery: 4, Records: []incident.RecordTrace{quiet}, CurrentRecords: []incident.RecordTrace{quiet}, More: 2}}},
			"Decided: x\nBy the routing sha256:1:\nfits: behind all rules → watch\nThe routing has not changed since.\nDetection rules sha256:d; they have changed since, today's are sha256:e.\n" +
				fmt.Sprintf(judgedQuiet, "") + "\n" + fmt.Sprintf(judgedQuiet, ", by today's rules") + "\n2 more records are not shown."},
	} {
		if got := strings.Join(AlertResult(c.a, incident.Directory{}, noon), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}
