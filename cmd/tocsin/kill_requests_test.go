//go:build !race

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/store/storetest"
)

// TestKill_RequestsOnce kills the bot while it asks people for something: a test page, a
// request for access, break-glass, announcements, requests to sign in the channel, in direct
// messages and by mail, a handover, and home tabs. Each message exists once afterwards.
//
// TOCSIN_TEST_HEAVY also tests PostgreSQL with Socket Mode.
func TestKill_RequestsOnce(t *testing.T) {
	t.Parallel()
	databases := map[string]string{"sqlite": storetest.SQLite(t)}
	if fullSize {
		databases["postgres"] = storetest.Postgres(t)
	}
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKiller(startBot(t, url, company.Options{Seed: 72, HTTP: name == "sqlite", Limits: chat.Limits{Off: true}}, configureEverything))
			k.killRequests()
		})
	}
}

func (k *killer) killRequests() {
	t, in, ws := k.t, k.company.In, k.company.Chat
	engineers, security := in("engineering"), in("security")
	type step struct {
		call string
		who  company.Person
		text string // in the channel of INC-1, or of nowhere for outside
	}
	k.after("slack chat.postMessage C0INCIDENTS", func() { k.give("open sev2 a stranger's payslip") })
	channel := k.channelOf(1).ID
	slash := func(who company.Person, in, text string) func() {
		return func() { _, _ = k.slash(who, in, text) } // the response can be lost
	}
	dm := func(who company.Person) string {
		id, err := ws.Act(who.ID).OpenDM()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, s := range []step{
		{"slack chat.update " + channel, engineers[0], "ack"},
		{"slack chat.postMessage " + channel, in("payments")[1], "access request INC-1 because the payslip is ours"},
		{"slack conversations.invite", security[0], "access endorse " + mention(in("payments")[1])},
		{"slack chat.postMessage " + channel, in("payments")[0], "access break-glass INC-1 because a customer is on the phone"},
		{"slack chat.postMessage C0INCIDENTS", engineers[0], "severity sev1 because it grows"},
		{"slack chat.postMessage " + dm(security[0]), engineers[0], "handover " + mention(security[0]) + " the flag is off"},
		{"slack chat.postMessage C0INCIDENTS", security[0], "resolve the flag is off because the open steps do not matter"},
	} {
		where := channel
		if s.who.Department == "payments" {
			where = "C0GENERAL"
		}
		k.after(s.call, slash(s.who, where, s.text))
	}
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		k.slashUntilRecorded(engineers[0], channel, "record set "+field+" text of "+field)
	}
	k.waitIdle(time.Minute)
	k.after("slack chat.postMessage "+dm(in("legal")[0]), slash(engineers[0], channel, "submit"))
	k.slashUntilRecorded(engineers[0], channel, "amend because a word is missing")
	k.waitIdle(time.Minute)

	// The mail server accepts the requests to sign and answers late.
	before := len(k.company.Mail.Messages())
	k.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultLate, Delay: 5 * time.Second})
	slash(engineers[0], channel, "submit")()
	k.waitFor(30*time.Second, "a mail", func() bool { return len(k.company.Mail.Messages()) > before })
	k.kill()
	k.company.Mail.SetFaults()
	k.start()
	k.waitIdle(time.Minute)

	k.after("slack views.publish", func() {
		go func() { _, _ = ws.Act(security[1].ID).OpenHome() }()
	})
	if _, err := ws.Act(security[1].ID).OpenHome(); err != nil {
		t.Error(err)
	}
	k.waitFor(20*time.Second, "the home tab", func() bool {
		home, ok := ws.Home(security[1].ID)
		return ok && strings.Contains(string(home.Blocks), "INC-1")
	})
	view := k.view(1)
	for kind, want := range map[incident.EventKind]int{incident.EventAccessRequested: 1, incident.EventAccessGranted: 1, incident.EventBreakGlassUsed: 1, incident.EventSubmitted: 2, incident.EventResolved: 1} {
		if n := len(slices.DeleteFunc(slices.Clone(view.Timeline), func(e incident.Event) bool { return e.Kind != kind })); n != want {
			t.Errorf("got %d events %s, want %d", n, kind, want)
		}
	}
	if doubled := k.checkMessages(k.checkEffects()); doubled > 0 {
		t.Errorf("%d messages were doubled", doubled)
	}
	k.checkRequestsReached(2)
	roots := map[string]bool{}
	for _, m := range everyMessage(ws, "C0INCIDENTS") {
		if key, _ := messageKey(m); strings.HasPrefix(key, "INC-1/") && m.ThreadTS != "" {
			roots[m.ThreadTS] = true
		}
	}
	if len(roots) != 1 {
		t.Errorf("got announcements of INC-1 in %d threads, want 1", len(roots))
	}
	k.checkVerify()
	k.killTestPage()
}

// killTestPage kills the bot when PagerDuty has the test page.
func (k *killer) killTestPage() {
	k.t.Helper()
	hit := k.trap.arm("pager trigger")
	k.give("page test")
	select {
	case <-hit:
	case <-time.After(30 * time.Second):
		k.t.Fatal("waited 30 s for the test page")
	}
	k.kill()
	k.trap.release()
	k.start()
	k.waitFor(time.Minute, "the end of the effect", func() bool {
		return k.queryInt(`SELECT count(*) FROM effects WHERE kind = 'test_page' AND state = 'completed'`) == 1
	})
	tests := 0
	for _, p := range k.company.Pager.Snapshot().Incidents {
		if !strings.HasPrefix(p.Key, "INC-") && !strings.HasPrefix(p.Key, "tocsin-page/") {
			tests++
		}
	}
	if tests != 1 {
		k.t.Errorf("got %d test pages, want 1", tests)
	}
}

// checkRequestsReached requires each signer to have one direct message and one mail for each
// of the submissions. A repeat of a mail has the same ID.
func (k *killer) checkRequestsReached(submissions int) {
	k.t.Helper()
	for _, department := range []string{"security", "legal", "communications"} {
		for _, who := range k.company.In(department) {
			id, err := k.company.Chat.Act(who.ID).OpenDM()
			if err != nil {
				k.t.Fatal(err)
			}
			messages, mails := map[string]bool{}, map[string]bool{}
			for _, m := range everyMessage(k.company.Chat, id) {
				if key, _ := messageKey(m); strings.Contains(key, "/message_signers/") {
					messages[fmt.Sprint(m.TS)] = true
				}
			}
			for _, m := range k.company.Mail.For(who.Email) {
				if strings.Contains(m.MessageID, "mail_signers") {
					mails[m.MessageID] = true
				}
			}
			if len(messages) != submissions || len(mails) != submissions {
				k.t.Errorf("%s: got %d direct messages and %d mails to sign, want %d each", who.Name, len(messages), len(mails), submissions)
			}
		}
	}
}
