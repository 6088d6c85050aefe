package store

import (
	"context"
	"fmt"
	"sync/atomic"
)

// maxConsecutivePanics is how many drains may panic one after the other, without one between them that works, before none is
// narrowed down any more.
const maxConsecutivePanics = 16

// bisector gives the rows of a drain that panicked to smaller drains, for as long as that helps: while others work.
// Where every drain panics it is no row's fault, and each would end as many jobs of one row, all of which fail.
type bisector struct {
	s                 *Store
	consecutivePanics atomic.Int64 // drains of many rows that panicked since one worked
}

func (n *bisector) reset() { n.consecutivePanics.Store(0) }

// bisect narrows the drain down to the two halves of what it read, and what lies behind. A row that a fault of ours
// makes impossible to work is alone after some rounds, and everything beside it is worked meanwhile. A drain of one row
// is left to be tried again: nothing is given up, and its failures are reported. So is one when narrowing does not help.
func (n *bisector) bisect(ctx context.Context, task Task) (narrowed bool, err error) {
	from, to := task.IDs[0], task.IDs[1]
	if from == to || n.consecutivePanics.Add(1) > maxConsecutivePanics {
		return false, nil
	}
	err = n.s.tx(ctx, func(t *tx) error {
		narrowed = false
		var ids []int64
		err := t.db.Raw("SELECT id FROM inbox WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id LIMIT ?", from, to, drainRows).Scan(&ids).Error
		if err != nil {
			return fmt.Errorf("read the rows of a drain: %w", err)
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
		if len(ids) == drainRows {
			parts = append(parts, part(last+1, to))
		}
		if err := t.enqueue(parts...); err != nil {
			return err
		}
		narrowed = true
		return t.complete(task)
	})
	return narrowed && err == nil, err
}
