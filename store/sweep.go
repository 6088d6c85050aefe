package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
)

// kindSweepEffects is the kind of the periodic job that finds due effects without a job.
const kindSweepEffects = "sweep.effects"

const (
	sweepEffectsInterval = time.Minute
	sweepEffectsBatch    = 500 // maximum effects of one sweep
)

// sweepEffects enqueues jobs for due effects that have none. An effect and its job commit together, but the job can be
// lost later: River discards a job whose last attempt failed, and an
// administrator or a restored backup may remove jobs.
func (s *Store) sweepEffects(ctx context.Context, _ Task) error {
	var found []int64
	err := s.view(ctx, func(db *gorm.DB) (err error) {
		found, err = effectsWithoutJob(db, s.now(), sweepEffectsBatch)
		return err
	})
	if err != nil {
		return fmt.Errorf("find effects without a job: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	requeued := 0
	err = s.tx(ctx, func(t *tx) (err error) {
		requeued, err = t.requeueEffects(found)
		return err
	})
	if err != nil {
		return fmt.Errorf("requeue effects: %w", err)
	}
	if requeued > 0 {
		s.log.Warn("requeued effects without a job", "effects", requeued)
	}
	return nil
}

// requeueEffects enqueues jobs for the effects of ids that are still available and have no job. It locks the effects
// before it looks for their jobs, because all transactions that add the job of an effect lock the effect.
func (t *tx) requeueEffects(ids []int64) (requeued int, err error) {
	var rows []effectRow
	if err := t.db.Raw("SELECT * FROM effects WHERE id IN ? AND state = 'available' AND NOT held ORDER BY id"+t.queue.rowLockClause(), ids).Scan(&rows).Error; err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, nil
	}
	with, err := t.effectsWithJob(ids)
	if err != nil {
		return 0, err
	}
	var jobs []job
	for _, row := range rows {
		if !slices.Contains(with, row.ID) {
			lost := row.job(time.Time{})
			lost.repeat = true // an attempt of the lost job may have applied the effect
			jobs = append(jobs, lost)
		}
	}
	return len(jobs), t.enqueue(jobs...)
}

// kindSweepDrains is the kind of the periodic job that finds unhandled deliveries without a drain.
const kindSweepDrains = "sweep.drains"

// sweepDrains enqueues a drain for unhandled deliveries that have none. A delivery and its drain commit together, but
// the drain can be lost later, like the job of an effect.
func (s *Store) sweepDrains(ctx context.Context, _ Task) error {
	var found []int64
	err := s.view(ctx, func(db *gorm.DB) (err error) {
		found, err = deliveriesWithoutDrain(db, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("find deliveries without a drain: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	requeued := 0
	err = s.tx(ctx, func(t *tx) error {
		// The lock makes concurrent sweeps wait for each other, and the second one finds the drain of the first.
		var locked []int64
		if err := t.db.Raw("SELECT id FROM inbox WHERE id IN ? AND handled_at IS NULL ORDER BY id"+t.queue.rowLockClause(), found).Scan(&locked).Error; err != nil {
			return err
		}
		lost, err := deliveriesWithoutDrain(t.db, locked)
		if requeued = len(lost); err != nil || requeued == 0 {
			return err
		}
		return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{lost[0], lost[requeued-1]}})
	})
	if err != nil {
		return fmt.Errorf("requeue deliveries: %w", err)
	}
	if requeued > 0 {
		s.log.Warn("requeued deliveries without a drain", "deliveries", requeued)
	}
	return nil
}
