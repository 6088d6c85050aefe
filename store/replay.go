package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/intake"
)

// DeliveryFilter chooses stored deliveries: from one time to before another (zero: now), of one source (empty: of all).
type DeliveryFilter struct {
	From, To time.Time
	Source   string
}

func (s DeliveryFilter) where() (string, []any) {
	where, args := "received_at >= ?", []any{dbTime(s.From)}
	if !s.To.IsZero() {
		where, args = where+" AND received_at < ?", append(args, dbTime(s.To))
	}
	if s.Source != "" {
		where, args = where+" AND source = ?", append(args, s.Source)
	}
	return where, args
}

// What is read, or put back, at a time. Bodies are large at times: what holds some is read up to a weight, but for the last.
const (
	replayBatch = 200
	batchBytes  = 8 << 20
)

// storedDelivery is a stored delivery as it was received.
type storedDelivery struct {
	row      int64
	delivery intake.Delivery
	sha256   string
}

// Deliveries calls fn with the stored deliveries of a span as they were received, in their order.
func (s *Store) Deliveries(ctx context.Context, span DeliveryFilter, fn func(row int64, d intake.Delivery, sha256 string) error) error {
	for after := int64(0); ; {
		some, err := s.recorded(ctx, span, after)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			return nil
		}
		for _, r := range some {
			if err := fn(r.row, r.delivery, r.sha256); err != nil {
				return err
			}
		}
		after = some[len(some)-1].row
	}
}

// recorded reads the next deliveries of a span behind a row, as many as one batch holds.
func (s *Store) recorded(ctx context.Context, span DeliveryFilter, after int64) ([]storedDelivery, error) {
	where, args := span.where()
	var out []storedDelivery
	err := s.view(ctx, func(db *gorm.DB) error {
		out = nil
		rows, err := db.Raw("SELECT id, source, delivery_hash, received_at, sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id > ? AND "+where+" ORDER BY id LIMIT ?",
			slices.Concat([]any{after}, args, []any{replayBatch})...).Rows()
		if err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for size := 0; size < batchBytes && rows.Next(); {
			var row inboxRow
			if err := rows.Scan(&row.ID, &row.Source, &row.DeliveryHash, &row.ReceivedAt, &row.SealedBody); err != nil {
				return fmt.Errorf("read deliveries: %w", err)
			}
			var d sealedDelivery
			if err := s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", row.SealedBody, &d); err != nil {
				return err
			}
			size += len(d.Body)
			out = append(out, storedDelivery{row.ID, d.delivery(row), d.hash()})
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		return nil
	})
	return out, err
}

// The outcomes that led nowhere, and so may turn out differently: those that were counted, of which nothing may be
// counted again, and others.
var (
	suppressedOutcomes = []string{"watched", "dropped", "maintenance", "recurred"}
	reprocessable      = append([]string{outcomeUndecodable, "ignored"}, suppressedOutcomes...)
)

// outcomeUndecodable is the outcome of a delivery that could not be read. The alert about it was counted, what it says was not.
const outcomeUndecodable = "undecodable"

// Reprocess has the deliveries of a span that led to nothing decoded and routed anew, as the configuration is now. What
// was counted is not counted again. What belongs to an incident is history and is left alone. It returns how many.
func (s *Store) Reprocess(ctx context.Context, span DeliveryFilter) (n int, err error) {
	where, args := span.where()
	for after := int64(0); ; {
		var ids []int64
		err := s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id FROM inbox WHERE id > ? AND handled_at IS NOT NULL AND "+where+" AND outcome IN ? ORDER BY id LIMIT ?",
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
			back := t.db.Exec("UPDATE inbox SET handled_at = NULL WHERE id IN ? AND handled_at IS NOT NULL AND outcome IN ?", ids, reprocessable)
			if back.Error != nil {
				return fmt.Errorf("put deliveries back: %w", back.Error)
			}
			n += int(back.RowsAffected)
			return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{slices.Min(ids), slices.Max(ids)}})
		})
		if err != nil {
			return n, err
		}
	}
}
