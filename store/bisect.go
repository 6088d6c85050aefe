package store

import (
	"context"
	"fmt"
	"sync/atomic"
)

// maxConsecutivePanics is how many drains may panic in a row before drains are no longer bisected.
const maxConsecutivePanics = 16

// bisector splits a drain that panicked into smaller drains, to isolate the delivery that causes the panic. It stops
// after maxConsecutivePanics. If every drain panics, no single delivery is the cause, and splitting would only create
// many failing jobs of one row each.
type bisector struct {
	s                 *Store
	consecutivePanics atomic.Int64 // panics of drains with many rows since the last success
}

// reset records that a drain succeeded.
func (b *bisector) reset() { b.consecutivePanics.Store(0) }

// bisect replaces a drain with drains of the two halves of the rows it read, and of the rows after them. After some
// rounds a delivery that makes the handler panic is in a drain with only one row, and the other deliveries are handled.
//
// It returns false, and the caller must retry the drain, if the drain has one row or too many drains panicked in a row.
// No delivery is discarded, and all failures are reported.
func (b *bisector) bisect(ctx context.Context, task Task) (split bool, err error) {
	from, to := task.IDs[0], task.IDs[1]
	if from == to || b.consecutivePanics.Add(1) > maxConsecutivePanics {
		return false, nil
	}
	err = b.s.tx(ctx, func(t *tx) error {
		split = false
		var ids []int64
		err := t.db.Raw("SELECT id FROM inbox WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id LIMIT ?", from, to, maxDrainRows).Scan(&ids).Error
		if err != nil {
			return fmt.Errorf("read rows of drain: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		last, half := ids[len(ids)-1], len(ids)/2
		part := func(from, to int64) job { return job{kind: kindDrain, queue: queueIntake, ids: []int64{from, to}} }
		var parts []job
		if half > 0 {
			parts = append(parts, part(ids[0], ids[half-1]))
		}
		parts = append(parts, part(ids[half], last))
		if len(ids) == maxDrainRows {
			parts = append(parts, part(last+1, to))
		}
		if err := t.enqueue(parts...); err != nil {
			return err
		}
		split = true
		return t.complete(task)
	})
	return split && err == nil, err
}
