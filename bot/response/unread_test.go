package response

import (
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// unreadDelivery returns a delivery with alerts and with a part that cannot be read.
func unreadDelivery(row int64, cause string, alerts ...incident.Alert) incident.DecodedDelivery {
	out := delivery(row, alerts...)
	key := "sentry.unreadable|" + cause
	unread := incident.Alert{Source: "sentry", Kind: "sentry.unreadable", Level: incident.LevelHigh, Title: "cannot be read: " + cause, Fingerprint: key, Correlation: key}
	out.Signals = append(out.Signals, incident.Signal{Row: row, Alert: &unread, Unreadable: true})
	if out.Unread = "1 item cannot be read: " + cause; len(alerts) == 0 {
		out.Failed, out.Unread = cause, ""
	}
	return out
}

func TestIngest_UnreadDeliveriesOpenOneIncidentForEachCause(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.UsualSeverity = map[string]incident.Severity{"sentry": incident.Sev1} })
	fx.addWindow(t, "p1", "true") // a window does not suppress unread alerts
	for row := range int64(50) {
		fx.ingest(t, unreadDelivery(row+1, "not JSON"))
	}
	fx.ingest(t, unreadDelivery(60, "unknown resource"))
	if len(fx.store.incidents) != 2 || fx.store.incidents[1].Severity != incident.Sev1 || fx.store.incidents[1].Paging.Round != 1 || fx.store.alerts[0].Count != 50 {
		t.Fatalf("got %d incidents %+v and alerts %+v, want one for each cause at sev1, with a page and a count", len(fx.store.incidents), fx.store.incidents[1], fx.store.alerts)
	}
	if got := fx.store.handled[7]; got.Outcome != outcomeUndecodable || got.Incident != 1 || !got.Unread {
		t.Errorf("got outcome %+v, want an undecodable delivery of INC-1", got)
	}
	x := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Delivery: 7}).Explanation
	if len(x.Rules) != 1 || x.Rules[0].Index != unreadPosition || x.Rules[0].Action != "open sev1" || !strings.Contains(x.Outcome, "INC-1") {
		t.Errorf("got rules %+v and outcome %q, want the usual severity and INC-1", x.Rules, x.Outcome)
	}
}

// A delivery that was read in part can be decoded again. Only its other items are new.
func TestIngest_PartlyReadDeliveryIsDecodedAgain(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	critical, watched := testAlert("StopLogging", "f1", "k1"), testAlert("Noise", "f2", "k2")
	critical.Level, watched.Level = incident.LevelCritical, incident.LevelInformational
	fx.ingest(t, unreadDelivery(1, "odd item", critical, watched))
	if got := fx.store.handled[1]; got.Outcome != outcomeOpened || !got.Unread || got.Reason == "" {
		t.Fatalf("got outcome %+v, want opened with a part unread", got)
	}
	found := testAlert("GetObject", "f3", "k3")
	found.Level = incident.LevelCritical
	delete(fx.store.handled, 1)
	again := delivery(1, critical, watched, found)
	again.Reprocessed, again.PartlyRead = true, true
	fx.ingest(t, again)
	var counts []int64
	for _, row := range fx.store.alerts {
		counts = append(counts, row.Count)
	}
	if len(fx.store.incidents) != 3 || !slices.Equal(counts, []int64{1, 1, 1, 1}) {
		t.Errorf("got %d incidents and counts %v, want one more incident and nothing counted twice", len(fx.store.incidents), counts)
	}
	if got := fx.store.handled[1]; got.Unread || got.Outcome != outcomeOpened || got.Incident != 3 {
		t.Errorf("got outcome %+v, want a delivery that is read and opened INC-3", got)
	}
}
