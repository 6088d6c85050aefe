package store

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/gorm"

	"tocsin/store/storetest"
)

var update = flag.Bool("update", false, "write the schema of River's tables to testdata")

// dialectOf returns the name of the database of a URL.
func dialectOf(url string) string {
	if strings.HasPrefix(url, "sqlite:") {
		return "sqlite"
	}
	return "postgres"
}

// riverSchemaQuery selects the columns, constraints, indexes and states of the tables that river.go reads or writes.
var riverSchemaQuery = map[string]string{
	"sqlite": `SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_master WHERE tbl_name IN ('river_job', 'river_leader') ORDER BY 1`,
	"postgres": `SELECT 'column ' || table_name || '.' || column_name || ': ' || udt_name || ' ' || is_nullable || ' ' || coalesce(column_default, '')
			FROM information_schema.columns WHERE table_name IN ('river_job', 'river_leader')
		UNION ALL SELECT 'constraint ' || conrelid::regclass || '.' || conname || ': ' || pg_get_constraintdef(oid)
			FROM pg_constraint WHERE conrelid IN ('river_job'::regclass, 'river_leader'::regclass)
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE tablename IN ('river_job', 'river_leader')
		UNION ALL SELECT 'state ' || enumlabel FROM pg_enum WHERE enumtypid = 'river_job_state'::regtype
		UNION ALL SELECT 'trigger ' || tgrelid::regclass || '.' || tgname FROM pg_trigger WHERE tgrelid IN ('river_job'::regclass, 'river_leader'::regclass)
		ORDER BY 1`,
}

// TestRiverContract_Schema compares the tables that river.go reads or writes with the schema of the pinned version. If
// it fails after an upgrade, check each statement of river.go against the new schema before you write it with -update.
func TestRiverContract_Schema(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var lines []string
		err := s.view(t.Context(), func(db *gorm.DB) error { return db.Raw(riverSchemaQuery[dialectOf(url)]).Scan(&lines).Error })
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range lines {
			lines[i] = strings.TrimSpace(regexp.MustCompile(`\s+`).ReplaceAllString(line, " "))
		}
		got, golden := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "river_"+dialectOf(url)+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("River's schema (-want +got):\n%s", diff)
		}
	})
}

// TestRiverContract_States checks that jobUnfinished has all states that River does not delete.
func TestRiverContract_States(t *testing.T) {
	finished := []rivertype.JobState{rivertype.JobStateCancelled, rivertype.JobStateCompleted, rivertype.JobStateDiscarded}
	var unfinished []string
	for _, state := range rivertype.JobStates() {
		if !slices.Contains(finished, state) {
			unfinished = append(unfinished, "'"+string(state)+"'")
		}
	}
	if want := "state IN (" + strings.Join(unfinished, ", ") + ")"; jobUnfinished != want {
		t.Errorf("got %s, want %s", jobUnfinished, want)
	}
}

// TestRiverContract_Insert checks the rows that River inserts: equal jobs are separate rows without a unique key, a
// later job is scheduled, and the ids are at the place where argID reads them.
func TestRiverContract_Insert(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		plain := job{kind: "plain", ids: []int64{7, 8}}
		s.mustEnqueue(t, plain, plain, job{kind: "later", at: time.Now().Add(time.Hour)}, job{kind: "soon", at: time.Now().Add(schedulerInterval / 2)})
		s.wantJobs(t, 2, "kind = 'plain' AND state = 'available' AND attempt = 0 AND unique_key IS NULL AND unique_states IS NULL AND queue = 'default' AND "+argID(0)+" = 7 AND "+argID(1)+" = 8")
		s.wantJobs(t, 1, "kind = 'later' AND state = 'scheduled'")
		s.wantJobs(t, 1, "kind = 'soon' AND state = 'available' AND scheduled_at > "+s.backend.river().now)
		s.wantJobs(t, 2, "kind = 'plain' AND scheduled_at <= "+s.backend.river().now)
	})
}

// TestRiverContract_Fetch checks that a worker counts an attempt, appends its replica to attempted_by, and does not
// fetch an available job before its time.
func TestRiverContract_Fetch(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url, func(c *testConfig) { c.ReplicaID = "one" })
		s.mustEnqueue(t, job{kind: "early", at: time.Now().Add(time.Hour)}, job{kind: "plain"})
		if err := s.tx(t.Context(), func(tx *tx) error {
			return tx.updateJobs("state = 'available', attempt = 4 WHERE kind IN ('early', 'plain')")
		}); err != nil {
			t.Fatal(err)
		}
		started, finish := make(chan Task), make(chan struct{})
		s.mustRun(t, handlers{
			"plain": func(_ context.Context, task Task) error { started <- task; <-finish; return nil },
			"early": func(context.Context, Task) error { t.Error("got a job before its time"); return nil },
		})
		if task := receive(t, started); task.Attempt != 5 {
			t.Errorf("got attempt %d, want 5", task.Attempt)
		}
		condition, args := s.backend.river().of(s.backend.river().heldBy, "one")
		s.wantJobs(t, 1, "kind = 'plain' AND state = 'running' AND attempt = 5 AND attempted_at IS NOT NULL AND "+condition, args...)
		close(finish)
		s.waitForJobs(t, 1, "kind = 'plain' AND state = 'completed' AND finalized_at IS NOT NULL")
		s.wantJobs(t, 1, "kind = 'early' AND state = 'available'")
	})
}

// TestRiverContract_Notification checks that the commit of a job, and not its insert, notifies the workers.
func TestRiverContract_Notification(t *testing.T) {
	s := openTest(t, storetest.Postgres(t))
	conn, err := s.backend.(*postgresBackend).pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	listener := conn.Conn()
	if _, err := listener.Exec(t.Context(), `LISTEN "public.river_insert"`); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("rolled back by test")
	if err := s.tx(t.Context(), func(tx *tx) error { return errors.Join(tx.enqueue(job{kind: "plain", queue: queueEffects}), failed) }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	s.mustEnqueue(t, job{kind: "plain", queue: queuePage})
	if got := waitForNotification(t, listener); !strings.Contains(got, `"queue":"`+queuePage+`"`) && !strings.Contains(got, `"queue": "`+queuePage+`"`) {
		t.Errorf("got %s, want a notification of the queue %s", got, queuePage)
	}
}

func waitForNotification(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return n.Payload
}

// TestRiverContract_LeadershipRow checks that a worker's leadership is the row that requeueHeldBy removes.
func TestRiverContract_LeadershipRow(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url, func(c *testConfig) { c.ReplicaID = "one" })
		s.mustRun(t, handlers{})
		s.waitForLeader(t, "one")
		if err := s.requeueOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t, "SELECT count(*) FROM river_leader WHERE leader_id = 'one'"); n != 0 {
			t.Errorf("got %d leaders, want 0", n)
		}
	})
}

// TestRiverTables_InOneFile checks that no other file of the package names River's tables.
func TestRiverTables_InOneFile(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "river_") && file != "river.go" && file != "river_test.go" {
			t.Errorf("%s names a table of River, want that only in river.go and river_test.go", file)
		}
	}
}

// updateJobs, deleteJobs, setRunning and setLeader write River's tables for tests.
func (t *tx) updateJobs(set string, args ...any) error {
	return t.db.Exec("UPDATE river_job SET "+set, args...).Error
}

func (t *tx) deleteJobs(where string, args ...any) error {
	return t.db.Exec("DELETE FROM river_job WHERE "+where, args...).Error
}

// setRunning marks jobs as running, as the last of some replicas left them.
func (t *tx) setRunning(where string, replicas ...string) error {
	by := "'{" + strings.Join(replicas, ",") + "}'"
	if t.river == riverSQLite {
		by = `jsonb('["` + strings.Join(replicas, `", "`) + `"]')`
	}
	return t.updateJobs("state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP, attempted_by = " + by + " WHERE " + where)
}

// setLeader makes a replica the leader for an hour.
func (t *tx) setLeader(replica string) error {
	expires := "now() + interval '1 hour'"
	if t.river == riverSQLite {
		expires = "datetime('now', '+1 hour')"
	}
	return t.db.Exec("INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES (?, "+t.river.now+", "+expires+")", replica).Error
}

func (s *Store) waitForLeader(t *testing.T, replica string) {
	t.Helper()
	s.waitForCount(t, 1, "SELECT count(*) FROM river_leader WHERE leader_id = ?", replica)
}

func (s *Store) mustDeleteJobs(t *testing.T, where string) {
	t.Helper()
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.deleteJobs(where) }); err != nil {
		t.Fatal(err)
	}
}

func (s *Store) jobID(t *testing.T, kind string) int64 {
	t.Helper()
	return s.count(t, "SELECT id FROM river_job WHERE kind = ?", kind)
}

// countJobs counts the jobs that match a condition.
func (s *Store) countJobs(t *testing.T, where string, args ...any) int64 {
	t.Helper()
	return s.count(t, "SELECT count(*) FROM river_job WHERE "+where, args...)
}

func (s *Store) wantJobs(t *testing.T, want int64, where string, args ...any) {
	t.Helper()
	if got := s.countJobs(t, where, args...); got != want {
		t.Errorf("jobs with %s: got %d, want %d", where, got, want)
	}
}

func (s *Store) waitForJobs(t *testing.T, want int64, where string, args ...any) {
	t.Helper()
	s.waitForCount(t, want, "SELECT count(*) FROM river_job WHERE "+where, args...)
}
