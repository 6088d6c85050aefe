package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// Offer checks a command before its form opens. It returns the error of [Desk.Do] if
// nothing in the form could make the command possible, with the event that came first. It
// changes nothing, and is not an access to the audit log: it returns no text of the incident.
// The form of a request for access opens whether the incident exists or not.
func (d *Desk) Offer(ctx context.Context, cmd incident.Command) error {
	var refused error
	err := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		s := &session{d: d, now: d.Now(), dir: dir}
		env := s.env(cmd)
		if refused = incident.Admit(cmd, env); refused != nil {
			return nil
		}
		inc, err := r.Incident(cmd.For)
		if unreadable := incident.CodeOf(err) == incident.CodeUnknown || err == nil && !inc.MayRead(dir, env.Actor, env.Now); unreadable && cmd.Verb == incident.VerbRequestAccess {
			return nil // like the request itself: see [session.requestAccess]
		}
		if incident.CodeOf(err) != "" || err == nil && !incident.MayAddress(cmd, inc, env) {
			refused = incident.NoAccess(cmd.For)
			return nil
		}
		if err != nil {
			return err
		}
		var unchanged bool
		if unchanged, refused = incident.Offer(cmd, inc, env); refused == nil && !unchanged {
			return nil
		}
		timeline, err := r.Timeline(cmd.For)
		if err != nil {
			return err
		}
		if e, ok := incident.EarlierOffer(cmd, timeline, env); ok {
			if unchanged {
				refused = incident.Conflict("nothing is left to do. %s", incident.Literal(incident.Suggestions(cmd, inc, env)))
			}
			refused = withEarlier(refused, incident.EarlierText(e, env))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check %s of %s: %w", cmd.Verb, cmd.For, err)
	}
	if refused == nil {
		return nil
	}
	return d.redactError(cmd.By.Provider, refused)
}
