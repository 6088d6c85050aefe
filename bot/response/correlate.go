package response

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/bot/incident"
)

// maxChain bounds how many rules may build on each other.
const maxChain = 16

// rowObservation is an observation and the row that it came in.
type rowObservation struct {
	incident.Observation
	row incident.DecodedDelivery
}

// correlate takes what the batch means to rules about several events into their
// windows, each step once: the rows are marked handled in the same transaction,
// and one that is evaluated anew was counted the first time. It returns what
// came true as alerts of the rows that completed it.
func (r *ingestion) correlate(batch []incident.DecodedDelivery) ([]incident.DecodedDelivery, error) {
	if r.d.Correlate == nil {
		return nil, nil
	}
	var seen []rowObservation
	for _, row := range batch {
		if row.Reprocessed {
			continue
		}
		for _, signal := range row.Signals {
			for _, o := range signal.Observations {
				seen = append(seen, rowObservation{o, row})
			}
		}
	}
	var out []incident.DecodedDelivery
	for n := 0; len(seen) > 0; n++ {
		if n == maxChain {
			return nil, fmt.Errorf("correlate: more than %d rules build on each other", maxChain)
		}
		fired, more, err := r.advance(seen)
		if err != nil {
			return nil, err
		}
		out, seen = append(out, fired...), more
	}
	return out, nil
}

// advance takes observations into their windows. The windows are locked in one
// order for everybody.
func (r *ingestion) advance(seen []rowObservation) (fired []incident.DecodedDelivery, more []rowObservation, err error) {
	byWindow := map[string][]rowObservation{}
	for _, o := range seen {
		byWindow[o.Window] = append(byWindow[o.Window], o)
	}
	keys := slices.Sorted(maps.Keys(byWindow))
	windows, err := r.tx.Windows(keys)
	if err != nil {
		return nil, nil, fmt.Errorf("read the windows of correlations: %w", err)
	}
	for _, key := range keys {
		steps := byWindow[key]
		plain := make([]incident.Observation, len(steps))
		for n, step := range steps {
			plain[n] = step.Observation
		}
		next, expires, firings, err := r.d.Correlate.Advance(windows[key], plain, r.now)
		if err != nil {
			return nil, nil, fmt.Errorf("correlate: %w", err)
		}
		if err := r.tx.PutWindow(key, next, expires); err != nil {
			return nil, nil, fmt.Errorf("keep the window of a correlation: %w", err)
		}
		for _, f := range firings {
			row := steps[f.CompletedBy].row
			alert := f.Alert
			fired = append(fired, incident.DecodedDelivery{Row: row.Row, Source: row.Source, Signals: []incident.Signal{{Row: row.Row, Alert: &alert}}})
			for _, o := range f.More {
				more = append(more, rowObservation{o, row})
			}
		}
	}
	return fired, more, nil
}
