package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

const (
	// minMissed is the least number of posts for a summary. Fewer are posted unchanged.
	minMissed = 3
	// maxMissed is the maximum number of posts in one summary.
	maxMissed = 200
)

// gatherMissed adds to an old post the posts behind it in the lane, if there are several:
// one message summarizes them. Requests that are still open keep their own messages, and so
// do effects of other kinds.
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
	effects := map[int]int64{} // by the number of the event
	var seqs []int
	for _, w := range behind {
		if w.Kind == incident.EffectPost && w.Incident == a.effect.Incident && len(seqs) < maxMissed-1 {
			seqs, effects[w.Seq] = append(seqs, w.Seq), w.ID
		}
	}
	if len(seqs)+1 < minMissed {
		return nil
	}
	events, err := s.tx.Timeline(a.effect.Incident, seqs...)
	if err != nil {
		return fmt.Errorf("read the missed events of %s: %w", a.effect.Incident, err)
	}
	late := append([]incident.Event{b.Event}, events...)
	own := b.Incident.OwnMessages(late)
	late = slices.DeleteFunc(late, func(e incident.Event) bool { return own[e.Seq] })
	if own[b.Event.Seq] || len(late) < minMissed {
		return nil
	}
	b.Missed = late
	for n, e := range late {
		if e.IsPrivileged() { // as in the post of the event alone
			b.Missed[n].Texts = nil
		}
		if id := effects[e.Seq]; id != 0 {
			a.covered = append(a.covered, id)
		}
	}
	return nil
}
