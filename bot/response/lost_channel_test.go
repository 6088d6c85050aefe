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
