package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/intake"
	"tocsin/bot/response"
)

// DeliveryFilter selects stored deliveries that were received at From or later and before To, from Source. A zero To
// means no limit. An empty Source means all sources, and a zero Row all rows of the inbox.
type DeliveryFilter struct {
	From, To time.Time
	Source   string
	Row      int64
}

// sqlCondition returns a condition on the table inbox with its arguments.
func (f DeliveryFilter) sqlCondition() (string, []any) {
	where, args := "received_at >= ?", []any{dbTime(f.From)}
	if !f.To.IsZero() {
		where, args = where+" AND received_at < ?", append(args, dbTime(f.To))
	}
	if f.Source != "" {
		where, args = where+" AND source = ?", append(args, f.Source)
	}
	if f.Row != 0 {
		where, args = where+" AND id = ?", append(args, f.Row)
	}
	return where, args
}

const (
	replayBatch = 200     // maximum deliveries of one read or update
	batchBytes  = 8 << 20 // maximum bytes of one read of bodies or ciphertexts, without the last one
)

// StoredDelivery is a delivery as received, with its inbox row and its outcome.
type StoredDelivery struct {
	Row      int64
	Delivery intake.Delivery
	SHA256   string                   // of the body
	Handled  bool                     // false if it waits for its first or another outcome
	Outcome  response.DeliveryOutcome // the last one, without the reason
}

// Deliveries calls fn with batches of the stored deliveries that match filter, as received and in the order of their
// rows. It returns the first error of fn.
func (s *Store) Deliveries(ctx context.Context, filter DeliveryFilter, fn func([]StoredDelivery) error) error {
	for after := int64(0); ; {
		var batch []StoredDelivery
		err := s.view(ctx, func(db *gorm.DB) (err error) {
			batch, err = s.readDeliveries(db, filter, after)
			return err
		})
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		if err := fn(batch); err != nil {
			return err
		}
		after = batch[len(batch)-1].Row
	}
}

// readDeliveries reads the next batch of deliveries after a row.
func (s *Store) readDeliveries(db *gorm.DB, filter DeliveryFilter, after int64) (out []StoredDelivery, err error) {
	first, end, err := filter.rows(db)
	if err != nil {
		return nil, err
	}
	where, args := filter.sqlCondition()
	rows, err := db.Raw("SELECT id, source, delivery_hash, received_at, sealed_body, handled_at, outcome, incident_id, alert_id FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id > ? AND id < ? AND "+where+" ORDER BY id LIMIT ?",
		slices.Concat([]any{max(after, first-1), end}, args, []any{replayBatch})...).Rows()
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for size := 0; size < batchBytes && rows.Next(); {
		var row inboxRow
		if err := rows.Scan(&row.ID, &row.Source, &row.DeliveryHash, &row.ReceivedAt, &row.SealedBody, &row.HandledAt, &row.Outcome, &row.IncidentID, &row.AlertID); err != nil {
			return nil, fmt.Errorf("read deliveries: %w", err)
		}
		delivery, sha256, err := s.openDelivery(row)
		if err != nil {
			return nil, err
		}
		size += len(delivery.Body)
		out = append(out, StoredDelivery{Row: row.ID, Delivery: delivery, SHA256: sha256, Handled: row.HandledAt != nil, Outcome: row.deliveryOutcome()})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return out, nil
}

// inboxDisorder is how far the times of deliveries can differ from the order of their rows: by the clocks of replicas,
// and by a clock that was corrected.
const inboxDisorder = 24 * time.Hour

// rows returns ids between which all matching rows are, the last one exclusive. The inbox has no index on the times,
// because an index would slow every delivery.
func (f DeliveryFilter) rows(db *gorm.DB) (first, end int64, err error) {
	var newest int64
	if err := db.Raw("SELECT coalesce(max(id), 0) FROM inbox").Scan(&newest).Error; err != nil {
		return 0, 0, fmt.Errorf("read deliveries: %w", err)
	}
	if first, err = firstRowSince(db, newest, f.From.Add(-inboxDisorder)); err != nil || f.To.IsZero() {
		return first, noUpperBound, err
	}
	end, err = firstRowSince(db, newest, f.To.Add(inboxDisorder))
	return first, end, err
}

// firstRowSince returns the first row that was received at a time or later, if the rows are in the order of their times,
// by a binary search.
func firstRowSince(db *gorm.DB, newest int64, at time.Time) (int64, error) {
	low, high := int64(1), newest+1
	for low < high {
		middle := low + (high-low)/2
		var row []inboxRow
		if err := db.Raw("SELECT id, received_at FROM inbox WHERE id >= ? ORDER BY id LIMIT 1", middle).Scan(&row).Error; err != nil {
			return 0, fmt.Errorf("read deliveries: %w", err)
		}
		if len(row) == 0 || !row[0].ReceivedAt.Before(at) {
			high = middle
		} else {
			low = row[0].ID + 1
		}
	}
	return low, nil
}

// Outcomes that opened or changed no incident, so reprocessing may give another outcome. Deliveries with a suppressed
// outcome were counted and must not be counted again.
var (
	suppressedOutcomes = []string{"watched", "dropped", "maintenance", "recurred"}
	reprocessable      = append([]string{outcomeUndecodable, "ignored"}, suppressedOutcomes...)
)

// outcomeUndecodable is the outcome of deliveries that could not be decoded. The alert about the decode failure was
// counted, but the content was not.
const outcomeUndecodable = "undecodable"

// Reprocess enqueues stored deliveries that match filter to be decoded and routed again with the current configuration.
// It includes only deliveries that did not open or change an incident, and those of which a part could not be read, and
// returns their number. Alerts that were counted are not counted again.
func (s *Store) Reprocess(ctx context.Context, filter DeliveryFilter) (n int, err error) {
	where, args := filter.sqlCondition()
	for after := int64(0); ; {
		var ids []int64
		err := s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id FROM inbox WHERE id > ? AND handled_at IS NOT NULL AND "+where+" AND (outcome IN ? OR unread) ORDER BY id LIMIT ?",
				slices.Concat([]any{after}, args, []any{reprocessable, replayBatch})...).Scan(&ids).Error
		})
		if err != nil {
			return n, fmt.Errorf("find deliveries: %w", err)
		}
		if len(ids) == 0 {
			return n, nil
		}
		after = ids[len(ids)-1]
		err = s.tx(ctx, func(t *tx) error {
			var updated []int64
			err := t.db.Raw("UPDATE inbox SET handled_at = NULL WHERE id IN ? AND handled_at IS NOT NULL AND (outcome IN ? OR unread) RETURNING id", ids, reprocessable).Scan(&updated).Error
			if err != nil {
				return fmt.Errorf("requeue deliveries: %w", err)
			}
			n += len(updated)
			t.noteIDs(subjectInbox, updated...)
			return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{slices.Min(ids), slices.Max(ids)}})
		})
		if err != nil {
			return n, err
		}
	}
}
