package slack

import (
	"errors"
	"testing"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
)

// waysToLose are the ways in which an incident can lose its private channel.
var waysToLose = map[string]func(f *outboundTest, channel string) error{
	"archived": func(f *outboundTest, channel string) error { return f.ws.Act("U0ADA").Archive(channel) },
	"deleted":  func(f *outboundTest, channel string) error { return f.ws.Act("U0ADA").Delete(channel) },
	"removed":  func(f *outboundTest, channel string) error { return f.ws.Act("U0ADA").Kick(channel, f.botUser()) },
}

func (f *outboundTest) botUser() string {
	f.Helper()
	self, err := f.slack.Self(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	return self
}

// TestLost_EveryCall makes every call of the platform in a channel that is lost.
func TestLost_EveryCall(t *testing.T) {
	message := neutral.Message{Blocks: []neutral.Block{neutral.Headline("x")}}
	people := []incident.Person{{ID: "p3", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U0CY"}}}}
	for name, lose := range waysToLose {
		t.Run(name, func(t *testing.T) {
			f := newOutboundTest(t)
			inc := openedIncident()
			channel, err := f.slack.OpenChannel(f.ctx, inc, true)
			if err != nil {
				t.Fatal(err)
			}
			posted, err := f.slack.Post(f.ctx, channel, message, neutral.Mark{Key: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.slack.Invite(f.ctx, channel, []incident.Person{{ID: "p1", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U0ADA"}}}}); err != nil {
				t.Fatal(err)
			}
			if err := lose(f, channel); err != nil {
				t.Fatal(err)
			}
			for call, do := range map[string]func() error{
				"post":   func() error { _, err := f.slack.Post(f.ctx, channel, message, neutral.Mark{Key: "n"}); return err },
				"update": func() error { return f.slack.Update(f.ctx, channel, posted.ID, message, neutral.Mark{Key: "m"}) },
				"pin":    func() error { return f.slack.Pin(f.ctx, channel, posted.ID) },
				"topic":  func() error { return f.slack.SetTopic(f.ctx, channel, "another topic") },
				"invite": func() error { _, _, err := f.slack.Invite(f.ctx, channel, people); return err },
				"bookmark": func() error {
					_, err := f.slack.Bookmark(f.ctx, channel, neutral.Bookmark{Title: "x", URL: "https://example.com", Icon: "bell"})
					return err
				},
				"share": func() error {
					m := message
					m.Files = []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}
					_, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: "f"})
					return err
				},
			} {
				if call == "bookmark" && name == "archived" {
					continue // Slack returns permission_denied, and the next call finds out
				}
				var gone *incident.ChannelGone
				if err := do(); !errors.As(err, &gone) || gone.Channel != channel || gone.Archived != (name == "archived") || !errors.As(err, new(*incident.Blocked)) {
					t.Errorf("%s: got error %v, want the channel to be gone", call, err)
				}
			}
			inc.Links = map[string]string{incident.LinkChannel: channel}
			next, err := f.slack.OpenChannel(f.ctx, inc, true)
			if err != nil || next == channel {
				t.Fatalf("got channel %s, %v, want another one", next, err)
			}
			again, err := f.slack.OpenChannel(f.ctx, inc, true) // a second replica, or a crash before the commit
			if err != nil || again != next {
				t.Errorf("got channel %s, %v, want %s again", again, err, next)
			}
		})
	}
}

// TestLost_PublicChannelIsRejoined removes the bot from a public channel.
func TestLost_PublicChannelIsRejoined(t *testing.T) {
	f := newOutboundTest(t)
	channel, err := f.slack.OpenChannel(f.ctx, openedIncident(), false)
	if err != nil {
		t.Fatal(err)
	}
	message := neutral.Message{Blocks: []neutral.Block{neutral.Headline("x")}}
	for name, do := range map[string]func() error{
		"topic": func() error { return f.slack.SetTopic(f.ctx, channel, "another topic") },
		"post":  func() error { _, err := f.slack.Post(f.ctx, channel, message, neutral.Mark{Key: "n"}); return err },
		"find":  func() error { _, _, err := f.slack.Find(f.ctx, channel, "", "n", noon); return err },
	} {
		if err := f.ws.Act("U0ADA").Join(channel); err != nil {
			t.Fatal(err)
		}
		if err := f.ws.Act("U0ADA").Kick(channel, f.botUser()); err != nil {
			t.Fatal(err)
		}
		if err := do(); err != nil {
			t.Errorf("%s: got error %v, want the bot to join again", name, err)
		}
	}
}

// TestLost_MissingScopeIsNoLoss: a channel that still exists is not lost, even if one call
// returns channel_not_found.
func TestLost_MissingScopeIsNoLoss(t *testing.T) {
	answers := answer.NewSet()
	f := newOutboundTest(t, func(c *chat.Config) { c.Answers = answers })
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	answers.Put(answer.Answer{Method: "chat.postMessage", Body: answer.Text(`{"ok":false,"error":"channel_not_found"}`)})
	_, err := f.slack.Post(f.ctx, channel, neutral.Message{Blocks: []neutral.Block{neutral.Headline("x")}}, neutral.Mark{Key: "n"})
	if errors.As(err, new(*incident.ChannelGone)) || !errors.As(err, new(*incident.Blocked)) {
		t.Errorf("got error %v, want the effect to wait", err)
	}
}

// TestAnnounceChannel_ResolvedAgain deletes the announce channel and makes another one with
// its name. The next announcement, page and edit find it.
func TestAnnounceChannel_ResolvedAgain(t *testing.T) {
	for name, lose := range map[string]func(f *outboundTest, channel string) error{"deleted": waysToLose["deleted"], "archived and renamed": func(f *outboundTest, channel string) error {
		if err := f.ws.Act("U0ADA").Join(channel); err != nil {
			return err
		}
		return f.ws.Act("U0ADA").Archive(channel)
	}} {
		t.Run(name, func(t *testing.T) {
			f := newOutboundTest(t)
			f.slack.cfg.AnnounceChannel = "#incidents"
			b := brief(openedIncident())
			b.Event = incident.Event{Seq: 1, Kind: incident.EventOpened, RecordedAt: noon}
			if _, err := f.effects.Announce(f.ctx, b, effect); err != nil {
				t.Fatal(err)
			}
			if err := lose(f, announceChannelID); err != nil {
				t.Fatal(err)
			}
			b.Mark = "INC-42/2/announce"
			if _, err := f.effects.Announce(f.ctx, b, effect); !errors.As(err, new(*incident.Blocked)) {
				t.Fatalf("got error %v, want the announcement to wait for the channel", err)
			}
			if name != "deleted" {
				return // the name of an archived channel is taken
			}
			again, err := f.ws.Act("U0ADA").CreateChannel("incidents", false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.effects.Announce(f.ctx, b, effect); err != nil {
				t.Fatal(err)
			}
			page := incident.Effect{Key: "INC-42/page/1/0", Kind: incident.EffectPage, Args: map[string]string{"round": "1", "escalation_step": "0"}}
			b.Mark = page.Key
			if _, err := f.effects.PageGroup("S0SEC")(f.ctx, b, page); err != nil {
				t.Fatal(err)
			}
			if posted := f.botMessages(again); len(posted) != 2 {
				t.Errorf("got %d messages in the new channel, want the announcement and the page", len(posted))
			}
		})
	}
}

// countCalls returns the number of calls of a method that Slack received.
func (f *outboundTest) countCalls(method string) (n int) {
	for _, call := range f.ws.Calls() {
		if call.Method == method {
			n++
		}
	}
	return n
}

// TestOpenChannel_AfterManyLosses lets a person archive each channel of an incident. Each
// replacement takes one try, because every try counts towards the rate limit of Slack, and
// no number of losses leaves the incident without a name.
func TestOpenChannel_AfterManyLosses(t *testing.T) {
	f := newOutboundTest(t)
	inc := openedIncident()
	inc.Links = map[string]string{}
	for n := range 40 {
		before := f.countCalls("conversations.create")
		channel, err := f.slack.OpenChannel(f.ctx, inc, false)
		if err != nil {
			t.Fatalf("channel %d: %v", n, err)
		}
		if tries := f.countCalls("conversations.create") - before; tries != 1 {
			t.Errorf("channel %d: got %d tries, want 1", n, tries)
		}
		again, err := f.slack.OpenChannel(f.ctx, inc, false) // after a crash before the commit
		if err != nil || again != channel {
			t.Errorf("channel %d: got %s, %v, want the same channel", n, again, err)
		}
		if err := f.ws.Act("U0ADA").Join(channel); err != nil {
			t.Fatal(err)
		}
		if err := f.ws.Act("U0ADA").Archive(channel); err != nil {
			t.Fatal(err)
		}
		if current := inc.Links[incident.LinkChannel]; current != "" {
			inc.FormerChannels = append(inc.FormerChannels, current)
		}
		inc.Links[incident.LinkChannel] = channel
	}
}
