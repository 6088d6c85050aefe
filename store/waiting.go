package store

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// failureText is the encrypted part of a failed attempt.
type failureText struct {
	Cause   string   `json:"cause"`
	Fix     string   `json:"fix,omitempty"`
	Reached []string `json:"reached,omitempty"`
}

// PostponeEffect implements [response.Tx]. The job of the next attempt counts one attempt before its first, because the
// failed one may have applied the effect.
func (t domainTx) PostponeEffect(attempt response.Job, until time.Time, f response.Failure) error {
	token, err := tokenOf(attempt)
	if err != nil {
		return err
	}
	row, err := t.lockEffect(attempt.Effect)
	if err != nil {
		return err
	}
	now := t.s.now()
	if row.Refresh && row.Requested != token.requestedSeen && !f.Paused && until.After(now.Add(refreshInterval)) {
		until = now.Add(refreshInterval) // requested again during the attempt
	}
	if row.WaitingSince == nil {
		row.WaitingSince = &now
	}
	if row.SealedFailure, err = t.s.seal("effects", rowKey(row.ID), "sealed_failure", failureText{f.Cause, f.Fix, f.Reached}); err != nil {
		return err
	}
	var next *job
	if f.StepsAside {
		if next, err = t.stepAside(&row); err != nil {
			return err
		}
	}
	if err := t.endJob(token, next, now); err != nil {
		return err
	}
	row.WaitingJob = 0
	if row.State == effectAvailable {
		again := row.job(until)
		again.repeat = true
		ids, err := t.tx.insertJobs([]job{again})
		if err != nil {
			return err
		}
		row.WaitingJob = ids[0]
	}
	err = t.db.Exec(`UPDATE effects SET lane = ?, lane_pos = ?, state = ?, waiting_since = ?, waiting_job = ?, waiting_system = ?, blocked = ?, paused = ?,
		attempts = attempts + 1, attempted_at = ?, next_at = ?, sealed_failure = ? WHERE id = ?`, row.Lane, row.LanePos, row.State, row.WaitingSince,
		row.WaitingJob, f.System, f.Blocked, f.Paused, now, dbTime(until), row.SealedFailure, row.ID).Error
	if err != nil {
		return fmt.Errorf("postpone effect %d: %w", row.ID, err)
	}
	return nil
}

// DropEffect implements [response.Tx]. An attempt is in progress unless the job of the next attempt can be ended. An effect
// that waits behind another one in the lane of its kind has no job.
func (t domainTx) DropEffect(id int64, result string) (bool, error) {
	row, err := t.lockEffect(id)
	if err != nil {
		return false, err
	}
	if row.WaitingSince == nil || row.finished() {
		return false, nil
	}
	if row.State == effectAvailable && !row.Held {
		if ended, err := t.tx.endWaitingJob(row.WaitingJob); err != nil || !ended {
			return false, err
		}
	}
	now := t.s.now()
	if row.Held {
		if err := t.db.Exec("UPDATE effects SET held = false WHERE id = ?", id).Error; err != nil {
			return false, fmt.Errorf("drop effect %d: %w", id, err)
		}
	}
	if row, err = t.endEffect(id, effectDiscarded, now); err != nil {
		return false, err
	}
	if err := t.writeLedger(row, response.EffectDiscarded, result, now); err != nil {
		return false, err
	}
	next, err := t.startNextInLane(row.Lane)
	if err != nil || next == nil {
		return true, err
	}
	return true, t.tx.enqueue(*next)
}

// clearWait ends the wait of an effect that was performed.
func (t domainTx) clearWait(row *effectRow) error {
	if row.WaitingSince == nil {
		return nil
	}
	row.WaitingSince, row.SealedFailure, row.Attempts = nil, nil, 0
	err := t.db.Exec(`UPDATE effects SET waiting_since = NULL, waiting_job = 0, waiting_system = '', blocked = false, paused = false, attempts = 0, attempted_at = NULL,
		next_at = NULL, sealed_failure = NULL WHERE id = ?`, row.ID).Error
	if err != nil {
		return fmt.Errorf("end wait of effect %d: %w", row.ID, err)
	}
	return nil
}

// waiting returns the condition that selects waiting effects, and its arguments.
func waiting(q response.WaitingQuery) (condition string, args []any) {
	condition = "waiting_since IS NOT NULL"
	equal := func(column string, value any) { condition, args = condition+" AND "+column+" = ?", append(args, value) }
	if q.Effect != 0 {
		equal("id", q.Effect)
	}
	if q.Incident != 0 {
		equal("incident_id", int64(q.Incident))
	}
	if q.System != "" {
		equal("waiting_system", q.System)
	}
	return condition, args
}

// ReleaseEffects implements [response.Tx]. It leaves out effects that another transaction has locked, because their
// attempt begins or ends.
func (t domainTx) ReleaseEffects(q response.WaitingQuery) (int, error) {
	now := t.s.now()
	condition, args := waiting(q)
	condition += " AND state = 'available' AND NOT held AND next_at > ?"
	args = append(args, now)
	limits, order, more := releaseLimits(q, now)
	condition, args = condition+limits, append(args, more...)
	query := "SELECT * FROM effects WHERE " + condition + " ORDER BY " + order
	if q.Release.IfQuiet { // rows of a window function cannot be locked
		query = "SELECT * FROM effects WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY kind, blocked ORDER BY attempted_at, id) AS nth, attempted_at FROM effects WHERE " +
			condition + ") ranked ORDER BY nth, attempted_at, id LIMIT ?)"
		args = append(args, q.Limit)
	} else if q.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, q.Limit)
	}
	if t.lockClause != "" {
		query += t.lockClause + " SKIP LOCKED"
	}
	var rows []effectRow
	if err := t.db.Raw(query, args...).Scan(&rows).Error; err != nil {
		return 0, fmt.Errorf("find waiting effects: %w", err)
	}
	return len(rows), t.release(rows, now)
}

// releaseLimits returns the conditions of a [response.ReleaseRule], their arguments and the order of the release.
func releaseLimits(q response.WaitingQuery, now time.Time) (conditions, order string, args []any) {
	rule := q.Release
	if rule.KeepPauses {
		conditions += " AND NOT paused"
	}
	if rule.RestedSince.IsZero() {
		return conditions, "waiting_since, id", nil
	}
	rested := dbTime(rule.RestedSince)
	conditions += " AND attempted_at <= ?"
	args = append(args, rested)
	if rule.IfQuiet { // a released effect is due until its attempt ends
		conditions += ` AND NOT EXISTS (SELECT 1 FROM effects WHERE waiting_since IS NOT NULL AND waiting_system = ?
			AND (attempted_at > ? OR state = 'available' AND next_at >= ? AND next_at <= ?))`
		args = append(args, q.System, rested, rested, now)
	}
	if rule.Like != nil {
		conditions += " AND kind = ? AND blocked = ?"
		args = append(args, string(rule.Like.Kind), rule.Like.Blocked)
	}
	return conditions, "attempted_at, id", args
}

// releaseBatch is the maximum number of effects of one update.
const releaseBatch = 500

// release makes waiting effects due.
func (t domainTx) release(rows []effectRow, now time.Time) error {
	for len(rows) > 0 {
		batch := rows[:min(len(rows), releaseBatch)]
		rows = rows[len(batch):]
		var ids, jobs []int64
		for _, row := range batch {
			ids, jobs = append(ids, row.ID), append(jobs, row.WaitingJob)
		}
		if err := t.db.Exec("UPDATE effects SET next_at = ? WHERE id IN ?", now, ids).Error; err != nil {
			return fmt.Errorf("release effects: %w", err)
		}
		if err := t.tx.expediteJobs(jobs); err != nil {
			return err
		}
	}
	return nil
}

// WaitingEffects implements [response.Reader].
func (r reader) WaitingEffects(q response.WaitingQuery) ([]incident.WaitingEffect, error) {
	if q.Behind != 0 {
		return r.effectsBehind(q)
	}
	condition, args := waiting(q)
	if q.Started != "" {
		condition, args = "key = ? AND (state = 'available' OR state = 'pending' AND waiting_since IS NOT NULL)", []any{q.Started}
	}
	query := `SELECT effects.*, CASE WHEN lane = '' THEN 0 ELSE (SELECT count(*) FROM effects later WHERE later.lane = effects.lane AND later.lane_pos > effects.lane_pos
		AND later.state IN ('available', 'pending')) END AS behind FROM effects WHERE ` + condition + " ORDER BY waiting_since, id"
	if q.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, q.Limit)
	}
	var rows []struct {
		Effect effectRow `gorm:"embedded"`
		Behind int
	}
	if err := r.db.Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("read waiting effects: %w", err)
	}
	var out []incident.WaitingEffect
	for _, found := range rows {
		row := found.Effect
		var f failureText
		if row.WaitingSince != nil {
			if err := r.s.unseal("effects", rowKey(row.ID), "sealed_failure", row.SealedFailure, &f); err != nil {
				return nil, err
			}
		}
		out = append(out, incident.WaitingEffect{ID: row.ID, Kind: incident.EffectKind(row.Kind), Incident: incident.ID(row.IncidentID), Seq: int(row.Seq),
			System: row.WaitingSystem, Blocked: row.Blocked, Paused: row.Paused, Cause: f.Cause, Fix: f.Fix, Reached: f.Reached, Since: timeOrZero(row.WaitingSince), Attempts: int(row.Attempts),
			LastAttempt: timeOrZero(row.AttemptedAt), NextAttempt: timeOrZero(row.NextAt), Behind: found.Behind})
	}
	return out, nil
}

// effectsBehind returns the effects that have not started and come after an effect in its lane.
func (r reader) effectsBehind(q response.WaitingQuery) ([]incident.WaitingEffect, error) {
	query := `SELECT later.* FROM effects head JOIN effects later ON later.lane = head.lane AND later.lane_pos > head.lane_pos
		WHERE head.id = ? AND head.lane <> '' AND later.state = 'pending' AND NOT later.held AND NOT EXISTS (SELECT 1 FROM effects earlier WHERE earlier.lane = head.lane
		AND earlier.lane_pos < head.lane_pos AND earlier.state IN ('available', 'pending')) ORDER BY later.lane_pos`
	args := []any{q.Behind}
	if q.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, q.Limit)
	}
	var rows []effectRow
	if err := r.db.Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("read effects of a lane: %w", err)
	}
	var out []incident.WaitingEffect
	for _, row := range rows {
		out = append(out, incident.WaitingEffect{ID: row.ID, Kind: incident.EffectKind(row.Kind), Incident: incident.ID(row.IncidentID), Seq: int(row.Seq)})
	}
	return out, nil
}

// releaseAll makes all waiting effects due at the start, except during a pause that their system requested, and all jobs of
// effects whose attempt failed before it could record the failure. An administrator may have repaired the cause while the
// process was down.
func (s *Store) releaseAll(ctx context.Context) error {
	var released int
	err := s.Tx(ctx, func(t response.Tx) (err error) {
		if released, err = t.ReleaseEffects(response.WaitingQuery{Release: response.ReleaseRule{KeepPauses: true}}); err != nil {
			return err
		}
		return t.(domainTx).tx.expediteRetries(kindEffect)
	})
	if err != nil {
		return fmt.Errorf("release waiting effects: %w", err)
	}
	if released > 0 {
		s.log.Info("released waiting effects", "effects", released)
	}
	return nil
}

// MaxListedEffects is the maximum number of effects that [Store.WaitingEffects] returns.
const MaxListedEffects = 200

// WaitingEffects returns the selected waiting effects for an administrator, those that have
// waited longest. The kind of an effect about an exclusion is left out.
func (s *Store) WaitingEffects(ctx context.Context, q response.WaitingQuery) (list []incident.WaitingEffect, err error) {
	q.Limit = MaxListedEffects
	err = s.View(ctx, func(r response.Reader) error {
		if list, err = r.WaitingEffects(q); err != nil {
			return err
		}
		for n, w := range list {
			events, err := r.Timeline(w.Incident, w.Seq)
			if err != nil {
				return fmt.Errorf("read event %d of %s: %w", w.Seq, w.Incident, err)
			}
			if len(incident.WithoutSecret(events)) < len(events) {
				list[n].Kind = response.Confidential
			}
		}
		return nil
	})
	return list, err
}

// RetryEffects makes the selected waiting effects due now and returns their number.
func (s *Store) RetryEffects(ctx context.Context, q response.WaitingQuery) (released int, err error) {
	err = s.Tx(ctx, func(t response.Tx) error {
		released, err = t.ReleaseEffects(q)
		return err
	})
	return released, err
}
