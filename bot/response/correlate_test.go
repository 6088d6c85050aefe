package response

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// everyThird is a correlator that fires at every third observation of a window. A
// firing is also an observation of the window "all", which fires at every second
// one.
type everyThird struct{}

func (everyThird) Advance(window []byte, seen []incident.Observation, now time.Time) (next []byte, expires time.Time, fired []incident.Firing, err error) {
	n, _ := strconv.Atoi(string(window))
	for place, o := range seen {
		if o.Event == "poison" {
			return nil, now, nil, errors.New("poisoned observation")
		}
		n++
		limit := 3
		if o.Window == "all" {
			limit = 2
		}
		if n%limit != 0 {
			continue
		}
		f := incident.Firing{CompletedBy: place, Alert: testAlert("correlation", "c/"+o.Window, o.Window)}
		if o.Window != "all" {
			f.More = []incident.Observation{{Window: "all", Event: fmt.Sprint(o.Window, n)}}
		}
		fired = append(fired, f)
	}
	return []byte(strconv.Itoa(n)), now.Add(time.Hour), fired, nil
}

func observedIn(row int64, windows ...string) incident.DecodedDelivery {
	a := testAlert("GetSecretValue", fmt.Sprint(row), "AKIA")
	a.Level = incident.LevelLow
	r := delivery(row, a)
	for _, key := range windows {
		r.Signals[0].Observations = append(r.Signals[0].Observations, incident.Observation{Window: key, Event: fmt.Sprint(row)})
	}
	return r
}

func TestCorrelate_CountsObservationsOnce(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Correlate = everyThird{} })
	fx.ingest(t, observedIn(1, "a", "b"), observedIn(2, "a"))
	fx.ingest(t, observedIn(1, "a", "b"), observedIn(2, "a")) // handled already
	again := observedIn(3, "a")
	again.Reprocessed = true
	fx.ingest(t, again) // counted the first time
	if got := fx.outcomes(1, 2, 3); !slices.Equal(got, []string{outcomeDropped, outcomeDropped, outcomeDropped}) || string(fx.store.values[memoryKey{NamespaceCorrelation, "a"}]) != "2" {
		t.Fatalf("got outcomes %v, window %s, want 2 observations", got, fx.store.values[memoryKey{NamespaceCorrelation, "a"}])
	}
	fx.ingest(t, observedIn(4, "a"), observedIn(5, "b"))
	if got := fx.outcomes(4, 5); got[0] != outcomeOpened || got[1] != outcomeDropped {
		t.Errorf("got %s for the completing delivery and %s for the other, want opened and dropped", got[0], got[1])
	}
	inc := fx.store.incidents[1]
	if len(fx.store.incidents) != 1 || inc.Alerts[0].Kind != "correlation" || inc.Severity != incident.Sev2 {
		t.Errorf("got %d incidents, %+v, want one of the correlation", len(fx.store.incidents), inc)
	}
	fx.ingest(t, observedIn(6, "b"), observedIn(7, "a"), observedIn(8, "a"), observedIn(9, "a")) // completes b, then a, then the rule on both
	if got := fx.outcomes(6, 9); !slices.Equal(got, []string{outcomeOpened, outcomeOpened}) || len(fx.store.incidents) != 3 || string(fx.store.values[memoryKey{NamespaceCorrelation, "all"}]) != "3" {
		t.Errorf("got outcomes %v, %d incidents, window %s", got, len(fx.store.incidents), fx.store.values[memoryKey{NamespaceCorrelation, "all"}])
	}
}

func TestCorrelate_FailureBlocksOnlyItsDelivery(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Correlate = everyThird{} })
	bad := observedIn(2, "a")
	bad.Signals[0].Observations[0].Event = "poison"
	if err := fx.Ingest(t.Context(), []incident.DecodedDelivery{observedIn(1, "a"), bad, observedIn(3, "b")}); err == nil {
		t.Fatal("got no error for a failing window")
	}
	if got := fx.outcomes(1, 2, 3); !slices.Equal(got, []string{outcomeDropped, "", outcomeDropped}) {
		t.Errorf("got outcomes %v", got)
	}
}

func TestCorrelate_FailedCommitCountsNothing(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Correlate = everyThird{} })
	for range 5 {
		fx.store.crash = 1
		if err := fx.Ingest(t.Context(), []incident.DecodedDelivery{observedIn(1, "a")}); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	fx.store.crash = 0
	fx.ingest(t, observedIn(1, "a"))
	if string(fx.store.values[memoryKey{NamespaceCorrelation, "a"}]) != "1" {
		t.Errorf("got %s observations, want 1", fx.store.values[memoryKey{NamespaceCorrelation, "a"}])
	}
}
