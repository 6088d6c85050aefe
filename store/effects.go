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

// kindEffect is the job that performs one effect.
const kindEffect = "effect"

// refreshInterval is the least time between two runs of an effect that is kept current.
const refreshInterval = time.Second

// The states of an effect.
const (
	effectAvailable = "available" // it has a job
	effectPending   = "pending"   // others of its lane come first
	effectIdle      = "idle"      // kept current, and it is
	effectCompleted = "completed" // done for good
	effectDiscarded = "discarded" // it will never be done
)

// effectRow is a row of the table effects.
type effectRow struct {
	ID         int64 `gorm:"primaryKey"`
	Key        string
	Kind       string
	IncidentID int64
	Seq        int64
	Lane       string
	LanePos    int64 // the order within the lane
	Refresh    bool
	Urgent     bool
	After      *time.Time
	Args       string
	State      string
	Requested  int64 // how often it was enqueued: a run that began before the last time leaves it due
	RanAt      *time.Time
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`
}

func (effectRow) TableName() string { return "effects" }

func (r effectRow) finished() bool { return r.State != effectAvailable && r.State != effectPending }

func (r effectRow) effect() (incident.Effect, error) {
	e := incident.Effect{ID: r.ID, Key: r.Key, Kind: incident.EffectKind(r.Kind), Incident: incident.ID(r.IncidentID), Seq: int(r.Seq),
		Lane: r.Lane, Refresh: r.Refresh, Urgent: r.Urgent, After: timeOrZero(r.After)}
	if err := json.Unmarshal([]byte(r.Args), &e.Args); err != nil {
		return e, fmt.Errorf("decode the arguments of effect %d: %w", r.ID, err)
	}
	return e, nil
}

// job is the effect's next job, not before at.
func (r effectRow) job(at time.Time) job {
	j := job{kind: kindEffect, queue: queueEffects, ids: []int64{r.ID}, at: at}
	if r.Urgent {
		j.queue = queuePage
	}
	return j
}

// jobToken is response.Job.Token: the attempt, and how much had been wanted of the effect when it was loaded.
type jobToken struct {
	task          Task
	requestedSeen int64
}

func (t domainTx) Enqueue(effects ...incident.Effect) error {
	lanes := make([]string, 0, len(effects))
	for _, e := range effects {
		lanes = append(lanes, e.Lane)
	}
	slices.Sort(lanes) // one order for everybody who takes several
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
		return fmt.Errorf("lock a lane: %w", err)
	}
	return nil
}

// upsertEffect writes one effect and returns the job it needs now, if any.
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
			return nil, nil // said once
		}
		return t.requestRefresh(row)
	}
	row.ID = ids[0]
	if row.State == effectPending {
		return nil, nil
	}
	return []job{row.job(timeOrZero(row.After))}, nil
}

// appendToLane puts the row at the end of its lane, which is locked: due if it is alone there, else waiting.
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

// requestRefresh makes a kept effect due again. While it is due or waiting, being wanted once more is enough: the run to
// come, or the end of the one under way, sees it.
func (t domainTx) requestRefresh(row effectRow) ([]job, error) {
	known, err := t.effectRow("refresh AND incident_id = ? AND kind = ?", row.IncidentID, row.Kind)
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

// nextRun keeps the pause between two runs of a kept effect.
func (t domainTx) nextRun(row effectRow, after time.Time) time.Time {
	if !row.Refresh || row.RanAt == nil {
		return after
	}
	if rested := row.RanAt.Add(refreshInterval); rested.After(t.s.now()) && rested.After(after) {
		return rested
	}
	return after
}

// effectRow reads and locks one effect.
func (t domainTx) effectRow(where string, args ...any) (effectRow, error) {
	var rows []effectRow
	if err := t.db.Raw("SELECT * FROM effects WHERE "+where+t.lock, args...).Scan(&rows).Error; err != nil {
		return effectRow{}, fmt.Errorf("read an effect: %w", err)
	}
	if len(rows) == 0 {
		return effectRow{}, errors.New("the effect does not exist")
	}
	return rows[0], nil
}

// Effect must be called before the state that a kept effect shows is read: what is enqueued after it counts as unseen.
// It locks the incident before the effect, in the order of who changes an incident and then wants its effects.
func (t domainTx) Effect(job response.Job) (incident.Effect, bool, error) {
	var ids []int64
	err := t.db.Raw("SELECT id FROM incidents WHERE id = (SELECT incident_id FROM effects WHERE id = ?)"+t.lock, job.Effect).Scan(&ids).Error
	if err != nil {
		return incident.Effect{}, false, fmt.Errorf("lock the incident of an effect: %w", err)
	}
	row, err := t.effectRow("id = ?", job.Effect)
	if err != nil {
		return incident.Effect{}, false, err
	}
	if token, ok := job.Token.(*jobToken); ok {
		token.requestedSeen = row.Requested
	}
	e, err := row.effect()
	return e, row.finished(), err
}

func (t domainTx) CompleteEffect(job response.Job, result string) error {
	return t.finishEffect(job, effectCompleted, result)
}

func (t domainTx) DiscardEffect(job response.Job, reason string) error {
	return t.finishEffect(job, effectDiscarded, reason)
}

// finishEffect completes the job, writes the ledger and lets the next of the lane go.
func (t domainTx) finishEffect(job response.Job, outcome, result string) error {
	token, err := t.completeJob(job)
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
		row.ID, row.Key, outcome, now, sealed).Error
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	state := outcome
	if row.Refresh {
		state = effectIdle
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, ran_at = ? WHERE id = ?", state, now, row.ID).Error; err != nil {
		return fmt.Errorf("settle effect %d: %w", row.ID, err)
	}
	if err := t.startNextInLane(row.Lane); err != nil {
		return err
	}
	if !row.Refresh || row.Requested == token.requestedSeen {
		return nil
	}
	row.State, row.RanAt = effectIdle, &now
	return t.requeueRefresh(row)
}

// requeueRefresh makes a kept effect due that was wanted while it ran.
func (t domainTx) requeueRefresh(row effectRow) error {
	if err := t.appendToLane(&row); err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE effects SET state = ?, lane_pos = ? WHERE id = ?", row.State, row.LanePos, row.ID).Error; err != nil {
		return fmt.Errorf("want effect %d again: %w", row.ID, err)
	}
	if row.State == effectPending {
		return nil
	}
	return t.tx.enqueue(row.job(t.nextRun(row, time.Time{})))
}

// startNextInLane starts the first of a lane that waits, once nothing of it is due.
func (t domainTx) startNextInLane(lane string) error {
	if lane == "" {
		return nil
	}
	var rows []effectRow
	err := t.db.Raw("SELECT * FROM effects WHERE lane = ? AND state IN ('available', 'pending') ORDER BY lane_pos LIMIT 1", lane).Scan(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].State == effectAvailable {
		return err
	}
	row := rows[0]
	if err := t.db.Exec("UPDATE effects SET state = 'available' WHERE id = ?", row.ID).Error; err != nil {
		return fmt.Errorf("start effect %d: %w", row.ID, err)
	}
	return t.tx.enqueue(row.job(t.nextRun(row, timeOrZero(row.After))))
}

func (t domainTx) SnoozeEffect(job response.Job, until time.Time) error {
	if _, err := t.completeJob(job); err != nil {
		return err
	}
	row, err := t.lockEffect(job.Effect)
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE effects SET after = ? WHERE id = ?", dbTime(until), row.ID).Error; err != nil {
		return fmt.Errorf("postpone effect %d: %w", row.ID, err)
	}
	return t.tx.enqueue(row.job(until))
}

// completeJob completes the River job of this attempt, which fails if the attempt no longer holds it.
func (t domainTx) completeJob(job response.Job) (*jobToken, error) {
	token, ok := job.Token.(*jobToken)
	if !ok {
		return nil, fmt.Errorf("effect %d: the job was not given out by this store", job.Effect)
	}
	return token, t.tx.complete(token.task)
}

// lockEffect locks an effect and its lane, in the order in which Enqueue does.
func (t domainTx) lockEffect(id int64) (effectRow, error) {
	var lane string
	if err := t.db.Raw("SELECT lane FROM effects WHERE id = ?", id).Scan(&lane).Error; err != nil {
		return effectRow{}, fmt.Errorf("read an effect: %w", err)
	}
	if err := t.lockLane(lane); err != nil {
		return effectRow{}, err
	}
	return t.effectRow("id = ?", id)
}

// effectHandler adapts response.Desk.Perform to the queue.
func (s *Store) effectHandler(perform func(context.Context, response.Job) error) handler {
	return func(ctx context.Context, task Task) error {
		job := response.Job{Effect: task.IDs[0], Attempt: task.Attempt, Token: &jobToken{task: task}}
		err := perform(ctx, job)
		var later *incident.RetryAfter
		if err == nil || !task.isLastAttempt() || errors.As(err, &later) {
			return err
		}
		given := s.Tx(context.WithoutCancel(ctx), func(t response.Tx) error {
			return t.DiscardEffect(job, fmt.Sprintf("none of %d attempts succeeded", task.Attempt))
		})
		return errors.Join(err, given)
	}
}
