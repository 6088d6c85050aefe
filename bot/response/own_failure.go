package response

import (
	"context"
	"errors"
	"fmt"

	"tocsin/bot/incident"
)

var errPanicked = errors.New("a panic ended the attempt, and the log has it")

// recordOwnFailure records an attempt that Tocsin itself failed: the effect could not be
// loaded, or its result could not be committed. The effect waits like one that an outside
// system failed, so people see it. If the state of the incident is the cause, only the card
// leaves it out.
//
// An interrupted attempt is not recorded, and neither is one that lost its job to another.
func (a *attempt) recordOwnFailure(ctx context.Context, cause error) (outcome AttemptOutcome, err error) {
	a.own = fmt.Errorf("attempt failed in Tocsin: %w", cause)
	if ctx.Err() != nil {
		return AttemptFailed, a.own
	}
	err = a.desk.write(ctx, func(s *session) (err error) {
		if err := a.lockIncident(s); err != nil {
			return err
		}
		outcome, err = a.postpone(s, a.own)
		return err
	})
	if err == nil {
		return outcome, nil
	}
	defer func(id incident.ID) { a.effect.Incident = id }(a.effect.Incident)
	a.effect.Incident = 0
	err = a.desk.Store.Tx(ctx, func(tx Tx) (err error) {
		s := &session{d: a.desk, tx: tx, now: a.desk.Now(), drafts: map[incident.ID]*draft{}}
		if a.wait.Attempts == 0 {
			_ = a.loadWait(s) // damaged: the pause does not grow, and the new cause replaces it
		}
		outcome, err = a.postpone(s, a.own)
		return err
	})
	if err != nil {
		return AttemptFailed, errors.Join(a.own, err)
	}
	return outcome, nil
}
