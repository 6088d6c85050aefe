package response

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/bot/incident"
)

// maxChain is the maximum number of correlation rules that may build on each
// other.
const maxChain = 16

// rowObservation is an observation with the delivery that contains it.
type rowObservation struct {
	incident.Observation
	row incident.DecodedDelivery
}

// correlate adds the observations of the batch to their correlation windows. It
// returns an alert for each rule that fired, as a delivery with the row of the
// completing observation.
//
// Each observation counts once, because the transaction also marks the rows as
// handled. Reprocessed deliveries are left out: they were counted the first time.
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

// advance adds observations to their correlation windows. Each origin has separate
// windows. advance locks them in sorted order, which prevents deadlocks between
// batches. more are the observations for rules that build on the rules that fired.
func (r *ingestion) advance(seen []rowObservation) (fired []incident.DecodedDelivery, more []rowObservation, err error) {
	byWindow := map[string][]rowObservation{}
	for _, o := range seen {
		key := o.row.Origin.Key(o.Window)
		byWindow[key] = append(byWindow[key], o)
	}
	keys := slices.Sorted(maps.Keys(byWindow))
	windows, err := r.tx.Values(NamespaceCorrelation, keys...)
	if err != nil {
		return nil, nil, fmt.Errorf("read correlation windows: %w", err)
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
		if err := r.tx.PutValue(NamespaceCorrelation, key, next, expires); err != nil {
			return nil, nil, fmt.Errorf("store correlation window: %w", err)
		}
		for _, f := range firings {
			row := steps[f.CompletedBy].row
			alert := f.Alert.WithOrigin(row.Origin)
			fired = append(fired, incident.DecodedDelivery{Row: row.Row, Source: row.Source, Origin: row.Origin, Signals: []incident.Signal{{Row: row.Row, Alert: &alert}}})
			for _, o := range f.More {
				more = append(more, rowObservation{o, row})
			}
		}
	}
	return fired, more, nil
}
