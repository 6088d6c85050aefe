package store

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/gorm"
)

// riverVersions is the table of the versions of River's schema.
const riverVersions = "river_migration"

// isRiverTable reports whether a table belongs to River.
func isRiverTable(name string) bool { return strings.HasPrefix(name, "river_") }

// This file contains all SQL on River's tables and everything else that depends on their schema. TestRiverContract
// checks that the pinned version of River has this schema and behavior.

// riverDialect is the SQL on River's tables that differs between the two databases.
type riverDialect struct {
	// now is the current time, in the format of River's columns.
	now string
	// json converts an argument to the format of River's columns.
	json string
	// heldBy is a condition on the job of a replica, and ledBy on the leadership of a replica. Both have one argument:
	// the replica id. They are empty if only one process works the jobs of the database, which then owns all of them.
	heldBy, ledBy string
}

var (
	riverSQLite   = riverDialect{now: "datetime('now', 'subsec')", json: "jsonb(?)"}
	riverPostgres = riverDialect{now: "now()", json: "CAST(? AS jsonb)", heldBy: "attempted_by[array_upper(attempted_by, 1)] = ?", ledBy: "leader_id = ?"}
)

// of returns a condition and its arguments for a replica.
func (riverDialect) of(condition, replica string) (string, []any) {
	if condition == "" {
		return "true", nil
	}
	return condition, []any{replica}
}

// jobUnfinished is the condition on a job that River has not completed, cancelled or discarded.
const jobUnfinished = "state IN ('available', 'pending', 'retryable', 'running', 'scheduled')"

// schedulerInterval is how often River's scheduler makes due jobs available. It is fixed.
const schedulerInterval = 5 * time.Second

// riverRescueAfter disables River's rescuer, which makes a job available again under the same id. See requeueRunning.
const riverRescueAfter = 100 * 365 * 24 * time.Hour

// riverConfig returns the configuration shared by clients that insert and clients that work jobs. Inserts notify a
// queue at most once per cooldown. Other jobs wait for the next poll.
func riverConfig(log *slog.Logger, cooldown time.Duration) *river.Config {
	return &river.Config{MaxAttempts: maxAttempts, FetchCooldown: cooldown, Logger: warnLogger(log.With("component", "queue"))}
}

// jobArgs holds the arguments of a job. They are row ids, never content.
type jobArgs struct {
	kind string
	IDs  []int64 `json:"ids"`
}

// Kind implements [river.JobArgs].
func (a jobArgs) Kind() string { return a.kind }

// argID returns the SQL expression for one of the ids in a job's arguments.
func argID(n int) string { return fmt.Sprintf("CAST(args -> 'ids' ->> %d AS bigint)", n) }

// job is a job to be enqueued.
type job struct {
	kind  string
	queue string // empty means queueDefault
	ids   []int64
	at    time.Time // earliest start, or zero for immediately
	// repeat is set if an earlier attempt may have applied the effect. The job counts that attempt before its first.
	repeat bool
}

// enqueue adds jobs that exist only if the transaction commits.
func (t *tx) enqueue(jobs ...job) error {
	_, err := t.insertJobs(jobs)
	return err
}

func (t *tx) insertJobs(jobs []job) (ids []int64, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{
			Args:       jobArgs{j.kind, j.ids},
			InsertOpts: &river.InsertOpts{Queue: j.queue, ScheduledAt: j.at},
		}
	}
	inserted, err := t.queue.insert(t.ctx, params)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	var repeated []int64
	for n, j := range inserted {
		ids = append(ids, j.Job.ID)
		if n < len(jobs) && jobs[n].repeat {
			repeated = append(repeated, j.Job.ID)
		}
	}
	if len(repeated) > 0 {
		if err := t.db.Exec("UPDATE river_job SET attempt = 1 WHERE id IN ?", repeated).Error; err != nil {
			return nil, fmt.Errorf("count earlier attempts: %w", err)
		}
	}
	return ids, t.expedite(inserted)
}

// expediteJobs makes jobs available now that wait for their time or for a retry.
func (t *tx) expediteJobs(ids []int64) error {
	err := t.db.Exec("UPDATE river_job SET state = 'available', scheduled_at = "+t.river.now+" WHERE id IN ? AND state IN ('available', 'retryable', 'scheduled')", ids).Error
	if err != nil {
		return fmt.Errorf("expedite jobs: %w", err)
	}
	return nil
}

// endWaitingJob ends a job that waits for its time. It returns false if the job runs or has ended.
func (t *tx) endWaitingJob(id int64) (bool, error) {
	updated := t.db.Exec("UPDATE river_job SET state = 'completed', finalized_at = "+t.river.now+" WHERE id = ? AND state IN ('available', 'retryable', 'scheduled')", id)
	if updated.Error != nil {
		return false, fmt.Errorf("end job: %w", updated.Error)
	}
	return updated.RowsAffected > 0, nil
}

// expediteRetries makes all jobs of a kind available now that wait for a retry.
func (t *tx) expediteRetries(kind string) error {
	err := t.db.Exec("UPDATE river_job SET state = 'available', scheduled_at = "+t.river.now+" WHERE kind = ? AND state = 'retryable'", kind).Error
	if err != nil {
		return fmt.Errorf("expedite retries: %w", err)
	}
	return nil
}

// expedite makes jobs available now that are due within River's scheduling interval. River still starts them at their
// time, but without a delay of up to one interval until the scheduler runs.
func (t *tx) expedite(jobs []*rivertype.JobInsertResult) error {
	var soon []int64
	for _, j := range jobs {
		if j.Job.State == rivertype.JobStateScheduled && time.Until(j.Job.ScheduledAt) <= schedulerInterval {
			soon = append(soon, j.Job.ID)
		}
	}
	if len(soon) == 0 {
		return nil
	}
	if err := t.db.Exec("UPDATE river_job SET state = 'available' WHERE id IN ?", soon).Error; err != nil {
		return fmt.Errorf("expedite jobs: %w", err)
	}
	return nil
}

// complete completes the task's job in this transaction. If another attempt has the job, it returns [errStale], and the
// caller must roll back.
func (t *tx) complete(task Task) error {
	if err := t.updateHeld(task, "state = 'completed', finalized_at = "+t.river.now); err != nil {
		return fmt.Errorf("complete job: %w", err)
	}
	return nil
}

// continueWith lets the running attempt of a task go on with other ids, as a new job would. It saves completing one job,
// inserting the next and fetching it. If the process dies, the job is requeued with the other ids. If another attempt has
// the job, it returns [errStale], and the caller must roll back.
func (t *tx) continueWith(task Task, ids []int64) error {
	args, err := json.Marshal(jobArgs{IDs: ids})
	if err != nil {
		return fmt.Errorf("encode arguments: %w", err)
	}
	if err := t.updateHeld(task, "attempted_at = "+t.river.now+", args = "+t.river.json, string(args)); err != nil {
		return fmt.Errorf("continue job: %w", err)
	}
	return nil
}

// updateHeld updates the job of a task that this attempt still has.
func (t *tx) updateHeld(task Task, set string, args ...any) error {
	updated := t.db.Exec("UPDATE river_job SET "+set+" WHERE id = ? AND state = 'running' AND attempt = ?", append(args, task.job.ID, task.job.Attempt)...)
	switch {
	case updated.Error != nil:
		return updated.Error
	case updated.RowsAffected == 0:
		return errStale
	}
	return nil
}

// requeueRunning replaces the running jobs that match a condition with new jobs that are available now, and returns
// the ids of the old jobs. Earlier attempts still count towards the maximum.
//
// The new job has another id, because River completes, retries and snoozes a job by its id and not by its attempt. If
// the worker of the old attempt continues later, its result applies to no job, and not to the new attempt.
func (t *tx) requeueRunning(condition string, args ...any) (old []int64, err error) {
	err = t.db.Raw("SELECT id FROM river_job WHERE state = 'running' AND "+condition+" ORDER BY id"+t.queue.rowLockClause(), args...).Scan(&old).Error
	if err != nil {
		return nil, fmt.Errorf("find running jobs: %w", err)
	}
	if len(old) == 0 {
		return nil, nil
	}
	const kept = "args, attempt, attempted_at, attempted_by, created_at, errors, kind, max_attempts, metadata, priority, queue, scheduled_at, tags"
	err = t.db.Exec("INSERT INTO river_job (state, "+kept+") SELECT 'available', "+kept+" FROM river_job WHERE id IN ? ORDER BY id", old).Error
	if err != nil {
		return nil, fmt.Errorf("copy running jobs: %w", err)
	}
	if err := t.db.Exec("DELETE FROM river_job WHERE id IN ?", old).Error; err != nil {
		return nil, fmt.Errorf("delete running jobs: %w", err)
	}
	return old, nil
}

// requeueHeldBy requeues the running jobs of a replica and removes its leadership.
func (t *tx) requeueHeldBy(replica string) (requeued int, err error) {
	condition, args := t.river.of(t.river.heldBy, replica)
	old, err := t.requeueRunning(condition, args...)
	if err != nil {
		return 0, err
	}
	condition, args = t.river.of(t.river.ledBy, replica)
	return len(old), t.db.Exec("DELETE FROM river_leader WHERE "+condition, args...).Error
}

// requeueAttempt requeues a job if the given attempt still runs, and reports whether it did.
func (t *tx) requeueAttempt(a runningAttempt) (bool, error) {
	old, err := t.requeueRunning("id = ? AND attempt = ?", a.ID, a.Attempt)
	return len(old) > 0, err
}

// runningAttempt is an attempt of a job that the database has as running.
type runningAttempt struct {
	ID      int64
	Attempt int
}

// runningAttempts returns the attempts of a replica that are running, and the attempts of all replicas that are running
// since before stuck.
func runningAttempts(db *gorm.DB, dialect riverDialect, replica string, stuck time.Time) (held, late []runningAttempt, err error) {
	var rows []struct {
		ID      int64
		Attempt int
		Late    bool
	}
	condition, args := dialect.of(dialect.heldBy, replica)
	query := "SELECT id, attempt, late FROM (SELECT id, attempt, " + condition + " AS held, attempted_at < ? AS late FROM river_job WHERE state = 'running') AS running WHERE held OR late"
	if err := db.Raw(query, append(args, dbTime(stuck))...).Scan(&rows).Error; err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		if attempt := (runningAttempt{row.ID, row.Attempt}); row.Late {
			late = append(late, attempt)
		} else {
			held = append(held, attempt)
		}
	}
	return held, late, nil
}

// hasWaitingDrain reports whether a drain of all rows from an id on waits to start, and locks it. The lock delays the
// drain until after this commit.
func (t *tx) hasWaitingDrain(from int64) (bool, error) {
	var waiting []int64
	err := t.db.Raw(`SELECT id FROM river_job WHERE state = 'available' AND queue = ? AND kind = ? AND scheduled_at <= `+t.river.now+`
		AND `+argID(0)+` <= ? AND `+argID(1)+` = ? ORDER BY id LIMIT 1`+t.queue.rowLockClause(),
		queueIntake, kindDrain, from, int64(noUpperBound)).Scan(&waiting).Error
	return len(waiting) > 0, err
}

// effectsWithoutJob returns the due effects that should have a job but have none, at most limit. The first condition is
// that of the index of unfinished effects.
func effectsWithoutJob(db *gorm.DB, now time.Time, limit int) (ids []int64, err error) {
	err = db.Raw("SELECT id FROM effects WHERE state IN ('available', 'pending') AND state = 'available' AND NOT held AND (after IS NULL OR after <= ?) AND id NOT IN ("+
		"SELECT "+argID(0)+" FROM river_job WHERE kind = ? AND "+jobUnfinished+") ORDER BY id LIMIT ?", now, kindEffect, limit).Scan(&ids).Error
	return ids, err
}

// effectsWithJob returns the effects of ids that have an unfinished job.
func (t *tx) effectsWithJob(ids []int64) (with []int64, err error) {
	err = t.db.Raw("SELECT "+argID(0)+" FROM river_job WHERE kind = ? AND "+jobUnfinished+" AND "+argID(0)+" IN ?", kindEffect, ids).Scan(&with).Error
	return with, err
}

// deliveriesWithoutDrain returns unhandled deliveries that no unfinished drain reads and that are not held, at most sweepEffectsBatch. If ids
// is not nil, it looks only at these.
func deliveriesWithoutDrain(db *gorm.DB, ids []int64) (lost []int64, err error) {
	where, args := "", []any{queueIntake, kindDrain}
	if ids != nil {
		where, args = "AND inbox.id IN ? ", append(args, ids)
	}
	err = db.Raw("SELECT inbox.id FROM inbox WHERE handled_at IS NULL AND inbox.id > "+lastHeldDelivery+" AND NOT EXISTS (SELECT 1 FROM river_job WHERE queue = ? AND kind = ? AND "+jobUnfinished+
		" AND "+argID(0)+" <= inbox.id AND "+argID(1)+" >= inbox.id) "+where+"ORDER BY inbox.id LIMIT ?", append(args, sweepEffectsBatch)...).Scan(&lost).Error
	return lost, err
}

// pingJobs returns an error if the jobs cannot be read.
func pingJobs(db *gorm.DB) error { return db.Exec("SELECT 1 FROM river_job LIMIT 1").Error }

// snoozeCount returns how often River snoozed the job. River does not count snoozed attempts in Job.Attempt.
func snoozeCount(metadata []byte) int {
	var m struct {
		Snoozes int `json:"snoozes"`
	}
	_ = json.Unmarshal(metadata, &m) // the field is absent before the first snooze
	return m.Snoozes
}
