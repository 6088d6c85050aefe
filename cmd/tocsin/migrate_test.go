//go:build !race

package main_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// changeDatabase stops the bot, copies its database into another one and starts the bot with that.
func (s *botProcess) changeDatabase(into string) {
	s.t.Helper()
	if out, err := s.run("migrate", "--into", into); err == nil || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), "nothing was copied") && !strings.Contains(err.Error(), "open the configured database") {
		s.t.Errorf("while the bot runs: got %q, %v", out, err)
	}
	before := s.mustRun("incident", "list", "--json")
	s.stop()
	if out := s.mustRun("migrate", "--into", into); !strings.Contains(out, "1 incidents") || !strings.Contains(out, "next: set `database`") {
		s.t.Errorf("got %q", out)
	}
	if out, err := s.run("migrate", "--into", into); err == nil || !strings.Contains(err.Error(), "has rows already") {
		s.t.Errorf("again: got %q, %v", out, err)
	}
	s.checkVerify()
	s.updateConfig(func(c map[string]any) { c["database"] = into })
	s.checkVerify()
	s.database, s.db = into, nil
	s.start()
	if after := s.mustRun("incident", "list", "--json"); after != before {
		s.t.Errorf("got incidents %s, want %s", after, before)
	}
}

// TestMigrate_WorkGoesOn copies a database with a page that could not be sent into PostgreSQL and back. The page is sent
// once, and the incident goes on.
func TestMigrate_WorkGoesOn(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 71, HTTP: true, Limits: chat.Limits{Off: true}})
	s.pagerProxy.setOverride(func(*http.Request, string) (int, string) { return http.StatusServiceUnavailable, "" })
	if got := s.trailStatus(1); got != http.StatusAccepted {
		t.Fatalf("got status %d, want 202", got)
	}
	s.waitIncident(1)
	s.waitFor(time.Minute, "the failed page", func() bool { return s.queryInt("SELECT count(*) FROM effects WHERE waiting_system = 'pagerduty'") > 0 })
	s.waitFor(time.Minute, "the channel", func() bool { return s.view(1).Incident.Links[incident.LinkChannel] != "" })

	s.changeDatabase(storetest.Postgres(t))
	s.pagerProxy.setOverride(nil)
	s.waitFor(time.Minute, "the page", func() bool { return len(s.company.Pager.Snapshot().Pages) > 0 })
	s.waitIdle(time.Minute)
	for _, command := range []string{"ack INC-1", "note INC-1 from PostgreSQL"} {
		if _, err := s.sendCommand(command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	s.waitIdle(time.Minute)

	s.changeDatabase("sqlite:" + filepath.Join(t.TempDir(), "back.db"))
	if _, err := s.sendCommand("note INC-1 from SQLite"); err != nil {
		t.Error(err)
	}
	s.waitIdle(time.Minute)
	if out := s.mustRun("incident", "status", "INC-1"); !strings.Contains(out, "from PostgreSQL") || !strings.Contains(out, "from SQLite") {
		t.Errorf("got timeline %s", out)
	}
	once := map[string]bool{}
	for _, page := range s.company.Pager.Snapshot().Pages {
		if once[page.User] {
			t.Errorf("got a second page of %s: %+v", page.User, page)
		}
		once[page.User] = true
	}
	s.checkMessages(s.checkEffects())
	s.stop()
	s.checkVerify()
}
