package store

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// dedupBatch is the maximum number of events that one statement writes.
const dedupBatch = 256

// DedupeEvents implements [response.Tx]. It stores the first delivery of each event and returns the stored ones. All
// transactions lock the events in the order of their hashes, which prevents deadlocks.
func (t domainTx) DedupeEvents(events map[string]int64, until time.Time) (map[string]int64, error) {
	eventOf := make(map[string]string, len(events)) // event of each hash
	for event := range events {
		eventOf[t.s.hash("seen_events", "event", event)] = event
	}
	first := make(map[string]int64, len(events))
	for rest := slices.Sorted(maps.Keys(eventOf)); len(rest) > 0; {
		chunk := rest[:chunkSize(len(rest), dedupBatch)]
		rest = rest[len(chunk):]
		var args []any
		for _, hash := range chunk {
			args = append(args, hash, events[eventOf[hash]], dbTime(until))
		}
		var rows []struct {
			KeyHash string
			InboxID int64
		}
		err := t.db.Raw("INSERT"+t.tx.queue.orFailClause()+" INTO seen_events (key_hash, inbox_id, expires_at) VALUES "+
			valuesClause("(?, ?, ?)", len(chunk))+
			" ON CONFLICT (key_hash) DO UPDATE SET inbox_id = seen_events.inbox_id RETURNING key_hash, inbox_id", args...).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("write seen events: %w", err)
		}
		for _, row := range rows {
			first[eventOf[row.KeyHash]] = row.InboxID
		}
	}
	return first, nil
}
