package response

import (
	"context"
	"errors"
	"testing"

	"tocsin/bot/incident"
)

// TestLostChannel_ReplacedOnce lets several effects fail in a lost channel, before and
// after its replacement. All of them succeed in the new one.
func TestLostChannel_ReplacedOnce(t *testing.T) {
	var fx *fixture
	opened, posted := 0, 0
	inChannel := func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		if channel := b.Incident.Links[incident.LinkChannel]; channel == "C1" {
			return incident.Command{}, &incident.ChannelGone{Channel: channel, Archived: true, Err: errBlocked}
		}
		posted++
		return incident.Command{}, nil
	}
	fx = newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.runQueue(t)
	for _, kind := range []incident.EffectKind{incident.EffectPost, incident.EffectCard, incident.EffectTopic, incident.EffectInvite} {
		fx.Desk.Handlers[kind] = inChannel
	}
	fx.Desk.Handlers[incident.EffectReplaceChannel] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		opened++
		return incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C2", incident.LinkCard: ""}}, nil
	}
	for range 3 {
		fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello"})
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p2"})
	for range 5 {
		fx.runQueue(t)
		fx.now = fx.now.Add(replacePause)
	}
	lost := 0
	for _, e := range fx.store.events[id] {
		if e.Kind == incident.EventChannelLost {
			lost++
		}
	}
	if opened != 1 || lost != 1 || fx.store.incidents[id].Links[incident.LinkChannel] != "C2" {
		t.Errorf("got %d replacements and %d losses, want one of each", opened, lost)
	}
	if posted < 7 { // three notes, a role, the welcome, card and invitations
		t.Errorf("got %d effects in the new channel, want all of them", posted)
	}
	for _, e := range fx.store.effects {
		if !e.done && e.Kind.NeedsChannel() && !e.Refresh {
			t.Errorf("effect %s is not done", e.Key)
		}
	}
}

// TestLostChannel_PausesGrow refuses the replacement for ten minutes. The effects that wait
// for it call the chat rarely, and go on at once after the repair.
func TestLostChannel_PausesGrow(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.runQueue(t)
	calls, posted, refused := 0, 0, true
	fx.Desk.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		calls++
		if channel := b.Incident.Links[incident.LinkChannel]; channel == "C1" {
			return incident.Command{}, &incident.ChannelGone{Channel: channel, Err: errBlocked}
		}
		posted++
		return incident.Command{}, nil
	}
	fx.Desk.Handlers[incident.EffectReplaceChannel] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
		if refused {
			return incident.Command{}, errBlocked
		}
		return incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C2", incident.LinkCard: ""}}, nil
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello"})
	for range 120 {
		fx.runQueue(t)
		fx.now = fx.now.Add(replacePause)
	}
	if calls < 3 || calls > 15 {
		t.Errorf("got %d calls in ten minutes, want a few", calls)
	}
	refused = false
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbRetry})
	fx.runQueue(t)
	fx.runQueue(t)
	if posted == 0 {
		t.Error("got no post in the new channel at once after the repair")
	}
}

func TestLostChannel_EndedIncidentSkips(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbDismiss, Text: "a drill", NoPersonalData: true})
	fx.Desk.Handlers[incident.EffectPost] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		return incident.Command{}, &incident.ChannelGone{Channel: b.Incident.Links[incident.LinkChannel], Err: errors.New("is_archived")}
	}
	if status := fx.store.incidents[id].Status; status != incident.Dismissed {
		fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbDismiss, Text: "a drill"})
	}
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "late"})
	fx.runQueue(t)
	for _, e := range fx.store.events[id] {
		if e.Kind == incident.EventChannelLost || e.Kind == incident.EventEffectFailed {
			t.Errorf("got event %s, want none", e.Kind)
		}
	}
}

// TestLostChannel_RefusedForGood refuses the request for another channel in a way that no
// repeat can help. The replacement waits where people see it. After people unarchived the
// channel, the incident goes on in it and opens no other.
func TestLostChannel_RefusedForGood(t *testing.T) {
	o := newOutage(t)
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	archived, cards := true, 0
	inChannel := func(done *int) Handler {
		return func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			if archived {
				return incident.Command{}, &incident.ChannelGone{Channel: "C1", Archived: true, Err: errBlocked}
			}
			*done++
			return incident.Command{}, nil
		}
	}
	posts := 0
	o.Desk.Handlers[incident.EffectPost], o.Desk.Handlers[incident.EffectCard] = inChannel(&posts), inChannel(&cards)
	o.Desk.Handlers[incident.EffectReplaceChannel] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
		return incident.Command{}, &incident.Permanent{Err: errors.New("conversations.create: invalid_name")}
	}
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello"})
	o.runQueue(t)
	if w := o.wait(t, incident.EffectReplaceChannel); !w.Blocked || w.Cause != "the request for a channel is refused: conversations.create: invalid_name" || w.Fix == "" {
		t.Errorf("got %+v, want a wait with the cause and the fix", w)
	}
	if o.store.incidents[id].LostChannel != "C1" {
		t.Fatal("got no lost channel")
	}
	archived = false
	o.now = o.now.Add(maxPause)
	o.runQueue(t)
	inc := o.store.incidents[id]
	if inc.LostChannel != "" || inc.Links[incident.LinkChannel] != "C1" || posts == 0 || cards == 0 || len(o.waits(t, WaitingQuery{})) != 0 {
		t.Errorf("got lost channel %q, %d posts, %d cards, waits %+v, want the incident to go on in its channel", inc.LostChannel, posts, cards, o.waits(t, WaitingQuery{}))
	}
	archived = true // again, and now another channel can be opened
	o.Desk.Handlers[incident.EffectReplaceChannel] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
		archived = false
		return incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C2", incident.LinkCard: ""}}, nil
	}
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello again"})
	o.runQueue(t)
	if got := o.store.incidents[id].Links[incident.LinkChannel]; got != "C2" {
		t.Errorf("got channel %q after the second loss, want another one", got)
	}
}
