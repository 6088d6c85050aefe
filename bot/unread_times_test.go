package bot_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
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
