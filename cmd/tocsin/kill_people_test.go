//go:build !race

package main_test

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestKill_PersonalPageAndUpdateOnce kills the bot after PagerDuty took the page to a chosen
// person, after Slack took an approved update, and after the channel of an incident was
// created, each before the bot has the response. After a restart each exists once.
func TestKill_PersonalPageAndUpdateOnce(t *testing.T) {
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 63, HTTP: true, Limits: chat.Limits{Off: true}}, configureEverything, func(c map[string]any) {
		c["updates"].(map[string]any)["audiences"].([]any)[0].(map[string]any)["restricted"] = true
	})
	k := newKiller(s)
	killAfter, give := k.after, k.give
	killAfter("slack conversations.create", func() { give("open sev3 a stranger's payslip") })
	channels := 0
	for _, c := range s.company.Chat.Channels("") {
		if strings.HasPrefix(c.Name, "inc-1") {
			channels++
		}
	}
	if channels != 1 {
		t.Errorf("got %d channels of INC-1, want 1", channels)
	}
	give("ack INC-1")
	s.waitIdle(time.Minute)
	killAfter("page", func() { give("page INC-1 " + s.company.In("security")[1].Email + " because the trail is hers") })
	pages := 0
	for _, in := range s.company.Pager.Snapshot().Incidents {
		if strings.HasPrefix(in.Key, "tocsin-page/INC-1/") {
			pages++
		}
	}
	if pages != 1 {
		t.Errorf("got %d pages to the person, want 1", pages)
	}
	const words = "we look into the export"
	give("update INC-1 --to board,company " + words)
	s.waitIdle(time.Minute)
	channel := s.channelOf(1).ID
	give("involve INC-1 legal because a regulator asks")
	s.waitIdle(time.Minute)
	killAfter("slack chat.postMessage C0INCIDENTS", func() { _, _ = s.slash(s.company.In("legal")[0], channel, "update approve U1") }) // the response is lost
	s.waitFor(time.Minute, "the update by mail", func() bool { return len(s.company.Mail.For(boardMail)) > 0 })
	s.waitIdle(time.Minute)
	posts, ids := map[string]bool{}, map[string]bool{}
	for _, root := range s.company.Chat.Messages("C0INCIDENTS") {
		for _, m := range s.company.Chat.Thread("C0INCIDENTS", root.TS) {
			if strings.Contains(string(m.Blocks)+m.Text, words) {
				posts[m.TS] = true
			}
		}
	}
	for _, m := range s.company.Mail.For(boardMail) {
		ids[m.MessageID] = true // a repeat has the same ID
	}
	if len(posts) != 1 || len(ids) != 1 {
		t.Errorf("got the update in %d posts and %d mails, want one each", len(posts), len(ids))
	}
	s.checkVerify()
}

// killer kills the bot after calls to outside systems, before it has the responses.
type killer struct {
	*botProcess
	trap callTrap
}

func newKiller(s *botProcess) *killer {
	k := &killer{botProcess: s}
	s.company.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Landed {
			k.trap.onCall("slack " + e.Call.Method + " " + e.Call.Result["channel"])
		}
	})
	s.pagerProxy.setAfterCall(func(_, body string) {
		switch {
		case strings.Contains(body, "tocsin-page/"):
			k.trap.onCall("page")
		case strings.Contains(body, `"event_action":"trigger"`):
			k.trap.onCall("pager trigger")
		case strings.Contains(body, `"event_action":"resolve"`):
			k.trap.onCall("pager resolve")
		}
	})
	return k
}

// after acts, kills the bot after a call, and restarts it.
func (k *killer) after(call string, act func()) {
	k.t.Helper()
	hit := k.trap.arm(call)
	act()
	select {
	case <-hit:
	case <-time.After(30 * time.Second):
		k.t.Fatalf("waited 30 s for %s", call)
	}
	k.kill()
	k.trap.release()
	k.start()
	k.waitIdle(time.Minute)
}

// give gives a command on the command line.
func (k *killer) give(command string) {
	if _, err := k.sendCommand(command); err != nil {
		k.t.Errorf("%s: %v", command, err)
	}
}
