package response

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/bot/incident"
)

// maxChain bounds how many rules may build on each other.
const maxChain = 16

// observed is an observation and the row that it came in.
type observed struct {
	incident.Observation
	row incident.Reported
}

// correlate takes what the batch means to rules about several events into their
// windows, each step once: the rows are marked handled in the same transaction,
// and one that is evaluated anew was counted the first time. It returns what
// came true as alerts of the rows that completed it.
func (r *reporting) correlate(batch []incident.Reported) ([]incident.Reported, error) {
	if r.d.Correlate == nil {
		return nil, nil
	}
	var seen []observed
	for _, row := range batch {
		if row.Again {
			continue
		}
		for _, signal := range row.Signals {
			for _, o := range signal.Observations {
				seen = append(seen, observed{o, row})
			}
		}
	}
	var out []incident.Reported
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
func (r *reporting) advance(seen []observed) (fired []incident.Reported, more []observed, err error) {
	byWindow := map[string][]observed{}
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
			row := steps[f.By].row
			alert := f.Alert
			fired = append(fired, incident.Reported{Row: row.Row, Source: row.Source, Signals: []incident.Signal{{Row: row.Row, Alert: &alert}}})
			for _, o := range f.More {
				more = append(more, observed{o, row})
			}
		}
	}
	return fired, more, nil
}
