package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// openWithClock opens a store with a clock that returns noon until the test sets it, in Unix microseconds.
func openWithClock(t *testing.T, url string) (*Store, *atomic.Int64) {
	var now atomic.Int64
	now.Store(noon.UnixMicro())
	return openTest(t, url, func(c *testConfig) { c.Clock = func() time.Time { return time.UnixMicro(now.Load()) } }), &now
}

// endIncident moves an incident to a status or merges it into another one, and optionally sets a legal hold.
func (s *Store) endIncident(t *testing.T, inc incident.Incident, status incident.Status, into incident.ID, legalHold bool) {
	t.Helper()
	s.mustTx(t, func(tx response.Tx) (err error) {
		e := newEvent(incident.EventDismissed, map[string]string{"status": string(status)})
		if into != 0 {
			e = newEvent(incident.EventMergedInto, map[string]string{"status": string(incident.Merged), "target": into.String()})
		}
		inc, err = saveEvents(tx, inc, e)
		if legalHold && err == nil {
			_, err = saveEvents(tx, inc, newEvent(incident.EventLegalHoldSet, nil, "reason", "the regulator asked"))
		}
		return err
	})
}

func TestPrune_ExemptsOpenHeldAndRecent(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := openWithClock(t, url)
		var incidents []incident.Incident
		for n := range 6 {
			incidents = append(incidents, s.openIncident(t, fmt.Sprint("incident ", n)))
		}
		closed, open, held, mergedIntoOpen, mergedIntoClosed := incidents[0], incidents[1], incidents[2], incidents[3], incidents[4]
		s.endIncident(t, closed, incident.Closed, 0, false)
		s.endIncident(t, held, incident.Dismissed, 0, true)
		s.endIncident(t, mergedIntoOpen, "", open.ID, false)
		s.endIncident(t, mergedIntoClosed, "", closed.ID, false)
		var deliveries []intake.Delivery
		ids := []incident.ID{0, closed.ID, open.ID, held.ID, mergedIntoOpen.ID, mergedIntoClosed.ID}
		for n := range ids {
			deliveries = append(deliveries, intake.Delivery{Source: "sentry", ID: fmt.Sprint(n), Body: fmt.Appendf(nil, `{"n":%d}`, n), Received: noon})
		}
		deliveries = append(deliveries, intake.Delivery{Source: "sentry", ID: "unhandled", Body: []byte("{}"), Received: noon},
			intake.Delivery{Source: "sentry", ID: "watched, then moved to the open incident", Body: []byte("{}"), Received: noon})
		if err := s.Accept(t.Context(), deliveries); err != nil {
			t.Fatal(err)
		}
		s.mustTx(t, func(tx response.Tx) error {
			var outcomes []response.DeliveryOutcome
			for n, id := range ids {
				outcomes = append(outcomes, response.DeliveryOutcome{Row: int64(n + 1), Outcome: "counted", Incident: id})
				a := incident.Alert{Source: "sentry", Kind: "k", Fingerprint: fmt.Sprint(n), Correlation: fmt.Sprint(n)}
				if _, _, err := tx.CountAlert(id, a, 1, noon, response.RoutingDecision{}); err != nil {
					return err
				}
				if _, err := tx.RecordCommandKey(id, "key"); err != nil {
					return err
				}
				if err := tx.Audit(response.Access{At: noon, Person: "p1", Action: "show", Incident: id, Allowed: true}); err != nil {
					return err
				}
			}
			moved := incident.Alert{Source: "sentry", Kind: "k", Fingerprint: "moved", Correlation: "moved"}
			row, _, err := tx.CountAlert(response.WatchedAlerts, moved, 1, noon, response.RoutingDecision{})
			_, _, err2 := tx.MoveAlert(open.ID, moved, response.RoutingDecision{})
			outcomes = append(outcomes, response.DeliveryOutcome{Row: 8, Outcome: "watched", Alert: row.ID})
			return errors.Join(err, err2, tx.MarkHandled(outcomes))
		})
		retention := Retention{Alerts: 24 * time.Hour, Inbox: 400 * 24 * time.Hour, Audit: 24 * time.Hour} // raised to MinRetention
		prune := func(after time.Duration) Pruned {
			t.Helper()
			now.Store(noon.Add(after).UnixMicro())
			p, err := s.Prune(t.Context(), retention, 20*time.Second)
			if err != nil || p.More {
				t.Fatalf("Prune: got %+v, %v", p, err)
			}
			return p
		}
		if p := prune(364 * 24 * time.Hour); len(p.Deleted) > 0 {
			t.Errorf("within a year: got %v, want none deleted", p.Deleted)
		}
		if p := prune(380 * 24 * time.Hour); p.Deleted["alerts"] != 3 || p.Deleted["inbox"] != 0 || p.Deleted["audit"] != 3 || p.Deleted["commands"] != 3 {
			t.Errorf("after the minimum retention: got %v, want 3 alerts, 3 audit entries and 3 commands", p.Deleted)
		}
		if p := prune(401 * 24 * time.Hour); p.Deleted["inbox"] != 3 {
			t.Errorf("after the inbox retention: got %v, want 3 deliveries", p.Deleted)
		}
		var left []int64
		for id := int64(1); id <= 8; id++ {
			if s.count(t, "SELECT count(*) FROM inbox WHERE id = ?", id) == 1 {
				left = append(left, id)
			}
		}
		if !slices.Equal(left, []int64{3, 4, 5, 7, 8}) {
			t.Errorf("got deliveries %v left, want 3, 4, 5, 7, 8", left)
		}
		if n := s.count(t, "SELECT count(*) FROM alerts"); n != 4 {
			t.Errorf("got %d alerts left, want 4", n)
		}
		if n := s.count(t, "SELECT coalesce(sum(deleted), 0) FROM tombstones WHERE length(hash) > 20 AND policy LIKE '%d'"); n != 12 {
			t.Errorf("got tombstones for %d rows, want 12", n)
		}
		proof, err := s.Tombstones(t.Context(), 1)
		if err != nil || len(proof) != 1 || proof[0].TableName != "inbox" || proof[0].Policy != "inbox: 400d" || proof[0].Deleted != 3 || proof[0].FirstID != 1 || proof[0].LastID != 6 {
			t.Errorf("newest tombstone: got %+v, %v", proof, err)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("Verify: got problems %+v, %v", v.Problems, err)
		}
		if p := prune(402 * 24 * time.Hour); len(p.Deleted) > 0 {
			t.Errorf("second run: got %v, want none deleted", p.Deleted)
		}
	})
}

// Alerts that a merge moved to another incident are retained while either incident has a legal hold, after any number
// of merges.
func TestPrune_LegalHoldFollowsMerges(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := openWithClock(t, url)
		first, second, last, other := s.openIncident(t, "first"), s.openIncident(t, "second"), s.openIncident(t, "last"), s.openIncident(t, "other")
		s.mustTx(t, func(tx response.Tx) error {
			var errs []error
			for _, id := range []incident.ID{last.ID, other.ID} { // the targets of the merges have the alerts
				a := incident.Alert{Source: "sentry", Kind: "k", Fingerprint: id.String(), Correlation: id.String()}
				_, _, err := tx.CountAlert(id, a, 1, noon, response.RoutingDecision{})
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
		s.endIncident(t, first, "", second.ID, true)
		s.endIncident(t, second, "", last.ID, false)
		s.endIncident(t, last, incident.Closed, 0, false)
		s.endIncident(t, other, incident.Closed, 0, false)
		now.Store(noon.Add(500 * 24 * time.Hour).UnixMicro())
		prune := func() int64 {
			t.Helper()
			p, err := s.Prune(t.Context(), Retention{}, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return p.Deleted["alerts"]
		}
		if n := prune(); n != 1 || s.count(t, "SELECT count(*) FROM alerts WHERE incident_id = ?", int64(last.ID)) != 1 {
			t.Errorf("with a legal hold: got %d alerts deleted, want 1, of the other incident", n)
		}
		s.mustTx(t, func(tx response.Tx) error {
			inc, err := tx.Incident(first.ID)
			if err != nil {
				return err
			}
			_, err = saveEvents(tx, inc, newEvent(incident.EventLegalHoldReleased, nil, "reason", "the case is closed"))
			return err
		})
		now.Store(noon.Add(1000 * 24 * time.Hour).UnixMicro())
		if n := prune(); n != 1 {
			t.Errorf("after the release: got %d alerts deleted, want 1", n)
		}
	})
}

func TestPrune_StopsAtDeadline(t *testing.T) {
	s, now := openWithClock(t, storetest.SQLite(t))
	var ds []intake.Delivery
	for n := range pruneBatch + 10 {
		ds = append(ds, intake.Delivery{Source: "sentry", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
	}
	if err := s.Accept(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	s.mustTx(t, func(tx response.Tx) error {
		var outcomes []response.DeliveryOutcome
		for n := range ds {
			outcomes = append(outcomes, response.DeliveryOutcome{Row: int64(n + 1), Outcome: "ignored"})
		}
		return tx.MarkHandled(outcomes)
	})
	now.Store(noon.Add(3 * MinRetention).UnixMicro())
	if p, err := s.Prune(t.Context(), Retention{}, -1); err != nil || !p.More || len(p.Deleted) > 0 {
		t.Errorf("without time: got %+v, %v, want More", p, err)
	}
	if p, err := s.Prune(t.Context(), Retention{}, 20*time.Second); err != nil || p.More || p.Deleted["inbox"] != int64(len(ds)) {
		t.Errorf("with time: got %+v, %v, want %d deliveries", p, err, len(ds))
	}
	if n := s.count(t, "SELECT count(*) FROM tombstones"); n != 2 {
		t.Errorf("got %d tombstones, want 2", n)
	}
}

func TestDelivery_StoredAsReceived(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		in := intake.Delivery{Source: "sentry", ID: "d1", Header: map[string]string{"Sentry-Hook-Resource": "issue"}, Body: []byte("{\"a\": \"\\u00e9\xff\"}"),
			Received: dbTime(noon), Sender: "10.0.0.1", Verified: "credential of the source"}
		if err := s.Accept(t.Context(), []intake.Delivery{in}); err != nil {
			t.Fatal(err)
		}
		s.mustTx(t, func(tx response.Tx) error {
			return tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "undecodable", Reason: "not text", Rule: 2, Routing: 7}})
		})
		seen := 0
		err := s.Deliveries(t.Context(), DeliveryFilter{From: noon.Add(-time.Hour)}, eachDelivery(func(row int64, d intake.Delivery, sha256 string) error {
			seen++
			if row != 1 || !bytes.Equal(d.Body, in.Body) || sha256 != bodyHash(in.Body) || d.Verified != in.Verified || d.Sender != in.Sender || !d.Received.Equal(in.Received) {
				t.Errorf("row %d: got %+v, SHA-256 %s", row, d, sha256)
			}
			return nil
		}))
		if err != nil || seen != 1 {
			t.Errorf("got %d deliveries, %v, want 1", seen, err)
		}
		err = s.View(t.Context(), func(r response.Reader) error {
			found, err := r.Deliveries(response.DeliveryQuery{Rows: []int64{1}, Bodies: true})
			if err != nil || len(found) != 1 {
				t.Fatalf("got %+v, %v, want one delivery", found, err)
			}
			got, outcome := found[0].Stored, found[0].Outcome
			if !bytes.Equal(got.Body, in.Body) || got.SHA256 != bodyHash(in.Body) || got.Reason != "not text" || got.Sender != "10.0.0.1" || outcome.Rule != 2 || outcome.Routing != 7 {
				t.Errorf("got %+v, %+v", got, outcome)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestReprocess_RequeuesReprocessableOutcomes(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		outcomes := []string{"opened", "attached", "counted", "command", "watched", "dropped", "maintenance", "recurred", "undecodable", "ignored"}
		var ds []intake.Delivery
		var handled []response.DeliveryOutcome
		for n, outcome := range outcomes {
			ds = append(ds, intake.Delivery{Source: "sentry", ID: outcome, Body: []byte("{}"), Received: noon})
			handled = append(handled, response.DeliveryOutcome{Row: int64(n + 1), Outcome: outcome})
		}
		ds = append(ds, intake.Delivery{Source: "sentry", ID: "before", Body: []byte("{}"), Received: noon.Add(-time.Hour)})
		handled = append(handled, response.DeliveryOutcome{Row: 11, Outcome: "watched"})
		if err := s.Accept(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.MarkHandled(handled) })
		if n, err := s.Reprocess(t.Context(), DeliveryFilter{From: noon.Add(-time.Minute), Source: "sentry"}); err != nil || n != 6 {
			t.Errorf("got %d requeued, %v, want 6", n, err)
		}
		rows, err := s.Rows(t.Context(), 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, row := range rows {
			got += fmt.Sprintf("%s %v %v; ", row.Delivery.ID, row.Reprocessed, row.WasUndecodable)
		}
		if got != "watched true false; dropped true false; maintenance true false; recurred true false; undecodable false true; ignored false false; " {
			t.Error(got)
		}
		if n, err := s.Reprocess(t.Context(), DeliveryFilter{From: noon.Add(-time.Minute)}); err != nil || n != 0 {
			t.Errorf("second call: got %d requeued, %v, want 0", n, err)
		}
	})
}
