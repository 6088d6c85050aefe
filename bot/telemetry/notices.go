package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// Notice is about an optional part that does not work, or that works again.
type Notice struct {
	Part
	Since     time.Time
	Problem   *health.Problem // the last one
	Recovered time.Time       // since when the part works again, zero while it does not
	// IsLive reports whether an incident is live.
	IsLive bool
	// Working are the parts that notify people and work.
	Working []Part
}

// ErrNoWay reports that no way to notify people works.
var ErrNoWay = errors.New("no way to notify people works")

// The first notice about a part is sent after noticeDelay, or after liveDelay while an
// incident is live. It is repeated every noticeInterval. If a notice cannot be sent, it
// is sent again after noticeRetry.
const (
	noticeDelay    = 15 * time.Minute
	liveDelay      = 2 * time.Minute
	noticeInterval = 24 * time.Hour
	noticeRetry    = time.Minute
	// liveInterval is the time between two questions whether an incident is live.
	liveInterval = 10 * time.Second
)

// notices notifies people about parts that do not work.
type notices struct {
	send   func(context.Context, Notice) error
	isLive func(context.Context) (bool, error)
	clock  func() time.Time
	log    *slog.Logger

	live     bool // the last answer of isLive
	nextLive time.Time
}

// sendAll logs the changes of parts and sends the notices that are due.
func (n *notices) sendAll(ctx context.Context, reports []partReport, parts *Parts) {
	now := n.clock()
	other := func(part string) *health.Problem {
		if i := slices.IndexFunc(reports, func(r partReport) bool { return r.Name == part }); i >= 0 {
			return reports[i].problem
		}
		return nil
	}
	for _, r := range reports {
		if !r.isLogged && !r.isDerived && !r.ended {
			r.isLogged = true
			attrs := []any{"part", r.Name, "since", r.since, "cause", r.problem.Cause, "fix", r.problem.Fix}
			if r.problem.Err != nil {
				attrs = append(attrs, "err", r.problem.Err)
			}
			n.log.WarnContext(ctx, "part degraded", attrs...)
		}
		hasNotices := !r.WithoutNotice && !r.isDerived && n.send != nil
		if r.ended && r.isLogged { // the notice can be later, because other replicas have the fault
			r.isLogged = false
			n.log.InfoContext(ctx, "part recovered", "part", r.Name, "since", r.works)
		}
		switch {
		case r.ended && (!r.isNotified || !hasNotices || n.notify(ctx, r, parts, now)):
			parts.end(r.Name)
		case r.works.IsZero() && hasNotices && n.isDue(ctx, r, now) && (r.IsCovered == nil || !r.IsCovered(r.problem, other)):
			n.notify(ctx, r, parts, now)
		}
	}
}

// isDue reports whether a notice about an impairment is due. Interruptions do not count,
// because a system that limits the rate of requests now and then works.
func (n *notices) isDue(ctx context.Context, r partReport, now time.Time) bool {
	if r.isNotified {
		return !now.Before(r.nextNotice)
	}
	lasted := now.Sub(r.since) - r.worked
	return lasted >= noticeDelay || lasted >= liveDelay && n.hasLive(ctx, now)
}

// hasLive reports whether an incident is live. If it cannot be read, the last answer
// holds.
func (n *notices) hasLive(ctx context.Context, now time.Time) bool {
	if n.isLive == nil || now.Before(n.nextLive) {
		return n.live
	}
	n.nextLive = now.Add(liveInterval)
	live, err := n.isLive(ctx)
	if err != nil {
		n.log.WarnContext(ctx, "find live incidents failed", "retry_in", liveInterval, "err", err)
		return n.live
	}
	n.live = live
	return live
}

// notify sends a notice and reports whether nothing remains to be sent.
func (n *notices) notify(ctx context.Context, r partReport, parts *Parts, now time.Time) bool {
	if now.Before(r.retryAt) {
		return false
	}
	var recovered time.Time
	if r.ended {
		recovered = r.works
	}
	err := n.send(ctx, Notice{Part: r.Part, Since: r.since, Problem: r.problem, Recovered: recovered, IsLive: n.hasLive(ctx, now), Working: parts.ways()})
	if err == nil {
		parts.setNotified(r.Name, now)
		return true
	}
	if wait := new(incident.RetryAfter); errors.As(err, &wait) { // the last notice is too recent
		parts.setUnsent(r.Name, now.Add(wait.After-noticeRetry), false)
		return false
	}
	noWay := errors.Is(err, ErrNoWay)
	parts.setUnsent(r.Name, now, noWay && !r.ended)
	if noWay && !r.ended && !r.isMute() {
		return false
	}
	n.log.ErrorContext(ctx, "send notice of degraded part failed", "part", r.Name, "since", r.since, "cause", r.problem.Cause, "fix", r.problem.Fix, "retry_in", noticeRetry, "err", err)
	return r.ended && noWay
}
