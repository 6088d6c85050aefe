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
	var trap callTrap
	s.company.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Landed {
			trap.onCall("slack " + e.Call.Method + " " + e.Call.Result["channel"])
		}
	})
	s.pagerProxy.setAfterCall(func(_, body string) {
		if strings.Contains(body, "tocsin-page/") {
			trap.onCall("page")
		}
	})
	killAfter := func(call string, act func()) {
		t.Helper()
		hit := trap.arm(call)
		act()
		select {
		case <-hit:
		case <-time.After(30 * time.Second):
			t.Fatalf("waited 30 s for %s", call)
		}
		s.kill()
		trap.release()
		s.start()
		s.waitIdle(time.Minute)
	}
	give := func(command string) {
		if _, err := s.sendCommand(command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
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
