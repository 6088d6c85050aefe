package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tocsin/store/storetest"
)

// A job that is running in the database but not in this process is rescued after missingJobTimeout. Jobs that this
// process works, later attempts and jobs of other replicas are not.
func TestRescuer_RequeuesMissingJobs(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url, func(c *Config) { c.ReplicaID = "one" })
		err := s.tx(t.Context(), func(tx *tx) error {
			by := `'{two,one}'`
			if strings.HasPrefix(url, "sqlite") {
				by = `jsonb('["two", "one"]')`
			}
			return errors.Join(tx.enqueue(job{kind: "missing"}, job{kind: "worked"}, job{kind: "again"}, job{kind: "waiting"}),
				tx.db.Exec("UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP, attempted_by = "+by+" WHERE kind <> 'waiting'").Error)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.inFlight.begin(s.count(t, "SELECT id FROM river_job WHERE kind = 'worked'"))()
		r, start := rescuer{store: s}, time.Now()
		runningAfter := func(after time.Duration) int64 {
			t.Helper()
			if err := r.scan(t.Context(), start.Add(after)); err != nil {
				t.Fatal(err)
			}
			return s.count(t, "SELECT count(*) FROM river_job WHERE state = 'running'")
		}
		if n := runningAfter(0); n != 3 {
			t.Fatalf("got %d running jobs at the start, want 3", n)
		}
		if n := runningAfter(missingJobTimeout - time.Second); n != 3 {
			t.Fatalf("before the timeout: got %d running jobs, want 3", n)
		}
		if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE river_job SET attempt = 2 WHERE kind = 'again'").Error }); err != nil {
			t.Fatal(err)
		}
		if n := runningAfter(missingJobTimeout); n != 2 {
			t.Errorf("after the timeout: got %d running jobs, want 2", n)
		}
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'missing' AND state = 'available' AND attempt = 1"); n != 1 {
			t.Error("got the missing job not rescued")
		}
		if n := runningAfter(2*missingJobTimeout - time.Second); n != 2 {
			t.Errorf("before the timeout of the second attempt: got %d running jobs, want 2", n)
		}
		if n := runningAfter(2 * missingJobTimeout); n != 1 {
			t.Errorf("at the end: got %d running jobs, want only the one in this process", n)
		}
	})
}
