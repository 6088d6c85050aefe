package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// dedupTTL is for how long an event is known again. None of its doors holds
// one back for longer: a queue, with its dead letters, keeps a message 14 days.
const dedupTTL = 15 * 24 * time.Hour

// dedupeEvents takes out of a batch what came before by another delivery: the same
// record by two doors is counted once, whatever each door calls its deliveries.
// That it is known is written in the transaction that counts it. What is
// evaluated anew was counted the first time and stays.
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
		return nil, fmt.Errorf("look whether events came before: %w", err)
	}
	out, taken := slices.Clone(batch), map[string]bool{}
	for n, row := range out {
		if row.Reprocessed {
			continue
		}
		var fresh []incident.Signal
		var before int64
		for _, signal := range row.Signals {
			if e := signal.Event; e != "" {
				if taken[e] || first[e] != row.Row {
					before = first[e]
					continue
				}
				taken[e] = true
			}
			fresh = append(fresh, signal)
		}
		out[n].Signals = fresh
		if before != 0 && before != row.Row && len(fresh) == 0 {
			r.repeats[row.Row] = before
		}
	}
	return out, nil
}

// markDuplicates settles deliveries of which everything came before, with what became of
// it then.
func (r *ingestion) markDuplicates() error {
	elsewhere := slices.DeleteFunc(slices.Sorted(maps.Values(r.repeats)), func(row int64) bool { _, here := r.outcomes[row]; return here })
	became, err := r.tx.DeliveryOutcomes(slices.Compact(elsewhere))
	if err != nil {
		return fmt.Errorf("find what became of the first delivery: %w", err)
	}
	for row, before := range r.repeats {
		first, here := r.outcomes[before]
		if !here {
			first = became[before]
		}
		r.setOutcome(DeliveryOutcome{Row: row, Outcome: outcomeCounted, Incident: first.Incident, Alert: first.Alert, Rule: first.Rule, Routing: first.Routing,
			Reason: fmt.Sprintf("the same event came before, with delivery D%d; it counts once", before)})
	}
	return nil
}
