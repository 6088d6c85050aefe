package response

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestRetract_AfterItsMessage closes a request while its message waits for Slack, which may
// have it already. The edit comes after the message and does not wait for other messages.
func TestRetract_AfterItsMessage(t *testing.T) {
	var order []string
	refused := false
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			if refused {
				return incident.Command{}, errBlocked
			}
			order = append(order, "post "+string(b.Event.Kind))
			return incident.Command{}, nil
		}
		o.Handlers[incident.EffectRetract] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			order = append(order, "edit "+string(b.Event.Kind))
			return incident.Command{}, nil
		}
	})
	id := fx.open(t, incident.Sev1)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbContain, Text: "the key is disabled"})
	fx.runQueue(t)
	retract := func() int64 {
		for _, e := range fx.store.effects {
			if e.Kind == incident.EffectRetract && !e.done {
				return e.ID
			}
		}
		t.Fatal("got no edit")
		return 0
	}

	refused, order = true, nil
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "all is restored", Reason: "no step is needed"})
	for _, n := range fx.store.runnable(fx.now) { // the message about the resolution, and the edit of the one about the containment
		if err := fx.Perform(t.Context(), fx.store.start(n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(order) != 1 || order[0] != "edit contained" {
		t.Fatalf("got %v, want the edit at once, although posts are refused", order)
	}
	order = nil
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbReopen, Text: "it is back"})
	early := retract()
	if err := fx.Perform(t.Context(), fx.store.start(early)); !errors.As(err, new(*incident.RetryAfter)) || len(order) > 0 {
		t.Fatalf("got %v and %v, want a pause, because the message may be there", err, order)
	}
	refused, fx.now = false, fx.now.Add(maxSlackPause)
	fx.runQueue(t)
	if len(order) < 2 || order[0] != "post resolved" || !slices.Contains(order, "edit resolved") {
		t.Errorf("got %v, want the message before its edit", order)
	}
}

// maxSlackPause is longer than the pause after a refusal.
const maxSlackPause = time.Hour
