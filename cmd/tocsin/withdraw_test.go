//go:build !race

package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
	"tocsin/store/storetest"
)

// meetings returns the mails about the review meeting of an incident with a calendar
// method, in the order of their arrival.
func (s *botProcess) meetings(id incident.ID, method string) (out []mailbox.Message) {
	for _, m := range s.company.Mail.Messages() {
		if part, ok := m.Calendar(); ok && part.Params["method"] == method && strings.Contains(string(part.Content), strings.ToLower(id.String())+"-review@") {
			out = append(out, m)
		}
	}
	return out
}

// mustSend gives commands over the control socket.
func (s *botProcess) mustSend(commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		if _, err := s.sendCommand(c); err != nil {
			s.t.Fatalf("%s: %v", c, err)
		}
	}
}

// TestWithdraw_MeetingAndPages reopens an incident with a meeting, and resolves one whose
// escalation steps were removed from the configuration after they paged.
func TestWithdraw_MeetingAndPages(t *testing.T) {
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 41, HTTP: true, Limits: chat.Limits{Off: true}})
	s.mustSend("open sev2 a key leaked", "ack INC-1", "contain INC-1 disabled", "resolve INC-1 rotated because nothing is left", "review INC-1 2099-01-09 10:00")
	s.waitFor(20*time.Second, "the invitation", func() bool { return len(s.meetings(1, "REQUEST")) == 1 })
	s.mustSend("reopen INC-1 it goes on")
	s.waitFor(20*time.Second, "the cancellation", func() bool { return len(s.meetings(1, "CANCEL")) == 1 })
	invited, cancelled := s.meetings(1, "REQUEST")[0], s.meetings(1, "CANCEL")[0]
	if !slices.Equal(invited.Recipients, cancelled.Recipients) || len(invited.Recipients) < 4 {
		t.Errorf("invited %v and cancelled for %v, want the same people", invited.Recipients, cancelled.Recipients)
	}
	if v := s.view(1); !v.Incident.Review.At.IsZero() || v.Incident.Meeting != nil {
		t.Errorf("got review %+v and meeting %+v, want none", v.Incident.Review, v.Incident.Meeting)
	}

	s.mustSend("open sev2 another key leaked")
	s.waitFor(20*time.Second, "the page", func() bool { return len(s.company.Pager.ByKey("INC-2/1")) == 1 })
	s.waitIdle(20 * time.Second)
	s.updateConfig(func(c map[string]any) {
		c["escalation"].(map[string]any)["steps"] = []any{map[string]any{"mail": map[string]any{"to": []string{company.EmergencyMail}}}}
	})
	if out, err := s.run("reload"); err != nil {
		t.Fatalf("reload: %v %s", err, out)
	}
	s.mustSend("ack INC-2")
	s.waitFor(20*time.Second, "the acknowledgement", func() bool { return s.company.Pager.ByKey("INC-2/1")[0].Status == pager.Acknowledged })
	s.kill() // a process that starts without the step knows the page too
	s.start()
	s.mustSend("contain INC-2 disabled", "resolve INC-2 rotated because nothing is left")
	s.waitFor(20*time.Second, "the resolution", func() bool { return s.company.Pager.ByKey("INC-2/1")[0].Status == pager.Resolved })

	if n := s.queryInt("SELECT count(*) FROM effects WHERE state = 'discarded'"); n != 0 {
		t.Errorf("got %d discarded effects, want none", n)
	}
}
