package response

import (
	"errors"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// replacePause is the shortest pause of an effect whose channel is being replaced. It
// grows while no replacement can be opened, and the end of the replacement ends it.
const replacePause = 5 * time.Second

// loseChannel has the channel of the incident replaced and lets the effect wait for the
// new one. Effects that fail together, also in other replicas, cause one replacement:
// only the first of them finds the incident with the lost channel. People archive the
// channel of an ended incident on purpose, so the effect ends there. handled is false for
// any other channel than that of the incident.
func (a *attempt) loseChannel(s *session, lost *incident.ChannelGone) (outcome AttemptOutcome, handled bool, err error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return AttemptFailed, false, err
	}
	after := replacePause
	switch current := dr.inc.Links[incident.LinkChannel]; {
	case current != lost.Channel && !dr.inc.HasLeft(lost.Channel):
		return "", false, nil
	case current == lost.Channel && dr.inc.Status.Ended():
		return AttemptSkipped, true, s.finish(a.job, "the incident has ended and its channel is archived or gone")
	case current == lost.Channel:
		how := incident.ChannelDeleted
		if lost.Archived {
			how = incident.ChannelArchived
		}
		err := s.doAsBot(dr.inc.ID, incident.Command{Verb: incident.VerbChannelLost, Item: lost.Channel, Reason: how})
		if err != nil && incident.CodeOf(err) == "" {
			return AttemptFailed, false, err
		}
		after = max(after, pause(a.wait.Attempts+1, a.effect.ID, maxPause))
	}
	outcome, err = a.postpone(s, &incident.RetryAfter{After: after, Err: errors.New(lost.Error())})
	return outcome, true, err
}

// findChannel records that the lost channel of the incident works again if the effect, which
// failed before, succeeded in it. found is true if it does.
func (a *attempt) findChannel(s *session) (found bool, err error) {
	channel := a.loaded.brief.Incident.Links[incident.LinkChannel]
	if a.wait.Attempts == 0 || channel == "" || !a.effect.Kind.NeedsChannel() || a.effect.Kind == incident.EffectReplaceChannel {
		return false, nil
	}
	dr, err := s.draft(a.effect.Incident)
	if err != nil || dr.inc.LostChannel != channel {
		return false, err
	}
	err = s.doAsBot(dr.inc.ID, incident.Command{Verb: incident.VerbChannelFound, Item: channel})
	return err == nil, err
}

// wrongRequest returns the error of an effect that must not be discarded, although the
// outside system refuses its request for good: people repair what they can, and the effect
// waits.
func (a *attempt) wrongRequest(cause error) error {
	reason, _ := a.desk.describeFailure(cause)
	return &incident.Blocked{System: a.desk.systemOf(a.effect), Cause: incident.Say("the request for a channel is refused: %s", incident.Literal(reason)),
		Fix: incident.Say("Repair the cause, or report the bug"), Err: cause}
}

// resumeInNewChannel starts the effects that waited for the replacement of the channel, or
// for the return of the lost one.
func (s *session) resumeInNewChannel(id incident.ID) error {
	if _, err := s.tx.ReleaseEffects(WaitingQuery{Incident: id}); err != nil {
		return fmt.Errorf("resume the effects of %s: %w", id, err)
	}
	return nil
}
