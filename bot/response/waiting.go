package response

import (
	"errors"
	"fmt"
	"math"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Pauses before the next attempt at an effect.
const (
	minPause = time.Second
	// maxPause is the longest pause after a failure of the system.
	maxPause = 5 * time.Minute
	// maxBusyPause bounds the growth of pauses that a system requests. Many effects that
	// wait for the same limit would each try again at its end, and most of them in vain.
	maxBusyPause = 30 * time.Second
	// maxBlockedPause is the longest pause while an administrator must repair the cause.
	maxBlockedPause = time.Hour
)

// pause returns the pause after a number of failed attempts. It doubles with each
// attempt. Up to half of it depends on the effect, to spread effects that failed
// together.
func pause(attempts int, effect int64, longest time.Duration) time.Duration {
	d := min(minPause<<min(max(attempts, 1), 16), longest)
	spread := float64(uint32(effect)*2654435761) / math.MaxUint32
	return max(d-time.Duration(spread*float64(d/2)), minPause)
}

// A success of a system shows that the system works, but perhaps not that the cause of a
// wait is repaired. So it releases a few effects, some of each kind, and each of them not
// more often than every probePause. If one of them succeeds, its kind works again, and
// its success releases a few more of its kind. In this way all of them follow within a
// few rounds, while effects that are still refused cause few calls.
const (
	probePause = 10 * time.Second
	probes     = 10 // effects that a success releases if none was tried lately
	followers  = 4  // effects of the same kind that the success of a waiting effect releases
)

// postpone makes the effect wait for its next attempt.
func (a *attempt) postpone(s *session, cause error) (AttemptOutcome, error) {
	f := Failure{System: a.desk.systemOf(a.effect), Reached: a.reached()}
	f.Cause, f.Fix = a.desk.explainFailure(f.System, cause)
	if a.own != nil {
		f.System = incident.SystemTocsin
		f.Cause, f.Fix = a.desk.describeFailure(a.own)
	}
	outcome, longest := AttemptFailed, maxPause
	if blocked := new(incident.Blocked); errors.As(cause, &blocked) {
		outcome, f.Blocked, f.StepsAside = AttemptWaiting, true, a.effect.Kind.StepsAside()
		if f.System == "" {
			f.System = blocked.System
		}
		if !a.effect.Urgent {
			longest = maxBlockedPause
		}
		if !a.wait.Blocked || a.wait.Cause != f.Cause {
			if err := a.auditSecret(s, cause); err != nil {
				return AttemptFailed, err
			}
		}
	}
	until := s.now.Add(pause(a.wait.Attempts+1, a.effect.ID, longest))
	if wait := new(incident.RetryAfter); errors.As(cause, &wait) {
		f.Paused = true
		after := min(max(wait.After, 0), maxPause)
		if !a.effect.Urgent && a.wait.Attempts > 1 {
			after = max(after, pause(a.wait.Attempts-1, a.effect.ID, maxBusyPause))
		}
		outcome, until = AttemptSnoozed, s.now.Add(after)
	}
	if err := s.tx.PostponeEffect(a.job, until, f); err != nil {
		return AttemptFailed, fmt.Errorf("postpone effect: %w", err)
	}
	now := a.wait
	now.Blocked, now.Cause, now.Attempts = f.Blocked, f.Cause, now.Attempts+1
	if now.Since.IsZero() {
		now.Since = s.now
	}
	return outcome, a.showWait(s, now.Visible(s.now) && (!a.wait.Visible(a.wait.LastAttempt) || now.Cause != a.wait.Cause))
}

// reached returns the recipients whom this attempt or an earlier one reached.
func (a *attempt) reached() []string {
	if partial := new(incident.Partial); errors.As(a.cause, &partial) {
		return partial.Reached
	}
	return a.wait.Reached
}

// endWait releases some waiting effects of a system after a success, see probes.
func (a *attempt) endWait(s *session) error {
	q := WaitingQuery{System: a.desk.systemOf(a.effect)}
	if q.System == "" {
		return a.showEndOfWait(s)
	}
	q.Release = ReleaseRule{KeepPauses: true, RestedSince: s.now.Add(-probePause)}
	of := []WaitingQuery{q}
	of[0].Limit, of[0].Release.IfQuiet = probes, true
	if a.wait.Attempts > 0 {
		q.Limit, q.Release.Like = followers, &a.wait
		of = append(of, q)
	}
	for _, q := range of {
		if _, err := s.tx.ReleaseEffects(q); err != nil {
			return fmt.Errorf("release the effects that wait for %s: %w", q.System, err)
		}
	}
	return a.showEndOfWait(s)
}

// showEndOfWait updates the card of the incident if it shows the effect as waiting.
func (a *attempt) showEndOfWait(s *session) error {
	return a.showWait(s, a.wait.Visible(a.wait.LastAttempt))
}

// showWait updates the card of the incident if its list of waiting effects changed.
func (a *attempt) showWait(s *session, changed bool) error {
	if !changed || a.effect.Incident == 0 || a.effect.Kind == incident.EffectCard {
		return nil
	}
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return err
	}
	if err := s.tx.Enqueue(dr.inc.CardRefresh()...); err != nil {
		return fmt.Errorf("enqueue the card of %s: %w", a.effect.Incident, err)
	}
	return nil
}

// waitsOf returns the waiting effects of an incident. Effects of secret events are left
// out, because the excluded person could learn from them about the exclusion.
func waitsOf(r Reader, id incident.ID) ([]incident.WaitingEffect, error) {
	waits, err := r.WaitingEffects(WaitingQuery{Incident: id})
	if err != nil {
		return nil, err
	}
	var out []incident.WaitingEffect
	for _, w := range waits {
		events, err := r.Timeline(id, w.Seq)
		if err != nil {
			return nil, fmt.Errorf("read event %d of %s: %w", w.Seq, id, err)
		}
		if len(incident.WithoutSecret(events)) == len(events) {
			out = append(out, w)
		}
	}
	return out, nil
}

// systemOf returns the outside system of an effect, or "".
func (d *Desk) systemOf(e incident.Effect) string {
	if d.SystemOf == nil {
		return ""
	}
	return d.SystemOf(e)
}

// observe logs an attempt that failed and reports every attempt to the observer, except
// one whose effect could not be read.
func (a *attempt) observe(outcome AttemptOutcome, err error, took time.Duration) {
	report := EffectAttempt{Effect: a.effect, System: a.desk.systemOf(a.effect), Outcome: outcome, Err: a.cause, Attempt: max(a.wait.Attempts+1, a.job.Attempt), Took: took}
	switch {
	case a.own != nil:
		err = a.own
	case a.cause != nil:
		err = a.cause
	}
	if err != nil {
		report.Cause, report.Fix = a.desk.describeFailure(err)
		a.log(report, err)
	}
	if a.desk.Observer != nil && a.effect.Kind != "" {
		a.desk.Observer.EffectDone(report)
	}
}

// Confidential stands for the kind of an effect that would show an exclusion.
const Confidential incident.EffectKind = "confidential"

// isConfidential reports whether the effect can show an exclusion. A removal or replacement
// whose event could not be loaded can.
func (a *attempt) isConfidential() bool {
	cause, kind := a.loaded.brief.Event.Kind, a.effect.Kind
	return cause.Secret() || cause == "" && (kind == incident.EffectRemove || kind == incident.EffectReplaceChannel)
}

// log logs an attempt that failed.
func (a *attempt) log(r EffectAttempt, err error) {
	kind, effect, cause := string(r.Effect.Kind), any(r.Effect.Key), r.Cause
	if a.isConfidential() { // they would show that the incident excludes somebody
		kind, effect, cause = string(Confidential), r.Effect.ID, "confidential, see tocsin effects"
	}
	attrs := []any{"kind", kind, "incident", r.Effect.Incident, "effect", effect, "attempt", r.Attempt, "system", r.System, "err", cause}
	switch {
	case a.effect.Kind == "":
		a.desk.Log.Warn("read effect failed", "effect", a.job.Effect, "attempt", r.Attempt, "err", r.Cause)
	case r.Outcome == AttemptDiscarded:
		a.desk.Log.Error("effect discarded", attrs...)
	case r.Outcome == AttemptWaiting:
		a.desk.Log.Error("effect waits for an administrator", append(attrs, "fix", r.Fix)...)
	case queued(err):
		a.desk.Log.Debug("effect queued", attrs...)
	case r.Outcome == AttemptSnoozed:
		a.desk.Log.Warn("effect postponed", attrs...)
	default:
		a.desk.Log.Warn("effect failed", attrs...)
	}
}

// LoggedError is the error of an attempt that the Desk has logged.
type LoggedError struct{ error }

// Unwrap returns the error.
func (e *LoggedError) Unwrap() error { return e.error }

// explainFailure returns for people why an attempt failed and what to do, or "".
func (d *Desk) explainFailure(system string, err error) (cause, fix string) {
	var blocked *incident.Blocked
	var permanent *incident.Permanent
	if system == "" || d.Explain == nil || errors.As(err, &blocked) || errors.As(err, &permanent) {
		return d.describeFailure(err)
	}
	return d.Explain(system, err)
}

// describeFailure returns for the log why an attempt failed and how an administrator
// repairs the cause, or "". Texts of outside systems are redacted.
func (d *Desk) describeFailure(err error) (cause, fix string) {
	if blocked := new(incident.Blocked); errors.As(err, &blocked) {
		return blocked.Cause.String(), blocked.Fix.String()
	}
	var pause *incident.RetryAfter
	if errors.As(err, &pause) && pause.Err != nil {
		err = pause.Err // it names the pause, if the system requested one
	}
	return text.Truncate(text.Line(d.Redact.Text(err.Error())), maxCause), ""
}

// maxCause is the maximum length of a cause in characters.
const maxCause = 300
