//go:build !race

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// announceChannelID is the channel in which the sandbox's bot announces.
const announceChannelID = "C0INCIDENTS"

// TestMaintenance_ConfirmedBySecurity adds a maintenance window for every alert in
// Slack. Until security confirms it, only the alert at sev4 is suppressed. The bot is
// killed in between. The start, the confirmation and the end are announced once each.
func TestMaintenance_ConfirmedBySecurity(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 62, HTTP: true, Limits: chat.Limits{Off: true}}, withRouting(
			map[string]any{"when": `source == "sentry"`, "open": "sev1"}, map[string]any{"when": `source == "cloudtrail"`, "open": "sev4"}))
		engineer, guard := s.company.In("engineering")[0], s.company.In("security")[0]
		expectReply := func(who company.Person, text, want string) {
			t.Helper()
			if reply, err := s.slash(who, announceChannelID, text); err != nil || !strings.Contains(reply, want) {
				t.Errorf("%s: got reply %q, %v, want %q", text, reply, err, want)
			}
		}
		expectOutcome := func(outcome string, want int) {
			t.Helper()
			s.waitFor(time.Minute, fmt.Sprintf("%d deliveries with outcome %s", want, outcome), func() bool {
				return s.queryInt("SELECT count(*) FROM inbox WHERE outcome = '"+outcome+"'") == want
			})
		}
		sendIssue := func(kind feed.Kind) {
			t.Helper()
			if a, err := s.company.Sentry.EventAlert(t.Context(), feed.NewIssue(kind, 62), feed.Copy{N: 1}); err != nil || a.Status != 202 {
				t.Fatalf("got response %+v, %v, want 202", a, err)
			}
		}
		announcements := func() (out []string) {
			for _, m := range s.company.Chat.Messages(announceChannelID) {
				if text := m.Text + string(m.Blocks); strings.Contains(text, "Maintenance window M1") {
					out = append(out, text)
				}
			}
			return out
		}
		expectAnnouncement := func(n int, want ...string) {
			t.Helper()
			s.waitFor(time.Minute, fmt.Sprintf("announcement %d", n), func() bool { return len(announcements()) >= n })
			for _, text := range want {
				if got := announcements()[n-1]; !strings.Contains(got, text) {
					t.Errorf("announcement %d: got %s, want %q", n, got, text)
				}
			}
		}

		expectReply(engineer, `maintenance add 2h title != "a secret title" because ada.lovelace@corp.example moves the database`, "M1 was added")
		expectAnnouncement(1, "M1 has started", "sev3 and sev4 only", "moves the database")
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.Delivery(feed.StopLogging(62), feed.Copy{N: 1})); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		expectOutcome("maintenance", 1)
		sendIssue(feed.Crash)
		expectOutcome("opened", 1)
		if v := s.view(1); !timelineContains(v, "Maintenance window M1 matches this alert but did not suppress it, because it is not confirmed for sev1 and sev2.") {
			t.Errorf("got timeline %+v, want the unconfirmed window named", v.Timeline)
		}
		expectReply(engineer, "maintenance confirm M1", "Only security may confirm a maintenance window")
		expectReply(guard, "maintenance", "unconfirmed: suppresses sev3 and sev4 only")
		s.kill()
		s.start()
		expectReply(guard, "maintenance confirm M1", "M1 is confirmed")
		expectAnnouncement(2, "M1 was confirmed by "+guard.Name, "suppresses every matching alert")
		if got := s.mustRun("incident", "maintenance"); !strings.Contains(got, "confirmed by "+guard.Name) {
			t.Errorf("got list %s", got)
		}
		sendIssue(feed.DataLeak)
		expectOutcome("maintenance", 2)
		s.mustRun("incident", "maintenance", "end", "M1")
		expectAnnouncement(3, "M1 has ended early, by "+engineer.Name, "It suppressed 2 alerts, 1 of them at sev1 or sev2", "/incident alerts maintenance")
		s.kill()
		s.start()
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.Delivery(feed.RootConsoleLogin(62), feed.Copy{N: 1})); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		expectOutcome("opened", 2)
		all := announcements()
		if len(all) != 3 || slices.ContainsFunc(all, func(text string) bool {
			return strings.Contains(text, "secret title") || strings.Contains(text, "ada.lovelace@")
		}) {
			t.Errorf("got announcements %q, want three without the condition and the address", all)
		}
		s.stop()
		s.checkVerify()
	})
}
