package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// DropEffect ends a waiting effect that can never succeed. The timeline of its incident
// has the administrator and the reason, unless the effect is secret, and so has the audit
// log. Later effects of its lane go on. The replacement of a channel cannot be dropped: the
// incident would not go on, or continue where an excluded person reads it.
func (d *Desk) DropEffect(ctx context.Context, who incident.Identity, effect int64, reason string) error {
	if reason == "" {
		return incident.Invalid("because", "the reason is missing. Add --because and the reason in quotes")
	}
	return d.write(ctx, func(s *session) error { return s.dropEffect(who, effect, reason) })
}

func (s *session) dropEffect(who incident.Identity, effect int64, reason string) error {
	waits, err := s.tx.WaitingEffects(WaitingQuery{Effect: effect})
	if err != nil {
		return err
	}
	if len(waits) == 0 {
		return incident.Unknown("effect", "effect %d does not wait. Use a number that `tocsin effects` lists", effect)
	}
	if waits[0].Kind == incident.EffectReplaceChannel {
		return incident.Conflict("effect %d cannot be dropped, because its incident cannot go on without it. Repair the cause that `tocsin effects` shows", effect)
	}
	a := &attempt{desk: s.d, effect: incident.Effect{Incident: waits[0].Incident}, wait: waits[0]}
	if err := a.lockIncident(s); err != nil {
		return err
	}
	dropped, err := s.tx.DropEffect(effect, "dropped by the administrator "+who.ID+": "+truncate(reason))
	if err != nil {
		return fmt.Errorf("drop effect: %w", err)
	}
	if !dropped {
		return incident.Conflict("effect %d is being tried now. Run `tocsin effects` in a minute, and drop the effect if it still waits", effect)
	}
	e, _, err := s.tx.Effect(Job{Effect: effect})
	if err != nil {
		return fmt.Errorf("read effect: %w", err)
	}
	a.effect = e
	person, _ := s.dir.Resolve(who)
	entry := Access{At: s.now, Person: person.ID, Handle: who, Action: "effect dropped", Incident: e.Incident, Reason: string(e.Kind) + ": " + truncate(reason), Allowed: true}
	if err := s.tx.Audit(entry); err != nil {
		return fmt.Errorf("audit dropped effect: %w", err)
	}
	cause := incident.Event{}
	if e.Incident != 0 && !e.Refresh {
		if cause, err = s.event(e); err != nil {
			return err
		}
	}
	if announces(e, cause.Kind) {
		err := s.doAsBot(e.Incident, incident.Command{Verb: incident.VerbEffectDropped, Effect: e.Key, Item: who.ID, Reason: truncate(reason)})
		if err != nil && incident.CodeOf(err) == "" {
			return err
		}
	}
	return a.showEndOfWait(s)
}
