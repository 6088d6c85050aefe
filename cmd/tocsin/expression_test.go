//go:build !race

package main_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store"
	"tocsin/store/storetest"
)

// endlessCondition would take hours to evaluate.
const endlessCondition = `let a = 1..900000; all(a, {let x = #; all(a, {# + x > 0})})`

// TestMaintenance_EndlessCondition types a condition without a bound in Slack, which is
// refused. Then the database holds it already when the bot starts: the bot starts,
// opens incidents, and lists the window as failing.
func TestMaintenance_EndlessCondition(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 61, HTTP: true, Limits: chat.Limits{Off: true}})
		engineer := s.company.In("engineering")[0]
		s.mustRun("incident", "open", "sev3", "--public", "a key in a log line")
		channel := s.channelOf(1).ID
		reply, err := s.slash(engineer, channel, "maintenance add 2h "+endlessCondition+" because x")
		if err != nil || !strings.Contains(reply, "the range operator .. is not allowed") {
			t.Errorf("got reply %q, %v, want the range operator refused", reply, err)
		}
		s.stop()
		s.putMaintenance(incident.MaintenanceWindow{When: endlessCondition, Reason: "x", From: time.Now().Add(-time.Minute), To: time.Now().Add(time.Hour)})
		s.start()
		issue := feed.NewIssue(feed.Crash, 61)
		if a, err := s.company.Sentry.EventAlert(t.Context(), issue, feed.Copy{N: 1}); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		s.waitFor(time.Minute, "the alert to open an incident", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 2 })
		if !timelineContains(s.view(2), "Maintenance window M1 failed on this alert and did not suppress it") {
			t.Errorf("got timeline %+v, want the failing window named", s.view(2).Timeline)
		}
		for _, command := range [][]string{{"incident", "maintenance"}, {"explain", "A1"}} {
			if got := s.mustRun(command...); !strings.Contains(got, "the range operator .. is not allowed") {
				t.Errorf("%v: got %s, want the reason why the window fails", command, got)
			}
		}
	})
}

// putMaintenance stores a maintenance window as an earlier version did: without a
// check of its condition. The bot must not run.
func (s *botProcess) putMaintenance(m incident.MaintenanceWindow) {
	s.t.Helper()
	keys, err := store.LoadKeyset(s.keyset)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := store.Open(s.t.Context(), store.Config{URL: s.database, ReplicaID: "test"}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Tx(s.t.Context(), func(tx response.Tx) error { _, err := tx.PutMaintenance(m); return err }); err != nil {
		s.t.Fatal(err)
	}
}
