package templates

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestAlertResult_NextTestPage(t *testing.T) {
	now := time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)
	for want, list := range map[string]incident.TestPageList{
		"The next weekly test page is sent at 2026-12-01 09:00 UTC.":             {Next: now.Add(15 * time.Hour)},
		"No weekly test page is sent, because escalation.page_test.at is empty.": {Tests: []incident.TestPage{{StartedAt: now}}},
	} {
		got := AlertResult(incident.AlertResult{TestPages: &list}, incident.Directory{}, now)
		if !strings.HasSuffix(strings.Join(got, "\n"), want) {
			t.Errorf("got %q, want the last line %q", got, want)
		}
	}
}
