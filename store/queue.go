package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"tocsin/bot/incident"
)

// The queues and how many jobs of each run at once. Paging has its own and never waits for anything else.
const (
	queueIntake  = "intake"
	queuePage    = "page"
	queueEffects = "effects"
	queueDefault = river.QueueDefault
)

// What is in the inbox is one stretch of rows: a second drain would only decode it twice.
var queueWorkers = map[string]int{queueIntake: 1, queuePage: 10, queueEffects: 16, queueDefault: 4}

// lowLatencyQueues are the queues between an alert and its page.
var lowLatencyQueues = map[string]bool{queueIntake: true, queuePage: true}

const (
	fetchCooldown = 20 * time.Millisecond
	jobTimeout    = 60 * time.Second
	rescueAfter   = 15 * time.Minute // a backstop: recovery at start is what normally takes up lost jobs
	minSnooze     = 50 * time.Millisecond
	minRetry      = time.Second
	maxRetry      = 5 * time.Minute
	maxAttempts   = 3000 // ten days at maxRetry: an effect outlives a long outage of the other side
	keepCompleted = 6 * time.Hour
	keepCancelled = 7 * 24 * time.Hour
	keepDiscarded = 30 * 24 * time.Hour
	sweepInterval = 5 * time.Second

	schedulerInterval = 5 * time.Second // River's own
)

// jobArgs are what a job carries through the queue: ids of rows, never their content.
type jobArgs struct {
	kind string
	IDs  []int64 `json:"ids"`
}

// Kind implements river.JobArgs.
func (a jobArgs) Kind() string { return a.kind }

// job is a job to be enqueued.
type job struct {
	kind  string
	queue string // queueDefault if empty
	ids   []int64
	at    time.Time // not before; at once if zero
}

// enqueue adds jobs that exist if, and only if, the transaction commits.
func (t *tx) enqueue(jobs ...job) error {
	if len(jobs) == 0 {
		return nil
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
		return fmt.Errorf("enqueue: %w", err)
	}
	return t.expedite(inserted)
}

// expedite makes jobs that are due within River's scheduling interval available now. Their time is still respected,
// but they need not wait for the scheduler, which comes by only once in that interval.
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

// complete ends the task's job in this transaction. The context of the transaction must come from the handler. It fails
// with errStale, and so rolls everything back, if the job was meanwhile given to another attempt.
func (t *tx) complete(task Task) error {
	var held int64
	err := t.db.Raw("SELECT count(*) FROM (SELECT id FROM river_job WHERE id = ? AND state = 'running' AND attempt = ?"+
		t.queue.rowLock()+") AS held", task.job.ID, task.job.Attempt).Scan(&held).Error
	if err != nil {
		return fmt.Errorf("look up the job: %w", err)
	}
	if held == 0 {
		return errStale
	}
	if err := t.queue.complete(t.ctx, task.job); err != nil {
		return fmt.Errorf("complete the job: %w", err)
	}
	return nil
}

// A Task is one attempt at a job.
type Task struct {
	Kind string
	IDs  []int64
	// Attempt counts every start of the job, this one included: also those that a crash or a shutdown cut short and
	// those that ended with a wish to be called later. Above 1, an effect may already have landed.
	Attempt int

	job *river.Job[jobArgs]
}

// isLastAttempt says whether a failure of this attempt ends the job.
func (t Task) isLastAttempt() bool { return t.job.Attempt >= t.job.MaxAttempts }

// A handler does a task.
type handler func(ctx context.Context, task Task) error

// A Failure is an attempt of a job that failed.
type Failure struct {
	Kind    string
	IDs     []int64
	Attempt int
	Err     error  // may quote what another system said: redact before it leaves the house
	Final   bool   // the job will not be tried again
	Stack   []byte // set if the handler panicked
}

// attemptError is what River keeps and logs of a failure: never the words of the cause, which may be somebody's data.
type attemptError struct{ reason string }

func (e attemptError) Error() string { return e.reason }

// worker calls the handlers of one kind and turns their errors into what River should do.
type worker struct {
	river.WorkerDefaults[jobArgs]
	handle    handler
	log       *slog.Logger
	onFailure func(Failure)
	underway  *inFlight
	panics    *panicLimiter
	bisect    *bisector // nil: what panics is tried again as it is
}

func (w *worker) NextRetry(j *river.Job[jobArgs]) time.Time {
	return time.Now().Add(retryDelay(j.Attempt, rand.Int64N))
}

// retryDelay doubles with each attempt up to maxRetry; the half of it is random, so that what failed together does not
// come back together.
func retryDelay(attempt int, random func(int64) int64) time.Duration {
	delay := min(minRetry<<min(max(attempt, 1), 16), maxRetry)
	return max(delay/2+time.Duration(random(int64(delay/2)+1)), minRetry)
}

func (w *worker) Work(ctx context.Context, j *river.Job[jobArgs]) error {
	defer w.underway.begin(j.ID)()
	task := Task{Kind: j.Kind, IDs: j.Args.IDs, Attempt: j.Attempt + snoozes(j.Metadata), job: j}
	stack, at, err := w.call(ctx, task)
	var later *incident.RetryAfter
	switch {
	case err == nil:
		if w.bisect != nil {
			w.bisect.reset()
		}
		return nil
	case errors.As(err, &later):
		return river.JobSnooze(max(later.After, minSnooze))
	case errors.Is(err, errStale):
		w.log.Warn("a job was done by a later attempt", "kind", j.Kind, "job", j.ID, "attempt", task.Attempt)
		return nil
	}
	w.log.Warn("a job failed", "kind", j.Kind, "job", j.ID, "attempt", task.Attempt, "final", task.isLastAttempt(), "reason", errorClass(err))
	report := stack == nil || w.panics.allow(at)
	if w.onFailure != nil && (report || task.isLastAttempt()) {
		w.onFailure(Failure{Kind: j.Kind, IDs: j.Args.IDs, Attempt: task.Attempt, Err: err, Final: task.isLastAttempt(), Stack: stack})
	}
	if stack != nil && report {
		w.log.Error("a job panicked", "kind", j.Kind, "job", j.ID, "stack", string(stack))
	}
	if stack != nil && w.bisect != nil {
		narrowed, wrong := w.bisect.bisect(ctx, task)
		if narrowed {
			return nil
		}
		if wrong != nil {
			w.log.Warn("the work of a job could not be narrowed down", "kind", j.Kind, "job", j.ID, "reason", errorClass(wrong))
		}
	}
	return attemptError{errorClass(err)}
}

// call runs the handler; a panic is a failure like another.
func (w *worker) call(ctx context.Context, task Task) (stack []byte, at panicSite, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack, at, err = debug.Stack(), currentPanicSite(), panicked{p}
		}
	}()
	return nil, panicSite{}, w.handle(ctx, task)
}

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// errorClass names the class of an error in words of our own, or of the operating system's.
func errorClass(err error) string {
	var p panicked
	var errno syscall.Errno
	switch {
	case errors.As(err, &p):
		return "panic"
	case errors.Is(err, ErrUnavailable):
		return ErrUnavailable.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &errno):
		return errno.Error()
	}
	if code := incident.CodeOf(err); code != "" {
		return string(code)
	}
	return fmt.Sprintf("%T", rootCause(err))
}

// rootCause is the error behind all wrapping; of several that were joined, the first one's.
func rootCause(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // it is the wrapping itself that is looked at
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// snoozes reads how often River put the job off; each time it took the attempt back.
func snoozes(metadata []byte) int {
	var m struct {
		Snoozes int `json:"snoozes"`
	}
	_ = json.Unmarshal(metadata, &m) // River's own field: absent before the first snooze
	return m.Snoozes
}

// riverConfig is what both kinds of client share: the one that inserts, and the one that works. An insert notifies its
// queue at most once in the cooldown; what is held back waits for the next poll.
func riverConfig(log *slog.Logger, cooldown time.Duration) *river.Config {
	return &river.Config{MaxAttempts: maxAttempts, FetchCooldown: cooldown, Logger: warnLogger(log.With("component", "queue"))}
}
