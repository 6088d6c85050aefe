package store

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/response"
)

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
	return t.task.Attempt == 1 && !next.repeat && t.task.job.Queue == next.queue && !next.at.After(now) && now.Sub(t.began) < continueFor
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

// tokenOf returns the token of a job.
func tokenOf(job response.Job) (*jobToken, error) {
	token, ok := job.Token.(*jobToken)
	if !ok {
		return nil, fmt.Errorf("complete effect %d: job token is not from this store", job.Effect)
	}
	return token, nil
}

// effectHandler adapts [response.Desk.Perform] to the queue. A job continues with the next effect of its lane. An effect
// is never discarded because attempts fail: if River discards the job, sweepEffects enqueues another.
func (s *Store) effectHandler(perform func(context.Context, response.Job) error) handler {
	return func(ctx context.Context, task Task) error {
		token := &jobToken{task: task, began: s.now()}
		for {
			job := response.Job{Effect: task.IDs[0], Attempt: task.Attempt, Token: token}
			err := perform(ctx, job)
			if err != nil || token.next == 0 {
				return err
			}
			task.IDs[0] = token.next // in the job, too, for reports about a failure
			token.next = 0
		}
	}
}
