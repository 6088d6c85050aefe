package response

import (
	"context"
	"fmt"
	"testing"

	"tocsin/bot/incident"
)

// The timeline lists only some alerts of a flood, and no repeats. Whoever sees a count
// sees all of them, also after a delivery without a new event.
func TestIngest_CountsAreTrue(t *testing.T) {
	var last, page incident.Brief
	cards := 0
	fx := newRoutedFixture(t, func(o *Options) {
		o.Handlers[incident.EffectCard] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			last, cards = b, cards+1
			return incident.Command{}, nil
		}
		for n, send := range o.Pages {
			o.Pages[n] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				page = b
				return send(ctx, b, e)
			}
		}
	})
	send := func(row int64, from, to int) {
		t.Helper()
		var alerts []incident.Alert
		for n := from; n < to; n++ {
			alerts = append(alerts, testAlert("GetObject", fmt.Sprint("f", n), "k"))
		}
		fx.ingest(t, delivery(row, alerts...))
		fx.runQueue(t)
	}
	check := func(what string, alerts, occurrences int64) {
		t.Helper()
		view, err := fx.Show(t.Context(), slackIdentity("p1"), 1, "")
		if err != nil {
			t.Fatal(err)
		}
		for name, counts := range map[string][]incident.AlertCount{"view": view.AlertCounts, "card": last.AlertCounts} {
			if len(counts) != 1 || counts[0] != (incident.AlertCount{Kind: "GetObject", Alerts: alerts, Occurrences: occurrences}) {
				t.Errorf("%s: %s: got %+v, want %d alerts with %d occurrences", what, name, counts, alerts, occurrences)
			}
		}
	}
	send(1, 0, 200)
	check("200 alerts in one delivery", 200, 200)
	if got := incident.SumAlerts(page.AlertCounts).Alerts; got != 200 || len(last.Incident.Alerts) >= 200 {
		t.Errorf("got a page with %d alerts, and %d in the timeline; want 200 and fewer", got, len(last.Incident.Alerts))
	}
	send(2, 200, 203)
	check("3 more alerts that the timeline does not list", 203, 203)
	for row := range int64(5) {
		send(10+row, 0, 1)
	}
	check("5 repeats", 203, 208)
	before := cards
	send(20, 0, 0)
	if cards != before {
		t.Errorf("got %d updates of the card, want none without an alert", cards-before)
	}
	if n := fx.store.countedInTx; n > 0 {
		t.Errorf("counted the alerts %d times in a write transaction, want none", n)
	}
}
