package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// kindEffect is the kind of job that performs one effect.
const kindEffect = "effect"

// refreshInterval is the minimum time between two runs of a refresh effect.
const refreshInterval = time.Second

// States of an effect.
const (
	effectAvailable = "available" // has a job
	effectPending   = "pending"   // waits for earlier effects of its lane
	effectIdle      = "idle"      // refresh effect that is up to date
	effectCompleted = string(response.EffectCompleted)
	effectDiscarded = string(response.EffectDiscarded)
)

// effectRow is a row of the table effects.
type effectRow struct {
	ID         int64 `gorm:"primaryKey"`
	Key        string
	Kind       string
	IncidentID int64
	Seq        int64
	Lane       string
	LanePos    int64 // position in the lane, aheadPos for an effect with Ahead
	Refresh    bool
	Urgent     bool
	After      *time.Time
	Args       string
	State      string
	Held       bool  // waits for the release of a restore. It has no job, and its lane waits with it
	Requested  int64 // number of times enqueued. If it rises during a run, the effect runs again.
	RanAt      *time.Time
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`

	// The failed attempts of a waiting effect, see waiting.go.
	WaitingSince  *time.Time
	WaitingJob    int64 // job of the next attempt
	WaitingSystem string
	Blocked       bool
	Paused        bool // the system requested the pause
	Attempts      int64
	AttemptedAt   *time.Time
	NextAt        *time.Time
	SealedFailure []byte
}

func (effectRow) TableName() string { return "effects" }

func (r effectRow) finished() bool { return r.State != effectAvailable && r.State != effectPending }

func (r effectRow) effect() (incident.Effect, error) {
	e := incident.Effect{ID: r.ID, Key: r.Key, Kind: incident.EffectKind(r.Kind), Incident: incident.ID(r.IncidentID), Seq: int(r.Seq),
		Lane: r.Lane, Refresh: r.Refresh, Urgent: r.Urgent, After: timeOrZero(r.After)}
	if err := json.Unmarshal([]byte(r.Args), &e.Args); err != nil {
		return e, fmt.Errorf("decode arguments of effect %d: %w", r.ID, err)
	}
	return e, nil
}

// job returns the effect's next job, which runs at the given time or later.
func (r effectRow) job(at time.Time) job {
	j := job{kind: kindEffect, queue: queueEffects, ids: []int64{r.ID}, at: at, repeat: r.Attempts > 0}
	if r.Urgent {
		j.queue = queuePage
	}
	return j
}

func (t domainTx) Enqueue(effects ...incident.Effect) error {
	lanes := make([]string, 0, len(effects))
	for _, e := range effects {
		lanes = append(lanes, e.Lane)
	}
	slices.Sort(lanes) // a fixed lock order prevents deadlocks
	for _, lane := range slices.Compact(lanes) {
		if err := t.lockLane(lane); err != nil {
			return err
		}
	}
	var jobs []job
	ends := map[string]int64{} // the position of the last effect of each lane
	for _, e := range effects {
		j, err := t.upsertEffect(e, ends)
		if err != nil {
			return fmt.Errorf("enqueue %s: %w", e.Key, err)
		}
		jobs = append(jobs, j...)
	}
	return t.tx.enqueue(jobs...)
}

// upsertEffect inserts the effect or requests its refresh. It returns the job that is due now, if any.
func (t domainTx) upsertEffect(e incident.Effect, ends map[string]int64) ([]job, error) {
	args, err := json.Marshal(e.Args)
	if err != nil {
		return nil, fmt.Errorf("encode arguments: %w", err)
	}
	row := effectRow{Key: e.Key, Kind: string(e.Kind), IncidentID: int64(e.Incident), Seq: int64(e.Seq), Lane: e.Lane, Refresh: e.Refresh,
		Urgent: e.Urgent, After: timeOrNil(e.After), Args: string(args), CreatedAt: t.s.now()}
	place := t.appendToLane
	if e.Ahead {
		place = t.putAhead
	}
	if err := place(&row, ends); err != nil {
		return nil, err
	}
	id, err := t.insertEffect(row)
	if err != nil {
		return nil, err
	}
	if id == 0 {
		delete(ends, row.Lane)
		if !e.Refresh {
			return nil, nil // enqueued before
		}
		return t.requestRefresh(row)
	}
	row.ID = id
	if row.Lane != "" {
		ends[row.Lane] = max(ends[row.Lane], row.LanePos)
	}
	if row.State == effectPending {
		return nil, nil
	}
	return []job{row.job(timeOrZero(row.After))}, nil
}

// insertEffect inserts the row and returns its id, or 0 if its key is known. SQLite returns the id without a RETURNING
// clause, which takes it longer than the insert.
func (t domainTx) insertEffect(row effectRow) (id int64, err error) {
	const insert = `INSERT INTO effects (key, kind, incident_id, seq, lane, lane_pos, refresh, urgent, after, args, state, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	values := []any{row.Key, row.Kind, row.IncidentID, row.Seq, row.Lane, row.LanePos, row.Refresh, row.Urgent, row.After, row.Args, row.State, row.CreatedAt}
	if t.lockClause != "" {
		err = t.db.Raw(insert+" RETURNING id", values...).Scan(&id).Error
		return id, err
	}
	result, err := t.db.Statement.ConnPool.ExecContext(t.db.Statement.Context, insert, values...)
	if err != nil {
		return 0, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return result.LastInsertId()
}

// requestRefresh makes a refresh effect run again. If the effect is not finished, raising its request count is enough:
// the next run, or the end of the current run, reads the count. A waiting effect is tried at once, unless the system
// requested its pause.
func (t domainTx) requestRefresh(row effectRow) ([]job, error) {
	known, err := t.selectEffect("refresh AND incident_id = ? AND kind = ?", row.IncidentID, row.Kind)
	if err != nil {
		return nil, err
	}
	if !known.finished() {
		if err := t.db.Exec("UPDATE effects SET requested = requested + 1, seq = ? WHERE id = ?", row.Seq, known.ID).Error; err != nil || known.WaitingSince == nil || known.Paused || known.Held {
			return nil, err
		}
		return nil, t.release([]effectRow{known}, t.s.now())
	}
	known.State, known.LanePos, known.Lane = row.State, row.LanePos, row.Lane
	err = t.db.Exec("UPDATE effects SET requested = requested + 1, seq = ?, state = ?, lane_pos = ?, lane = ? WHERE id = ?",
		row.Seq, row.State, row.LanePos, row.Lane, known.ID).Error
	if err != nil || known.State == effectPending {
		return nil, err
	}
	return []job{known.job(t.nextRun(known, timeOrZero(row.After)))}, nil
}

// nextRun returns the time of the next run, which is at least refreshInterval after the last run of a refresh effect.
func (t domainTx) nextRun(row effectRow, after time.Time) time.Time {
	if !row.Refresh || row.RanAt == nil {
		return after
	}
	if earliest := row.RanAt.Add(refreshInterval); earliest.After(t.s.now()) && earliest.After(after) {
		return earliest
	}
	return after
}

// selectEffect reads and locks the effect that matches a condition.
func (t domainTx) selectEffect(where string, args ...any) (effectRow, error) {
	var rows []effectRow
	if err := t.db.Raw("SELECT * FROM effects WHERE "+where+t.lockClause, args...).Scan(&rows).Error; err != nil {
		return effectRow{}, fmt.Errorf("read effect: %w", err)
	}
	if len(rows) == 0 {
		return effectRow{}, errors.New("effect does not exist")
	}
	return rows[0], nil
}

// Effect implements [response.Tx]. Callers must call it before they read the state that a refresh effect displays,
// because requests after Effect cause another run. It locks the incident before the effect, in the order of
// transactions that change an incident and then enqueue its effects.
func (t domainTx) Effect(job response.Job) (incident.Effect, bool, error) {
	if t.lockClause != "" {
		err := t.db.Exec("SELECT id FROM incidents WHERE id = (SELECT incident_id FROM effects WHERE id = ?)"+t.lockClause, job.Effect).Error
		if err != nil {
			return incident.Effect{}, false, fmt.Errorf("lock incident of effect: %w", err)
		}
	}
	row, err := t.selectEffect("id = ?", job.Effect)
	if err != nil {
		return incident.Effect{}, false, err
	}
	if token, ok := job.Token.(*jobToken); ok {
		token.requestedSeen, token.next = row.Requested, 0 // an earlier transaction of the attempt may have been rolled back
	}
	e, err := row.effect()
	return e, row.finished(), err
}

// FinishEffect implements [response.Tx]. It also starts the next effect of the lane.
func (t domainTx) FinishEffect(job response.Job, outcome response.EffectOutcome, result string, covered ...int64) error {
	token, err := tokenOf(job)
	if err != nil {
		return err
	}
	now := t.s.now()
	row, err := t.endEffect(job.Effect, string(outcome), now)
	if err != nil {
		return err
	}
	if err := t.writeLedger(row, outcome, result, now); err != nil {
		return err
	}
	for _, id := range covered {
		if err := t.endPending(id, row.Lane, outcome, result, now); err != nil {
			return err
		}
	}
	next, err := t.startNextInLane(row.Lane)
	if err != nil {
		return err
	}
	if err := t.endJob(token, next, now); err != nil {
		return err
	}
	if !row.Refresh || row.Requested == token.requestedSeen {
		return nil
	}
	return t.requeueRefresh(row)
}

// writeLedger records how an effect ended.
func (t domainTx) writeLedger(row effectRow, outcome response.EffectOutcome, result string, now time.Time) error {
	sealed, err := t.s.seal("ledger", rowKey(row.ID), "sealed_result", result)
	if err != nil {
		return err
	}
	err = t.db.Exec(`INSERT INTO ledger (effect_id, key, outcome, at, sealed_result) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (effect_id) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, sealed_result = excluded.sealed_result`,
		row.ID, row.Key, string(outcome), now, sealed).Error
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// endPending ends an effect of a lane that has not started. The caller has locked the lane.
func (t domainTx) endPending(id int64, lane string, outcome response.EffectOutcome, result string, now time.Time) error {
	row, err := t.selectEffect("id = ?", id)
	if err != nil {
		return err
	}
	if row.State != effectPending || row.Lane != lane || lane == "" {
		return fmt.Errorf("end effect %d: it does not wait in the lane", id)
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, ran_at = ? WHERE id = ?", string(outcome), now, id).Error; err != nil {
		return fmt.Errorf("end effect %d: %w", id, err)
	}
	return t.writeLedger(row, outcome, result, now)
}

// requeueRefresh enqueues a refresh effect that was requested again during its run.
func (t domainTx) requeueRefresh(row effectRow) error {
	if err := t.appendToLane(&row, map[string]int64{}); err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, lane_pos = ? WHERE id = ?", row.State, row.LanePos, row.ID).Error; err != nil {
		return fmt.Errorf("requeue effect %d: %w", row.ID, err)
	}
	if row.State == effectPending {
		return nil
	}
	return t.tx.enqueue(row.job(t.nextRun(row, time.Time{})))
}

func (t domainTx) SnoozeEffect(job response.Job, until time.Time) error {
	token, err := tokenOf(job)
	if err != nil {
		return err
	}
	row, err := t.lockEffect(job.Effect)
	if err != nil {
		return err
	}
	if err := t.tx.complete(token.task); err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE effects SET after = ? WHERE id = ?", dbTime(until), row.ID).Error; err != nil {
		return fmt.Errorf("snooze effect %d: %w", row.ID, err)
	}
	return t.tx.enqueue(row.job(until))
}

// endEffect sets the state of a performed effect and returns the effect.
func (t domainTx) endEffect(id int64, outcome string, now time.Time) (effectRow, error) {
	row, err := t.lockEffect(id)
	if err != nil {
		return row, err
	}
	row.State, row.RanAt = outcome, &now
	if row.Refresh {
		row.State = effectIdle
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, ran_at = ? WHERE id = ?", row.State, now, id).Error; err != nil {
		return row, fmt.Errorf("finish effect %d: %w", id, err)
	}
	return row, t.clearWait(&row)
}
