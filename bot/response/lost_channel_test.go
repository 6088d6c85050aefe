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
