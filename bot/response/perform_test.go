package response

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// attemptOn performs the first effect of a kind that is not done.
func (w *world) attemptOn(t *testing.T, kind incident.EffectKind) error {
	t.Helper()
	for _, e := range w.store.effects {
		if e.Kind == kind && !e.done {
			return w.Perform(context.Background(), w.store.start(e.ID))
		}
	}
	t.Fatalf("no %s is to be done", kind)
	return nil
}

// failing returns a world whose handler of a kind fails with *err while it is set.
func failing(t *testing.T, kind incident.EffectKind, err *error, gaveUp *[]DiscardedEffect) *world {
	return newWorld(t, func(o *Options) {
		works := o.Handlers[kind]
		o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			if *err != nil {
				return incident.Command{}, *err
			}
			return works(ctx, b, e)
		}
		o.OnDiscard = func(g DiscardedEffect) { *gaveUp = append(*gaveUp, g) }
	})
}

func TestErrorsAreClassified(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		age    time.Duration
		giveUp bool
	}{
		"busy":                         {&incident.RetryAfter{After: time.Minute, Err: errDown}, 0, false},
		"down":                         {errDown, 0, false},
		"down for long":                {errDown, 25 * time.Hour, true},
		"busy for long":                {&incident.RetryAfter{After: time.Minute, Err: errDown}, 25 * time.Hour, true},
		"refused":                      {&incident.Permanent{Err: errDown}, 0, true},
		"refused, and said in a frame": {errors.Join(errors.New("post"), &incident.Permanent{Err: errDown}), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var gaveUp []DiscardedEffect
			w := failing(t, incident.EffectAnnounce, &c.err, &gaveUp)
			id := w.open(t, incident.Sev3)
			w.now = w.now.Add(c.age)
			err := w.attemptOn(t, incident.EffectAnnounce)
			if (err == nil) != c.giveUp || (len(gaveUp) == 1) != c.giveUp {
				t.Fatalf("error %v, gave up %v", err, gaveUp)
			}
			var wait *incident.RetryAfter
			if want := errors.As(c.err, &wait); !c.giveUp && errors.As(err, &wait) != want {
				t.Errorf("the wish to wait was lost: %v", err)
			}
			if said := count(w.kinds(id), incident.EventEffectFailed); (said == 1) != c.giveUp {
				t.Errorf("said %d times", said)
			}
		})
	}
}

func TestGivingUpAPostDoesNotGoRound(t *testing.T) {
	var down error = &incident.Permanent{Err: errDown}
	var gaveUp []DiscardedEffect
	w := failing(t, incident.EffectPost, &down, &gaveUp)
	id := w.open(t, incident.Sev3)
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "x"})
	w.settle(t)
	posts := len(gaveUp)
	if posts == 0 || posts > 2*(1+count(w.kinds(id), incident.EventEffectFailed)) {
		t.Errorf("gave up %d posts", posts)
	}
	for _, g := range gaveUp {
		if g.Effect.Kind != incident.EffectPost {
			t.Errorf("gave up %s", g.Effect.Kind)
		}
	}
}

func TestWithoutAChannelNothingIsPosted(t *testing.T) {
	var down error = &incident.Permanent{Err: errDown}
	var gaveUp []DiscardedEffect
	w := failing(t, incident.EffectOpenChannel, &down, &gaveUp)
	id := w.open(t, incident.Sev3)
	w.settle(t)
	if count(w.calls, "post") != 0 || count(w.calls, "card") != 0 {
		t.Errorf("posted into nothing: %v", w.calls)
	}
	if count(w.calls, "page 1/0") != 1 || count(w.kinds(id), incident.EventEffectFailed) != 1 {
		t.Errorf("the page waited for the channel: %v", w.calls)
	}
}

func TestAnAttemptThatCrashedIsRepeatedAndLooksFirst(t *testing.T) {
	var attempts []int
	w := newWorld(t, func(o *Options) {
		o.Handlers[incident.EffectAnnounce] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			attempts = append(attempts, b.Attempt)
			return incident.Command{}, nil
		}
	})
	w.open(t, incident.Sev3)
	w.store.crash = 2 // the transaction after the call
	if err := w.attemptOn(t, incident.EffectAnnounce); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if err := w.attemptOn(t, incident.EffectAnnounce); err != nil || !slices.Equal(attempts, []int{1, 2}) {
		t.Errorf("attempts %v, %v", attempts, err)
	}
}

func TestARestrictedIncidentIsAnnouncedBare(t *testing.T) {
	for _, public := range []bool{false, true} {
		var title string
		w := newWorld(t, func(o *Options) {
			o.Handlers[incident.EffectAnnounce] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
				title = b.Incident.Title + b.Event.Text("title")
				if b.Incident.ID == 0 || b.Incident.Severity != incident.Sev2 {
					t.Errorf("the brief lost its id or severity: %+v", b.Incident)
				}
				return incident.Command{}, nil
			}
		})
		w.say(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2, Public: public})
		w.settle(t)
		if (title != "") != public {
			t.Errorf("public %v: announced with the title %q", public, title)
		}
	}
}

func TestConfidentialNotesAreNotPosted(t *testing.T) {
	var posted []string
	w := newWorld(t, func(o *Options) {
		o.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			if b.Event.Kind == incident.EventNoted {
				posted = append(posted, b.Event.Text("text"))
			}
			return incident.Command{}, nil
		}
	})
	id := w.open(t, incident.Sev2)
	w.say(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "privileged", Audience: incident.AudienceLegalSecurity})
	w.say(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "for all here"})
	w.settle(t)
	if !slices.Equal(posted, []string{"", "for all here"}) {
		t.Errorf("posted %q", posted)
	}
}
