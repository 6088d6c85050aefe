package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// dedupTTL is how long an event is recognised as a duplicate. No source delays an
// event for longer: a queue with its dead-letter queue retains a message for 14
// days.
const dedupTTL = 15 * 24 * time.Hour

// dedupeEvents returns the batch without signals of events that another delivery
// reported. A record that arrives from two sources counts once, even though their
// delivery ids differ. The store records the events in the transaction that
// counts them. Reprocessed deliveries are left unchanged, because they were
// counted the first time.
func (r *ingestion) dedupeEvents(batch []incident.DecodedDelivery) ([]incident.DecodedDelivery, error) {
	events := map[string]int64{}
	for _, row := range batch {
		for _, signal := range row.Signals {
			if _, known := events[signal.Event]; !known && signal.Event != "" && !row.Reprocessed {
				events[signal.Event] = row.Row
			}
		}
	}
	if len(events) == 0 {
		return batch, nil
	}
	first, err := r.tx.DedupeEvents(events, r.now.Add(dedupTTL))
	if err != nil {
		return nil, fmt.Errorf("find duplicate events: %w", err)
	}
	out, seen := slices.Clone(batch), map[string]bool{}
	for n, row := range out {
		if row.Reprocessed {
			continue
		}
		var fresh []incident.Signal
		var before int64
		for _, signal := range row.Signals {
			if e := signal.Event; e != "" {
				if seen[e] || first[e] != row.Row {
					before = first[e]
					continue
				}
				seen[e] = true
			}
			fresh = append(fresh, signal)
		}
		out[n].Signals = fresh
		if before != 0 && before != row.Row && len(fresh) == 0 {
			r.duplicates[row.Row] = before
		}
	}
	return out, nil
}

// markDuplicates sets the outcome of deliveries whose events were all reported
// before. They get the alert and incident of the first delivery.
func (r *ingestion) markDuplicates() error {
	elsewhere := slices.DeleteFunc(slices.Sorted(maps.Values(r.duplicates)), func(row int64) bool { _, ok := r.outcomes[row]; return ok })
	stored, err := r.tx.Deliveries(DeliveryQuery{Rows: slices.Compact(elsewhere)})
	if err != nil {
		return fmt.Errorf("read outcomes of first deliveries: %w", err)
	}
	outcomes := make(map[int64]DeliveryOutcome, len(stored))
	for _, d := range stored {
		outcomes[d.Outcome.Row] = d.Outcome
	}
	for row, before := range r.duplicates {
		first, ok := r.outcomes[before]
		if !ok {
			first = outcomes[before]
		}
		r.setOutcome(DeliveryOutcome{Row: row, Outcome: outcomeCounted, Incident: first.Incident, Alert: first.Alert, Rule: first.Rule, Routing: first.Routing,
			Reason: fmt.Sprintf("duplicate of an event in delivery D%d, which is counted once", before)})
	}
	return nil
}
