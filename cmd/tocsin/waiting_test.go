//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// waitingEffects returns what `tocsin effects` lists.
func (s *botProcess) waitingEffects() (list []incident.WaitingEffect) {
	s.t.Helper()
	out := s.mustRun("effects", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatalf("%v in %s", err, out)
	}
	return list
}

// refuse makes a method of the sandbox answer until the returned function is called.
func (s *botProcess) refuse(a answer.Answer) (repair func()) {
	s.company.Answers.Put(a)
	return func() { s.company.Answers.Put(answer.Answer{Method: a.Method, Left: answer.Times(0)}) }
}

func slackError(code string) answer.Text {
	return answer.Text(fmt.Sprintf(`{"ok":false,"error":%q,"needed":"channels:manage"}`, code))
}

// waitUntilNothingWaits waits until every effect is done.
func (s *botProcess) waitUntilNothingWaits() {
	s.t.Helper()
	s.waitFor(time.Minute, "every waiting effect to be done", func() bool {
		return s.queryInt("SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL") == 0 && s.queryInt("SELECT count(*) FROM effects WHERE state IN ('available', 'pending') AND kind <> 'deadline'") == 0
	})
}

// TestWaiting_RefusedOpening refuses the channel of an incident, repairs the cause, and
// goes on in each way that makes the effect due.
func TestWaiting_RefusedOpening(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 51})
	goOn := []struct {
		name, code string
		do         func(id incident.ID)
	}{
		{"by itself", "restricted_action", func(incident.ID) {}},
		{"command", "missing_scope", func(id incident.ID) { s.mustRun("incident", "retry", id.String()) }},
		{"tocsin effects retry", "token_revoked", func(incident.ID) { s.mustRun("effects", "retry", "--system", "slack") }},
		{"retry of an incident", "not_authed", func(id incident.ID) { s.mustRun("effects", "retry", id.String()) }},
		{"restart", "invalid_auth", func(incident.ID) { s.stop(); s.start() }},
		{"kill", "account_inactive", func(incident.ID) { s.kill(); s.start() }},
		{"success of Slack", "cannot_create_channel", func(incident.ID) { s.mustRun("incident", "open", "sev3", "another incident") }},
	}
	for _, c := range goOn {
		repair := s.refuse(answer.Answer{Method: "conversations.create", Body: slackError(c.code)})
		out := s.mustRun("incident", "open", "sev3", "refused by "+c.code)
		id, err := incident.ParseID(strings.Fields(out)[0])
		if err != nil {
			t.Fatal(err)
		}
		var w incident.WaitingEffect
		s.waitFor(20*time.Second, "the refused channel to wait", func() bool {
			for _, w = range s.waitingEffects() {
				if w.Incident == id && w.Kind == incident.EffectOpenChannel {
					return true
				}
			}
			return false
		})
		if !w.Blocked || w.System != incident.SystemSlack || w.Cause == "" || w.Fix == "" || w.Since.IsZero() || w.Attempts < 1 {
			t.Errorf("%s: got %+v", c.name, w)
		}
		if text := s.mustRun("effects"); !strings.Contains(text, id.String()) || !strings.Contains(text, w.Cause) || !strings.Contains(text, "to do for slack: "+w.Fix+"\n") {
			t.Errorf("%s: got effects\n%s", c.name, text)
		}
		if text := s.mustRun("incident", "status", id.String()); !strings.Contains(text, " UTC to open the channel in Slack: "+w.Cause) {
			t.Errorf("%s: got status\n%s\nwant it to name what waits", c.name, text)
		}
		repair()
		c.do(id)
		s.waitUntilNothingWaits()
		if s.view(id).Incident.Links[incident.LinkChannel] == "" {
			t.Errorf("%s: %s has no channel after the repair", c.name, id)
		}
	}
	s.checkMessages(s.checkEffects())
	if text := s.mustRun("effects"); !strings.Contains(text, "nothing waits") {
		t.Errorf("got %s", text)
	}
}

// TestWaiting_DropEffect refuses a channel at each attempt. The administrator gives it up, and the
// timeline and the audit log have the reason.
func TestWaiting_DropEffect(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 53})
	defer s.refuse(answer.Answer{Method: "conversations.create", Body: slackError("restricted_action")})()
	id, err := incident.ParseID(strings.Fields(s.mustRun("incident", "open", "sev3", "no channel"))[0])
	if err != nil {
		t.Fatal(err)
	}
	s.waitFor(20*time.Second, "the refused channel to wait", func() bool { return len(s.waitingEffects()) == 1 })
	effect := fmt.Sprint(s.waitingEffects()[0].ID)
	if _, err := s.run("effects", "drop", effect); err == nil || !strings.Contains(err.Error(), "--because") {
		t.Errorf("without a reason: got %v", err)
	}
	if out := s.mustRun("effects", "drop", effect, "--because", "we work in another channel"); !strings.Contains(out, "effect "+effect+" is dropped") {
		t.Errorf("got %s", out)
	}
	if _, err := s.run("effects", "drop", effect, "--because", "again"); err == nil || !strings.Contains(err.Error(), "does not wait") {
		t.Errorf("again: got %v", err)
	}
	s.waitUntilNothingWaits()
	events := s.view(id).Timeline
	if last := events[len(events)-1]; last.Kind != incident.EventEffectDropped || last.Text("reason") != "we work in another channel" || last.Field("administrator") == "" {
		t.Errorf("got last event %+v", last)
	}
	if n := s.queryInt("SELECT count(*) FROM audit WHERE action = 'effect dropped'"); n != 1 {
		t.Errorf("got %d audit entries, want 1", n)
	}
}

// TestWaiting_EverySystem refuses one system at the opening and in the middle of an
// incident, and gives it back. Everything is done once.
func TestWaiting_EverySystem(t *testing.T) {
	for name, refusal := range map[string]answer.Answer{
		"Slack token": {Method: "*", Body: slackError("token_revoked")},
		"Slack posts": {Method: "chat.*", Body: slackError("restricted_action")},
		"PagerDuty":   {Method: "pagerduty.events", Status: 400, Body: `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`},
		"mail":        {Method: "smtp.mail", Status: 530, Body: "authentication required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startBot(t, storetest.SQLite(t), company.Options{Seed: 52, HTTP: true})
			for _, atOpening := range []bool{true, false} {
				repair := func() {}
				if atOpening {
					repair = s.refuse(refusal)
				}
				id, err := incident.ParseID(strings.Fields(s.mustRun("incident", "open", "sev2", "one refusal"))[0])
				if err != nil {
					t.Fatal(err)
				}
				s.waitFor(20*time.Second, "a page", func() bool {
					return s.queryInt("SELECT count(*) FROM ledger WHERE outcome = 'completed' AND key LIKE '%/page/%'") > 0
				})
				if !atOpening {
					s.waitIdle(time.Minute)
					repair = s.refuse(refusal)
				}
				s.mustRun("incident", "note", id.String(), "during the refusal")
				s.mustRun("incident", "severity", id.String(), "sev1", "because it grows")
				s.waitFor(20*time.Second, "an effect to wait or to be done", func() bool {
					return s.queryInt("SELECT count(*) FROM effects WHERE state = 'available' AND waiting_since IS NULL AND kind <> 'deadline'") == 0
				})
				repair()
				s.mustRun("incident", "ack", id.String())
				s.waitUntilNothingWaits()
				if s.view(id).Incident.Links[incident.LinkChannel] == "" {
					t.Errorf("%s has no channel", id)
				}
			}
			s.checkMessages(s.checkEffects())
		})
	}
}
