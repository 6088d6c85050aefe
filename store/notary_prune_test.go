package store

import (
	"testing"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestPrune_NewestRows deletes the newest rows too. SQLite uses their ids again, which Verify must not report.
func TestPrune_NewestRows(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		now := noon
		s := openTest(t, url, func(c *testConfig) { c.Clock = func() time.Time { return now } })
		add := func(id string) {
			if err := s.Accept(t.Context(), []intake.Delivery{{Source: "sentry", ID: id, Body: []byte("{}"), Received: now}}); err != nil {
				t.Fatal(err)
			}
			rows, err := s.Rows(t.Context(), 0, noUpperBound)
			if err != nil {
				t.Fatal(err)
			}
			s.mustTx(t, func(tx response.Tx) error {
				if err := tx.Audit(response.Access{At: now, Person: "p1", Action: "show", Allowed: true}); err != nil {
					return err
				}
				if _, _, err := tx.CountAlert(response.WatchedAlerts, sampleAlert(len(id)), 1, now, response.RoutingDecision{}); err != nil {
					return err
				}
				return tx.MarkHandled([]response.DeliveryOutcome{{Row: rows[0].ID, Outcome: "watched"}})
			})
			s.record(t)
		}
		add("one")
		now = now.Add(401 * 24 * time.Hour)
		done, err := s.Prune(t.Context(), DefaultRetention(), time.Minute)
		if err != nil || done.Deleted["alerts"] != 1 || done.Deleted["audit"] != 1 || done.Deleted["inbox"] != 1 {
			t.Fatalf("got %v deleted, %v, want one row of each table", done.Deleted, err)
		}
		s.record(t)
		add("three")
		v, err := s.Verify(t.Context())
		if err != nil || len(v.Problems) > 0 {
			t.Errorf("got problems %v, %v, want none", v.Problems, err)
		}
	})
}
