package slack

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

func TestOpenChannel_CreatesOneChannelAfterFault(t *testing.T) {
	eachFault(t, "conversations.create", func(f *outboundTest) {
		cmd := f.failThenRetry(f.effects.OpenChannel, brief(openedIncident()))
		channels := f.incidentChannels()
		if len(channels) != 1 || channels[0].Name != "inc-42" || channels[0].Kind != chat.KindPrivate {
			f.Fatalf("got channels %+v, want one private inc-42", channels)
		}
		if cmd.Verb != incident.VerbLink || cmd.Links[incident.LinkChannel] != channels[0].ID || cmd.By != incident.System || cmd.Key != effect.Key || cmd.For != 42 {
			f.Fatalf("got command %+v, want a link to the channel", cmd)
		}
	})
}

func TestOpenChannel_PublicIncident(t *testing.T) {
	f := newOutboundTest(t)
	b := brief(openedIncident())
	b.Incident.Restricted = false
	f.must(f.effects.OpenChannel, b)
	if c := f.incidentChannels(); len(c) != 1 || c[0].Kind != chat.KindPublic {
		t.Fatalf("got channels %+v, want one public", c)
	}
}

func TestOpenChannel_NameTakenByOthers(t *testing.T) {
	seed := func(name string, private bool) chat.SeedChannel {
		return chat.SeedChannel{ID: "C00" + strings.ToUpper(strings.ReplaceAll(name, "-", "")), Name: name, Private: private, Members: []string{"U0ADA"}}
	}
	f := newOutboundTest(t, func(c *chat.Config) {
		c.Channels = append(c.Channels, seed("inc-42", true), seed("inc-42-b", false))
	})
	f.ws.SetFault(chat.Fault{Method: "conversations.create", Kind: chat.FaultDropAfter, Count: 2}) // the client does not retry
	b := brief(openedIncident())
	var cmd incident.Command
	for ; ; b.Attempt++ {
		var err error
		if cmd, err = f.effects.OpenChannel(f.ctx, b, effect); err == nil {
			break
		}
		if isPermanent(err) || b.Attempt > 5 {
			t.Fatal(err)
		}
	}
	got, _ := f.ws.Channel(cmd.Links[incident.LinkChannel])
	if got.Name != "inc-42-c" || len(f.incidentChannels()) != 3 {
		t.Fatalf("got channel %q of %d channels, want inc-42-c as the only new one", got.Name, len(f.incidentChannels()))
	}
}

func TestOpenChannel_IgnoresChannelOfOlderIncident(t *testing.T) {
	f := newOutboundTest(t)
	first := f.must(f.effects.OpenChannel, brief(openedIncident()))
	again := brief(openedIncident()) // the same number in a new database, an hour later
	again.Incident.OpenedAt = noon.Add(time.Hour)
	second := f.must(f.effects.OpenChannel, again)
	if first.Links[incident.LinkChannel] == second.Links[incident.LinkChannel] {
		t.Fatal("got one channel for two incidents, want two")
	}
	public := brief(openedIncident())
	public.Incident.Restricted = false
	third := f.must(f.effects.OpenChannel, public)
	if c, _ := f.ws.Channel(third.Links[incident.LinkChannel]); c.Kind != chat.KindPublic {
		t.Fatalf("got a %s channel for a public incident, want public", c.Kind)
	}
}

func TestInvite(t *testing.T) {
	eachFault(t, "conversations.invite", func(f *outboundTest) {
		b := f.openChannel()
		cmd := f.failThenRetry(f.effects.Invite, b, "people", "p1,p2")
		if cmd.Verb != incident.VerbInvited || !slices.Equal(cmd.People, []incident.PersonID{"p1", "p2"}) {
			f.Fatalf("got command %+v, want p1 and p2 invited", cmd)
		}
		c, _ := f.ws.Channel(b.Incident.Links[incident.LinkChannel])
		joins := 0
		for _, m := range f.ws.Messages(c.ID) {
			if m.Subtype == "channel_join" {
				joins++
			}
		}
		if len(c.Members) != 3 || joins != 2 {
			f.Fatalf("got members %v after %d joins, want 3 members after 2 joins", c.Members, joins)
		}
	})
}

func TestInvite_ListsFailedInvitations(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.must(f.effects.Invite, b, "people", "p1")
	cmd := f.must(f.effects.Invite, b, "people", "p1, p2,p4,p6,p2")
	if !slices.Equal(cmd.People, []incident.PersonID{"p1", "p2"}) {
		t.Fatalf("got %v invited, want p1 (a member already) and p2", cmd.People)
	}
	if len(cmd.Refused) != 2 || !strings.Contains(cmd.Refused["p4"], "no Slack user") || !strings.Contains(cmd.Refused["p6"], "is deactivated") {
		t.Fatalf("got refusals %v, want Dan and Olaf", cmd.Refused)
	}
	if cmd := f.must(f.effects.Invite, b, "people", "p4"); len(cmd.People) != 0 || len(cmd.Refused) != 1 {
		t.Fatalf("got command %+v, want one refusal", cmd)
	}
}

func TestTopic_SetOnlyIfChanged(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	b.Page.Links.Status = "https://tocsin.example/i/abc"
	f.must(f.effects.Topic, b)
	b.Incident.Status, b.Incident.Commander = incident.Active, "p1"
	f.must(f.effects.Topic, b)
	c, _ := f.ws.Channel(b.Incident.Links[incident.LinkChannel])
	if c.Topic != "INC-42 · https://tocsin.example/i/abc" || f.ws.Counts()["conversations.setTopic"].Calls != 1 {
		t.Fatalf("got topic %q after %d calls, want one call", c.Topic, f.ws.Counts()["conversations.setTopic"].Calls)
	}
	b.Page.Links.Status = "javascript:<A&\u202e\n"
	f.must(f.effects.Topic, b)
	if c, _ := f.ws.Channel(b.Incident.Links[incident.LinkChannel]); c.Topic != "INC-42" {
		t.Fatalf("got topic %q for a hostile link, want only the ID", c.Topic)
	}
}

func TestArchive_NamesNextIncidentAndLeavesChannelOpen(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	b.Incident.MergedInto, b.Event.Kind = 41, incident.EventMergedInto
	b.Event.Fields = map[string]string{"target": "INC-41"}
	f.must(f.effects.Archive, b)
	b.Attempt = 2
	f.must(f.effects.Archive, b)
	c, _ := f.ws.Channel(b.Incident.Links[incident.LinkChannel])
	if posted := f.botMessages(c.ID); len(posted) != 1 || !strings.Contains(posted[0].Text, "INC-41") || c.Archived {
		t.Fatalf("got messages %+v and archived %v, want one message and false", posted, c.Archived)
	}
}

// TestOpenChannel_CardIsFirst injects a fault into each call of the opening and posts the
// alert and a step afterwards: the card is the first message, then the alert, then the
// checklist, each once.
func TestOpenChannel_CardIsFirst(t *testing.T) {
	for _, method := range []string{"conversations.create", "chat.postMessage"} {
		eachFault(t, method, func(f *outboundTest) {
			b := brief(openedIncident())
			b.Incident.Links = map[string]string{}
			link := func(cmd incident.Command) {
				for name, value := range cmd.Links {
					b.Incident.Links[name] = value
				}
			}
			link(f.failThenRetry(f.effects.OpenChannel, b))
			for seq, kind := range []incident.EventKind{incident.EventAlertAttached, incident.EventNoted} {
				b.Event.Seq, b.Event.Kind = 10+seq, kind
				b.Mark = "INC-42/" + string(kind)
				b.Attempt = 2 // as after another fault
				link(f.must(f.effects.Post, b))
				link(f.must(f.effects.Post, b))
			}
			var got []string
			for _, m := range f.botMessages(b.Incident.Links[incident.LinkChannel]) {
				got = append(got, m.TS)
			}
			want := []string{b.Incident.Links[incident.LinkCard], b.Incident.Links[incident.LinkAlerts], b.Incident.Links[incident.LinkChecklist]}
			if !slices.Equal(got, want) {
				f.Errorf("got messages %v in the channel, want card, alert and checklist %v", got, want)
			}
			if n := len(f.replies(b, incident.LinkChecklist)); n != 1 {
				f.Errorf("got %d replies in the thread of the checklist, want 1", n)
			}
		})
	}
}
