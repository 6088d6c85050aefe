package response

import (
	"context"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestDropEffect_LaneGoesOn drops a post that is refused at each attempt. The posts behind it go
// on, the timeline, the card and the audit log have the reason, and nothing waits.
func TestDropEffect_LaneGoesOn(t *testing.T) {
	o := newOutage(t)
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	root := incident.Identity{Provider: incident.ProviderLocal, ID: "root"}
	posts := 0
	succeed := o.Handlers[incident.EffectPost]
	o.Handlers[incident.EffectPost] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if b.Event.Kind == incident.EventNoted && posts == 0 {
			return incident.Command{}, errBlocked
		}
		posts++
		return succeed(ctx, b, e)
	}
	for _, text := range []string{"refused", "behind it"} {
		o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: text})
	}
	o.runQueue(t)
	w := o.wait(t, incident.EffectPost)
	for name, c := range map[string]struct {
		effect int64
		reason string
		want   incident.Code
	}{
		"no reason":     {w.ID, "", incident.CodeInvalid},
		"does not wait": {1, "x", incident.CodeUnknown},
		"unknown":       {4711, "x", incident.CodeUnknown},
	} {
		if err := o.DropEffect(context.Background(), root, c.effect, c.reason); incident.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want code %s", name, err, c.want)
		}
	}
	o.store.effects[w.ID-1].wait.NextAttempt = o.now // its attempt is due or in progress
	if err := o.DropEffect(context.Background(), root, w.ID, "x"); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("in progress: got %v, want a conflict", err)
	}
	o.store.effects[w.ID-1].wait.NextAttempt = w.NextAttempt
	posts = 1 // later posts succeed
	if err := o.DropEffect(context.Background(), root, w.ID, "the message cannot be posted"); err != nil {
		t.Fatal(err)
	}
	o.done = nil
	o.runQueue(t)
	if got := countOf(o.done, string(incident.EffectPost)); got != 2 || len(o.waits(t, WaitingQuery{})) != 0 {
		t.Errorf("got %d posts and %d waiting effects, want the note behind and the news of the drop", got, len(o.waits(t, WaitingQuery{})))
	}
	if countOf(o.done, string(incident.EffectCard)) == 0 {
		t.Error("got no new card")
	}
	e := o.store.effects[w.ID-1]
	if !e.done || e.result != "discarded: dropped by the administrator root: the message cannot be posted" {
		t.Errorf("got %v, %q", e.done, e.result)
	}
	events := o.store.events[id]
	last := events[len(events)-1]
	if last.Kind != incident.EventEffectDropped || last.Field("effect") != e.Key || last.Field("administrator") != "root" || last.Text("reason") != "the message cannot be posted" {
		t.Errorf("got last event %+v", last)
	}
	entry := o.store.audit[len(o.store.audit)-1]
	if entry.Action != "effect dropped" || entry.Handle != root || entry.Incident != id || !strings.Contains(entry.Reason, "the message cannot be posted") {
		t.Errorf("got audit entry %+v", entry)
	}
}

// TestDropEffect_SecretStaysSecret drops a removal of an excluded person. Only the audit
// log has it.
func TestDropEffect_SecretStaysSecret(t *testing.T) {
	o := newOutage(t)
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	o.Handlers[incident.EffectRemove] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
		return incident.Command{}, errBlocked
	}
	o.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelRemove})
	o.runQueue(t)
	w := o.wait(t, incident.EffectRemove)
	before := len(o.store.events[id])
	if err := o.DropEffect(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, w.ID, "removed by hand"); err != nil {
		t.Fatal(err)
	}
	if got := o.store.events[id]; len(got) != before {
		t.Errorf("got event %+v about a secret effect", got[len(got)-1])
	}
	if entry := o.store.audit[len(o.store.audit)-1]; entry.Reason != "remove: removed by hand" {
		t.Errorf("got audit entry %+v", entry)
	}
}

// TestDropEffect_KeepsReplacement refuses to drop the replacement of a channel: an excluded
// person would read what follows.
func TestDropEffect_KeepsReplacement(t *testing.T) {
	o := newOutage(t)
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	o.Handlers[incident.EffectReplaceChannel] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
		return incident.Command{}, errBlocked
	}
	o.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelNew})
	o.runQueue(t)
	w := o.wait(t, incident.EffectReplaceChannel)
	err := o.DropEffect(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, w.ID, "x")
	if incident.CodeOf(err) != incident.CodeConflict || strings.Contains(err.Error(), "channel") {
		t.Errorf("got %v, want a conflict that does not tell what the effect does", err)
	}
	o.wait(t, incident.EffectReplaceChannel)
}
