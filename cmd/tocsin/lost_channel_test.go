//go:build !race

package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// channelsOf returns the channels of an incident that were not deleted.
func (s *botProcess) channelsOf(id incident.ID) (out []chat.Channel) {
	for _, c := range s.company.Chat.Channels("") {
		if name := strings.ToLower(id.String()); c.Name == name || strings.HasPrefix(c.Name, name+"-") {
			out = append(out, c)
		}
	}
	return out
}

// TestLostChannel_IsReplaced loses the channels of incidents: one is archived, one is
// deleted, and the bot is removed from one. Several effects fail in each, and the process
// is killed while it replaces them. Each incident continues in exactly one other channel,
// which has the card, the members and the missed message. The announce channel was deleted
// and made again.
func TestLostChannel_IsReplaced(t *testing.T) {
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 43, HTTP: true, Limits: chat.Limits{Off: true}})
	ws, ada := s.company.Chat, s.company.People[0].ID
	s.mustSend("open sev2 archived", "open sev2 deleted", "open sev2 removed", "open sev2 public", "ack INC-1", "ack INC-2", "ack INC-3", "ack INC-4")
	s.waitIdle(30 * time.Second)
	before := map[incident.ID]string{}
	for id := incident.ID(1); id <= 3; id++ {
		before[id] = s.view(id).Incident.Links[incident.LinkChannel]
	}
	announce, ok := ws.Channel(company.AnnounceChannel)
	if !ok {
		t.Fatal("got no announce channel")
	}
	for what, err := range map[string]error{"archive": ws.Act(ada).Archive(before[1]), "delete": ws.Act(ada).Delete(before[2]), "remove the bot": ws.Act(ada).Kick(before[3], "U0TOCSIN"),
		"delete the announce channel": ws.Act(ada).Delete(announce.ID)} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if _, err := ws.Act(ada).CreateChannel(company.AnnounceChannel, false); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"INC-1", "INC-2", "INC-3"} {
		s.mustSend("note "+id+" written during the loss", "severity "+id+" sev1 because it grows", "role "+id+" scribe me")
	}
	s.waitFor(20*time.Second, "a replacement", func() bool {
		return len(s.channelsOf(1)) == 2 || len(s.channelsOf(3)) == 2 || s.view(2).Incident.Links[incident.LinkChannel] != before[2]
	})
	s.kill()
	s.start()
	s.waitFor(40*time.Second, "all replacements", func() bool {
		for id, channel := range before {
			inc := s.view(id).Incident
			if inc.Links[incident.LinkChannel] == channel || inc.Links[incident.LinkCard] == "" {
				return false
			}
		}
		return true
	})
	s.waitIdle(60 * time.Second)
	for id, want := range map[incident.ID]int{1: 2, 2: 1, 3: 2} {
		inc := s.view(id).Incident
		if all := s.channelsOf(id); len(all) != want {
			t.Errorf("%s: got channels %+v, want one replacement", id, all)
		}
		channel := inc.Links[incident.LinkChannel]
		now, _ := ws.Channel(channel)
		var texts []string
		pinned := false
		for _, m := range everyMessage(ws, channel) {
			texts = append(texts, m.Text+string(m.Blocks))
			pinned = pinned || m.Pinned
		}
		if len(now.Members) < 5 || !pinned || !strings.HasPrefix(now.Topic, id.String()+" · ") {
			t.Errorf("%s: got channel %+v, want members, the pinned card and the topic", id, now)
		}
		all := strings.Join(texts, "\n")
		if strings.Count(all, "written during the loss") == 0 {
			t.Errorf("%s: the note is missing in %s", id, all)
		}
		if id == 1 && !strings.Contains(all, "#"+before[1]) {
			t.Errorf("INC-1: the new channel does not link the archived one: %s", all)
		}
		lost := 0
		for _, e := range s.view(id).Timeline {
			if e.Kind == incident.EventChannelLost {
				lost++
			}
		}
		if lost != 1 {
			t.Errorf("%s: got %d losses in the timeline, want 1", id, lost)
		}
	}
	again, _ := ws.Channel(company.AnnounceChannel)
	if n := len(ws.Messages(again.ID)); n == 0 {
		t.Error("got no announcement in the announce channel that was made again")
	}
	if n := s.queryInt("SELECT count(*) FROM effects WHERE state = 'discarded'"); n != 0 {
		t.Errorf("got %d discarded effects, want none", n)
	}
}

// TestMissed_OneMessage takes Slack away for more than a minute. The messages that an
// incident missed come as one, and the answered calls for help are not among them.
func TestMissed_OneMessage(t *testing.T) {
	if !fullSize {
		if os.Getenv("CI") != "" {
			t.Fatal("TOCSIN_TEST_HEAVY is not set, which CI requires")
		}
		t.Skip("takes two minutes. Set TOCSIN_TEST_HEAVY=1")
	}
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 47, HTTP: true, Limits: chat.Limits{Off: true}})
	s.mustSend("open sev2 before", "ack INC-1")
	s.waitIdle(30 * time.Second)
	before := len(everyMessage(s.company.Chat, s.view(1).Incident.Links[incident.LinkChannel]))
	s.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	for n := range 6 {
		s.mustSend(fmt.Sprintf("note INC-1 remark %d", n))
	}
	s.mustSend("open sev2 during")
	<-time.After(75 * time.Second)
	s.company.Chat.ClearFaults()
	s.mustSend("ack INC-2")
	s.waitIdle(6 * time.Minute)
	after := everyMessage(s.company.Chat, s.view(1).Incident.Links[incident.LinkChannel])[before:]
	if len(after) != 1 || !strings.Contains(string(after[0].Blocks), "remark 0") || !strings.Contains(string(after[0].Blocks), "remark 5") {
		t.Errorf("got %d messages after the outage, want one with every remark", len(after))
	}
	s.stop()
	s.checkMessages(s.checkEffects())
}
