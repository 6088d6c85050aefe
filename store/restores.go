package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/response"
)

// restoreRow is a row of the table restores.
type restoreRow struct {
	ID           int64
	At           time.Time
	BackupAt     time.Time
	BackupSize   int64
	Checkpoint   string
	LastIncident int64
	LastInbox    int64
	ReleasedAt   *time.Time
}

func (r restoreRow) restore() incident.Restore {
	return incident.Restore{ID: r.ID, At: r.At.UTC(), BackupAt: r.BackupAt.UTC(), LastIncident: incident.ID(r.LastIncident)}
}

// lastHeldDelivery is the id of the last delivery that waits for the release of a restore, or 0.
const lastHeldDelivery = "(SELECT coalesce(max(last_inbox), 0) FROM restores WHERE released_at IS NULL)"

// loadRestores reads the restores of the instance. A database that is in use is never restored, so none is added later.
func (s *Store) loadRestores(ctx context.Context) error {
	return s.view(ctx, func(db *gorm.DB) error {
		var rows []restoreRow
		if err := db.Raw("SELECT * FROM restores ORDER BY id").Scan(&rows).Error; err != nil {
			return fmt.Errorf("read restores: %w", err)
		}
		s.restores = nil
		for _, row := range rows {
			s.restores = append(s.restores, row.restore())
		}
		return nil
	})
}

// Restores returns all restores of the instance from a backup, in order.
func (s *Store) Restores() []incident.Restore { return slices.Clone(s.restores) }

// PausedRestore implements [response.Reader].
func (r reader) PausedRestore() (response.PausedRestore, error) {
	if len(r.s.restores) == 0 {
		return response.PausedRestore{}, nil
	}
	var rows []restoreRow
	if err := r.db.Raw("SELECT * FROM restores WHERE released_at IS NULL ORDER BY id DESC LIMIT 1").Scan(&rows).Error; err != nil {
		return response.PausedRestore{}, fmt.Errorf("read restore: %w", err)
	}
	if len(rows) == 0 {
		return response.PausedRestore{}, nil
	}
	gap := response.RestoreGap{LastIncident: incident.ID(rows[0].LastIncident), LostIncident: incident.ID(rows[0].LastIncident)}
	if rows[0].Checkpoint != "" {
		key, err := r.s.keys.Notary()
		if err != nil {
			return response.PausedRestore{}, err
		}
		c, err := key.Verifier().Open(rows[0].Checkpoint)
		if err != nil {
			return response.PausedRestore{}, fmt.Errorf("read the checkpoint of the restore: %w", err)
		}
		gap = RestoreGapOf(c, rows[0].BackupSize, rows[0].LastIncident)
	}
	return response.PausedRestore{Restore: rows[0].restore(), Gap: gap}, nil
}

// RestoreGapOf returns what a checkpoint names and a backup with a number of leaves and a last incident does not have.
func RestoreGapOf(c notary.Checkpoint, leaves, lastIncident int64) response.RestoreGap {
	return response.RestoreGap{CheckedAt: c.At, Entries: max(c.Size-leaves, 0), LastIncident: incident.ID(lastIncident), LostIncident: incident.ID(max(c.LastIncident, lastIncident))}
}

// HeldWork implements [response.Reader].
func (r reader) HeldWork() (response.HeldWork, error) {
	var out response.HeldWork
	var rows []struct {
		IncidentID int64
		Kind       string
		N          int
	}
	err := r.db.Raw("SELECT incident_id, kind, count(*) AS n FROM (SELECT incident_id, CASE WHEN "+isPublic+
		" THEN kind ELSE ? END AS kind FROM effects WHERE held) AS waiting GROUP BY incident_id, kind ORDER BY incident_id, kind", secretKinds(), string(response.Confidential)).Scan(&rows).Error
	if err != nil {
		return out, fmt.Errorf("count held effects: %w", err)
	}
	for _, row := range rows {
		out.Effects = append(out.Effects, response.HeldEffects{Incident: incident.ID(row.IncidentID), Kind: incident.EffectKind(row.Kind), Count: row.N})
	}
	err = r.db.Raw("SELECT count(*) FROM inbox WHERE handled_at IS NULL AND id <= " + lastHeldDelivery).Scan(&out.Deliveries).Error
	if err != nil {
		return out, fmt.Errorf("count held deliveries: %w", err)
	}
	err = r.db.Raw("SELECT count(*) FROM events WHERE kind = ? AND recorded_at >= (SELECT coalesce(max(at), ?) FROM restores)",
		string(incident.EventErasureRepeated), r.s.now()).Scan(&out.Erasures).Error
	if err != nil {
		return out, fmt.Errorf("count repeated erasures: %w", err)
	}
	return out, nil
}

// ReleaseHeld implements [response.Tx]. A released effect gets a job that counts one attempt before its first, because the
// lost machine may have performed the effect.
func (t domainTx) ReleaseHeld(id incident.ID, drop func(incident.Effect) string) (more bool, err error) {
	rows, err := t.lockHeld(id)
	if err != nil {
		return false, err
	}
	now := t.s.now()
	var jobs []job
	var waiting []int64 // effects of the jobs that wait, otherwise 0
	lanes := map[string]bool{}
	for _, row := range rows {
		e, err := row.effect()
		if err != nil {
			return false, err
		}
		lanes[row.Lane] = true
		if result := drop(e); result != "" {
			if err := t.dropHeld(row, result, now); err != nil {
				return false, err
			}
			continue
		}
		if err := t.db.Exec("UPDATE effects SET held = false WHERE id = ?", row.ID).Error; err != nil {
			return false, fmt.Errorf("release effect %d: %w", row.ID, err)
		}
		if row.State != effectAvailable {
			continue
		}
		again := row.job(timeOrZero(row.After))
		again.repeat = true
		jobs = append(jobs, again)
		waits := int64(0)
		if row.WaitingSince != nil {
			waits = row.ID
		}
		waiting = append(waiting, waits)
	}
	ids, err := t.tx.insertJobs(jobs)
	if err != nil {
		return false, err
	}
	for n, effect := range waiting {
		if effect == 0 {
			continue
		}
		if err := t.db.Exec("UPDATE effects SET waiting_job = ?, next_at = ? WHERE id = ?", ids[n], now, effect).Error; err != nil {
			return false, fmt.Errorf("release waiting effect %d: %w", effect, err)
		}
	}
	return len(rows) == releaseBatch, t.startLanes(lanes)
}

// lockHeld locks and returns at most releaseBatch held effects of an incident, with their lanes.
func (t domainTx) lockHeld(id incident.ID) ([]effectRow, error) {
	const held = " FROM effects WHERE held AND incident_id = ? ORDER BY id LIMIT ?"
	if t.lockClause != "" {
		var lanes []string
		if err := t.db.Raw("SELECT DISTINCT lane FROM (SELECT lane"+held+") AS first ORDER BY lane", int64(id), releaseBatch).Scan(&lanes).Error; err != nil {
			return nil, fmt.Errorf("find held effects: %w", err)
		}
		for _, lane := range lanes {
			if err := t.lockLane(lane); err != nil {
				return nil, err
			}
		}
	}
	var rows []effectRow
	if err := t.db.Raw("SELECT *"+held+t.lockClause, int64(id), releaseBatch).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("find held effects: %w", err)
	}
	return rows, nil
}

// dropHeld ends a held effect as discarded.
func (t domainTx) dropHeld(row effectRow, result string, now time.Time) error {
	if err := t.db.Exec("UPDATE effects SET held = false, state = ?, ran_at = ? WHERE id = ?", effectDiscarded, now, row.ID).Error; err != nil {
		return fmt.Errorf("drop effect %d: %w", row.ID, err)
	}
	if err := t.clearWait(&row); err != nil {
		return err
	}
	return t.writeLedger(row, response.EffectDiscarded, result, now)
}

// startLanes starts the first effect of each lane, unless it started before.
func (t domainTx) startLanes(lanes map[string]bool) error {
	for lane := range lanes {
		next, err := t.startNextInLane(lane)
		if err != nil {
			return err
		}
		if next == nil {
			continue
		}
		next.repeat = true
		if err := t.tx.enqueue(*next); err != nil {
			return err
		}
	}
	return nil
}

// EndRestore implements [response.Tx].
func (t domainTx) EndRestore(id int64, by string) error {
	var held int64
	if err := t.db.Raw("SELECT count(*) FROM effects WHERE held").Scan(&held).Error; err != nil {
		return fmt.Errorf("count held effects: %w", err)
	}
	if held > 0 {
		return fmt.Errorf("end restore: %d effects are still held", held)
	}
	var first, last int64
	err := t.db.Raw("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM inbox WHERE handled_at IS NULL AND id <= "+lastHeldDelivery).Row().Scan(&first, &last)
	if err != nil {
		return fmt.Errorf("find held deliveries: %w", err)
	}
	var ids []int64
	err = t.db.Raw("UPDATE restores SET released_at = ?, released_by = ? WHERE id <= ? AND released_at IS NULL RETURNING id", t.s.now(), by, id).Scan(&ids).Error
	if err != nil {
		return fmt.Errorf("end restore: %w", err)
	}
	t.tx.noteIDs(subjectRestores, ids...)
	if first == 0 {
		return nil
	}
	return t.tx.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{first, last}})
}
