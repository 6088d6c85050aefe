package response

import (
	"context"
	"errors"
	"fmt"

	"tocsin/bot/incident"
)

// handleError records a failed attempt. The effect waits for its next attempt, or is
// discarded if the error is permanent.
func (a *attempt) handleError(ctx context.Context, cmd incident.Command, cause error) (outcome AttemptOutcome, err error) {
	a.cause = cause
	if ctx.Err() != nil {
		return AttemptFailed, cause // interrupted: the result of the call is unknown
	}
	if queued(cause) {
		return AttemptSnoozed, cause
	}
	err = a.desk.write(ctx, func(s *session) (err error) {
		outcome, err = a.recordFailure(s, cmd, cause)
		return err
	})
	if err != nil {
		return a.recordOwnFailure(ctx, fmt.Errorf("record the failure (%s): %w", cause.Error(), err))
	}
	return outcome, nil
}

// recordFailure commits the part of the effect that succeeded, and postpones or discards
// the effect. A failed page is recorded at once, which pages the next escalation step.
// The page itself waits besides, while the incident needs it. A page that reached somebody
// did not fail: the rest of its recipients wait.
func (a *attempt) recordFailure(s *session, cmd incident.Command, cause error) (AttemptOutcome, error) {
	if err := a.lockIncident(s); err != nil {
		return AttemptFailed, err
	}
	if err := a.saveShown(s, ""); err != nil { // the failed call may have edited the message
		return AttemptFailed, err
	}
	if a.effect.Kind == incident.EffectPage && len(a.reached()) == 0 {
		if needed, err := a.pageFailed(s, cause); err != nil {
			return AttemptFailed, err
		} else if !needed {
			return AttemptSkipped, nil
		}
	}
	if cmd.Verb != "" {
		if _, err := a.applyResult(s, cmd); err != nil {
			return AttemptFailed, err
		}
	}
	if lost := new(incident.ChannelGone); errors.As(cause, &lost) && a.effect.Incident != 0 {
		if outcome, handled, err := a.loseChannel(s, lost); handled || err != nil {
			return outcome, err
		}
	}
	if errors.As(cause, new(*incident.Permanent)) {
		if !a.effect.Kind.IsRequired() {
			return AttemptDiscarded, a.discard(s, cause)
		}
		cause = a.wrongRequest(cause)
		a.cause = cause
	}
	return a.postpone(s, cause)
}

// discard ends an effect that cannot succeed.
func (a *attempt) discard(s *session, cause error) error {
	if err := a.auditSecret(s, cause); err != nil {
		return err
	}
	if a.shouldAnnounce() {
		err := s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbEffectFailed, Effect: a.effect.Key, Text: truncate(cause.Error())})
		if err != nil && incident.CodeOf(err) == "" {
			return err
		}
	}
	if err := s.tx.FinishEffect(a.job, EffectDiscarded, cause.Error()); err != nil {
		return fmt.Errorf("discard effect: %w", err)
	}
	return nil
}

// auditSecret writes the failure of an effect of a secret event to the audit log, because
// neither the timeline nor the card shows it.
func (a *attempt) auditSecret(s *session, cause error) error {
	if !a.loaded.brief.Event.Kind.Secret() {
		return nil
	}
	failed := Access{At: s.now, Handle: incident.System, Action: "effect failed", Incident: a.effect.Incident, Reason: string(a.effect.Kind) + ": " + truncate(cause.Error())}
	if err := s.tx.Audit(failed); err != nil {
		return fmt.Errorf("audit failed effect: %w", err)
	}
	return nil
}

// pageFailed records that paging an escalation step failed, and reports whether
// the page is still needed. If it is not, pageFailed finishes the job.
func (a *attempt) pageFailed(s *session, cause error) (needed bool, err error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return false, err
	}
	round := intArg(a.effect, "round")
	if !dr.inc.NeedsPage() || dr.inc.Paging.Round != round {
		a.finished = true
		if err := a.withdrawLatePage(s, true); err != nil { // the failed call may have reached the pager
			return false, err
		}
		if err := s.finish(a.job, "failed, and the page is no longer needed"); err != nil {
			return false, err
		}
		return false, a.showEndOfWait(s)
	}
	reason, fix := a.desk.explainFailure(a.desk.systemOf(a.effect), cause)
	if fix != "" {
		reason += ". " + fix
	}
	err = s.doAsBot(dr.inc.ID, incident.Command{Verb: incident.VerbPageFailed, Round: round, EscalationStep: intArg(a.effect, "escalation_step"),
		Text: truncate(reason), Effect: a.effect.Key})
	if incident.CodeOf(err) != "" {
		err = nil
	}
	return true, err
}

// queued reports whether the effect only waits its turn, which is no failure.
func queued(cause error) bool {
	var wait *incident.RetryAfter
	return errors.As(cause, &wait) && wait.Queued
}

// shouldAnnounce reports whether the timeline records that the effect was
// discarded. A failed page has an event already.
func (a *attempt) shouldAnnounce() bool {
	return a.effect.Kind != incident.EffectPage && announces(a.effect, a.loaded.brief.Event.Kind)
}

// announces reports whether the timeline records that an effect of an event ended without a
// success. A refresh effect runs again. A failed post about a failure is left out, because it
// would cause the next one. An effect of a secret event is left out, because the person could
// learn from it about the exclusion. The audit log has it.
func announces(e incident.Effect, cause incident.EventKind) bool {
	return e.Incident != 0 && !e.Refresh && cause != incident.EventEffectFailed && cause != incident.EventEffectDropped && !cause.Secret()
}
