package store

import (
	"errors"
	"slices"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestAlertIncidents_FollowsMoves merges an incident into another that has the same
// alert, so that the alert of the first one gets another id.
func TestAlertIncidents_FollowsMoves(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		a, b := s.openIncident(t, "a"), s.openIncident(t, "b")
		alert := incident.Alert{Source: "sentry", Kind: "sentry.issue", Title: "boom", Fingerprint: "f", At: dbTime(noon)}
		watched := alert
		watched.Fingerprint = "w"
		var inA, inB, suppressed response.AlertRow
		s.mustTx(t, func(tx response.Tx) (err error) {
			if inA, _, err = tx.CountAlert(a.ID, alert, 1, noon, response.RoutingDecision{}); err != nil {
				return err
			}
			if inB, _, err = tx.CountAlert(b.ID, alert, 1, noon, response.RoutingDecision{}); err != nil {
				return err
			}
			suppressed, _, err = tx.CountAlert(response.WatchedAlerts, watched, 1, noon, response.RoutingDecision{})
			return err
		})
		check := func(wantB incident.ID, byAlert []incident.ID) {
			t.Helper()
			err := s.View(t.Context(), func(r response.Reader) error {
				ids, incidents, err := r.AlertIncidents([]int64{inA.ID, inB.ID, suppressed.ID, 999}, []incident.Alert{alert, watched})
				if err != nil {
					return err
				}
				if ids[inA.ID] != a.ID || ids[inB.ID] != wantB || len(ids) != 2 {
					t.Errorf("got incidents %v by id, want %s and %s", ids, a.ID, wantB)
				}
				if got := slices.Sorted(slices.Values(incidents[0])); !slices.Equal(got, byAlert) || len(incidents[1]) != 0 {
					t.Errorf("got incidents %v by fingerprint, want %v and none", incidents, byAlert)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		check(b.ID, []incident.ID{a.ID, b.ID})
		s.mustTx(t, func(tx response.Tx) error { return tx.MoveAlerts(b.ID, a.ID) })
		check(a.ID, []incident.ID{a.ID})
	})
}

// TestMoveAlerts_IDsAreUsedOnce merges the newest alert away. Deliveries name the alert by its id, so no other alert may
// get the id.
func TestMoveAlerts_IDsAreUsedOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		first, second := s.openIncident(t, "first"), s.openIncident(t, "second")
		for round := range 3 {
			s.mustTx(t, func(tx response.Tx) error {
				kept, _, err := tx.CountAlert(first.ID, sampleAlert(1), 1, noon, response.RoutingDecision{})
				merged, _, err2 := tx.CountAlert(second.ID, sampleAlert(1), 1, noon, response.RoutingDecision{})
				if err := errors.Join(err, err2, tx.MoveAlerts(second.ID, first.ID)); err != nil {
					return err
				}
				added, _, err := tx.CountAlert(second.ID, sampleAlert(2+round), 1, noon, response.RoutingDecision{})
				if added.ID <= merged.ID || merged.ID == kept.ID {
					t.Errorf("round %d: got alert %d after alert %d was merged into %d, want a new id", round, added.ID, merged.ID, kept.ID)
				}
				return err
			})
		}
	})
}
