package bot_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// A time that no source reads stands in the detail of the alert, because the alert has the
// time of receipt instead. A time in milliseconds is read.
func TestSources_ReportUnreadTimes(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		header http.Header
		body   string
	}{
		"alertmanager":     {"alertmanager", nil, `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"a"},"startsAt":%s}]}`},
		"sentry event":     {"sentry", http.Header{"Sentry-Hook-Resource": {"event_alert"}}, `{"action":"triggered","data":{"event":{"event_id":"e","issue_id":"1","datetime":%s}}}`},
		"sentry issue":     {"sentry", http.Header{"Sentry-Hook-Resource": {"issue"}}, `{"action":"created","data":{"issue":{"id":"1","title":"t","lastSeen":%s}}}`},
		"sentry metric":    {"sentry", http.Header{"Sentry-Hook-Resource": {"metric_alert"}}, `{"action":"critical","data":{"metric_alert":{"id":"1","date_started":%s}}}`},
		"pagerduty":        {"pagerduty", nil, `{"event":{"id":"1","event_type":"incident.triggered","occurred_at":%s,"data":{"id":"P1","title":"t"}}}`},
		"hackerone":        {"hackerone", http.Header{"X-H1-Event": {"report_created"}}, `{"data":{"report":{"id":"1","type":"report","attributes":{"title":"t","created_at":%s}}}}`},
		"cloudtrail":       {"cloudtrail", nil, `{"eventVersion":"1.09","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","eventID":"1","eventTime":%s}`},
		"guardduty":        {"cloudtrail", nil, `{"version":"0","id":"1","detail-type":"GuardDuty Finding","source":"aws.guardduty","detail":{"id":"1","type":"x","severity":8,"updatedAt":%s}}`},
		"security hub":     {"cloudtrail", nil, `{"version":"0","id":"1","detail-type":"Security Hub Findings - Imported","source":"aws.securityhub","detail":{"findings":[{"Id":"1","Title":"t","Types":["TTPs"],"Severity":{"Label":"HIGH"},"UpdatedAt":%s}]}}`},
		"cloudwatch alarm": {"cloudtrail", nil, `{"version":"0","id":"1","detail-type":"CloudWatch Alarm State Change","source":"aws.cloudwatch","resources":["arn:aws:cloudwatch:eu-west-1:111122223333:alarm:a"],"detail":{"alarmName":"a","state":{"value":"ALARM","timestamp":%s}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			for given, want := range map[string]bool{`"last tuesday"`: true, `""`: false, `"2026-11-20T03:00:00Z"`: false, `1795143600123`: false} {
				signals, err := hookSource(t, c.source).Decode(c.header, fmt.Appendf(nil, c.body, given))
				if err != nil || len(signals) == 0 || signals[0].Alert == nil {
					t.Fatalf("%s: got %+v, %v, want an alert", given, signals, err)
				}
				a := signals[0].Alert
				if got := strings.Contains(a.Detail, " is not a time, and the time of receipt is used"); got != want {
					t.Errorf("%s: got detail %q, want it to report the time: %t", given, a.Detail, want)
				}
				if read := given[0] != '"' || given[1] == '2'; a.At.IsZero() == read {
					t.Errorf("%s: got time %s", given, a.At)
				}
			}
		})
	}
}

// A note has no detail, so its text reports a time that no source reads. If the envelope
// has a time, that one is used.
func TestSources_ReportUnreadTimesOfNotes(t *testing.T) {
	const alarm = `{"version":"0","id":"1","detail-type":"CloudWatch Alarm State Change","source":"aws.cloudwatch","time":%%s,"resources":["arn:aws:cloudwatch:eu-west-1:111122223333:alarm:a"],"detail":{"alarmName":"a","state":{"value":%q,"timestamp":%%s}}}`
	for name, c := range map[string]struct {
		source string
		header http.Header
		body   string
	}{
		"alertmanager":           {"alertmanager", nil, `{"version":"4","alerts":[{"status":"resolved","labels":{"alertname":"a"},"endsAt":%s}]}`},
		"alertmanager, many":     {"alertmanager", nil, `{"version":"4","alerts":[` + strings.Repeat(`{"status":"resolved","labels":{"alertname":"a"}},`, 9) + `{"status":"resolved","labels":{"alertname":"a"},"endsAt":%s}]}`},
		"pagerduty resolved":     {"pagerduty", nil, `{"event":{"id":"1","event_type":"incident.resolved","occurred_at":%s,"agent":{"id":"U1","type":"user_reference","summary":"Ada"},"data":{"id":"P1"}}}`},
		"pagerduty acknowledged": {"pagerduty", nil, `{"event":{"id":"1","event_type":"incident.acknowledged","occurred_at":%s,"agent":{"id":"U1","type":"user_reference","summary":"Ada"},"data":{"id":"P1"}}}`},
		"hackerone":              {"hackerone", http.Header{"X-H1-Event": {"report_resolved"}}, `{"data":{"activity":{"type":"activity-bug-resolved","id":"1","attributes":{"created_at":%s}},"report":{"id":"1","type":"report"}}}`},
		"generic":                {"monitor", nil, `{"id":"1","title":"t","over":true,"at":%s}`},
		"cloudwatch alarm":       {"cloudtrail", nil, strings.Replace(fmt.Sprintf(alarm, "OK"), "%s", `null`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			for given, want := range map[string]bool{`"last tuesday"`: true, `""`: false, `"2026-11-20T03:00:00Z"`: false, `"2026-11-20T03:00:00.123+0000"`: false} {
				signals, err := hookSource(t, c.source).Decode(c.header, fmt.Appendf(nil, c.body, given))
				if err != nil || len(signals) == 0 {
					t.Fatalf("%s: got %+v, %v, want a note", given, signals, err)
				}
				reports, keys := 0, map[string]bool{}
				for _, s := range signals {
					if strings.Contains(s.Command.Text, `"last tuesday" is not a time, and the time of receipt is used`) {
						reports++
					}
					if s.Command.Key != "" && keys[s.Command.Key] {
						t.Errorf("%s: got the key %q twice", given, s.Command.Key)
					}
					keys[s.Command.Key] = true
				}
				if reports > 1 || (reports == 1) != want {
					t.Errorf("%s: got %d reports in %+v, want it to report the time: %t", given, reports, signals, want)
				}
			}
		})
	}
	for state, read := range map[string]func(incident.Signal) string{
		"ALARM": func(s incident.Signal) string { return s.Alert.Detail },
		"OK":    func(s incident.Signal) string { return s.Command.Text },
	} {
		signals, err := hookSource(t, "cloudtrail").Decode(nil, fmt.Appendf(nil, fmt.Sprintf(alarm, state), `"2026-11-20T03:00:00Z"`, `"last tuesday"`))
		if err != nil || len(signals) != 1 || !strings.Contains(read(signals[0]), `"last tuesday" is not a time, and 2026-11-20T03:00:00Z is used`) {
			t.Errorf("%s: got %+v, %v, want the unread time and the one of the envelope", state, signals, err)
		}
	}
}
