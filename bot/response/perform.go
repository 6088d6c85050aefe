package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// How an attempt at an effect ended.
const (
	effectCompleted = "completed"
	effectSkipped   = "skipped"
	effectFailed    = "failed"
	effectSnoozed   = "snoozed"
	effectDiscarded = "discarded"
)

// Perform makes one attempt at an effect. It looks at the ledger, redacts the
// brief, calls the handler, and commits the result, the ledger row and the end
// of the job together. An error means: call again, after the time that an
// *incident.RetryAfter inside it names. nil means that the job is ended.
func (d *Desk) Perform(ctx context.Context, job Job) error {
	began := d.Now()
	a := &attempt{desk: d, job: job}
	outcome, err := a.perform(ctx)
	if d.Observer != nil && a.effect.Kind != "" {
		d.Observer.EffectDone(string(a.effect.Kind), outcome, d.Now().Sub(began))
	}
	if err != nil {
		return fmt.Errorf("perform %s of %s: %w", a.effect.Kind, a.effect.Incident, err)
	}
	return nil
}

// attempt is one attempt at an effect.
type attempt struct {
	desk     *Desk
	job      Job
	effect   incident.Effect
	brief    incident.Brief
	finished bool // nothing is left to do outside
}

func (a *attempt) perform(ctx context.Context) (outcome string, err error) {
	if err := a.desk.write(ctx, a.begin); err != nil {
		return effectFailed, err
	}
	if a.finished {
		return effectSkipped, nil
	}
	if inside := a.localHandler(); inside != nil {
		return effectCompleted, a.desk.write(ctx, inside)
	}
	cmd, err := a.call(ctx)
	if err != nil {
		return a.failed(ctx, err)
	}
	return effectCompleted, a.desk.write(ctx, func(s *session) error { return a.commitResult(s, cmd) })
}

// begin looks whether there is anything to do and gathers the brief. For a page
// it commits that the page starts now, before the call goes out.
func (a *attempt) begin(s *session) error {
	e, done, err := s.tx.Effect(a.job)
	if err != nil {
		return fmt.Errorf("read the effect: %w", err)
	}
	a.effect, a.finished = e, done
	if done || a.localHandler() != nil {
		return nil
	}
	skip := func(why string) error {
		a.finished = true
		return s.tx.CompleteEffect(a.job, why)
	}
	if a.handler() == nil {
		return skip("nobody is connected to do this")
	}
	if slices.Contains(channelEffects, e.Kind) {
		dr, err := s.draft(e.Incident)
		if err != nil {
			return err
		}
		if dr.inc.Links[incident.LinkChannel] == "" {
			return skip("there is no channel")
		}
	}
	if e.Kind == incident.EffectPage {
		err := s.doAsBot(e.Incident, incident.Command{Verb: incident.VerbPage, Round: intArg(e, "round"), EscalationStep: intArg(e, "escalation_step")})
		if incident.CodeOf(err) != "" {
			return skip("not owed any more")
		}
		if err != nil {
			return err
		}
	}
	a.brief, err = s.brief(e, a.job.Attempt)
	return err
}

// handler finds who carries the effect out; pages by their route.
func (a *attempt) handler() Handler {
	if a.effect.Kind != incident.EffectPage {
		return a.desk.Handlers[a.effect.Kind]
	}
	if route := intArg(a.effect, "escalation_step"); route < len(a.desk.Pages) {
		return a.desk.Pages[route]
	}
	return nil
}

// call lets the handler act. It gets less time than the job has, so that what
// came of it can still be written down.
func (a *attempt) call(ctx context.Context) (incident.Command, error) {
	limit := a.desk.EffectTimeout
	if a.effect.Kind == incident.EffectPage {
		limit = a.desk.PageTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.handler()(ctx, a.brief, a.effect)
}

// commitResult records what the handler brought back. The effect has happened: a
// result that the lifecycle refuses by now is noted in the ledger, no more. An
// attempt that no longer holds its job is stopped by Finish. The effect is not
// read again here: what a kept-current one missed since is found by that.
func (a *attempt) commitResult(s *session, cmd incident.Command) error {
	if cmd.Verb == "" && a.effect.Kind == incident.EffectPage {
		cmd = incident.Command{Verb: incident.VerbPaged, Round: intArg(a.effect, "round"), EscalationStep: intArg(a.effect, "escalation_step")}
	}
	result := "done"
	if cmd.Verb != "" {
		cmd.Effect = a.effect.Key
		err := s.doAsBot(a.effect.Incident, cmd)
		switch {
		case incident.CodeOf(err) != "":
			result = "done; the result was refused: " + err.Error()
		case err != nil:
			return err
		}
	}
	return s.finish(a.job, result)
}

// finish writes the ledger row and ends the job.
func (s *session) finish(job Job, result string) error {
	if err := s.tx.CompleteEffect(job, result); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return nil
}

// failed decides what a failure means: wait, try again or give up. A page that
// failed is said at once, so that the next route goes; its own route is tried
// on for as long as the page is owed.
func (a *attempt) failed(ctx context.Context, cause error) (string, error) {
	if ctx.Err() != nil {
		return effectFailed, cause // interrupted: nothing is known about the other side
	}
	permanent := new(incident.Permanent)
	var giveUp bool
	err := a.desk.write(ctx, func(s *session) error {
		giveUp = errors.As(cause, &permanent) || a.expired(s.now)
		a.finished = false
		if a.effect.Kind == incident.EffectPage {
			if owed, err := a.pageFailed(s, cause); !owed || err != nil {
				return err
			}
		}
		if !giveUp {
			return nil
		}
		if a.shouldAnnounce() {
			err := s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbEffectFailed, Effect: a.effect.Key, Text: truncate(cause.Error())})
			if err != nil && incident.CodeOf(err) == "" {
				return err
			}
		}
		if err := s.tx.DiscardEffect(a.job, cause.Error()); err != nil {
			return fmt.Errorf("give up: %w", err)
		}
		return nil
	})
	if err != nil {
		return effectFailed, errors.Join(cause, err)
	}
	if a.finished {
		return effectSkipped, nil
	}
	if giveUp {
		if a.desk.OnDiscard != nil {
			a.desk.OnDiscard(DiscardedEffect{Effect: a.effect, Err: cause})
		}
		return effectDiscarded, nil
	}
	if wait := new(incident.RetryAfter); errors.As(cause, &wait) {
		return effectSnoozed, cause
	}
	return effectFailed, cause
}

// pageFailed says that a route did not take the page. One that nobody waits for
// any more is ended instead.
func (a *attempt) pageFailed(s *session, cause error) (owed bool, err error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return false, err
	}
	round := intArg(a.effect, "round")
	if !dr.inc.NeedsPage() || dr.inc.Paging.Round != round {
		a.finished = true
		return false, s.finish(a.job, "failed, and not owed any more")
	}
	err = s.doAsBot(dr.inc.ID, incident.Command{Verb: incident.VerbPageFailed, Round: round, EscalationStep: intArg(a.effect, "escalation_step"),
		Text: truncate(cause.Error()), Effect: a.effect.Key})
	if incident.CodeOf(err) != "" {
		err = nil
	}
	return true, err
}

// expired reports whether the effect was tried for long enough. Age counts, not
// attempts: an outage of a night must not cost a message.
func (a *attempt) expired(now time.Time) bool {
	since := a.brief.Event.RecordedAt
	if a.effect.Refresh {
		since = a.brief.Incident.UpdatedAt
	}
	if since.Before(a.effect.After) {
		since = a.effect.After
	}
	return !since.IsZero() && now.Sub(since) > a.desk.DiscardAfter
}

// shouldAnnounce reports whether the channel is told that the effect was given up.
// Not about a page, whose failure is said by itself, nor what is kept current
// and comes again; and the failure to say a failure ends here, or it would go
// round for ever.
func (a *attempt) shouldAnnounce() bool {
	return a.effect.Incident != 0 && a.effect.Kind != incident.EffectPage && !a.effect.Refresh && a.brief.Event.Kind != incident.EventEffectFailed
}
