//go:build !race

package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// hangup sends SIGHUP to the bot.
func (s *botProcess) hangup() {
	s.t.Helper()
	if err := s.current().cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// reloadStatus returns what `tocsin reload --status` prints. It exits with 1 after
// a refused reload.
func (s *botProcess) reloadStatus() (report control.ReloadReport) {
	s.t.Helper()
	out, _ := s.run("reload", "--status", "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return report
}

func (s *botProcess) trailStatus(n int) int {
	s.t.Helper()
	answer, err := s.company.Trail.Deliver(s.t.Context(), feed.StopLogging(uint64(n)), feed.Copy{N: n})
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.Status
}

func (s *botProcess) count(query string) (n int) {
	s.t.Helper()
	if err := s.openDB().QueryRow(query).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestReload_HangupSwapsOrKeepsTheConfiguration sends SIGHUP to the real binary with
// valid and invalid configurations.
func TestReload_HangupSwapsOrKeepsTheConfiguration(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 31})
		if got := s.trailStatus(1); got != http.StatusAccepted {
			t.Fatalf("got %d, want the delivery accepted", got)
		}

		// An invalid file: the old one stays, visibly.
		var kept any
		s.updateConfig(func(c map[string]any) {
			kept = c["departments"]
			delete(c, "departments")
			c["sources"].(map[string]any)["cloudtrail"] = map[string]any{"api_keys": []string{"another-key-of-20-characters"}}
		})
		s.hangup()
		s.waitFor(20*time.Second, "the refusal in /readyz", func() bool {
			status, body := s.httpGet("/readyz")
			return status == http.StatusOK && strings.Contains(body, "configuration")
		})
		report := s.reloadStatus()
		if !strings.Contains(report.Error, "departments.legal") || report.FailedAt.IsZero() {
			t.Errorf("got report %+v, want the error and its time", report)
		}
		if !strings.Contains(s.logText(), "reload configuration failed") {
			t.Error("the log does not show the refusal")
		}
		if got := s.count("SELECT count(*) FROM audit WHERE action = 'reload' AND NOT allowed"); got != 1 {
			t.Errorf("got %d refusals in the audit log, want 1", got)
		}
		if got := s.trailStatus(2); got != http.StatusAccepted {
			t.Errorf("got %d, want the old secret still in force", got)
		}

		// A key that needs a restart: nothing else changes either.
		s.updateConfig(func(c map[string]any) {
			c["departments"], c["listen"] = kept, "127.0.0.1:1"
			c["slack"].(map[string]any)["command"] = "/other"
		})
		if out, err := s.run("reload"); err == nil || !strings.Contains(err.Error(), "listen: cannot change while Tocsin runs. Restart") || !strings.Contains(err.Error(), "slack.command") {
			t.Errorf("got %q, %v, want both keys refused", out, err)
		}
		if got := s.trailStatus(3); got != http.StatusAccepted {
			t.Errorf("got %d, want the old secret still in force", got)
		}

		// A valid one: the new secret and the new routing apply at once.
		s.updateConfig(func(c map[string]any) {
			c["listen"] = strings.TrimPrefix(s.url, "http://")
			delete(c["slack"].(map[string]any), "command")
		})
		s.hangup()
		s.waitFor(20*time.Second, "the new configuration", func() bool {
			_, body := s.httpGet("/readyz")
			return !strings.Contains(body, "configuration")
		})
		if got := s.trailStatus(4); got != http.StatusUnauthorized {
			t.Errorf("got %d, want the old secret refused", got)
		}
		if report := s.reloadStatus(); report.Error != "" {
			t.Errorf("got error %q", report.Error)
		}
		if out := s.mustRun("reload"); !strings.Contains(out, "no key, rule or playbook changed") {
			t.Errorf("got %q", out)
		}
	})
}

// TestReload_SourcesNeedARestart adds and removes sources that a running process cannot add
// or remove. The answer of the command and the log name each key, and nothing changes.
func TestReload_SourcesNeedARestart(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 32})
	generic := func(name string) map[string]any {
		return map[string]any{"name": name, "hmac": map[string]any{"header": "X-Signature", "secrets": []string{"a-secret-of-20-characters"}}, "mapping": map[string]any{"title": "body.title", "fingerprint": "body.id"}}
	}
	for _, test := range []struct {
		name   string
		change func(sources map[string]any)
		keys   []string
	}{
		{"add a webhook", func(c map[string]any) {
			c["alertmanager"] = map[string]any{"tokens": []string{"a-token-of-20-characters"}}
		}, []string{"sources.alertmanager: cannot be added"}},
		{"add a listed webhook", func(c map[string]any) { c["generic"] = []any{generic("scanner")} }, []string{"sources.generic[0]: cannot be added"}},
		{"remove a webhook", func(c map[string]any) { delete(c, "cloudtrail") }, []string{"sources.cloudtrail: cannot be removed"}},
		{"add a trail", func(c map[string]any) {
			c["trail"] = map[string]any{"queue_url": "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"}
		}, []string{"sources.trail.queue_url: cannot change"}},
		{"add a mailbox", func(c map[string]any) {
			c["report"] = map[string]any{"mailbox": map[string]any{"address": "imap.example.com:993", "username": "security", "password": "x"}}
		}, []string{"sources.report.mailbox: cannot change"}},
		{"all at once", func(c map[string]any) {
			delete(c, "cloudtrail")
			c["generic"] = []any{generic("scanner"), generic("gate")}
			c["trail"] = map[string]any{"queue_url": "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"}
		}, []string{"sources.generic[0]: cannot be added", "sources.generic[1]: cannot be added", "sources.trail.queue_url: cannot change"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var kept map[string]any
			s.updateConfig(func(c map[string]any) {
				sources := c["sources"].(map[string]any)
				kept = maps.Clone(sources)
				test.change(sources)
			})
			before := len(s.logText())
			out, err := s.run("reload")
			s.waitFor(20*time.Second, "the refusal in the log", func() bool {
				return strings.Contains(s.logText()[before:], "reload configuration failed")
			})
			for _, key := range test.keys {
				if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "Restart Tocsin, or ") || !strings.Contains(s.logText()[before:], key) {
					t.Errorf("got %q, %v, want that the answer and the log have %q:\n%s", out, err, key, s.logText()[before:])
				}
			}
			s.updateConfig(func(c map[string]any) { c["sources"] = kept })
			if out := s.mustRun("reload"); !strings.Contains(out, "no key, rule or playbook changed") {
				t.Errorf("got %q after the old file is back", out)
			}
		})
	}
	if got := s.trailStatus(1); got != http.StatusAccepted {
		t.Errorf("got %d, want the source still served", got)
	}
}

// TestReload_HangupDuringTheStart sends SIGHUP as soon as the bot logs its first
// line, long before it serves.
func TestReload_HangupDuringTheStart(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 33})
	s.stop()
	before := len(s.logText())
	p := s.startProcess()
	s.waitFor(20*time.Second, "the first line of the log", func() bool { return len(s.logText()) > before })
	s.hangup()
	s.waitFor(60*time.Second, "the reload after the start", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the bot ended: %v", p.err)
		default:
		}
		return strings.Contains(s.logText()[before:], "configuration reloaded")
	})
	s.waitFor(20*time.Second, "the bot to be ready", func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
}

// removePerson removes a person from a configuration.
func removePerson(c map[string]any, email string) {
	c["people"] = slices.DeleteFunc(c["people"].([]any), func(p any) bool { return p.(map[string]any)["email"] == email })
	for _, d := range c["departments"].(map[string]any) {
		team := d.(map[string]any)
		team["members"] = slices.DeleteFunc(team["members"].([]any), func(m any) bool { return m == email })
	}
}

// TestReload_PersonLeaves removes the commander of a live incident from the
// configuration.
func TestReload_PersonLeaves(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 35})
		leaver, head := s.company.People[1], s.company.People[0] // of engineering
		opened, err := s.sendCommand("open sev2 a leaked key")
		if err != nil {
			t.Fatal(err)
		}
		id := opened.Result.Incident.ID
		for _, command := range []string{"ack", "role commander " + leaver.Email, "role scribe " + leaver.Email, "action add detection alarm on key use owner " + leaver.Email + " due 2027-06-01"} {
			verb, rest, _ := strings.Cut(command, " ")
			if _, err := s.sendCommand(verb + " " + id.String() + " " + rest); err != nil {
				t.Fatalf("%s: %v", command, err)
			}
		}
		left := s.view(id).Incident.Commander
		s.updateConfig(func(c map[string]any) { removePerson(c, leaver.Email) })
		out := s.mustRun("reload")
		for _, want := range []string{leaver.Name + " left", id.String() + " role commander", id.String() + " role scribe", id.String() + " action A1"} {
			if !strings.Contains(out, want) {
				t.Errorf("got output %q, want %q", out, want)
			}
		}
		s.waitFor(30*time.Second, "the message to the head", func() bool {
			for _, c := range s.company.Chat.DMs(head.ID) {
				raw, _ := json.Marshal(everyMessage(s.company.Chat, c.ID))
				if strings.Contains(string(raw), "hand over the open work") && strings.Contains(string(raw), id.String()+": the role commander") {
					return true
				}
			}
			return false
		})
		check := func(departures int) {
			t.Helper()
			view := s.view(id)
			if view.Incident.Commander != "" || len(view.Incident.Roles) > 0 {
				t.Errorf("got roles %v, want none", view.Incident.Roles)
			}
			if got := view.Incident.Actions[0].Owner; got == left || got == "" {
				t.Errorf("got owner %q of the action item, want the head", got)
			}
			reply, err := s.sendCommand("status " + id.String())
			if err != nil || reply.Names[left] != leaver.Name+" (former)" {
				t.Errorf("got name %q, %v, want it readable and marked", reply.Names[left], err)
			}
			if text := s.mustRun("incident", "status", id.String()); strings.Contains(text, string(left)) || !strings.Contains(text, leaver.Name+" (former)") {
				t.Errorf("the timeline shows an id instead of the name:\n%s", text)
			}
			if got := s.count("SELECT count(*) FROM audit WHERE action = 'person left'"); got != departures {
				t.Errorf("got %d entries in the audit log, want %d", got, departures)
			}
		}
		check(1)
		if _, err := s.sendCommand("role " + id.String() + " scribe " + leaver.Email); err == nil {
			t.Error("a person who left got a role")
		}
		second := s.company.People[2]
		if _, err := s.sendCommand("role " + id.String() + " operations " + second.Email); err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.updateConfig(func(c map[string]any) { removePerson(c, second.Email) })
		s.start()
		s.waitFor(30*time.Second, "the second departure", func() bool { return s.count("SELECT count(*) FROM audit WHERE action = 'person left'") == 2 })
		check(2)
	})
}
