package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// hold holds all unfinished effects and deliveries and removes their jobs, as a restore from a backup does.
func (s *Store) hold(t *testing.T, r incident.Restore) {
	t.Helper()
	err := s.tx(t.Context(), func(tx *tx) error {
		if err := errors.Join(tx.deleteJobs("true"), tx.db.Exec("UPDATE effects SET held = true WHERE state IN ('available', 'pending')").Error); err != nil {
			return err
		}
		return tx.db.Exec(`INSERT INTO restores (at, backup_at, backup_size, checkpoint, last_incident, next_incident, last_inbox)
			VALUES (?, ?, 7, '', ?, ?, (SELECT coalesce(max(id), 0) FROM inbox))`, r.At, r.BackupAt, int64(r.LastIncident), int64(r.LastIncident)+101).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.loadRestores(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestHold_SweepsLeaveHeldWork sweeps a database whose effects and deliveries are held. Only a new delivery gets a drain.
func TestHold_SweepsLeaveHeldWork(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.acceptSamples(t, 3)
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("a", "lane"), newTestEffect("b", "")) })
		s.hold(t, storetest.Restored)
		sweep := func() {
			t.Helper()
			for _, err := range []error{s.sweepEffects(t.Context(), Task{}), s.sweepDrains(t.Context(), Task{})} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		sweep()
		s.wantJobs(t, 0, "true")
		if err := s.Accept(t.Context(), []intake.Delivery{{Source: "sentry", ID: "new", Body: []byte("{}"), Received: noon}}); err != nil {
			t.Fatal(err)
		}
		sweep()
		s.wantJobs(t, 1, "true")
		if got := rowsOf(t, s); !slices.Equal(got, []int64{4}) {
			t.Errorf("got deliveries %v to drain, want only the new one", got)
		}
		storetest.MustTx(t, s, func(tx response.Tx) error {
			_, err := tx.ReleaseHeld(1, func(incident.Effect) string { return "" })
			if err != nil {
				return err
			}
			return tx.EndRestore(1, "root")
		})
		s.wantJobs(t, 2, "kind = 'effect' AND attempt = 1")
		s.wantJobs(t, 1, fmt.Sprintf("kind = 'drain' AND %s = 1 AND %s = 3", argID(0), argID(1)))
		if got := rowsOf(t, s); !slices.Equal(got, []int64{1, 2, 3, 4}) {
			t.Errorf("got deliveries %v to drain after the release, want all", got)
		}
	})
}

func (s *Store) mustExec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec(statement, args...).Error }); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t *testing.T, s *Store) (ids []int64) {
	t.Helper()
	rows, err := s.Rows(t.Context(), 1, noUpperBound)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

// TestHold_WaitingEffects holds effects that wait after a failed attempt. The id of their job belongs to another job now:
// neither a retry nor the drop of one may touch it.
func TestHold_WaitingEffects(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error {
			return tx.Enqueue(newTestEffect("drop", "lane"), newTestEffect("behind", "lane"), newTestEffect("keep", ""))
		})
		s.hold(t, storetest.Restored)
		s.mustExec(t, "UPDATE effects SET waiting_since = ?, next_at = ?, attempts = 1, waiting_system = 'slack', waiting_job = 1 WHERE key IN ('drop', 'keep')", noon, time.Now().Add(time.Hour))
		later := newTestEffect("later", "")
		later.After = time.Now().Add(time.Hour)
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(later) })
		s.mustExec(t, "UPDATE effects SET waiting_job = ? WHERE key IN ('drop', 'keep')", s.jobID(t, kindEffect))
		if n, err := s.RetryEffects(t.Context(), response.WaitingQuery{}); n != 0 || err != nil {
			t.Errorf("got %d effects, %v, want none", n, err)
		}
		s.mustTx(t, func(tx response.Tx) error {
			dropped, err := tx.DropEffect(1, "obsolete")
			if !dropped {
				t.Error("the held effect is not dropped")
			}
			return err
		})
		s.wantJobs(t, 1, "state = 'scheduled'")
		s.wantJobs(t, 1, "true")
		s.mustTx(t, func(tx response.Tx) error {
			_, err := tx.ReleaseHeld(1, func(incident.Effect) string { return "" })
			return err
		})
		s.wantJobs(t, 1, "state = 'scheduled'")
		s.wantJobs(t, 1, "kind = 'effect' AND attempt = 1 AND "+argID(0)+" = (SELECT id FROM effects WHERE key = 'behind' AND state = 'available')")
		s.wantJobs(t, 1, "kind = 'effect' AND attempt = 1 AND "+argID(0)+" = (SELECT id FROM effects WHERE key = 'keep') AND id = (SELECT waiting_job FROM effects WHERE key = 'keep')")
	})
}
