//go:build !race

package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

const (
	reloadRule = `title: Trail stopped by anybody
id: 6f1d8a4e-6f7c-4b0e-9a55-0c7f1c1d0001
name: any-trail-stopped
level: high
status: test
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: StopLogging}, condition: s}
`
	reloadPlaybook = `version: 1
name: office
title: A case of the office
description: Somebody left the office open.
match: title contains "office"
roles: {commander: Decides., operations: Closes the door.}
steps:
  - id: lock
    title: Lock the door
    role: operations
`
)

// planOf returns the titles of the steps of an incident.
func planOf(s *botProcess, id incident.ID) (titles []string) {
	for _, run := range s.view(id).Incident.Runs {
		for _, step := range run.Plan {
			titles = append(titles, step.Title)
		}
	}
	return titles
}

// TestReload_RulesAndPlaybooks adds, breaks, changes and removes a rule file and a playbook
// of the running bot. It is valid or nothing, and the output names each. An incident goes on
// with the playbook that it started with.
func TestReload_RulesAndPlaybooks(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 37})
	rules, books := filepath.Join(t.TempDir(), "rules"), filepath.Join(t.TempDir(), "books")
	rule, book := filepath.Join(rules, "trail.yml"), filepath.Join(books, "office.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() incident.ID {
		t.Helper()
		reply, err := s.sendCommand("open sev3 the office is open")
		if err != nil {
			t.Fatal(err)
		}
		return reply.Result.Incident.ID
	}
	expect := func(what string, wants ...string) {
		t.Helper()
		out := s.mustRun("reload")
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: got output %q, want %q", what, out, want)
			}
			if !strings.Contains(s.logText(), strings.ReplaceAll(want, `"`, `\"`)) {
				t.Errorf("%s: the log does not contain %q", what, want)
			}
		}
		if len(wants) == 0 && !strings.Contains(out, "no key, rule or playbook changed") {
			t.Errorf("%s: got output %q, want no change", what, out)
		}
	}
	write(rule, reloadRule)
	write(book, reloadPlaybook)
	s.updateConfig(func(c map[string]any) {
		c["detection"] = map[string]any{"rules": []string{rules}}
		c["playbooks"] = map[string]any{"folders": []string{books}}
	})
	expect("add", "detection.rules", "playbooks.folders", "added rule file "+rule+" (any-trail-stopped)", "added playbook office ("+book+")")
	expect("nothing")
	first := open()
	if got := planOf(s, first); !slices.Equal(got, []string{"Lock the door"}) {
		t.Fatalf("got steps %v, want those of the added playbook", got)
	}

	// One broken file: the whole reload is refused, with its place. The other, valid change
	// does not apply either.
	write(book, strings.Replace(reloadPlaybook, "Lock the door", "Call the guard", 1))
	write(rule, strings.Replace(reloadRule, "condition: s", "condition: s and", 1))
	_, err := s.run("reload")
	if err == nil || !strings.Contains(err.Error(), "the old configuration stays in force") || !strings.Contains(err.Error(), rule+":7") {
		t.Errorf("broken rule: got %v, want a refusal that names %s:7", err, rule)
	}
	s.waitFor(20*time.Second, "the refusal in /readyz", func() bool {
		status, body := s.httpGet("/readyz")
		return status == http.StatusOK && strings.Contains(body, "configuration")
	})
	if got := s.count("SELECT count(*) FROM audit WHERE action = 'reload' AND NOT allowed"); got != 1 {
		t.Errorf("got %d refusals in the audit log, want 1", got)
	}
	if got := planOf(s, open()); !slices.Equal(got, []string{"Lock the door"}) {
		t.Errorf("got steps %v after a refused reload, want those of the old playbook", got)
	}
	if out, err := s.run("incident", "list"); err != nil || !strings.Contains(out, first.String()) {
		t.Errorf("got %q, %v from the command line while the file is invalid, want the incidents", out, err)
	}
	write(rule, reloadRule)
	write(book, strings.Replace(reloadPlaybook, "title: Lock the door", "titel: Lock the door", 1))
	if _, err = s.run("reload"); err == nil || !strings.Contains(err.Error(), book+":9:5: ") {
		t.Errorf("broken playbook: got %v, want a refusal that names %s:7:5", err, book)
	}

	// Valid changes apply together. A hangup does the same as the command.
	write(rule, strings.Replace(reloadRule, "level: high", "level: low", 1))
	write(book, strings.Replace(reloadPlaybook, "Lock the door", "Call the guard", 1))
	expect("change", "changed rule file "+rule+" (any-trail-stopped)", "changed playbook office ("+book+")")
	if got := planOf(s, open()); !slices.Equal(got, []string{"Call the guard"}) {
		t.Errorf("got steps %v, want those of the changed playbook", got)
	}
	if got := planOf(s, first); !slices.Equal(got, []string{"Lock the door"}) {
		t.Errorf("got steps %v of the first incident, want those that it started with", got)
	}
	for _, path := range []string{rule, book} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	before := len(s.logText())
	s.hangup()
	s.waitFor(20*time.Second, "the removal in the log", func() bool {
		log := s.logText()[before:]
		return strings.Contains(log, "removed rule file "+rule+" (any-trail-stopped)") && strings.Contains(log, "removed playbook office ("+book+")")
	})
	if _, err := s.sendCommand("step done " + first.String() + " lock"); err != nil {
		t.Errorf("step of a removed playbook: got %v, want the incident to go on", err)
	}
}
