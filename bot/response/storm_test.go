package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestStorm_GroupsAlertsUntilItEnds(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Storm = StormLimit{Incidents: 3, Per: 5 * time.Minute} })
	row := int64(0)
	deliver := func(n int) {
		var batch []incident.DecodedDelivery
		for range n {
			row++
			batch = append(batch, delivery(row, testAlert(fmt.Sprint("kind", row), fmt.Sprint("f", row), fmt.Sprint("c", row))))
		}
		fx.ingest(t, batch...)
	}
	deliver(150)
	fx.runQueue(t)
	if len(fx.store.incidents) != 4 {
		t.Fatalf("got %d incidents, want 4", len(fx.store.incidents))
	}
	storm := fx.store.incidents[4]
	alerts, _ := fx.store.Alerts(AlertQuery{Incident: 4})
	if len(alerts) != 147 || fx.store.storm(t, 4).Grouped != 147 || storm.Title != "Alert storm: more than 3 incidents within 5m" {
		t.Errorf("got %d alerts, storm %+v, title %q", len(alerts), fx.store.storm(t, 4), storm.Title)
	}
	pages := 0
	for _, call := range fx.calls {
		if strings.HasPrefix(call, "page ") {
			pages++
		}
	}
	if pages != 4 {
		t.Errorf("got %d pages for 150 alerts, want 4", pages)
	}
	// Notes are added at the 10th and 100th correlation key and at the end.
	if n := countOf(fx.eventKinds(4), incident.EventSourceNoted); n != 2 {
		t.Errorf("got %d notes, want 2", n)
	}
	fx.now = fx.now.Add(6 * time.Minute)
	fx.runQueue(t)
	if n := countOf(fx.eventKinds(4), incident.EventSourceNoted); n != 3 || !fx.store.storm(t, 4).Ended {
		t.Errorf("after the end: got %d notes, storm %+v", n, fx.store.storm(t, 4))
	}
	deliver(2)
	if len(fx.store.incidents) != 6 {
		t.Errorf("got %d incidents after the storm, want 6", len(fx.store.incidents))
	}
	fx.ingest(t, delivery(9000, testAlert("kind100", "f100", "c100")))
	if got := fx.store.handled[9000]; got.Outcome != "counted" || got.Incident != 4 {
		t.Errorf("later occurrence of a grouped alert: got %+v", got)
	}
	deliver(5)
	if s := fx.store.storm(t, 4); s.Ended || s.Round != 2 || len(fx.store.incidents) != 7 {
		t.Errorf("second storm: got %+v, %d incidents", s, len(fx.store.incidents))
	}
}

// lockRecorder is a store that records the order in which a transaction locks incidents
// and the openings.
type lockRecorder struct {
	Store
	locks *[]string
}

func (l lockRecorder) Tx(ctx context.Context, f func(Tx) error) error {
	return l.Store.Tx(ctx, func(tx Tx) error { return f(recordedTx{tx, l.locks}) })
}

type recordedTx struct {
	Tx
	locks *[]string
}

func (t recordedTx) Incident(id incident.ID) (incident.Incident, error) {
	*t.locks = append(*t.locks, id.String())
	return t.Tx.Incident(id)
}

func (t recordedTx) Values(n Namespace, keys ...string) (map[string][]byte, error) {
	if n == NamespaceStorm && slices.Contains(keys, OpeningsKey) {
		*t.locks = append(*t.locks, OpeningsKey)
	}
	return t.Tx.Values(n, keys...)
}

// Two batches that lock the openings and the incident of an alert storm in different
// orders would wait for each other.
func TestStorm_OpeningsAreLockedBeforeIncidents(t *testing.T) {
	var locks []string
	fx := newRoutedFixture(t, func(o *Options) {
		o.Storm, o.Store = StormLimit{Incidents: 1, Per: 5 * time.Minute}, lockRecorder{o.Store, &locks}
	})
	alert := func(n int64) incident.DecodedDelivery {
		return delivery(n, testAlert(fmt.Sprint("kind", n), fmt.Sprint("f", n%10), fmt.Sprint("c", n%10)))
	}
	fx.ingest(t, alert(1))
	fx.ingest(t, alert(2)) // grouped into INC-2
	locks = nil
	fx.ingest(t, alert(12), alert(3))
	if len(locks) == 0 || locks[0] != OpeningsKey || !slices.Contains(locks, "INC-2") {
		t.Errorf("got locks %v, want the openings before INC-2", locks)
	}
}

// storm returns the stored state of an alert storm.
func (m *memory) storm(t testingT, id incident.ID) (out Storm) {
	t.Helper()
	if err := decodeValue(m.values[memoryKey{NamespaceStorm, id.String()}], &out); err != nil {
		t.Fatal(err)
	}
	return out
}
