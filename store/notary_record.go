package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/notary"
)

const (
	// maxStepRows limits the rows of one step, which bounds the memory and the time that the step holds the writer.
	maxStepRows = 16384
	// maxLeafLines is the maximum number of rows in one leaf.
	maxLeafLines = 256
	// maxStepAttempts is how often a step is computed again because another replica appended to the log.
	maxStepAttempts = 3
)

// ErrLogDamaged means that the log of the notary does not continue the log that this instance signed. [Store.Verify]
// reports the difference.
var ErrLogDamaged = errors.New("the log of the notary was cut or changed")

// errStepConflict means that another replica appended to the log at the same time.
var errStepConflict = errors.New("another replica appended to the log of the notary")

// recorder holds what a store knows about the log from its earlier steps.
type recorder struct {
	mu      sync.Mutex
	last    notary.Checkpoint // the newest that this process has seen
	covered notary.Ranges     // ids of the outbox in the steps below size
	size    int64

	isDamaged atomic.Bool // the last step of this process found that the log was changed
}

// CheckNotary returns [ErrLogDamaged] if the last [Store.RecordChanges] of this process did.
func (s *Store) CheckNotary(time.Time) error {
	if s.recorder.isDamaged.Load() {
		return ErrLogDamaged
	}
	return nil
}

// RecordChanges appends the changes in the outbox to the log of the notary and returns the newest checkpoint, which it
// signs. If nothing changed, it returns the stored checkpoint. Several replicas may call it at the same time.
//
// It reads the outbox and the rows in one snapshot and appends in one short transaction for each [maxStepRows] rows. It
// never vouches for the removal of a row without a reason that only an instance with the keyset can write. The error wraps
// [ErrLogDamaged] if the log does not continue the newest signed checkpoint. Then nothing is appended.
func (s *Store) RecordChanges(ctx context.Context) (notary.Checkpoint, error) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	for attempt := 1; ; {
		step, err := s.nextStep(ctx)
		if err == nil && len(step.leaves) > 0 {
			err = s.appendStep(ctx, step)
		}
		if errors.Is(err, errStepConflict) && attempt < maxStepAttempts {
			attempt++
			continue
		}
		s.recorder.isDamaged.Store(errors.Is(err, ErrLogDamaged))
		if err != nil {
			return notary.Checkpoint{}, fmt.Errorf("record changes: %w", err)
		}
		s.recorder.last = step.checkpoint
		if !step.more {
			return step.checkpoint, nil
		}
	}
}

// logStep is what one step appends to the log.
type logStep struct {
	size       int64 // of the log before the step
	leaves     [][]byte
	hashes     [][]notary.Hash
	covered    []int64 // ids of the outbox
	rest       changes // of the last covered row of the outbox
	checkpoint notary.Checkpoint
	more       bool  // the outbox has more rows
	lastTrust  int64 // greatest number of an event of the log of keys in the leaves
}

// nextStep computes the next step in one snapshot. Without changes it has no leaves.
func (s *Store) nextStep(ctx context.Context) (step logStep, err error) {
	key, err := s.keys.Notary()
	if err != nil {
		return step, err
	}
	err = s.view(ctx, func(db *gorm.DB) error {
		step = logStep{}
		previous, tree, err := s.resumeLog(db, key.Verifier())
		if err != nil {
			return err
		}
		step.size, step.checkpoint = previous.Size, previous
		pending, err := s.collect(db, &step)
		if err != nil || len(step.covered) == 0 && previous.Size > 0 {
			return err
		}
		if err := s.makeLeaves(db, &step, pending); err != nil {
			return err
		}
		for _, leaf := range step.leaves {
			step.hashes = append(step.hashes, tree.Add(leaf))
		}
		next := notary.Checkpoint{Size: tree.Size(), Root: tree.Root(), At: s.now(), Erasures: step.checkpoint.Erasures,
			LastTrust: max(previous.LastTrust, step.lastTrust)}
		if err := db.Raw("SELECT value FROM counters WHERE name = 'incident'").Scan(&next.LastIncident).Error; err != nil {
			return fmt.Errorf("read the last incident number: %w", err)
		}
		next.LastIncident = max(next.LastIncident, previous.LastIncident)
		step.checkpoint, err = key.Sign(next)
		return err
	})
	return step, err
}

// resumeLog returns the newest checkpoint and the tree of the log. It checks that they agree with each other, and with
// the checkpoints that this process has seen.
func (s *Store) resumeLog(db *gorm.DB, verifier notary.Verifier) (c notary.Checkpoint, tree *notary.Tree, err error) {
	if c, err = newestCheckpoint(db, verifier); err != nil {
		return c, nil, err
	}
	var leaves int64
	if err := db.Raw("SELECT COALESCE(MAX(n) + 1, 0) FROM notary_leaves").Scan(&leaves).Error; err != nil {
		return c, nil, fmt.Errorf("read the log of the notary: %w", err)
	}
	hashes := leafHashes(db)
	if tree, err = notary.ResumeTree(c.Size, hashes); err != nil {
		return c, nil, fmt.Errorf("%w: %w", ErrLogDamaged, err)
	}
	last := s.recorder.last
	switch {
	case leaves != c.Size:
		err = fmt.Errorf("%w: it has %d leaves, and the newest checkpoint has %d", ErrLogDamaged, leaves, c.Size)
	case c.Size > 0 && tree.Root() != c.Root:
		err = fmt.Errorf("%w: its hash is not the one of the newest checkpoint", ErrLogDamaged)
	case last.Size > c.Size:
		err = fmt.Errorf("%w: it had %d leaves before, and has %d", ErrLogDamaged, last.Size, c.Size)
	case last.Size > 0:
		before, readErr := notary.ResumeTree(last.Size, hashes)
		if readErr != nil || before.Root() != last.Root {
			err = fmt.Errorf("%w: its first %d leaves changed", ErrLogDamaged, last.Size)
		}
	}
	if err == nil {
		err = s.loadCovered(db, c.Size)
	}
	return c, tree, err
}

// leafHashes reads the stored hashes of leaves.
func leafHashes(db *gorm.DB) notary.Hashes {
	return func(leaf int64) ([]notary.Hash, error) {
		var stored [][]byte
		if err := db.Raw("SELECT hashes FROM notary_leaves WHERE n = ?", leaf).Scan(&stored).Error; err != nil {
			return nil, fmt.Errorf("read leaf %d: %w", leaf, err)
		}
		if len(stored) == 0 {
			return nil, fmt.Errorf("leaf %d is missing", leaf)
		}
		return notary.ParseHashes(stored[0])
	}
}

// loadCovered reads the steps that other replicas or earlier processes appended. Each step begins at a checkpoint.
func (s *Store) loadCovered(db *gorm.DB, size int64) error {
	rec := &s.recorder
	if rec.size == size {
		return nil
	}
	var leaves [][]byte
	err := db.Raw("SELECT leaf FROM notary_leaves WHERE n >= ? AND n < ? AND (n = 0 OR n IN (SELECT size FROM notary_checkpoints)) ORDER BY n", rec.size, size).Scan(&leaves).Error
	if err != nil {
		return fmt.Errorf("read the log of the notary: %w", err)
	}
	for _, leaf := range leaves {
		step, err := notary.ParseStep(leaf)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLogDamaged, err)
		}
		rec.covered = append(rec.covered, step.Changes...)
	}
	rec.covered, rec.size = rec.covered.Normal(), size
	return nil
}

// outboxPage is how many rows of the outbox one read returns.
const outboxPage = 1000

// collect reads the rows of the outbox for the next step. It ignores rows that this instance did not write or that the log
// covers, which Verify reports.
func (s *Store) collect(db *gorm.DB, step *logStep) (pending changes, err error) {
	pending = changes{rows: map[string]notary.Ranges{}, existing: map[string]notary.Ranges{}}
	left := int64(maxStepRows)
	for after := int64(-1 << 62); ; {
		var rows []outboxRow
		if err := db.Raw("SELECT id, changes, mac FROM notary_outbox WHERE id > ? ORDER BY id LIMIT ?", after, outboxPage).Scan(&rows).Error; err != nil {
			return pending, fmt.Errorf("read outbox of the notary: %w", err)
		}
		for _, row := range rows {
			after = row.ID
			c, isGenuine := s.openOutbox(row)
			if !isGenuine || s.recorder.covered.Contains(row.ID) {
				s.log.Warn("outbox row of the notary ignored", "row", row.ID, "genuine", isGenuine)
				continue
			}
			if left <= 0 {
				step.more = true
				return pending, nil
			}
			step.covered = append(step.covered, row.ID)
			step.rest = pending.take(c, &left)
			step.more = !step.rest.isEmpty()
		}
		if len(rows) < outboxPage {
			return pending, nil
		}
	}
}

// take adds the changes of c for up to left rows, and returns the others.
func (c *changes) take(more changes, left *int64) (rest changes) {
	for _, part := range []struct{ from, into, rest *map[string]notary.Ranges }{{&more.rows, &c.rows, &rest.rows}, {&more.existing, &c.existing, &rest.existing}} {
		for _, name := range slices.Sorted(maps.Keys(*part.from)) {
			head, tail := (*part.from)[name].Cut(*left)
			*left -= head.Len()
			if len(head) > 0 {
				(*part.into)[name] = append((*part.into)[name], head...)
			}
			if len(tail) > 0 {
				if *part.rest == nil {
					*part.rest = map[string]notary.Ranges{}
				}
				(*part.rest)[name] = tail
			}
		}
	}
	for name, byTombstone := range more.gone { // at most pruneBatch rows
		for tombstone, ids := range byTombstone {
			c.addGone(name, tombstone, ids)
			*left -= ids.Len()
		}
	}
	return rest
}

// appendStep appends a step to the log in one transaction. It returns errStepConflict if another replica was faster.
func (s *Store) appendStep(ctx context.Context, step logStep) error {
	err := s.tx(ctx, func(t *tx) error {
		for chunk := range slices.Chunk(step.covered, listChunk) {
			deleted := t.db.Exec("DELETE FROM notary_outbox WHERE id IN ?", padToPowerOfTwo(chunk))
			if deleted.Error != nil {
				return fmt.Errorf("delete from outbox: %w", deleted.Error)
			}
			if deleted.RowsAffected != int64(len(chunk)) {
				return errStepConflict
			}
		}
		if !step.rest.isEmpty() {
			if err := s.writeOutbox(t, step.rest); err != nil {
				return err
			}
		}
		if err := t.insertLeaves(step); err != nil {
			return err
		}
		c := step.checkpoint
		return t.db.Exec("INSERT INTO notary_checkpoints (size, at, note) VALUES (?, ?, ?)", c.Size, c.At, c.Note).Error
	})
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return errStepConflict
	}
	return err
}

// insertChunk is the maximum number of leaves of one INSERT.
const insertChunk = 64

func (t *tx) insertLeaves(step logStep) error {
	for first := 0; first < len(step.leaves); {
		n := chunkSize(len(step.leaves)-first, insertChunk)
		args := make([]any, 0, 3*n)
		for k := first; k < first+n; k++ {
			args = append(args, step.size+int64(k), step.leaves[k], notary.JoinHashes(step.hashes[k]))
		}
		if err := t.db.Exec("INSERT INTO notary_leaves (n, leaf, hashes) VALUES "+valuesClause("(?, ?, ?)", n), args...).Error; err != nil {
			return fmt.Errorf("append to the log: %w", err)
		}
		first += n
	}
	return nil
}
