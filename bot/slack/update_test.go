package slack

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// updateBrief returns a brief with an approved update of a restricted incident, and its
// audiences.
func updateBrief() incident.Brief {
	b := brief(incident.Incident{ID: 42, Status: incident.Active, Severity: incident.Sev2, Restricted: true, OpenedAt: noon, Links: map[string]string{}})
	b.Directory.Audiences = []incident.UpdateAudience{{Name: "company", Channel: incident.AnnounceAudience}, {Name: "support", Channel: "general"}, {Name: "lost", Channel: "nowhere"}}
	b.Event = incident.Event{Seq: 9, Kind: incident.EventUpdated, RecordedAt: noon, HappenedAt: noon, By: "p1", Fields: map[string]string{"update": "U2", "corrects": "U1", "update_due": "2026-11-24T07:00:00Z"},
		Texts: map[string]incident.Text{"text": {Value: "logins work again <!channel>"}}}
	return b
}

// TestShareUpdate_OncePerAudience shares an update with a fault at the first attempt. The
// announce channel gets it in the thread of the incident.
func TestShareUpdate_OncePerAudience(t *testing.T) {
	for audience, channel := range map[string]string{"company": announceChannelID, "support": "C00000GENRL"} {
		for _, fault := range append(slices.Clone(lostReplyFaults), rejectedFaults...) {
			t.Run(audience+" "+string(fault), func(t *testing.T) {
				f := newOutboundTest(t, func(c *chat.Config) {
					c.Channels = append(c.Channels, chat.SeedChannel{ID: "C00000GENRL", Name: "general", Members: []string{"U0BOT"}})
				})
				b := updateBrief()
				opened := b
				opened.Event, opened.Mark = incident.Event{Seq: 1, Kind: incident.EventOpened, RecordedAt: noon}, "opened"
				b.Incident.Links = f.must(f.effects.Announce, opened).Links
				f.ws.SetFault(chat.Fault{Method: "chat.postMessage", Kind: fault, Count: 1})
				cmd := f.failThenRetry(f.effects.ShareUpdate, b, "audience", audience, "update", "U2")
				if cmd.Verb != incident.VerbUpdateSent || cmd.Item != "U2" || cmd.Text != audience || cmd.Channel != incident.SystemSlack {
					t.Errorf("got command %+v, want an entry of the register", cmd)
				}
				posted := slices.DeleteFunc(f.botMessages(channel), func(m chat.Message) bool { return !strings.Contains(string(m.Blocks)+m.Text, "logins work again") })
				if len(posted) != 1 || posted[0].Broadcast != (audience == "company") {
					t.Fatalf("got messages %+v, want one, in the thread of the announce channel", posted)
				}
				if all := string(posted[0].Blocks) + posted[0].Text; strings.Contains(posted[0].Text, "<!channel>") || !strings.Contains(all, "U1") {
					t.Errorf("got message %s, want the corrected update and no mention of the channel", all)
				}
			})
		}
	}
}

func TestShareUpdate_MissingChannelWaitsForAdministrator(t *testing.T) {
	f := newOutboundTest(t)
	_, err := f.effects.ShareUpdate(f.ctx, updateBrief(), effectWithArgs([]string{"audience", "lost"}))
	if !isBlocked(err) || !strings.Contains(err.Error(), "updates.audiences") {
		t.Errorf("got %v, want an error for an administrator that names updates.audiences", err)
	}
	b := updateBrief()
	b.Event.Texts = map[string]incident.Text{"text": {}}
	if _, err := f.effects.ShareUpdate(f.ctx, b, effectWithArgs([]string{"audience", "support"})); !errors.As(err, new(*incident.Permanent)) {
		t.Errorf("erased text: got %v, want a permanent error", err)
	}
}

// TestAskUpdate_RemindsCommunicatorOnce sends the reminder to the communicator, and none
// after an update.
func TestAskUpdate_RemindsCommunicatorOnce(t *testing.T) {
	f := newOutboundTest(t)
	b := updateBrief()
	b.Incident.UpdateReminded, b.Incident.Roles = true, map[incident.Role]incident.PersonID{incident.Communicator: "p1"}
	f.must(f.effects.AskUpdate, b)
	f.must(f.effects.AskUpdate, b)
	b.Incident.UpdateReminded, b.Mark = false, "another"
	f.must(f.effects.AskUpdate, b)
	if sent := f.countDirectMessages(); sent != 1 {
		t.Errorf("got %d direct messages, want 1", sent)
	}
}
