package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/response"
)

// dedupBatch is how many sightings one statement writes.
const dedupBatch = 256

// DedupeEvents writes down which delivery brought each event, or finds which did before. Everybody takes them in the order of
// their hashes, so that nobody waits for another who waits for him.
func (t domainTx) DedupeEvents(events map[string]int64, until time.Time) (map[string]int64, error) {
	named := make(map[string]string, len(events)) // the event of each hash
	for event := range events {
		named[t.s.hash("seen_events", "event", event)] = event
	}
	first := make(map[string]int64, len(events))
	for rest := slices.Sorted(maps.Keys(named)); len(rest) > 0; {
		chunk := rest[:chunkSize(len(rest), dedupBatch)]
		rest = rest[len(chunk):]
		var args []any
		for _, hash := range chunk {
			args = append(args, hash, events[named[hash]], dbTime(until))
		}
		var rows []struct {
			KeyHash string
			InboxID int64
		}
		err := t.db.Raw("INSERT"+t.tx.queue.orFailClause()+" INTO seen_events (key_hash, inbox_id, expires_at) VALUES "+
			valuesClause("(?, ?, ?)", len(chunk))+
			" ON CONFLICT (key_hash) DO UPDATE SET inbox_id = seen_events.inbox_id RETURNING key_hash, inbox_id", args...).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("write down sightings: %w", err)
		}
		for _, row := range rows {
			first[named[row.KeyHash]] = row.InboxID
		}
	}
	return first, nil
}

func (t domainTx) DeliveryOutcomes(rows []int64) (map[int64]response.DeliveryOutcome, error) {
	out := make(map[int64]response.DeliveryOutcome, len(rows))
	for chunk := range slices.Chunk(rows, listChunk) {
		var found []inboxRow
		err := t.db.Raw("SELECT id, outcome, incident_id, alert_id, rule, routing_id FROM inbox WHERE id IN ?", padToPowerOfTwo(chunk)).Scan(&found).Error
		if err != nil {
			return nil, fmt.Errorf("read what became of deliveries: %w", err)
		}
		for _, row := range found {
			out[row.ID] = row.deliveryOutcome()
		}
	}
	return out, nil
}
