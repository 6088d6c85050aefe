package trust_test

import (
	"reflect"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

var (
	monday = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	sunday = monday.Add(-24 * time.Hour)
)

// numbered gives events the ids and times of the log, one minute apart.
func numbered(events ...trust.Event) []trust.Event {
	for n := range events {
		events[n].ID = int64(n + 1)
		if events[n].At.IsZero() {
			events[n].At = monday.Add(time.Duration(n) * time.Minute)
		}
	}
	return events
}

func distrusted(since time.Time, names ...string) trust.Event {
	return trust.Event{Kind: trust.ProviderDistrusted, Provider: "slack", By: "ada", Details: trust.Details{Since: since, Names: names, Reason: "stolen tokens"}}
}

func TestStateDistrusts(t *testing.T) {
	proposed, again := trust.Event{Kind: trust.TrustProposed, Provider: "slack"}, trust.Event{Kind: trust.ProviderTrusted, Provider: "slack"}
	for name, c := range map[string]struct {
		log  []trust.Event
		want []incident.Distrust
	}{
		"empty log": {},
		"provider and issuer": {
			[]trust.Event{distrusted(sunday, "slack", "slack-login")},
			[]incident.Distrust{{Provider: "slack", Since: sunday, At: monday}, {Provider: "slack-login", Since: sunday, At: monday}},
		},
		"provider without names": {
			[]trust.Event{distrusted(sunday)},
			[]incident.Distrust{{Provider: "slack", Since: sunday, At: monday}},
		},
		"extended to an earlier time": {
			[]trust.Event{distrusted(monday, "slack"), distrusted(sunday, "slack", "other")},
			[]incident.Distrust{{Provider: "slack", Since: sunday, At: monday}, {Provider: "other", Since: sunday, At: monday}},
		},
		"a later time does not shorten it": {
			[]trust.Event{distrusted(sunday, "slack"), distrusted(monday, "slack")},
			[]incident.Distrust{{Provider: "slack", Since: sunday, At: monday}},
		},
		"one person wants to trust it": {
			[]trust.Event{distrusted(sunday, "slack"), proposed},
			[]incident.Distrust{{Provider: "slack", Since: sunday, At: monday}},
		},
		"trusted again": {log: []trust.Event{distrusted(sunday, "slack"), proposed, again}},
		"distrusted again": {
			[]trust.Event{distrusted(sunday, "slack"), proposed, again, distrusted(monday, "slack")},
			[]incident.Distrust{{Provider: "slack", Since: monday, At: monday.Add(3 * time.Minute)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := trust.Fold(numbered(c.log...)).Distrusts(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
