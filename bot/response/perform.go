package response

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// Perform makes one attempt at an effect. It checks the ledger, redacts the
// brief, calls the handler, and commits the result, the ledger entry and the end
// of the job together.
//
// It returns nil if the job is finished: the effect was completed, skipped, postponed or
// discarded. After any error call it again, after the delay of an
// [*incident.RetryAfter] in the chain if there is one.
func (d *Desk) Perform(ctx context.Context, job Job) error {
	started := d.Now()
	a := &attempt{desk: d, job: job}
	outcome, err := a.perform(ctx)
	a.observe(outcome, err, d.Now().Sub(started))
	if err != nil {
		return &LoggedError{fmt.Errorf("perform %s of %s: %w", a.effect.Kind, a.effect.Incident, err)}
	}
	return nil
}

// attempt is one attempt at an effect.
type attempt struct {
	desk     *Desk
	job      Job
	effect   incident.Effect
	loaded   loadedBrief
	covered  []int64                // effects behind this one that its summary covers
	withdraw Handler                // of the target of the page that the effect ends, or nil
	finished bool                   // the job is finished, the handler must not be called
	shown    string                 // fingerprint of the message that a refresh effect edited last, or ""
	shows    string                 // fingerprint of the message now, or ""
	early    bool                   // the message that the effect edits may be on its way
	cause    error                  // of the handler
	own      error                  // of an attempt that Tocsin itself failed
	wait     incident.WaitingEffect // after failed attempts, otherwise zero
}

func (a *attempt) perform(ctx context.Context) (outcome AttemptOutcome, err error) {
	finished := false
	defer func() {
		if !finished { // by a panic, which goes on
			_, _ = a.recordOwnFailure(ctx, errPanicked)
		}
	}()
	outcome, err = a.attempt(ctx)
	finished = true
	return outcome, err
}

func (a *attempt) attempt(ctx context.Context) (outcome AttemptOutcome, err error) {
	if err := a.desk.write(ctx, a.prepare); err != nil {
		return a.recordOwnFailure(ctx, fmt.Errorf("prepare: %w", err))
	}
	switch {
	case a.finished:
		return AttemptSkipped, nil
	case a.early:
		return AttemptSnoozed, &incident.RetryAfter{After: min(time.Second<<min(a.job.Attempt-1, 10), maxEarly), Err: errors.New("the message to edit may be on its way"), Queued: true}
	case a.localHandler() != nil:
		return AttemptCompleted, nil
	}
	if err := a.countAlerts(ctx); err != nil {
		return a.recordOwnFailure(ctx, fmt.Errorf("count alerts: %w", err))
	}
	cmd, err := a.callHandler(ctx)
	if err != nil {
		return a.handleError(ctx, cmd, err)
	}
	if err := a.desk.write(ctx, func(s *session) error { return a.commitResult(s, cmd) }); err != nil {
		return a.recordOwnFailure(ctx, fmt.Errorf("commit the result: %w", err))
	}
	return AttemptCompleted, nil
}

// prepare loads the effect and the brief. It finishes the job if the effect is
// not needed, and performs an effect that needs no provider. The start of a page is
// committed before the call.
func (a *attempt) prepare(s *session) error {
	if err := a.loadWait(s); err != nil {
		return err
	}
	e, done, err := s.tx.Effect(a.job)
	if err != nil {
		return fmt.Errorf("read effect: %w", err)
	}
	a.effect, a.finished = e, done
	if done {
		return nil
	}
	if local := a.localHandler(); local != nil {
		return local(s)
	}
	if err := a.loadTarget(s); err != nil {
		return err
	}
	skip := func(reason string) error {
		a.finished = true
		if err := s.tx.FinishEffect(a.job, EffectCompleted, reason); err != nil {
			return err
		}
		return a.showEndOfWait(s)
	}
	if err := a.loadShown(s); err != nil {
		return err
	}
	if a.handler() == nil {
		return skip("no provider is configured for this effect")
	}
	if e.Kind == incident.EffectAnnounceMaintenance {
		switch _, obsolete, err := s.announcedWindow(e); {
		case err != nil:
			return err
		case obsolete != "":
			return skip(obsolete)
		}
	}
	if e.Kind == incident.EffectTestPage {
		if waits, err := s.testPageWaits(e.TestPage()); err != nil || !waits {
			return errors.Join(err, skip("the test page is no longer needed"))
		}
	}
	if e.Kind.IsApproved() {
		if withheld, err := a.withholdUpdate(s); err != nil || withheld {
			return errors.Join(err, skip("the incident became restricted"))
		}
	}
	if e.Kind == incident.EffectRetract {
		if a.early, err = a.mayBeOnItsWay(s, incident.RequestKey(e)); err != nil || a.early {
			return err
		}
	}
	if e.Kind.NeedsChannel() {
		dr, err := s.draft(e.Incident)
		if err != nil {
			return err
		}
		if dr.inc.Links[incident.LinkChannel] == "" {
			return skip("the incident has no channel")
		}
		if e.Kind == incident.EffectReplaceChannel && !dr.inc.ReplacesChannel() {
			return skip("the incident keeps its channel")
		}
		if person := incident.PersonID(e.Args["person"]); e.Kind == incident.EffectRemove && dr.inc.HasAccessAgain(person) {
			return skip("the person has access again")
		}
	}
	if e.Kind == incident.EffectPage {
		err := s.doAsBot(e.Incident, incident.Command{Verb: incident.VerbPage, Round: intArg(e, "round"), EscalationStep: intArg(e, "escalation_step")})
		if incident.CodeOf(err) != "" {
			if err := a.withdrawLatePage(s, a.job.Attempt > 1); err != nil {
				return err
			}
			return skip("the page is no longer needed")
		}
		if err != nil {
			return err
		}
		if err := a.storeTarget(s); err != nil {
			return err
		}
	}
	if a.loaded, err = s.brief(e, a.job.Attempt); err != nil {
		return err
	}
	a.loaded.brief.Reached = a.wait.Reached
	return a.gatherMissed(s)
}

// maxEarly is the longest pause between two looks for a message to edit.
const maxEarly = time.Minute

// mayBeOnItsWay reports whether an effect that posts a message has started and has not ended.
// If it has not started, its message will show the present state, and the handler finds none.
func (a *attempt) mayBeOnItsWay(s *session, key string) (bool, error) {
	started, err := s.tx.WaitingEffects(WaitingQuery{Started: key})
	if err != nil {
		return false, fmt.Errorf("look for the message to edit: %w", err)
	}
	return len(started) > 0, nil
}

// loadWait loads the failed attempts at the effect.
func (a *attempt) loadWait(s *session) error {
	if a.job.Attempt <= 1 {
		return nil
	}
	waits, err := s.tx.WaitingEffects(WaitingQuery{Effect: a.job.Effect})
	if err != nil {
		return err
	}
	for _, w := range waits {
		a.wait = w
	}
	return nil
}

// countAlerts adds the number of alerts to the brief of a card or page. An incident can have
// many alerts, and its card is refreshed once per second, so the count would block other
// writers in the transaction of prepare.
func (a *attempt) countAlerts(ctx context.Context) error {
	if a.effect.Kind != incident.EffectCard && a.effect.Kind != incident.EffectPage || a.effect.Incident == 0 {
		return nil
	}
	return a.desk.Store.View(ctx, func(r Reader) (err error) {
		a.loaded.brief.AlertCounts, err = countAlerts(r, a.effect.Incident)
		return err
	})
}

// handler returns the handler of the effect, or nil if none is configured. Each
// escalation step has its own handler for pages.
func (a *attempt) handler() Handler {
	if a.withdraw != nil {
		return a.withdraw
	}
	if a.effect.Kind != incident.EffectPage {
		return a.desk.Handlers[a.effect.Kind]
	}
	if step := intArg(a.effect, "escalation_step"); step < len(a.desk.Pages) {
		return a.desk.Pages[step]
	}
	return nil
}

// callHandler calls the handler with a time limit shorter than the limit of the
// job, which leaves time to commit the result.
func (a *attempt) callHandler(ctx context.Context) (incident.Command, error) {
	timeout := a.desk.EffectTimeout
	if a.effect.Kind == incident.EffectPage {
		timeout = a.desk.PageTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, e, err := a.desk.outgoing(a.loaded, a.effect)
	if err != nil {
		return incident.Command{}, err
	}
	if a.isShown(b, e) {
		return incident.Command{}, nil
	}
	return a.handler()(ctx, b, e)
}

// commitResult commits the result of the handler. The effect has happened, so a
// result that the lifecycle rejects is only noted in the ledger.
//
// FinishEffect returns an error if another attempt has taken over the job. The
// effect is not read again: FinishEffect also finds a refresh effect that
// became due during the call.
func (a *attempt) commitResult(s *session, cmd incident.Command) error {
	if a.wait.Attempts > 0 { // its end can change the card
		if err := a.lockIncident(s); err != nil {
			return err
		}
	}
	if cmd.Verb == "" && a.effect.Kind == incident.EffectPage {
		cmd = incident.Command{Verb: incident.VerbPaged, Round: intArg(a.effect, "round"), EscalationStep: intArg(a.effect, "escalation_step")}
	}
	result := "done"
	if cmd.Verb != "" {
		rejected, err := a.applyResult(s, cmd)
		if err != nil {
			return err
		}
		if rejected != nil {
			result = "done, but the result was rejected: " + rejected.Error()
		}
	}
	found, err := a.findChannel(s)
	if err != nil {
		return err
	}
	if err := a.saveShown(s, a.shows); err != nil {
		return err
	}
	if err := s.finish(a.job, result, a.covered...); err != nil {
		return err
	}
	if found || a.effect.Kind == incident.EffectReplaceChannel {
		if err := s.resumeInNewChannel(a.effect.Incident); err != nil {
			return err
		}
	}
	return a.endWait(s)
}

// applyResult gives the command that reports the result of the effect. rejected is the
// error of a command that the lifecycle does not allow any more.
func (a *attempt) applyResult(s *session, cmd incident.Command) (rejected, err error) {
	cmd.Effect = a.effect.Key
	if err = s.doAsBot(a.effect.Incident, cmd); incident.CodeOf(err) != "" {
		return err, nil
	}
	return nil, err
}

// lockIncident locks the incident of the effect, if it has one. The end of an attempt
// locks the lane of the effect, and commands lock the incident first and then the lanes of
// their effects: in another order two transactions could wait for each other.
func (a *attempt) lockIncident(s *session) error {
	if a.effect.Incident == 0 {
		return nil
	}
	_, err := s.draft(a.effect.Incident)
	return err
}

// finish writes the ledger entry and completes the job.
func (s *session) finish(job Job, result string, covered ...int64) error {
	if err := s.tx.FinishEffect(job, EffectCompleted, result, covered...); err != nil {
		return fmt.Errorf("complete effect: %w", err)
	}
	return nil
}
