package cloudtrail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// observeReads returns the observations of n records. In each of them, one role reads
// another secret, one second after the previous record.
func observeReads(t *testing.T, s *cloudtrail.Source, n int) (out []incident.Observation) {
	t.Helper()
	for i := range n {
		signals, err := s.Decode(nil, fmt.Appendf(nil, `{"eventID":"e%02d","eventTime":%q,"eventName":"GetSecretValue","eventSource":"secretsmanager.amazonaws.com",
			"recipientAccountId":"111122223333","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.7","requestParameters":{"secretId":"s%d"},
			"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/web/i-1"}}`, i, noon.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i))
		if err != nil || len(signals) != 1 || signals[0].Alert.Level != incident.LevelInformational {
			t.Fatalf("got %+v, error %v, want one informational alert", signals, err)
		}
		out = append(out, signals[0].Observations...)
	}
	return out
}

func TestAdvance_FiresOnceForBurst(t *testing.T) {
	s := cloudtrail.New(cloudtrail.Config{}, builtin())
	now := noon.Add(time.Hour)
	observed := observeReads(t, s, 12)
	var window []byte
	var fired []incident.Firing
	for _, part := range [][]incident.Observation{observed[:4], observed[2:9], observed[9:], observed} { // with duplicates
		next, expires, firings, err := s.Advance(window, part, now)
		if err != nil || !expires.After(now) {
			t.Fatalf("got error %v, expiry %v, want one after %v", err, expires, now)
		}
		window, fired = next, append(fired, firings...)
	}
	if len(fired) != 1 {
		t.Fatalf("got %d firings, want 1", len(fired))
	}
	a := fired[0].Alert
	if a.Kind != "cloudtrail.correlation.secrets-read-in-bulk" || a.Level != incident.LevelHigh || a.Principal != "arn:aws:sts::111122223333:assumed-role/web" ||
		a.Correlation != "cloudtrail:111122223333:role/web" || a.EventID != "e09" || !strings.Contains(a.Detail, "Events (10): e00, e01,") || !strings.HasSuffix(a.Rule, "by Tocsin") {
		t.Errorf("got alert %+v, want secrets-read-in-bulk of role web", a)
	}
	if strings.Contains(string(window), "arn:aws") || strings.Contains(string(window), "s11") {
		t.Errorf("got window %s, want no texts of records", window)
	}
}

func TestAdvance_FutureTimeCountsAsNow(t *testing.T) {
	s := cloudtrail.New(cloudtrail.Config{}, builtin())
	observed := observeReads(t, s, 10)
	observed[0].At, observed[1].At = noon.AddDate(10, 0, 0), time.Time{}
	if _, _, fired, err := s.Advance(nil, observed, noon.Add(time.Minute)); err != nil || len(fired) != 1 {
		t.Errorf("got %d firings, error %v, want 1", len(fired), err)
	}
}

func TestAdvance_IgnoresUnloadedRules(t *testing.T) {
	observed := observeReads(t, cloudtrail.New(cloudtrail.Config{}, builtin()), 12)
	if _, expires, fired, err := cloudtrail.New(cloudtrail.Config{}, nil).Advance(nil, observed, noon); err != nil || len(fired) != 0 || expires.After(noon) {
		t.Errorf("got %d firings, expiry %v, error %v, want none and %v", len(fired), expires, err, noon)
	}
}

func TestEvaluate_ReportsNotableRecords(t *testing.T) {
	s := cloudtrail.New(cloudtrail.Config{}, builtin())
	for record, want := range map[string]bool{
		`{"eventName":"GetSecretValue","eventSource":"secretsmanager.amazonaws.com","requestParameters":{"secretId":"s"}}`: true,
		`{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com"}`:                                             true,
		`{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}`:                                                     false,
		`{"eventName":`: true,
	} {
		item := new(detect.Record).DecodeItem([]byte(record))
		if _, got := s.Evaluate(&item); got != want {
			t.Errorf("%s: got %v, want %v", record, got, want)
		}
	}
}

// The licence of external rules requires the author, even if another rule sets the
// level.
func TestDecode_NamesRuleAuthors(t *testing.T) {
	dir := t.TempDir()
	rule := `title: A bucket was listed
id: 11111111-2222-3333-4444-555555555555
author: Ada Lovelace, Grace Hopper
level: %s
logsource: {product: aws, service: cloudtrail}
detection: {sel: {eventName: StopLogging}, condition: sel}
`
	for _, level := range []string{"low", "critical"} {
		if err := os.WriteFile(filepath.Join(dir, "rule.yml"), fmt.Appendf(nil, rule, level), 0o600); err != nil {
			t.Fatal(err)
		}
		rules, report := detect.Load(detect.Options{Builtin: true}, dir)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		signals, err := cloudtrail.New(cloudtrail.Config{}, rules).Decode(nil, []byte(`{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com"}`))
		if err != nil {
			t.Fatal(err)
		}
		a := signals[0].Alert
		for _, want := range []string{"A bucket was listed (11111111-2222-3333-4444-555555555555) by Ada Lovelace, Grace Hopper", "CloudTrail logging was stopped (5d9f0c12-7a41-4f0e-9b5d-1c7e2a6f4e01) by Tocsin"} {
			if !strings.Contains(a.Detail, want) {
				t.Errorf("got detail %s, want it to contain %s", a.Detail, want)
			}
		}
		if a.Level != incident.LevelCritical {
			t.Errorf("got level %s, want %s", a.Level, incident.LevelCritical)
		}
	}
}
