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

// telling is a delivery that tells of events, each of which is observed in the
// window "w" and is an alert of the kind that all share.
func telling(row int64, source string, events ...string) incident.DecodedDelivery {
	out := incident.DecodedDelivery{Row: row, Source: source}
	for _, e := range events {
		a := alert("StopLogging", "f", "AKIA")
		a.EventID = e
		out.Signals = append(out.Signals, incident.Signal{Row: row, Alert: &a, Event: e, Observations: []incident.Observation{{Window: "w", Event: e}}})
	}
	return out
}

func TestAnEventCountsOnceByWhicheverDoor(t *testing.T) {
	w := routed(t, func(o *Options) { o.Correlate = every{} })
	w.report(t, telling(1, "cloudtrail", "e1"))
	w.report(t, telling(2, "sns", "e1"), telling(3, "cloudtrail", "e2", "e1", "e2"), telling(4, "sns", "e2"), reported(5, alert("Other", "g", "AKIA")))
	w.report(t, telling(2, "sns", "e1")) // handled
	if got := w.outcomes(1, 2, 3, 4, 5); !slices.Equal(got, []string{"opened", "counted", "counted", "counted", "attached"}) {
		t.Errorf("outcomes %v", got)
	}
	if w.store.alerts[0].Count != 2 || string(w.store.counting["w"]) != "2" {
		t.Errorf("%d counted, the window saw %s, want two events", w.store.alerts[0].Count, w.store.counting["w"])
	}
	for row, first := range map[int64]string{2: "D1", 4: "D3"} {
		if got := w.store.handled[row]; got.Incident != 1 || got.Alert != 1 || !strings.Contains(got.Reason, first) {
			t.Errorf("row %d: %+v", row, got)
		}
	}
	for _, row := range []int64{1, 3, 5} {
		if got := w.store.handled[row]; got.Reason != "" {
			t.Errorf("row %d: %+v", row, got)
		}
	}
	answer, err := w.Alerts(t.Context(), slack("p1"), incident.AlertRequest{Query: incident.QueryExplain, Delivery: 4})
	if err != nil || !strings.Contains(answer.Explanation.Outcome, "duplicate of an event in delivery D3, which is counted once") || answer.Explanation.Alert.ID != 1 {
		t.Errorf("%+v, %v", answer.Explanation, err)
	}
}

// Whatever comes by which door, in which batches, however often, and whichever
// commits fail: each event counts once, and each delivery is settled.
func TestEventsCountOnceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, func(o *Options) {
			o.Correlate = every{}
			o.Routing = mustRoute(t)
		})
		events := rapid.IntRange(1, 12).Draw(t, "events")
		told := map[string]bool{}
		var all []incident.DecodedDelivery
		deliveries := rapid.IntRange(1, 30).Draw(t, "deliveries")
		for row := range int64(deliveries) {
			var list []string
			for range rapid.IntRange(1, 4).Draw(t, "of") {
				e := fmt.Sprint("e", rapid.IntRange(1, events).Draw(t, "event"))
				list, told[e] = append(list, e), true
			}
			all = append(all, telling(row+1, rapid.SampledFrom([]string{"cloudtrail", "sns"}).Draw(t, "door"), list...))
		}
		for range 200 {
			from := rapid.IntRange(0, len(all)-1).Draw(t, "from")
			batch := rapid.Permutation(all[from:min(len(all), from+rapid.IntRange(1, 6).Draw(t, "batch"))]).Draw(t, "order")
			if rapid.IntRange(0, 3).Draw(t, "kill") == 0 {
				w.store.crash = 1
			}
			if err := w.Ingest(context.Background(), batch); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			w.store.crash = 0
			if len(w.store.handled) == len(all) {
				break
			}
		}
		if err := w.Ingest(context.Background(), all); err != nil {
			t.Fatal(err)
		}
		counted := int64(0)
		for _, row := range w.store.alerts {
			if row.Alert.Kind == "StopLogging" {
				counted += row.Count
			}
		}
		if counted != int64(len(told)) || string(w.store.counting["w"]) != fmt.Sprint(len(told)) {
			t.Fatalf("%d counted, the window saw %s, of %d events", counted, w.store.counting["w"], len(told))
		}
		for _, row := range all {
			if w.store.handled[row.Row].Outcome == "" {
				t.Fatalf("delivery %d is not settled", row.Row)
			}
		}
	})
}

func mustRoute(t tester) *Routing {
	t.Helper()
	r, err := NewRouting([]Rule{{When: `level == "high"`, Open: incident.Sev2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
