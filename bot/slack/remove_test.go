package slack

import (
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// members returns the members of a channel.
func (f *outboundTest) members(channel string) []string {
	f.Helper()
	c, ok := f.ws.Channel(channel)
	if !ok {
		f.Fatalf("no channel %q", channel)
	}
	return c.Members
}

func TestRemove_IsDoneOnceAfterAFault(t *testing.T) {
	eachFault(t, "conversations.kick", func(f *outboundTest) {
		b := f.openChannel()
		f.must(f.effects.Invite, b, "people", "p1,p2")
		channel := b.Incident.Links[incident.LinkChannel]
		user := slackID(b.Directory, "p2")
		if !slices.Contains(f.members(channel), user) {
			f.Fatalf("got members %v, want %s among them", f.members(channel), user)
		}
		f.failThenRetry(f.effects.Remove, b, "person", "p2")
		if got := f.members(channel); slices.Contains(got, user) || !slices.Contains(got, slackID(b.Directory, "p1")) {
			f.Errorf("got members %v, want only %s removed", got, user)
		}
	})
}

func TestRemove_PersonWithoutAccount(t *testing.T) {
	f := newOutboundTest(t)
	f.must(f.effects.Remove, f.openChannel(), "person", "nobody")
}

func TestReplaceChannel_CreatesOneChannelAfterAFault(t *testing.T) {
	eachFault(t, "conversations.create", func(f *outboundTest) {
		b := brief(openedIncident())
		b.Incident.Links = map[string]string{incident.LinkChannel: "C0OLD", incident.LinkCard: "1.1"}
		cmd := f.failThenRetry(f.effects.ReplaceChannel, b, "channel", "C0OLD")
		channels := f.incidentChannels()
		if len(channels) != 1 || cmd.Links[incident.LinkChannel] != channels[0].ID {
			f.Fatalf("got %+v for channels %+v, want a link to one new channel", cmd.Links, channels)
		}
		for _, name := range incident.ChannelContents() {
			if old, ok := cmd.Links[name]; !ok || name != incident.LinkCard && old != "" {
				f.Errorf("%s: got %q, want it cleared, because it is in the old channel", name, old)
			}
		}
		if posted := f.botMessages(channels[0].ID); len(posted) != 1 || posted[0].TS != cmd.Links[incident.LinkCard] {
			f.Errorf("got messages %d and card %s, want one card", len(posted), cmd.Links[incident.LinkCard])
		}
		b.Incident.Links = cmd.Links
		if again := f.must(f.effects.ReplaceChannel, b, "channel", "C0OLD"); again.Verb != "" {
			f.Errorf("got %+v after the replacement, want no command", again)
		}
	})
}

// TestReplaceChannel_LeavesTheOldOne continues in a second channel and invites
// everybody but the excluded person there.
func TestReplaceChannel_LeavesTheOldOne(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	old := b.Incident.Links[incident.LinkChannel]
	b.Incident.Exclusions = []incident.Exclusion{{Person: "p2", Channel: incident.ChannelNew}}
	cmd := f.must(f.effects.ReplaceChannel, b, "channel", old)
	b.Incident.Links = cmd.Links
	f.must(f.effects.Invite, b, "people", "p1,p2")
	next := cmd.Links[incident.LinkChannel]
	c, _ := f.ws.Channel(next)
	if next == old || !strings.HasPrefix(c.Name, "inc-42-") || slices.Contains(f.members(next), slackID(b.Directory, "p2")) {
		t.Errorf("got channel %q with members %v, want a new one without the excluded person", c.Name, f.members(next))
	}
}

// TestReplaceChannel_IsPrivateForPublicIncident checks that the excluded person
// cannot join the new channel of an incident that is public within the company.
func TestReplaceChannel_IsPrivateForPublicIncident(t *testing.T) {
	f := newOutboundTest(t)
	b := brief(openedIncident())
	b.Incident.Restricted = false
	b.Incident.Links = f.must(f.effects.OpenChannel, b).Links
	b.Incident.Exclusions = []incident.Exclusion{{Person: "p2", Channel: incident.ChannelNew}}
	cmd := f.must(f.effects.ReplaceChannel, b, "channel", b.Incident.Links[incident.LinkChannel])
	c, _ := f.ws.Channel(cmd.Links[incident.LinkChannel])
	if c.Kind != chat.KindPrivate {
		t.Errorf("got channel %q of kind %s, want a private one", c.Name, c.Kind)
	}
}
