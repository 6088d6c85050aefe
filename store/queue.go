package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/riverqueue/river"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// The queues. Paging has its own queue, so pages never wait for other jobs.
const (
	queueIntake  = "intake"
	queuePage    = "page"
	queueEffects = "effects"
	queueDefault = river.QueueDefault
)

// queueWorkers is the maximum number of concurrent jobs of each queue. The intake queue has one worker, because a
// second drain would decode the same rows. Effects wait for outside systems most of the time: if each call takes two
// seconds, 40 jobs do 20 of them per second. More of them would delay the pages of a storm on SQLite.
var queueWorkers = map[string]int{queueIntake: 1, queuePage: 10, queueEffects: 40, queueDefault: 4}

// lowLatencyQueues are the queues that an alert passes before responders are paged.
var lowLatencyQueues = map[string]bool{queueIntake: true, queuePage: true}

const (
	fetchCooldown      = 20 * time.Millisecond
	jobTimeout         = 60 * time.Second
	stuckJobTimeout    = 15 * time.Minute // fallback, because requeueOrphans and the rescuer handle most jobs sooner
	minSnooze          = 50 * time.Millisecond
	maxSnooze          = 5 * time.Minute // an outside system must not delay a page for longer
	minRetry           = time.Second
	maxRetry           = 5 * time.Minute
	maxAttempts        = 3000 // about ten days at maxRetry, to survive long outages of other systems
	completedRetention = 6 * time.Hour
	cancelledRetention = 7 * 24 * time.Hour
	discardedRetention = 30 * 24 * time.Hour
	sweepInterval      = 5 * time.Second
)

// LongJobTimeout is the maximum duration of a job of JobFuncs.LongScheduled. It is shorter than stuckJobTimeout.
const LongJobTimeout = 14 * time.Minute

// A Task is one attempt of a job.
type Task struct {
	Kind string
	IDs  []int64
	// Attempt counts all starts of the job, including this one, starts that a crash or shutdown interrupted, and starts
	// that were snoozed. If it is greater than 1, an effect may already be applied.
	Attempt int

	job *river.Job[jobArgs]
}

// isLastAttempt reports whether the job is discarded if this attempt fails.
func (t Task) isLastAttempt() bool { return t.job.Attempt >= t.job.MaxAttempts }

// A handler performs a task.
type handler func(ctx context.Context, task Task) error

// A Failure is a failed attempt of a job.
type Failure struct {
	Kind    string
	IDs     []int64
	Attempt int
	Err     error  // may contain text from other systems, so redact it before sending it elsewhere
	Final   bool   // the job will not be retried
	Stack   []byte // set if the handler panicked
}

// attemptError is the error that River stores and logs. It contains only the error class, because the text of the cause
// may contain personal data.
type attemptError struct{ reason string }

func (e attemptError) Error() string { return e.reason }

// worker calls the handler of one kind of job and converts its errors to River's results.
type worker struct {
	river.WorkerDefaults[jobArgs]
	handle    handler
	log       *slog.Logger
	onFailure func(Failure)
	inFlight  *inFlight
	panics    *panicLimiter
	bisect    *bisector     // nil for jobs that are not bisected
	timeout   time.Duration // zero for jobTimeout
}

// Timeout implements [river.Worker].
func (w *worker) Timeout(*river.Job[jobArgs]) time.Duration { return w.timeout }

// NextRetry implements [river.Worker].
func (w *worker) NextRetry(j *river.Job[jobArgs]) time.Time {
	return time.Now().Add(retryDelay(j.Attempt, rand.Int64N))
}

// retryDelay returns the delay before the next attempt. It doubles with each attempt up to maxRetry. Half of it is
// random, to spread jobs that failed together.
func retryDelay(attempt int, random func(int64) int64) time.Duration {
	delay := min(minRetry<<min(max(attempt, 1), 16), maxRetry)
	return max(delay/2+time.Duration(random(int64(delay/2)+1)), minRetry)
}

// snoozeDelay returns the delay of a job whose handler requested requested.
func snoozeDelay(requested time.Duration) time.Duration {
	return min(max(requested, minSnooze), maxSnooze)
}

// Work implements [river.Worker].
func (w *worker) Work(ctx context.Context, j *river.Job[jobArgs]) error {
	defer w.inFlight.begin(j.ID)()
	task := Task{Kind: j.Kind, IDs: j.Args.IDs, Attempt: j.Attempt + snoozeCount(j.Metadata), job: j}
	stack, at, err := w.call(ctx, task)
	var later *incident.RetryAfter
	switch {
	case err == nil:
		if w.bisect != nil {
			w.bisect.reset()
		}
		return nil
	case errors.As(err, &later):
		return river.JobSnooze(snoozeDelay(later.After))
	case errors.Is(err, errStale):
		w.log.Warn("job completed by a later attempt", "kind", j.Kind, "job", j.ID, "attempt", task.Attempt)
		return nil
	}
	if logged := new(response.LoggedError); !errors.As(err, &logged) {
		w.log.Warn("job failed", "kind", j.Kind, "job", j.ID, "attempt", task.Attempt, "final", task.isLastAttempt(), "err", err)
	}
	report := stack == nil || w.panics.allow(at)
	if w.onFailure != nil && (report || task.isLastAttempt()) {
		w.onFailure(Failure{Kind: j.Kind, IDs: j.Args.IDs, Attempt: task.Attempt, Err: err, Final: task.isLastAttempt(), Stack: stack})
	}
	if stack != nil && report {
		w.log.Error("job panicked", "kind", j.Kind, "job", j.ID, "stack", string(stack))
	}
	if stack != nil && w.bisect != nil {
		split, err := w.bisect.bisect(ctx, task)
		if split {
			return nil
		}
		if err != nil {
			w.log.Warn("bisect job failed", "kind", j.Kind, "job", j.ID, "err", err)
		}
	}
	return attemptError{errorClass(err)}
}

// call runs the handler. If it panics, call returns the stack, the site and a [panicError].
func (w *worker) call(ctx context.Context, task Task) (stack []byte, at panicSite, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack, at, err = debug.Stack(), currentPanicSite(), panicError{p}
		}
	}()
	return nil, panicSite{}, w.handle(ctx, task)
}

type panicError struct{ value any }

func (p panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// errorClass returns a short description of err that contains no text from outside. It is fixed text, an operating
// system error or an [incident.Code].
func errorClass(err error) string {
	var p panicError
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
	return "unexpected error"
}
