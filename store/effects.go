package store

import (
	"context"
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
	LanePos    int64 // position in the lane
	Refresh    bool
	Urgent     bool
	After      *time.Time
	Args       string
	State      string
	Requested  int64 // number of times enqueued. If it rises during a run, the effect runs again.
	RanAt      *time.Time
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`
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
	j := job{kind: kindEffect, queue: queueEffects, ids: []int64{r.ID}, at: at}
	if r.Urgent {
		j.queue = queuePage
	}
	return j
}

// jobToken is the [response.Job] token. It holds the attempt and the value of effectRow.Requested when the effect was
// loaded.
type jobToken struct {
	task          Task
	requestedSeen int64
	began         time.Time // when the job began, with its first effect
	next          int64     // the effect that the job continues with after the commit, or 0
}

// continueFor is how long a job may take up further effects of its lane. The last of them needs the rest of jobTimeout.
const continueFor = 5 * time.Second

// continues reports whether the job can take up an effect. Only a first attempt does, because the attempts of the job
// count for one effect.
func (t *jobToken) continues(next job, now time.Time) bool {
	return t.task.Attempt == 1 && t.task.job.Queue == next.queue && !next.at.After(now) && now.Sub(t.began) < continueFor
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
	for _, e := range effects {
		j, err := t.upsertEffect(e)
		if err != nil {
			return fmt.Errorf("enqueue %s: %w", e.Key, err)
		}
		jobs = append(jobs, j...)
	}
	return t.tx.enqueue(jobs...)
}

func (t domainTx) lockLane(lane string) error {
	if lane == "" {
		return nil
	}
	if err := t.tx.queue.lockLane(t.db, lane); err != nil {
		return fmt.Errorf("lock lane: %w", err)
	}
	return nil
}

// upsertEffect inserts the effect or requests its refresh. It returns the job that is due now, if any.
func (t domainTx) upsertEffect(e incident.Effect) ([]job, error) {
	args, err := json.Marshal(e.Args)
	if err != nil {
		return nil, fmt.Errorf("encode arguments: %w", err)
	}
	row := effectRow{Key: e.Key, Kind: string(e.Kind), IncidentID: int64(e.Incident), Seq: int64(e.Seq), Lane: e.Lane, Refresh: e.Refresh,
		Urgent: e.Urgent, After: timeOrNil(e.After), Args: string(args), CreatedAt: t.s.now()}
	if err := t.appendToLane(&row); err != nil {
		return nil, err
	}
	var ids []int64
	err = t.db.Raw(`INSERT INTO effects (key, kind, incident_id, seq, lane, lane_pos, refresh, urgent, after, args, state, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		row.Key, row.Kind, row.IncidentID, row.Seq, row.Lane, row.LanePos, row.Refresh, row.Urgent, row.After, row.Args, row.State, row.CreatedAt).Scan(&ids).Error
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		if !e.Refresh {
			return nil, nil // enqueued before
		}
		return t.requestRefresh(row)
	}
	row.ID = ids[0]
	if row.State == effectPending {
		return nil, nil
	}
	return []job{row.job(timeOrZero(row.After))}, nil
}

// appendToLane sets the row's state and position to the end of its lane. The state is available if the lane is empty,
// otherwise pending. The caller has locked the lane.
func (t domainTx) appendToLane(row *effectRow) error {
	row.State, row.LanePos = effectAvailable, 1
	if row.Lane == "" {
		return nil
	}
	var last int64
	err := t.db.Raw("SELECT coalesce(max(lane_pos), 0) FROM effects WHERE lane = ? AND state IN ('available', 'pending')", row.Lane).Scan(&last).Error
	if err != nil {
		return err
	}
	if last > 0 {
		row.State, row.LanePos = effectPending, last+1
	}
	return nil
}

// requestRefresh makes a refresh effect run again. If the effect is not finished, raising its request count is enough:
// the next run, or the end of the current run, reads the count.
func (t domainTx) requestRefresh(row effectRow) ([]job, error) {
	known, err := t.selectEffect("refresh AND incident_id = ? AND kind = ?", row.IncidentID, row.Kind)
	if err != nil {
		return nil, err
	}
	if !known.finished() {
		return nil, t.db.Exec("UPDATE effects SET requested = requested + 1, seq = ? WHERE id = ?", row.Seq, known.ID).Error
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
		token.requestedSeen = row.Requested
	}
	e, err := row.effect()
	return e, row.finished(), err
}

// FinishEffect implements [response.Tx]. It also starts the next effect of the lane.
func (t domainTx) FinishEffect(job response.Job, outcome response.EffectOutcome, result string) error {
	token, err := tokenOf(job)
	if err != nil {
		return err
	}
	row, err := t.lockEffect(job.Effect)
	if err != nil {
		return err
	}
	now := t.s.now()
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
	state := string(outcome)
	if row.Refresh {
		state = effectIdle
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, ran_at = ? WHERE id = ?", state, now, row.ID).Error; err != nil {
		return fmt.Errorf("finish effect %d: %w", row.ID, err)
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
	row.State, row.RanAt = effectIdle, &now
	return t.requeueRefresh(row)
}

// requeueRefresh enqueues a refresh effect that was requested again during its run.
func (t domainTx) requeueRefresh(row effectRow) error {
	if err := t.appendToLane(&row); err != nil {
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

// endJob completes the job of an effect and enqueues the next job, if any. It keeps the job for the next effect if it can.
func (t domainTx) endJob(token *jobToken, next *job, now time.Time) error {
	token.next = 0
	switch {
	case next == nil:
		return t.tx.complete(token.task)
	case !token.continues(*next, now):
		if err := t.tx.complete(token.task); err != nil {
			return err
		}
		return t.tx.enqueue(*next)
	}
	token.next = next.ids[0]
	return t.tx.continueWith(token.task, next.ids)
}

// startNextInLane makes the first unfinished effect of a lane available, unless it already is, and returns its job.
func (t domainTx) startNextInLane(lane string) (*job, error) {
	if lane == "" {
		return nil, nil
	}
	var rows []effectRow
	err := t.db.Raw("SELECT * FROM effects WHERE lane = ? AND state IN ('available', 'pending') ORDER BY lane_pos LIMIT 1", lane).Scan(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].State == effectAvailable {
		return nil, err
	}
	row := rows[0]
	if err := t.db.Exec("UPDATE effects SET state = 'available' WHERE id = ?", row.ID).Error; err != nil {
		return nil, fmt.Errorf("start effect %d: %w", row.ID, err)
	}
	next := row.job(t.nextRun(row, timeOrZero(row.After)))
	return &next, nil
}

func (t domainTx) SnoozeEffect(job response.Job, until time.Time) error {
	token, err := tokenOf(job)
	if err != nil {
		return err
	}
	if err := t.tx.complete(token.task); err != nil {
		return err
	}
	row, err := t.lockEffect(job.Effect)
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE effects SET after = ? WHERE id = ?", dbTime(until), row.ID).Error; err != nil {
		return fmt.Errorf("snooze effect %d: %w", row.ID, err)
	}
	return t.tx.enqueue(row.job(until))
}

// tokenOf returns the token of a job.
func tokenOf(job response.Job) (*jobToken, error) {
	token, ok := job.Token.(*jobToken)
	if !ok {
		return nil, fmt.Errorf("complete effect %d: job token is not from this store", job.Effect)
	}
	return token, nil
}

// lockEffect locks the lane of an effect and then the effect, in the order of Enqueue.
func (t domainTx) lockEffect(id int64) (effectRow, error) {
	var lane string
	if err := t.db.Raw("SELECT lane FROM effects WHERE id = ?", id).Scan(&lane).Error; err != nil {
		return effectRow{}, fmt.Errorf("read effect: %w", err)
	}
	if err := t.lockLane(lane); err != nil {
		return effectRow{}, err
	}
	return t.selectEffect("id = ?", id)
}

// effectHandler adapts [response.Desk.Perform] to the queue. A job continues with the next effect of its lane. It discards
// the effect if the last attempt fails, unless the error is an [incident.RetryAfter].
func (s *Store) effectHandler(perform func(context.Context, response.Job) error) handler {
	return func(ctx context.Context, task Task) error {
		token := &jobToken{task: task, began: s.now()}
		for {
			job := response.Job{Effect: task.IDs[0], Attempt: task.Attempt, Token: token}
			err := perform(ctx, job)
			var later *incident.RetryAfter
			switch {
			case err == nil && token.next != 0:
				task.IDs[0] = token.next // in the job, too, for reports about a failure
				token.next = 0
				continue
			case err == nil || !task.isLastAttempt() || errors.As(err, &later):
				return err
			}
			discardErr := s.Tx(context.WithoutCancel(ctx), func(t response.Tx) error {
				return t.FinishEffect(job, response.EffectDiscarded, fmt.Sprintf("all %d attempts failed", task.Attempt))
			})
			return errors.Join(err, discardErr)
		}
	}
}
