package response

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

var errDamaged = errors.New("damaged row")

// damagedStore is a memory store in which a method fails, or all methods of a list.
type damagedStore struct {
	*memory
	damaged map[string]bool // by method
}

func (d *damagedStore) Tx(ctx context.Context, f func(Tx) error) error {
	return d.memory.Tx(ctx, func(Tx) error { return f(damagedTx{d.memory, d}) })
}

func (d *damagedStore) View(ctx context.Context, f func(Reader) error) error {
	return d.memory.View(ctx, func(Reader) error { return f(damagedTx{d.memory, d}) })
}

func (d *damagedStore) fail(method string) error {
	if d.damaged[method] {
		return errDamaged
	}
	return nil
}

type damagedTx struct {
	*memory
	store *damagedStore
}

func (d damagedTx) Directory() (incident.Directory, error) {
	if err := d.store.fail("Directory"); err != nil {
		return incident.Directory{}, err
	}
	return d.memory.Directory()
}

func (d damagedTx) Incident(id incident.ID) (incident.Incident, error) {
	if err := d.store.fail("Incident"); err != nil {
		return incident.Incident{}, err
	}
	return d.memory.Incident(id)
}

func (d damagedTx) Timeline(id incident.ID, seq ...int) ([]incident.Event, error) {
	if err := d.store.fail("Timeline"); err != nil {
		return nil, err
	}
	return d.memory.Timeline(id, seq...)
}

func (d damagedTx) Effect(job Job) (incident.Effect, bool, error) {
	if err := d.store.fail("Effect"); err != nil {
		return incident.Effect{}, false, err
	}
	return d.memory.Effect(job)
}

func (d damagedTx) WaitingEffects(q WaitingQuery) ([]incident.WaitingEffect, error) {
	if err := d.store.fail("WaitingEffects"); err != nil {
		return nil, err
	}
	return d.memory.WaitingEffects(q)
}

func (d damagedTx) Values(n Namespace, keys ...string) (map[string][]byte, error) {
	if err := d.store.fail("Values"); err != nil {
		return nil, err
	}
	return d.memory.Values(n, keys...)
}

func (d damagedTx) CountAlerts(id incident.ID, since time.Time) ([]incident.AlertCount, error) {
	if err := d.store.fail("CountAlerts"); err != nil {
		return nil, err
	}
	return d.memory.CountAlerts(id, since)
}

func (d damagedTx) FinishEffect(job Job, outcome EffectOutcome, result string, covered ...int64) error {
	if err := d.store.fail("FinishEffect"); err != nil {
		return err
	}
	return d.memory.FinishEffect(job, outcome, result, covered...)
}

func (d damagedTx) Save(inc incident.Incident, events []incident.Event, erased ...incident.TextRef) error {
	if err := d.store.fail("Save"); err != nil {
		return err
	}
	return d.memory.Save(inc, events, erased...)
}

// TestPerform_OwnFailuresWait damages the data of effects, in each way that an attempt can
// meet it, and lets a handler panic. The effect waits with growing pauses where people see
// it, and is performed once after the repair.
func TestPerform_OwnFailuresWait(t *testing.T) {
	const handler = "the handler"
	for _, c := range []struct {
		kind    incident.EffectKind
		damaged string
	}{
		{incident.EffectAnnounce, "Effect"}, {incident.EffectAnnounce, "Incident"}, {incident.EffectAnnounce, "Timeline"}, {incident.EffectAnnounce, "Directory"},
		{incident.EffectAnnounce, "FinishEffect"}, {incident.EffectAnnounce, handler}, {incident.EffectPage, "Values"}, {incident.EffectPage, "CountAlerts"}, {incident.EffectPage, "Save"},
		{incident.EffectOpenChannel, "Save"}, {incident.EffectDeadline, "Incident"}, {incident.EffectPageAck, "Values"},
	} {
		t.Run(string(c.kind)+"/"+c.damaged, func(t *testing.T) {
			fx := newFixture(t, func(o *Options) {
				o.Targets, o.Withdraw = [][]byte{[]byte("t0"), []byte("t1"), []byte("t2")}, func([]byte) Handler { return o.Handlers[incident.EffectPageAck] }
			})
			store := &damagedStore{memory: fx.store, damaged: map[string]bool{}}
			fx.Desk.Store = store
			next := fx.Desk.Handlers[incident.EffectAnnounce]
			fx.Desk.Handlers[incident.EffectAnnounce] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				if store.damaged[handler] {
					panic("a bug")
				}
				return next(ctx, b, e)
			}
			id := fx.open(t, incident.Sev2)
			if c.kind == incident.EffectPageAck {
				fx.runQueue(t)
				fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
			}
			for _, e := range fx.store.effects { // the deadline is due
				if e.Kind == c.kind && e.After.After(fx.now) {
					fx.now = e.After
				}
			}
			store.damaged[c.damaged] = true
			var last time.Duration
			var seen incident.WaitingEffect
			for range 12 {
				func() {
					defer func() { _ = recover() }()
					if err := fx.performFirst(t, c.kind); err != nil {
						t.Fatal(err)
					}
				}()
				waits, _ := fx.store.WaitingEffects(WaitingQuery{})
				if len(waits) != 1 || waits[0].Kind != c.kind || waits[0].System != incident.SystemTocsin || waits[0].Cause == "" {
					t.Fatalf("got waiting effects %+v, want the effect with its cause", waits)
				}
				seen = waits[0]
				pause := seen.NextAttempt.Sub(fx.now)
				if pause < last {
					t.Fatalf("got a pause of %s after %s", pause, last)
				}
				last, fx.now = pause, seen.NextAttempt
			}
			if last < time.Minute || !seen.Visible(fx.now) || seen.Attempts != 12 {
				t.Errorf("got %+v and a pause of %s, want 12 attempts that people see, with growing pauses", seen, last)
			}
			clear(store.damaged)
			fx.runQueue(t)
			if waits, _ := fx.store.WaitingEffects(WaitingQuery{}); len(waits) != 0 {
				t.Errorf("got waiting effects %+v after the repair", waits)
			}
		})
	}
}

// TestPerform_OwnFailureOnCard damages the values that a page needs. The card of the incident
// lists the page.
func TestPerform_OwnFailureOnCard(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Targets, o.Withdraw = [][]byte{[]byte("t0")}, func([]byte) Handler { return nil } })
	store := &damagedStore{memory: fx.store, damaged: map[string]bool{}}
	fx.Desk.Store = store
	var shown []incident.WaitingEffect
	fx.Desk.Handlers[incident.EffectCard] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		shown = b.Waiting
		return incident.Command{}, nil
	}
	fx.open(t, incident.Sev2)
	store.damaged["Values"] = true
	for range 10 {
		fx.runQueue(t)
		fx.now = fx.now.Add(time.Minute)
	}
	if len(shown) != 1 || shown[0].Kind != incident.EffectPage || !strings.Contains(shown[0].Cause, "failed in Tocsin") {
		t.Errorf("got waiting effects %+v on the card, want the page", shown)
	}
}

// TestPerform_OwnFailureAfterRefusal has Slack refuse a call, and Tocsin cannot record it. The
// effect waits for Tocsin and not for Slack, whose refusal would pause it for an hour. The log
// has both.
func TestPerform_OwnFailureAfterRefusal(t *testing.T) {
	for name, refusal := range map[string]error{"blocked": errBlocked, "paused": &incident.RetryAfter{After: time.Hour, Err: errUnavailable}, "wrong": &incident.Permanent{Err: errUnavailable}} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			fx := newFixture(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			store := &damagedStore{memory: fx.store, damaged: map[string]bool{}}
			fx.Desk.Store = store
			fx.Desk.Handlers[incident.EffectAnnounce] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
				store.damaged["Incident"] = true
				return incident.Command{}, refusal
			}
			fx.open(t, incident.Sev2)
			if err := fx.performFirst(t, incident.EffectAnnounce); err != nil {
				t.Fatal(err)
			}
			waits, _ := fx.store.WaitingEffects(WaitingQuery{})
			if len(waits) != 1 || waits[0].System != incident.SystemTocsin || waits[0].Blocked || waits[0].Paused || waits[0].Fix != "" {
				t.Errorf("got waiting effects %+v, want a failure in Tocsin", waits)
			}
			if text := log.String(); !strings.Contains(text, errDamaged.Error()) || !strings.Contains(text, refusal.Error()) {
				t.Errorf("got log %q, want both errors", text)
			}
		})
	}
}

// TestPerform_OwnFailureKeepsReached has a mail reach one of two recipients, and Tocsin cannot
// record it as usual. The next attempt leaves that recipient out.
func TestPerform_OwnFailureKeepsReached(t *testing.T) {
	fx := newFixture(t, nil)
	store := &damagedStore{memory: fx.store, damaged: map[string]bool{}}
	fx.Desk.Store = store
	var got [][]string
	fx.Desk.Handlers[incident.EffectAnnounce] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		got = append(got, b.Reached)
		store.damaged["Incident"] = true
		return incident.Command{}, &incident.Partial{Reached: []string{"ana@example.com"}, Err: errBlocked}
	}
	fx.open(t, incident.Sev2)
	for range 2 {
		if err := fx.performFirst(t, incident.EffectAnnounce); err != nil {
			t.Fatal(err)
		}
		clear(store.damaged)
		fx.now = fx.now.Add(time.Hour)
	}
	if len(got) != 2 || len(got[0]) != 0 || !slices.Equal(got[1], []string{"ana@example.com"}) {
		t.Errorf("got recipients %v, want none and then ana", got)
	}
}

// TestExclude_OwnFailureStaysSecret damages the event of a removal. The log tells nobody
// about the exclusion.
func TestExclude_OwnFailureStaysSecret(t *testing.T) {
	var log bytes.Buffer
	fx := newFixture(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	store := &damagedStore{memory: fx.store, damaged: map[string]bool{}}
	fx.Desk.Store = store
	fx.Desk.Handlers[incident.EffectRemove] = fx.Desk.Handlers[incident.EffectPost]
	id := fx.open(t, incident.Sev2)
	fx.runQueue(t)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelRemove})
	store.damaged["Timeline"] = true
	fx.runQueue(t)
	if text := log.String(); !strings.Contains(text, "kind=confidential") || strings.Contains(text, "remove") {
		t.Errorf("got log %q, want no word about a removal", text)
	}
}
