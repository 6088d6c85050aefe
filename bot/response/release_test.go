package response

import (
	"context"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestPostpone_RecoveryReleasesAll has many effects of one system wait. When the first one
// succeeds, all others follow at once.
func TestPostpone_RecoveryReleasesAll(t *testing.T) {
	o := newOutage(t)
	o.away[incident.SystemSlack] = errBlocked
	const n = 25
	for range n {
		o.open(t, incident.Sev3)
	}
	for range 12 {
		o.runQueue(t)
		o.now = o.now.Add(time.Hour)
	}
	delete(o.away, incident.SystemSlack)
	if err := o.Perform(context.Background(), o.store.start(o.waits(t, WaitingQuery{})[0].ID)); err != nil {
		t.Fatal(err)
	}
	o.runQueue(t)
	if got := countOf(o.done, string(incident.EffectOpenChannel)); got != n {
		t.Errorf("got %d channels after one success, want %d", got, n)
	}
}

// refuse has the effects of a kind fail while err returns an error for their incident. It
// returns the number of attempts by incident.
func (o *outage) refuse(kind incident.EffectKind, err func(incident.ID) error) map[incident.ID]int {
	calls, succeed := map[incident.ID]int{}, o.Handlers[kind]
	o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		calls[e.Incident]++
		if err := err(e.Incident); err != nil {
			return incident.Command{}, err
		}
		return succeed(ctx, b, e)
	}
	return calls
}

func sum(calls map[incident.ID]int) (total int) {
	for _, n := range calls {
		total += n
	}
	return total
}

// TestPostpone_RefusedEffectsCauseFewCalls lets many effects of Slack recover, of the same
// kind as the refused ones or of another. The number of calls for refused effects is
// bounded, and all other effects follow at once.
func TestPostpone_RefusedEffectsCauseFewCalls(t *testing.T) {
	const n = 12
	for name, c := range map[string]struct {
		recovers incident.EffectKind
		err      error
		maxCalls int // for refused effects
	}{
		"other kind fails":         {incident.EffectInvite, errUnavailable, probes},
		"other kind is refused":    {incident.EffectInvite, errBlocked, probes},
		"same kind fails":          {incident.EffectAnnounce, errUnavailable, probes},
		"same kind is refused too": {incident.EffectAnnounce, errBlocked, n},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutage(t)
			repaired, done := false, 0
			refused := func(id incident.ID) bool { return id%2 == 0 }
			var calls map[incident.ID]int
			if c.recovers != incident.EffectAnnounce {
				calls = o.refuse(incident.EffectAnnounce, func(incident.ID) error { return errBlocked })
			}
			recovering := o.refuse(c.recovers, func(id incident.ID) error {
				switch {
				case c.recovers == incident.EffectAnnounce && refused(id):
					return errBlocked
				case repaired:
					done++
					return nil
				}
				return c.err
			})
			if calls == nil {
				calls = recovering
			}
			for range 2 * n {
				o.open(t, incident.Sev3)
			}
			for range 13 {
				o.runQueue(t)
				o.now = o.now.Add(30 * time.Minute)
			}
			o.now = o.now.Add(probePause - 30*time.Minute)
			refusedCalls := func() (total int) {
				for id, calls := range calls {
					if c.recovers != incident.EffectAnnounce || refused(id) {
						total += calls
					}
				}
				return total
			}
			before, waiting := refusedCalls(), 0
			for _, w := range o.waits(t, WaitingQuery{}) {
				if w.Kind == c.recovers && (c.recovers != incident.EffectAnnounce || !refused(w.Incident)) {
					waiting++
				}
			}
			repaired = true
			o.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbNote, Text: "one success of Slack"})
			o.runQueue(t)
			if waiting < n || done != waiting {
				t.Errorf("got %d of %d effects after one success of the system, want all of at least %d", done, waiting, n)
			}
			if got := refusedCalls() - before; got > c.maxCalls {
				t.Errorf("got %d calls for refused effects, want at most %d", got, c.maxCalls)
			}
		})
	}
}

// TestPostpone_KeepsRequestedPauses has Slack request a pause for many effects. No success
// of others and no new request ends it early.
func TestPostpone_KeepsRequestedPauses(t *testing.T) {
	o := newOutage(t)
	limited := true
	limit := func(incident.ID) error {
		if limited {
			return &incident.RetryAfter{After: time.Minute, Err: errUnavailable}
		}
		return nil
	}
	announces, cards := o.refuse(incident.EffectAnnounce, limit), o.refuse(incident.EffectCard, limit)
	const n = 12
	for range n {
		o.open(t, incident.Sev3)
	}
	o.runQueue(t)
	limited = false
	before := sum(announces) + sum(cards)
	for range 5 {
		o.now = o.now.Add(probePause)
		for id := range incident.ID(n) {
			o.do(t, "p1", incident.Command{For: id + 1, Verb: incident.VerbNote, Text: "a success of Slack that refreshes the card"})
		}
		o.runQueue(t)
	}
	if got := sum(announces) + sum(cards) - before; got != 0 {
		t.Errorf("got %d calls during the pause, want none", got)
	}
	o.now = o.now.Add(time.Minute)
	o.runQueue(t)
	if waits := o.waits(t, WaitingQuery{}); len(waits) != 0 || countOf(o.done, string(incident.EffectAnnounce)) != n {
		t.Errorf("still waiting after the pause: %+v", waits)
	}
}

// TestPostpone_BusySystem lets a system request a short pause for an effect again and
// again. The pauses grow, because the effects together are too many for it, but not long.
func TestPostpone_BusySystem(t *testing.T) {
	o := newOutage(t)
	o.away[string(incident.EffectAnnounce)] = &incident.RetryAfter{After: time.Second, Err: errUnavailable}
	o.open(t, incident.Sev3)
	for n := range 30 {
		if err := o.performFirst(t, incident.EffectAnnounce); err != nil {
			t.Fatal(err)
		}
		w := o.wait(t, incident.EffectAnnounce)
		switch next := w.NextAttempt.Sub(o.now); {
		case n < 2 && next != time.Second, next < time.Second, next > maxBusyPause, n > 20 && next < maxBusyPause/2:
			t.Errorf("attempt %d: got pause %s", n+1, next)
		}
		o.now = w.NextAttempt
	}
}
