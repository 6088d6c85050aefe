package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// deliveryOfEvents is a delivery with one alert for each event. All alerts are
// equal, and each event is an observation of the window "w".
func deliveryOfEvents(row int64, source string, events ...string) incident.DecodedDelivery {
	out := incident.DecodedDelivery{Row: row, Source: source}
	for _, e := range events {
		a := testAlert("StopLogging", "f", "AKIA")
		a.EventID = e
		out.Signals = append(out.Signals, incident.Signal{Row: row, Alert: &a, Event: e, Observations: []incident.Observation{{Window: "w", Event: e}}})
	}
	return out
}

func TestDedupeEvents_AcrossSources(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Correlate = everyThird{} })
	fx.ingest(t, deliveryOfEvents(1, "cloudtrail", "e1"))
	fx.ingest(t, deliveryOfEvents(2, "sns", "e1"), deliveryOfEvents(3, "cloudtrail", "e2", "e1", "e2"), deliveryOfEvents(4, "sns", "e2"), delivery(5, testAlert("Other", "g", "AKIA")))
	fx.ingest(t, deliveryOfEvents(2, "sns", "e1")) // handled before
	if got := fx.outcomes(1, 2, 3, 4, 5); !slices.Equal(got, []string{"opened", "counted", "counted", "counted", "attached"}) {
		t.Errorf("got outcomes %v", got)
	}
	if fx.store.alerts[0].Count != 2 || string(fx.store.values[memoryKey{NamespaceCorrelation, "w"}]) != "2" {
		t.Errorf("got %d occurrences and %s observations, want 2 each", fx.store.alerts[0].Count, fx.store.values[memoryKey{NamespaceCorrelation, "w"}])
	}
	for row, first := range map[int64]string{2: "D1", 4: "D3"} {
		if got := fx.store.handled[row]; got.Incident != 1 || got.Alert != 1 || !strings.Contains(got.Reason, first) {
			t.Errorf("delivery %d: got %+v", row, got)
		}
	}
	for _, row := range []int64{1, 3, 5} {
		if got := fx.store.handled[row]; got.Reason != "" {
			t.Errorf("delivery %d: got %+v", row, got)
		}
	}
	result, err := fx.Alerts(t.Context(), slackIdentity("p1"), incident.AlertRequest{Query: incident.QueryExplain, Delivery: 4})
	if err != nil || !strings.Contains(result.Explanation.Outcome, "duplicate of an event in delivery D3, which is counted once") || result.Explanation.Alert.ID != 1 {
		t.Errorf("got %+v, %v", result.Explanation, err)
	}
}

// Each event counts once and each delivery is handled, for random sources,
// batches, repeats and failed commits.
func TestDedupeEvents_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fx := newFixture(t, func(o *Options) {
			o.Correlate = everyThird{}
			o.Routing = highRouting(t)
		})
		events := rapid.IntRange(1, 12).Draw(t, "events")
		sent := map[string]bool{}
		var all []incident.DecodedDelivery
		deliveries := rapid.IntRange(1, 30).Draw(t, "deliveries")
		for row := range int64(deliveries) {
			var list []string
			for range rapid.IntRange(1, 4).Draw(t, "of") {
				e := fmt.Sprint("e", rapid.IntRange(1, events).Draw(t, "event"))
				list, sent[e] = append(list, e), true
			}
			all = append(all, deliveryOfEvents(row+1, rapid.SampledFrom([]string{"cloudtrail", "sns"}).Draw(t, "source"), list...))
		}
		for range 200 {
			from := rapid.IntRange(0, len(all)-1).Draw(t, "from")
			batch := rapid.Permutation(all[from:min(len(all), from+rapid.IntRange(1, 6).Draw(t, "batch"))]).Draw(t, "order")
			if rapid.IntRange(0, 3).Draw(t, "kill") == 0 {
				fx.store.crash = 1
			}
			if err := fx.Ingest(context.Background(), batch); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			fx.store.crash = 0
			if len(fx.store.handled) == len(all) {
				break
			}
		}
		if err := fx.Ingest(context.Background(), all); err != nil {
			t.Fatal(err)
		}
		counted := int64(0)
		for _, row := range fx.store.alerts {
			if row.Alert.Kind == "StopLogging" {
				counted += row.Count
			}
		}
		if counted != int64(len(sent)) || string(fx.store.values[memoryKey{NamespaceCorrelation, "w"}]) != fmt.Sprint(len(sent)) {
			t.Fatalf("got %d occurrences and %s observations, want %d", counted, fx.store.values[memoryKey{NamespaceCorrelation, "w"}], len(sent))
		}
		for _, row := range all {
			if fx.store.handled[row.Row].Outcome == "" {
				t.Fatalf("delivery %d is not handled", row.Row)
			}
		}
	})
}

func highRouting(t testingT) *Routing {
	t.Helper()
	r, err := NewRouting([]Rule{{When: `level == "high"`, Open: incident.Sev2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
