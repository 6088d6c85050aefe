// Package publication publishes the checkpoints of the notary's log. Their copies outside
// cannot be changed on the machine of Tocsin.
//
// [Publisher.Run] publishes the newest checkpoint by every [Way], at most once an hour and
// after each postmortem, and only if the log has grown. A way that fails is tried again a
// minute later, and does not delay the others.
package publication

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/notary"
)

// Interval is the time between two publications without a postmortem.
const Interval = time.Hour

// timeout limits one attempt of a way. It is shorter than the minute that a job may take.
const timeout = 40 * time.Second

// Log is the log of the notary in the database.
type Log interface {
	LatestCheckpoint(context.Context) (notary.Checkpoint, error)
	// LastPublished returns the newest published checkpoint, and when it was published.
	LastPublished(context.Context) (c notary.Checkpoint, at time.Time, err error)
	MarkPublished(context.Context, notary.Checkpoint) error
	// FirstCheckpoint returns the time of the oldest checkpoint.
	FirstCheckpoint(context.Context) (time.Time, error)
	// LastPostmortem returns when the newest postmortem was written.
	LastPostmortem(context.Context) (time.Time, error)
}

// Way is one way out of the machine.
type Way struct {
	Name string // such as "mail"
	// Publish can be called again with a checkpoint that it published already.
	Publish func(context.Context, notary.Checkpoint) error
	// Explain returns why Publish failed.
	Explain func(error) *health.Problem
}

// Publisher publishes checkpoints. It is safe for concurrent use.
type Publisher struct {
	log    Log
	clock  func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	pending notary.Checkpoint          // that some ways did not publish yet
	failed  map[string]*health.Problem // of these ways, by name
}

// New returns a Publisher.
func New(log Log, clock func() time.Time, logger *slog.Logger) *Publisher {
	return &Publisher{log: log, clock: clock, logger: logger.With("component", "publication"), failed: map[string]*health.Problem{}}
}

// Run publishes the newest checkpoint if it is due, and the last one by the ways that
// failed. It returns an error only if the database fails.
func (p *Publisher) Run(ctx context.Context, ways []Way) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	due, err := p.due(ctx)
	if err != nil {
		return fmt.Errorf("find checkpoint to publish: %w", err)
	}
	for name := range p.failed { // a reload can remove a way
		if !slices.ContainsFunc(ways, func(w Way) bool { return w.Name == name }) {
			delete(p.failed, name)
		}
	}
	if due.Size == 0 {
		ways = slices.DeleteFunc(slices.Clone(ways), func(w Way) bool { return p.failed[w.Name] == nil })
		due = p.pending
	}
	if due.Size == 0 || len(ways) == 0 {
		return nil
	}
	errs := make([]error, len(ways))
	var wg sync.WaitGroup
	for n, way := range ways {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			errs[n] = way.Publish(ctx, due)
		})
	}
	wg.Wait()
	p.pending = due
	for n, way := range ways {
		p.report(ctx, way, due, errs[n])
	}
	if !slices.Contains(errs, nil) {
		return nil
	}
	if err := p.log.MarkPublished(ctx, due); err != nil {
		return fmt.Errorf("record publication: %w", err)
	}
	return nil
}

// due returns the checkpoint to publish by all ways now. Its size is 0 if there is none.
func (p *Publisher) due(ctx context.Context) (none notary.Checkpoint, err error) {
	latest, err := p.log.LatestCheckpoint(ctx)
	if err != nil || latest.Size == 0 {
		return none, err
	}
	last, at, err := p.log.LastPublished(ctx)
	if err != nil || latest.Size <= last.Size {
		return none, err
	}
	if last.Size == 0 {
		if at, err = p.log.FirstCheckpoint(ctx); err != nil {
			return none, err
		}
	}
	if p.clock().Sub(at) >= Interval {
		return latest, nil
	}
	postmortem, err := p.log.LastPostmortem(ctx)
	if err != nil || !postmortem.After(last.At) || latest.At.Before(postmortem.Truncate(time.Second)) {
		return none, err
	}
	return latest, nil
}

// report remembers the result of one way.
func (p *Publisher) report(ctx context.Context, way Way, c notary.Checkpoint, err error) {
	if err == nil {
		if p.failed[way.Name] != nil {
			p.logger.InfoContext(ctx, "checkpoint publication works again", "way", way.Name)
		}
		delete(p.failed, way.Name)
		return
	}
	problem := *way.Explain(err)
	problem.Since = p.clock()
	if earlier := p.failed[way.Name]; earlier != nil {
		problem.Since = earlier.Since
	}
	p.failed[way.Name] = &problem
	p.logger.WarnContext(ctx, "publish checkpoint failed", "way", way.Name, "size", c.Size, "retry_in", time.Minute, "err", err)
}

// Check returns a [*health.Problem] if the last checkpoint was not published by all ways.
func (p *Publisher) Check(time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	var first *health.Problem
	for name, problem := range p.failed {
		names = append(names, name)
		if first == nil || problem.Since.Before(first.Since) || problem.Since.Equal(first.Since) && problem.Cause < first.Cause {
			first = problem
		}
	}
	if first == nil {
		return nil
	}
	slices.Sort(names)
	out := *first
	out.Cause = fmt.Sprintf("Checkpoints are not published by %s: %s", strings.Join(names, ", "), first.Cause)
	return &out
}
