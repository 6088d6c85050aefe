package response

import (
	"fmt"

	"tocsin/bot/incident"
)

const (
	// minMissed is the least number of posts for a summary. Fewer are posted unchanged.
	minMissed = 3
	// maxMissed is the maximum number of posts in one summary.
	maxMissed = 200
)

// gatherMissed adds to an old post the posts behind it in the lane, if there are several:
// one message summarizes them. Effects of other kinds keep their own messages.
func (a *attempt) gatherMissed(s *session) error {
	a.covered = nil
	b := &a.loaded.brief
	if a.effect.Kind != incident.EffectPost || a.effect.Lane == "" || b.Event.RecordedAt.IsZero() || s.now.Sub(b.Event.RecordedAt) < a.desk.MissedAfter {
		return nil
	}
	behind, err := s.tx.WaitingEffects(WaitingQuery{Behind: a.job.Effect, Limit: 2 * maxMissed})
	if err != nil {
		return err
	}
	var seqs []int
	for _, w := range behind {
		if w.Kind == incident.EffectPost && w.Incident == a.effect.Incident && len(seqs) < maxMissed-1 {
			seqs, a.covered = append(seqs, w.Seq), append(a.covered, w.ID)
		}
	}
	if len(seqs)+1 < minMissed {
		a.covered = nil
		return nil
	}
	events, err := s.tx.Timeline(a.effect.Incident, seqs...)
	if err != nil {
		return fmt.Errorf("read the missed events of %s: %w", a.effect.Incident, err)
	}
	b.Missed = []incident.Event{b.Event}
	for _, e := range events {
		if e.IsPrivileged() { // as in the post of the event alone
			e.Texts = nil
		}
		b.Missed = append(b.Missed, e)
	}
	return nil
}
