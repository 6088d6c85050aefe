package response

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestStormGathersIntoOneIncidentAndPasses(t *testing.T) {
	w := routed(t, func(o *Options) { o.Storm = StormLimit{Incidents: 3, Per: 5 * time.Minute} })
	row := int64(0)
	come := func(n int) {
		var batch []incident.DecodedDelivery
		for range n {
			row++
			batch = append(batch, reported(row, alert(fmt.Sprint("kind", row), fmt.Sprint("f", row), fmt.Sprint("c", row))))
		}
		w.report(t, batch...)
	}
	come(150)
	w.settle(t)
	if len(w.store.incidents) != 4 {
		t.Fatalf("%d incidents", len(w.store.incidents))
	}
	storm := w.store.incidents[4]
	alerts, _ := w.store.Alerts(4, 0)
	if len(alerts) != 147 || w.store.storms[4].Grouped != 147 || storm.Title != "Alert storm: more than 3 incidents within 5m" {
		t.Errorf("%d alerts, %+v, %q", len(alerts), w.store.storms[4], storm.Title)
	}
	pages := 0
	for _, call := range w.calls {
		if strings.HasPrefix(call, "page ") {
			pages++
		}
	}
	if pages != 4 {
		t.Errorf("%d pages for 150 incidents' worth of alerts", pages)
	}
	// It is said at the 10th and 100th, and again when it is over.
	if n := count(w.kinds(4), incident.EventSourceNoted); n != 2 {
		t.Errorf("said %d times", n)
	}
	w.now = w.now.Add(6 * time.Minute)
	w.settle(t)
	if n := count(w.kinds(4), incident.EventSourceNoted); n != 3 || !w.store.storms[4].Ended {
		t.Errorf("its end was said: %d notes, %+v", n, w.store.storms[4])
	}
	come(2)
	if len(w.store.incidents) != 6 {
		t.Errorf("%d incidents after the storm", len(w.store.incidents))
	}
	w.report(t, reported(9000, alert("kind100", "f100", "c100")))
	if got := w.store.handled[9000]; got.Outcome != "counted" || got.Incident != 4 {
		t.Errorf("a copy of what the storm brought: %+v", got)
	}
	come(5)
	if s := w.store.storms[4]; s.Ended || s.Round != 2 || len(w.store.incidents) != 7 {
		t.Errorf("a second storm: %+v, %d incidents", s, len(w.store.incidents))
	}
}
