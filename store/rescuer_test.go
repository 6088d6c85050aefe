package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tocsin/store/storetest"
)

// A job that runs for the database and not here is taken up after a while; one
// that is worked here, one that was begun again meanwhile, and another replica's
// are left alone.
func TestLostJobsAreTakenUp(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url, func(c *Config) { c.ReplicaID = "one" })
		err := s.tx(t.Context(), func(tx *tx) error {
			by := `'{two,one}'`
			if strings.HasPrefix(url, "sqlite") {
				by = `jsonb('["two", "one"]')`
			}
			return errors.Join(tx.enqueue(job{kind: "lost"}, job{kind: "worked"}, job{kind: "again"}, job{kind: "waiting"}),
				tx.db.Exec("UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP, attempted_by = "+by+" WHERE kind <> 'waiting'").Error)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.underway.begin(s.count(t, "SELECT id FROM river_job WHERE kind = 'worked'"))()
		l, began := rescuer{store: s}, time.Now()
		look := func(after time.Duration) int64 {
			t.Helper()
			if err := l.scan(t.Context(), began.Add(after)); err != nil {
				t.Fatal(err)
			}
			return s.count(t, "SELECT count(*) FROM river_job WHERE state = 'running'")
		}
		if n := look(0); n != 3 {
			t.Fatalf("%d jobs run", n)
		}
		if n := look(missingJobTimeout - time.Second); n != 3 {
			t.Fatalf("a job was taken up too soon: %d run", n)
		}
		if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE river_job SET attempt = 2 WHERE kind = 'again'").Error }); err != nil {
			t.Fatal(err)
		}
		if n := look(missingJobTimeout); n != 2 {
			t.Errorf("%d jobs run", n)
		}
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'lost' AND state = 'available' AND attempt = 1"); n != 1 {
			t.Error("the lost job was not taken up")
		}
		if n := look(2*missingJobTimeout - time.Second); n != 2 {
			t.Errorf("an attempt that is young was taken up: %d run", n)
		}
		if n := look(2 * missingJobTimeout); n != 1 {
			t.Errorf("%d jobs run, and one is worked", n)
		}
	})
}
