package store

import (
	"errors"
	"fmt"
	"time"

	"tocsin/bot/notary"
)

// incidentGap is how many numbers of incidents a restore leaves out after the newest known one. The lost database may have
// used them after that was published, and no number may mean two incidents.
const incidentGap = 100

// checkpointDelay is the maximum time from signing a checkpoint until its transaction is committed. A backup that is later by
// more than this time has the whole log of the checkpoint.
const checkpointDelay = 5 * time.Minute

// ErrContradiction means that a backup and a published checkpoint are of two different histories.
var ErrContradiction = errors.New("the backup contradicts the published checkpoint: it does not have the history that the checkpoint vouches for. Use another backup, and find out who changed this one")

// ErrForeignCheckpoint means that the checkpoint is of another instance, or was changed.
var ErrForeignCheckpoint = errors.New("the checkpoint is not signed by this instance. Name a checkpoint that this instance published")

// checkCheckpoint compares the imported log with the published checkpoint, and returns what its note says. A log that is
// shorter is of an older backup.
func (im importer) checkCheckpoint(m Manifest) (c notary.Checkpoint, err error) {
	if im.o.Checkpoint == nil {
		return c, nil
	}
	key, err := im.s.keys.Notary()
	if err != nil {
		return c, err
	}
	if c, err = key.Verifier().Open(im.o.Checkpoint.Note); err != nil {
		return c, fmt.Errorf("%w (%w)", ErrForeignCheckpoint, err)
	}
	if c.Size > m.Leaves && m.Header.At.Sub(c.At) > checkpointDelay {
		return c, fmt.Errorf("%w. The checkpoint of %s names %d entries of the notary's log, and the later backup of %s has only %d: it is of a new or an older database", ErrContradiction,
			c.At.UTC().Format("2006-01-02 15:04"), c.Size, m.Header.At.UTC().Format("2006-01-02 15:04"), m.Leaves)
	}
	return c, im.compareLog(c)
}

// compareLog returns [ErrContradiction] if the imported log had another root at the size of the checkpoint.
func (im importer) compareLog(c notary.Checkpoint) error {
	rows, err := im.db.Raw("SELECT n, leaf FROM notary_leaves WHERE n < ? ORDER BY n", c.Size).Rows()
	if err != nil {
		return fmt.Errorf("read the notary's log: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var tree notary.Tree
	for rows.Next() {
		var n int64
		var leaf []byte
		if err := rows.Scan(&n, &leaf); err != nil {
			return fmt.Errorf("read the notary's log: %w", err)
		}
		if n != tree.Size() {
			return fmt.Errorf("%w (the leaf %d of its log is missing)", ErrContradiction, tree.Size())
		}
		tree.Add(leaf)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the notary's log: %w", err)
	}
	if tree.Size() == c.Size && tree.Root() != c.Root {
		return ErrContradiction
	}
	return nil
}

// hold records the restore, holds the unfinished effects until a person releases it, and leaves out incident numbers.
func (im importer) hold(m Manifest, c notary.Checkpoint) error {
	next := max(m.LastIncident, c.LastIncident) + incidentGap + 1
	var id int64
	err := im.db.Raw(`INSERT INTO restores (at, backup_at, backup_size, checkpoint, last_incident, next_incident, last_inbox)
		VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM inbox)) RETURNING id`, im.s.now(), dbTime(m.Header.At), m.Leaves, c.Note, m.LastIncident, next).Scan(&id).Error
	if err != nil {
		return fmt.Errorf("record restore: %w", err)
	}
	im.tx.note(subjectRestores, id, id)
	if err := im.db.Exec("UPDATE effects SET held = true WHERE state IN ('available', 'pending')").Error; err != nil {
		return fmt.Errorf("hold effects: %w", err)
	}
	if err := im.db.Exec("UPDATE counters SET value = ? WHERE name = 'incident'", next-1).Error; err != nil {
		return fmt.Errorf("leave out incident numbers: %w", err)
	}
	return nil
}

// jobsBatch is the number of effects that get their jobs together.
const jobsBatch = 500

// deriveJobs gives each unfinished effect a job, and the unhandled deliveries one, except those that a restore holds.
// Handlers look for an earlier attempt, because the job that the effect had before may have begun.
func (im importer) deriveJobs() error {
	for after := int64(0); ; {
		var rows []effectRow
		err := im.db.Raw("SELECT * FROM effects WHERE id > ? AND state = 'available' AND NOT held ORDER BY id LIMIT ?", after, jobsBatch).Scan(&rows).Error
		if err != nil {
			return fmt.Errorf("read unfinished effects: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1].ID
		if err := im.deriveEffectJobs(rows); err != nil {
			return err
		}
	}
	var first int64
	err := im.db.Raw("SELECT coalesce(min(id), 0) FROM inbox WHERE handled_at IS NULL AND id > " + lastHeldDelivery).Scan(&first).Error
	if err != nil {
		return fmt.Errorf("find unhandled deliveries: %w", err)
	}
	if first == 0 {
		return nil
	}
	return im.tx.ensureDrain(first)
}

func (im importer) deriveEffectJobs(rows []effectRow) error {
	jobs := make([]job, len(rows))
	for i, row := range rows {
		at := im.nextRun(row, timeOrZero(row.After))
		if row.WaitingSince != nil {
			at = timeOrZero(row.NextAt)
		}
		jobs[i] = row.job(at)
		jobs[i].repeat = true
	}
	ids, err := im.tx.insertJobs(jobs)
	if err != nil {
		return err
	}
	for i, row := range rows {
		if row.WaitingSince == nil {
			continue
		}
		if err := im.db.Exec("UPDATE effects SET waiting_job = ? WHERE id = ?", ids[i], row.ID).Error; err != nil {
			return fmt.Errorf("set the job of effect %d: %w", row.ID, err)
		}
	}
	return nil
}
