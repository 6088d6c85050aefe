package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// maxListedAlerts is the maximum number of alerts that a view lists. It counts all.
const maxListedAlerts = 1000

// countAlerts counts all alerts of an incident. The timeline does not list repeats, and
// not every alert of a flood.
func countAlerts(r AlertReader, id incident.ID) ([]incident.AlertCount, error) {
	counts, err := r.CountAlerts(id, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("count alerts of %s: %w", id, err)
	}
	return counts, nil
}

// refreshCounts updates the cards of the incidents whose counts changed. An event would
// update the card too, but most repeats have none.
func (r *ingestion) refreshCounts() error {
	for _, id := range slices.Sorted(maps.Keys(r.recounted)) {
		var inc incident.Incident
		if dr := r.drafts[id]; dr != nil { // perhaps not stored yet
			inc = dr.inc
		} else if stored, err := r.tx.Incident(id); err != nil {
			return err
		} else {
			inc = stored
		}
		if err := r.tx.Enqueue(inc.CardRefresh()...); err != nil {
			return fmt.Errorf("refresh the card of %s: %w", id, err)
		}
	}
	return nil
}
