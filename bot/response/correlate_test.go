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

// every is a correlator that fires at each third observation of a window, and
// whose firings are observations of the window "all", which fires at the second.
type every struct{}

func (every) Advance(window []byte, seen []incident.Observation, now time.Time) (next []byte, expires time.Time, fired []incident.Firing, err error) {
	n, _ := strconv.Atoi(string(window))
	for place, o := range seen {
		if o.Event == "poison" {
			return nil, now, nil, errors.New("it does not go down")
		}
		n++
		limit := 3
		if o.Window == "all" {
			limit = 2
		}
		if n%limit != 0 {
			continue
		}
		f := incident.Firing{CompletedBy: place, Alert: alert("correlation", "c/"+o.Window, o.Window)}
		if o.Window != "all" {
			f.More = []incident.Observation{{Window: "all", Event: fmt.Sprint(o.Window, n)}}
		}
		fired = append(fired, f)
	}
	return []byte(strconv.Itoa(n)), now.Add(time.Hour), fired, nil
}

func seenIn(row int64, windows ...string) incident.DecodedDelivery {
	a := alert("GetSecretValue", fmt.Sprint(row), "AKIA")
	a.Level = incident.LevelLow
	r := reported(row, a)
	for _, w := range windows {
		r.Signals[0].Observations = append(r.Signals[0].Observations, incident.Observation{Window: w, Event: fmt.Sprint(row)})
	}
	return r
}

func TestObservationsAreCountedOnce(t *testing.T) {
	w := routed(t, func(o *Options) { o.Correlate = every{} })
	w.report(t, seenIn(1, "a", "b"), seenIn(2, "a"))
	w.report(t, seenIn(1, "a", "b"), seenIn(2, "a")) // handled already
	again := seenIn(3, "a")
	again.Reprocessed = true
	w.report(t, again) // counted the first time
	if got := w.outcomes(1, 2, 3); !slices.Equal(got, []string{outcomeDropped, outcomeDropped, outcomeDropped}) || string(w.store.counting["a"]) != "2" {
		t.Fatalf("%v, window %s", got, w.store.counting["a"])
	}
	w.report(t, seenIn(4, "a"), seenIn(5, "b"))
	if got := w.outcomes(4, 5); got[0] != outcomeOpened || got[1] != outcomeDropped {
		t.Errorf("the row that completed it %s, another %s", got[0], got[1])
	}
	inc := w.store.incidents[1]
	if len(w.store.incidents) != 1 || inc.Alerts[0].Kind != "correlation" || inc.Severity != incident.Sev2 {
		t.Errorf("%d incidents, %+v", len(w.store.incidents), inc)
	}
	w.report(t, seenIn(6, "b"), seenIn(7, "a"), seenIn(8, "a"), seenIn(9, "a")) // b for the first time, a again, and so both together
	if got := w.outcomes(6, 9); !slices.Equal(got, []string{outcomeOpened, outcomeOpened}) || len(w.store.incidents) != 3 || string(w.store.counting["all"]) != "3" {
		t.Errorf("%v, %d incidents, window %s", got, len(w.store.incidents), w.store.counting["all"])
	}
}

func TestAWindowThatFailsHoldsUpItsOwnRowsOnly(t *testing.T) {
	w := routed(t, func(o *Options) { o.Correlate = every{} })
	bad := seenIn(2, "a")
	bad.Signals[0].Observations[0].Event = "poison"
	if err := w.Ingest(t.Context(), []incident.DecodedDelivery{seenIn(1, "a"), bad, seenIn(3, "b")}); err == nil {
		t.Fatal("nobody was told")
	}
	if got := w.outcomes(1, 2, 3); !slices.Equal(got, []string{outcomeDropped, "", outcomeDropped}) {
		t.Errorf("%v", got)
	}
}

func TestAFailedCommitCountsNothing(t *testing.T) {
	w := routed(t, func(o *Options) { o.Correlate = every{} })
	for range 5 {
		w.store.crash = 1
		if err := w.Ingest(t.Context(), []incident.DecodedDelivery{seenIn(1, "a")}); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	w.report(t, seenIn(1, "a"))
	if string(w.store.counting["a"]) != "1" {
		t.Errorf("counted %s times", w.store.counting["a"])
	}
}
