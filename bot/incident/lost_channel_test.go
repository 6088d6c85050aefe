package incident

import (
	"slices"
	"testing"
)

func lost(channel string) Command {
	return Command{Verb: VerbChannelLost, Item: channel, Reason: ChannelArchived}
}

// lastEffects returns the kinds of the effects of the last n events.
func (w *fixture) lastEffects(n int) []EffectKind {
	var out []EffectKind
	for _, e := range w.events[len(w.events)-n:] {
		for _, f := range e.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
			out = append(out, f.Kind)
		}
	}
	return out
}

func TestChannelLost_ReplacedOnce(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1", LinkCard: "17.1"}})
	w.must("", lost("C1"))
	if got := w.lastEffects(1); !slices.Equal(got, []EffectKind{EffectReplaceChannel}) {
		t.Errorf("got effects %v, want the replacement alone", got)
	}
	for _, channel := range []string{"C1", "C0", ""} { // again, of another channel, of none
		if events, err := w.decideAs("", lost(channel)); err != nil || len(events) != 0 {
			t.Errorf("%q: got %v, %v, want nothing", channel, events, err)
		}
	}
	w.must("eng1", Command{Verb: VerbNote, Text: "still here"})
	if got := w.lastEffects(1); slices.Contains(got, EffectCard) {
		t.Errorf("got effects %v, want no card in the lost channel", got)
	}
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C2", LinkCard: "", LinkBookmark: ""}})
	if !w.inc.HasLeft("C1") || w.inc.HasLeft("C2") || w.inc.LostChannel != "" || w.inc.Links[LinkCard] != "" {
		t.Errorf("got channels left %v, lost %q, card %q", w.inc.FormerChannels, w.inc.LostChannel, w.inc.Links[LinkCard])
	}
	if got := w.lastEffects(2); !slices.Contains(got, EffectInvite) || !slices.Contains(got, EffectPost) || !slices.Contains(got, EffectCard) || !slices.Contains(got, EffectTopic) || slices.Contains(got, EffectAnnounce) != !w.inc.Restricted {
		t.Errorf("got effects %v, want members, welcome, card and topic", got)
	}
	w.must("", lost("C2"))
}

// TestChannelLost_EndedIncident replaces the channel only after the incident is reopened.
func TestChannelLost_EndedIncident(t *testing.T) {
	w := fixtureIn(t, Dismissed)
	w.inc.Links = map[string]string{LinkChannel: "C1"}
	if events, err := w.decideAs("", lost("C1")); err != nil || len(events) != 0 {
		t.Errorf("got %v, %v, want no replacement", events, err)
	}
	w.must("eng1", Command{Verb: VerbReopen, Text: "it goes on"})
	w.must("", lost("C1"))
}

// TestChannelReplaced_ExclusionIsNotAnnounced checks the announcements of a replacement.
func TestChannelReplaced_ExclusionIsNotAnnounced(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.Restricted = false
	w.inc.Links = map[string]string{LinkChannel: "C1"}
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C2"}})
	if got := w.lastEffects(1); slices.Contains(got, EffectAnnounce) {
		t.Errorf("got effects %v, want no announcement", got)
	}
}

// TestChannelFound_EndsTheLoss checks that the incident keeps a lost channel that works
// again, and that other channels change nothing.
func TestChannelFound_EndsTheLoss(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1", LinkCard: "17.1"}})
	found := func(channel string) Command { return Command{Verb: VerbChannelFound, Item: channel} }
	w.mustIgnore("", found("C1"))
	w.must("", lost("C1"))
	w.mustIgnore("", found("C2"))
	w.must("", found("C1"))
	if w.inc.LostChannel != "" || w.inc.LostHow != "" || w.inc.ReplacesChannel() || w.inc.HasLeft("C1") {
		t.Errorf("got lost channel %q, want the incident to keep its channel", w.inc.LostChannel)
	}
	if got := w.lastEffects(1); !slices.Contains(got, EffectCard) {
		t.Errorf("got effects %v, want card", got)
	}
	w.must("", lost("C1")) // again
}
