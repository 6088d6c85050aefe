package response

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// performFirst performs the first pending effect of a kind.
func (fx *fixture) performFirst(t *testing.T, kind incident.EffectKind) error {
	t.Helper()
	for _, e := range fx.store.effects {
		if e.Kind == kind && !e.done {
			return fx.Perform(context.Background(), fx.store.start(e.ID))
		}
	}
	t.Fatalf("no %s effect is pending", kind)
	return nil
}

// discardRecorder records the attempts that discarded their effect.
type discardRecorder struct{ discarded *[]EffectAttempt }

func (r discardRecorder) EffectDone(a EffectAttempt) {
	if a.Outcome == AttemptDiscarded {
		*r.discarded = append(*r.discarded, a)
	}
}
func (discardRecorder) Ingested(string, int)   {}
func (discardRecorder) ConditionFailed(string) {}

// newFailingFixture returns a fixture whose handler of a kind fails with *err
// unless it is nil.
func newFailingFixture(t *testing.T, kind incident.EffectKind, err *error, discarded *[]EffectAttempt) *fixture {
	return newFixture(t, func(o *Options) {
		succeed := o.Handlers[kind]
		o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			if *err != nil {
				return incident.Command{}, *err
			}
			return succeed(ctx, b, e)
		}
		o.Observer = discardRecorder{discarded}
	})
}

func TestPerform_ClassifiesErrors(t *testing.T) {
	busy := &incident.RetryAfter{After: time.Minute, Err: errUnavailable}
	const long = 30 * 24 * time.Hour
	for name, c := range map[string]struct {
		err     error
		age     time.Duration
		outcome AttemptOutcome
	}{
		"busy":              {busy, 0, AttemptSnoozed},
		"down":              {errUnavailable, 0, AttemptFailed},
		"down for long":     {errUnavailable, long, AttemptFailed},
		"busy for long":     {busy, long, AttemptSnoozed},
		"blocked":           {&incident.Blocked{Err: errUnavailable}, 0, AttemptWaiting},
		"blocked for long":  {&incident.Blocked{Err: errUnavailable}, long, AttemptWaiting},
		"queued for long":   {&incident.RetryAfter{After: time.Minute, Err: errUnavailable, Queued: true}, long, AttemptSnoozed},
		"rejected":          {&incident.Permanent{Err: errUnavailable}, 0, AttemptDiscarded},
		"rejected, wrapped": {errors.Join(errors.New("post"), &incident.Permanent{Err: errUnavailable}), 0, AttemptDiscarded},
	} {
		t.Run(name, func(t *testing.T) {
			var discarded []EffectAttempt
			fx := newFailingFixture(t, incident.EffectAnnounce, &c.err, &discarded)
			var r attemptRecorder
			fx.Observer = &r
			id := fx.open(t, incident.Sev3)
			fx.now = fx.now.Add(c.age)
			err := fx.performFirst(t, incident.EffectAnnounce)
			if len(r.attempts) != 1 || r.attempts[0].Outcome != c.outcome {
				t.Errorf("got attempts %+v, want one with outcome %s", r.attempts, c.outcome)
			}
			if queued := queued(c.err); (err != nil) != queued {
				t.Errorf("got error %v, want one for a call that waits its turn only", err)
			}
			discard := c.outcome == AttemptDiscarded
			if n := countOf(fx.eventKinds(id), incident.EventEffectFailed); (n == 1) != discard {
				t.Errorf("got %d effect_failed events", n)
			}
		})
	}
}

func TestPerform_DiscardedPostDoesNotLoop(t *testing.T) {
	var down error = &incident.Permanent{Err: errUnavailable}
	var discarded []EffectAttempt
	fx := newFailingFixture(t, incident.EffectPost, &down, &discarded)
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "x"})
	fx.runQueue(t)
	posts := len(discarded)
	if posts == 0 || posts > 2*(1+countOf(fx.eventKinds(id), incident.EventEffectFailed)) {
		t.Errorf("got %d discarded posts", posts)
	}
	for _, g := range discarded {
		if g.Effect.Kind != incident.EffectPost {
			t.Errorf("discarded %s", g.Effect.Kind)
		}
	}
}

// TestPerform_PostsWaitForChannel refuses the request for the channel of an incident. Its
// posts wait, and pages do not.
func TestPerform_PostsWaitForChannel(t *testing.T) {
	var down error = &incident.Permanent{Err: errUnavailable}
	var discarded []EffectAttempt
	fx := newFailingFixture(t, incident.EffectOpenChannel, &down, &discarded)
	id := fx.open(t, incident.Sev3)
	fx.runQueue(t)
	if countOf(fx.calls, "post") != 0 || countOf(fx.calls, "card") != 0 {
		t.Errorf("posted without a channel: %v", fx.calls)
	}
	waits, _ := fx.store.WaitingEffects(WaitingQuery{Incident: id})
	if countOf(fx.calls, "page 1/0") != 1 || len(discarded) != 0 || len(waits) != 1 || waits[0].Kind != incident.EffectOpenChannel || !waits[0].Blocked {
		t.Errorf("got calls %v, discarded %v and waits %+v, want the page, and the channel waiting for an administrator", fx.calls, discarded, waits)
	}
	down = nil
	fx.now = fx.now.Add(time.Hour)
	fx.runQueue(t)
	if countOf(fx.calls, "post") == 0 {
		t.Errorf("got calls %v after the repair, want posts", fx.calls)
	}
}

func TestPerform_CrashRepeatsAttempt(t *testing.T) {
	var attempts []int
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectAnnounce] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			attempts = append(attempts, b.Attempt)
			return incident.Command{}, nil
		}
	})
	fx.open(t, incident.Sev3)
	fx.store.crash = 2 // the commit after the call
	if err := fx.performFirst(t, incident.EffectAnnounce); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if err := fx.performFirst(t, incident.EffectAnnounce); err != nil || !slices.Equal(attempts, []int{1, 2}) {
		t.Errorf("got attempts %v, %v", attempts, err)
	}
}

func TestAnnounce_RestrictedHasNoTitle(t *testing.T) {
	for _, public := range []bool{false, true} {
		var title string
		fx := newFixture(t, func(o *Options) {
			o.Handlers[incident.EffectAnnounce] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
				title = b.Incident.Title + b.Event.Text("title")
				if b.Incident.ID == 0 || b.Incident.Severity != incident.Sev2 {
					t.Errorf("brief without id or severity: %+v", b.Incident)
				}
				return incident.Command{}, nil
			}
		})
		fx.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2, Public: public})
		fx.runQueue(t)
		if (title != "") != public {
			t.Errorf("public %v: got title %q", public, title)
		}
	}
}

func TestPost_PrivilegedNoteHasNoText(t *testing.T) {
	var posted []string
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			if b.Event.Kind == incident.EventNoted {
				posted = append(posted, b.Event.Text("text"))
			}
			return incident.Command{}, nil
		}
	})
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "privileged", Audience: incident.AudienceLegalSecurity})
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "for all here"})
	fx.runQueue(t)
	if !slices.Equal(posted, []string{"", "for all here"}) {
		t.Errorf("got posts %q", posted)
	}
}
