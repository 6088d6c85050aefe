package store

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/store/storetest"
)

// testKeys returns one keyset for all tests that do not create their own. Tests can reopen a database with it.
var testKeys = sync.OnceValues(Ephemeral)

// testConfig is what a test can change before it opens a store.
type testConfig struct {
	Config
	Deps
}

func openTest(t testing.TB, url string, change ...func(*testConfig)) *Store {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig{Config{URL: url}, Deps{Keyset: keys, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	for _, f := range change {
		f(&c)
	}
	s, err := Open(t.Context(), c.Config, c.Deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func (s *Store) mustEnqueue(t *testing.T, jobs ...job) {
	t.Helper()
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.enqueue(jobs...) }); err != nil {
		t.Fatal(err)
	}
}

func (s *Store) mustRun(t *testing.T, work handlers) {
	t.Helper()
	if err := s.run(t.Context(), work); err != nil {
		t.Fatal(err)
	}
}

// addMarkerRow inserts a row that identifies a transaction.
func addMarkerRow(tx *tx, name string) error {
	return tx.db.Create(&scheduleRow{Name: name, Kind: "none", Cron: "@daily", Zone: "UTC", NextRunAt: time.Now().Add(time.Hour).UTC()}).Error
}

func (s *Store) count(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	if err := s.view(t.Context(), func(db *gorm.DB) error { return db.Raw(query, args...).Scan(&n).Error }); err != nil {
		t.Fatal(err)
	}
	return n
}

// receive waits up to 20 seconds for a value.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("received nothing within 20s")
		panic("unreachable")
	}
}

// waitForCount waits until the query returns want.
func (s *Store) waitForCount(t *testing.T, want int64, query string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := s.count(t, query, args...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %d, want %d", query, got, want)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestTx_CommitsRowAndJobTogether(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		failed := errors.New("rolled back by test")
		err := s.tx(t.Context(), func(tx *tx) error {
			if err := errors.Join(addMarkerRow(tx, "a"), tx.enqueue(job{kind: "plain", ids: []int64{1}})); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("tx: got %v, want %v", err, failed)
		}
		if rows, jobs := s.count(t, "SELECT count(*) FROM schedules"), s.countJobs(t, "true"); rows+jobs != 0 {
			t.Fatalf("after rollback: got %d rows, %d jobs, want none", rows, jobs)
		}
		err = s.tx(t.Context(), func(tx *tx) error {
			return errors.Join(addMarkerRow(tx, "a"), tx.enqueue(job{kind: "plain", ids: []int64{1}}, job{kind: "plain", queue: queuePage, ids: []int64{2, 3}}))
		})
		if err != nil {
			t.Fatal(err)
		}
		if rows, jobs := s.count(t, "SELECT count(*) FROM schedules"), s.countJobs(t, "state = 'available'"); rows != 1 || jobs != 2 {
			t.Fatalf("after commit: got %d rows, %d jobs, want 1, 2", rows, jobs)
		}
	})
}

func TestTx_PanicRollsBack(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		func() {
			defer func() { _ = recover() }()
			_ = s.tx(t.Context(), func(tx *tx) error {
				_ = addMarkerRow(tx, "a")
				panic("no")
			})
		}()
		if n := s.count(t, "SELECT count(*) FROM schedules"); n != 0 {
			t.Fatalf("got %d rows, want 0", n)
		}
		s.mustEnqueue(t, job{kind: "plain"}) // the connection is still usable
	})
}

func TestTx_TranslatesErrors(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		err := s.tx(t.Context(), func(tx *tx) error { return errors.Join(addMarkerRow(tx, "a"), addMarkerRow(tx, "a")) })
		if !errors.Is(err, gorm.ErrDuplicatedKey) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("duplicate name: got %v, want %v", err, gorm.ErrDuplicatedKey)
		}
	})
}

func TestRun_StartsJobSoonAfterCommit(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		started := make(chan Task)
		s.mustRun(t, handlers{"plain": func(_ context.Context, task Task) error { started <- task; return nil }})
		s.mustEnqueue(t, job{kind: "plain", queue: queuePage}) // warm up, because River's services start after Run returns
		receive(t, started)
		var worst time.Duration
		for i := range 20 {
			begin := time.Now()
			s.mustEnqueue(t, job{kind: "plain", queue: queuePage, ids: []int64{int64(i)}})
			if task := receive(t, started); len(task.IDs) != 1 || task.IDs[0] != int64(i) || task.Attempt != 1 || task.Kind != "plain" {
				t.Fatalf("task %d: got %+v", i, task)
			}
			worst = max(worst, time.Since(begin))
		}
		t.Logf("slowest of 20 jobs from enqueue to start: %v", worst)
		if worst > 2*time.Second { // the goal is 250 ms, with room for a busy machine
			t.Errorf("got a wait of %v, want at most 2s", worst)
		}
	})
}

func TestTxComplete_CommitsWithResult(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		state := make(chan int64)
		s.mustRun(t, handlers{"plain": func(ctx context.Context, task Task) error {
			if task.Attempt == 1 { // a failed transaction leaves the job running
				failed := s.tx(ctx, func(tx *tx) error {
					return errors.Join(addMarkerRow(tx, "rolled back"), tx.complete(task), errors.New("no"))
				})
				return failed
			}
			err := s.tx(ctx, func(tx *tx) error { return errors.Join(addMarkerRow(tx, "committed"), tx.complete(task)) })
			state <- s.countJobs(t, "id = ? AND state = 'completed'", task.job.ID)
			return errors.Join(err, errors.New("an error after the commit changes nothing"))
		}})
		s.mustEnqueue(t, job{kind: "plain"})
		if n := receive(t, state); n != 1 {
			t.Error("got the job not completed after the commit")
		}
		if err := s.Stop(t.Context()); err != nil { // River has processed the returned error
			t.Fatal(err)
		}
		if n := s.countJobs(t, "kind = 'plain' AND state = 'completed'"); n != 1 {
			t.Error("got the job not completed after the handler returned an error")
		}
		if committed, all := s.count(t, "SELECT count(*) FROM schedules WHERE name = 'committed'"), s.count(t, "SELECT count(*) FROM schedules"); committed != 1 || all != 1 {
			t.Errorf("got %d of %d rows, want 1 of 1", committed, all)
		}
	})
}

func TestTxComplete_StaleAttemptFails(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		result := make(chan error)
		s.mustRun(t, handlers{"plain": func(ctx context.Context, task Task) error {
			if task.Attempt > 1 {
				return nil
			}
			err := s.tx(ctx, func(tx *tx) error { // another attempt gets the job while this one runs
				return tx.updateJobs("attempt = attempt + 1 WHERE id = ?", task.job.ID)
			})
			if err == nil {
				err = s.tx(ctx, func(tx *tx) error { return errors.Join(addMarkerRow(tx, "a"), tx.complete(task)) })
			}
			result <- err
			return err
		}})
		s.mustEnqueue(t, job{kind: "plain"})
		if err := receive(t, result); !errors.Is(err, errStale) {
			t.Fatalf("complete: got %v, want %v", err, errStale)
		}
		if n := s.count(t, "SELECT count(*) FROM schedules"); n != 0 {
			t.Errorf("got %d rows from a stale attempt, want 0", n)
		}
	})
}

func TestWorker_RetriesSnoozesAndDiscards(t *testing.T) {
	const secret = "secret error text"
	storetest.Databases(t, func(t *testing.T, url string) {
		failures := make(chan Failure, 10)
		s := openTest(t, url, func(c *testConfig) { c.OnFailure = func(f Failure) { failures <- f } })
		attempts := make(chan int, 10)
		s.mustRun(t, handlers{
			"flaky": func(_ context.Context, task Task) error {
				attempts <- task.Attempt
				switch task.Attempt {
				case 1:
					return &incident.RetryAfter{After: 10 * time.Millisecond, Err: errors.New(secret)}
				case 2:
					return errors.New(secret)
				case 3:
					panic(secret)
				}
				return nil
			},
			"hopeless": func(context.Context, Task) error { return errors.New(secret) },
		})
		s.mustEnqueue(t, job{kind: "flaky", ids: []int64{7}})
		for want := 1; want <= 4; want++ {
			if got := receive(t, attempts); got != want {
				t.Fatalf("got attempt %d, want %d", got, want)
			}
		}
		if f := receive(t, failures); f.Kind != "flaky" || f.Attempt != 2 || f.Final || f.Stack != nil || f.Err.Error() != secret {
			t.Errorf("first failure: got %+v", f)
		}
		if f := receive(t, failures); f.Attempt != 3 || f.Stack == nil || f.Final {
			t.Errorf("second failure: got %+v", f)
		}
		s.waitForJobs(t, 1, "kind = 'flaky' AND state = 'completed' AND attempt = 3")
		err := s.tx(t.Context(), func(tx *tx) error {
			return errors.Join(tx.enqueue(job{kind: "hopeless"}), tx.updateJobs("max_attempts = 1 WHERE kind = 'hopeless'"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if f := receive(t, failures); f.Kind != "hopeless" || !f.Final {
			t.Errorf("third failure: got %+v", f)
		}
		s.waitForJobs(t, 1, "kind = 'hopeless' AND state = 'discarded'")
		errorsText := "CAST(errors AS text) LIKE ?"
		if strings.HasPrefix(url, "sqlite") {
			errorsText = "json(errors) LIKE ?"
		}
		if n := s.countJobs(t, errorsText, "%"+secret+"%"); n != 0 {
			t.Errorf("got %d jobs with the text of an error, want 0", n)
		}
		if n := s.countJobs(t, errorsText, "%panic%"); n != 1 {
			t.Errorf("got %d jobs with the error class panic, want 1", n)
		}
	})
}

func TestRun_RequeuesOrphanedJobs(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		first := openTest(t, url, func(c *testConfig) { c.ReplicaID = "one" })
		err := first.tx(t.Context(), func(tx *tx) error { // the state after a SIGKILL
			if err := tx.enqueue(job{kind: "plain", ids: []int64{5}}); err != nil {
				return err
			}
			return errors.Join(tx.setRunning("true", "one"), tx.setLeader("one"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		attempts := make(chan Task, 1)
		s := openTest(t, url, func(c *testConfig) { c.ReplicaID = "one" })
		begin := time.Now()
		s.mustRun(t, handlers{"plain": func(_ context.Context, task Task) error { attempts <- task; return nil }})
		if task := receive(t, attempts); task.Attempt != 2 || task.IDs[0] != 5 {
			t.Errorf("got %+v, want attempt 2 of id 5", task)
		}
		t.Logf("requeued after %v", time.Since(begin))
		s.waitForLeader(t, "one")
	})
}

func TestRequeueOrphans_IgnoresOtherReplicas(t *testing.T) {
	s := openTest(t, storetest.Postgres(t), func(c *testConfig) { c.ReplicaID = "one" })
	err := s.tx(t.Context(), func(tx *tx) error {
		return errors.Join(tx.enqueue(job{kind: "plain"}),
			tx.setRunning("true", "one", "two"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.requeueOrphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.countJobs(t, "state = 'running'"); n != 1 {
		t.Error("got the job of another replica requeued")
	}
}

func TestOpen_SecondProcessFails(t *testing.T) {
	url := storetest.SQLite(t)
	s := openTest(t, url)
	keys, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: keys}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: got %v, want %v", err, ErrInUse)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, url)
	again.mustEnqueue(t, job{kind: "plain"})
}

func TestRun_SecondReplicaWithSameIDFails(t *testing.T) {
	url := storetest.Postgres(t)
	s := openTest(t, url)
	s.mustRun(t, handlers{})
	other := openTest(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := other.run(ctx, handlers{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("second run: got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.mustRun(t, handlers{}) // the replica id is free
	if err := other.PingQueue(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.PingQueue(t.Context()); err == nil {
		t.Error("PingQueue of a stopped store: got no error")
	}
}

func TestOpen_RejectsForeignKeyset(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		if err := openTest(t, url).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: mustEphemeral(t)}); !errors.Is(err, ErrKeyset) {
			t.Errorf("another keyset: got %v, want %v", err, ErrKeyset)
		}
		openTest(t, url)
	})
}

func TestOpen_RejectsKeysetFromBeforeRotation(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		path := filepath.Join(t.TempDir(), "keyset")
		if err := CreateKeyset(path); err != nil {
			t.Fatal(err)
		}
		load := func() *Keyset {
			keys, err := LoadKeyset(path)
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		old := load()
		s := openTest(t, url, func(c *testConfig) { c.Keyset = load() })
		if _, err := s.Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: old}); !errors.Is(err, ErrKeyset) {
			t.Errorf("keyset from before the rotation: got %v, want %v", err, ErrKeyset)
		}
		openTest(t, url, func(c *testConfig) { c.Keyset = load() })
	})
}

// A key that is not saved must not seal data, because the data would be lost at a restart.
func TestRotate_UnsavableKeysetIsUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "removed", "keyset")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	keys, err := LoadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, storetest.SQLite(t), func(c *testConfig) { c.Keyset = keys })
	before, err := keys.Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(t.Context(), true); err == nil || keys.Keys() != 1 || !keys.SealedWithPrimary(before) {
		t.Errorf("got %d keys, %v, want 1 key and an error", keys.Keys(), err)
	}
}

func TestTx_FullDiskIsUnavailable(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	writer := s.backend.(*sqliteBackend).writer
	fill := func() error {
		return s.tx(t.Context(), func(tx *tx) error { return addMarkerRow(tx, strings.Repeat("x", 1<<20)) })
	}
	limit := func(pages int) {
		t.Helper()
		if _, err := writer.Exec("PRAGMA max_page_count = " + itoa(pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite raises it to the current size of the file
	if err := fill(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("write on a full disk: got %v, want %v", err, ErrUnavailable)
	}
	limit(1 << 20)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping with free space: %v", err)
	}
	if err := fill(); err != nil {
		t.Errorf("write with free space: %v", err)
	}
}

func TestTx_LostConnectionIsUnavailable(t *testing.T) {
	s := openTest(t, storetest.Postgres(t))
	b := s.backend.(*postgresBackend)
	err := s.tx(t.Context(), func(tx *tx) error { // the server closes the connection during the transaction
		var pid int
		if err := tx.db.Raw("SELECT pg_backend_pid()").Scan(&pid).Error; err != nil {
			return err
		}
		if _, err := b.pool.Exec(t.Context(), "SELECT pg_terminate_backend($1)", pid); err != nil {
			return err
		}
		return addMarkerRow(tx, "a")
	})
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("write on a lost connection: got %v, want %v", err, ErrUnavailable)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping after reconnecting: %v", err)
	}
}

func TestView_IsReadOnly(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		err := s.view(t.Context(), func(db *gorm.DB) error {
			return db.Exec("DELETE FROM schedules").Error
		})
		if err == nil {
			t.Error("got no error for a write in a view")
		}
	})
}

func TestOpen_ReopensMigratedDatabase(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustEnqueue(t, job{kind: "plain"})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := openTest(t, url)
		if n := again.countJobs(t, "true"); n != 1 {
			t.Errorf("got %d jobs after reopening, want 1", n)
		}
	})
}

func TestOpen_SQLiteFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a b%20c?d#e.db")
	s := openTest(t, "sqlite:"+path)
	s.mustEnqueue(t, job{kind: "plain"})
	for _, suffix := range []string{"", "-wal", ".lock"} {
		if mode := statMode(t, path+suffix); mode != 0o600 {
			t.Errorf("%q: got mode %#o, want 0600", suffix, mode)
		}
	}
}

func TestOpen_RejectsInvalidConfig(t *testing.T) {
	keys, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []testConfig{{Config{URL: "mysql://x"}, Deps{Keyset: keys}}, {Config{URL: "sqlite:"}, Deps{Keyset: keys}}, {Config{URL: "sqlite::memory:"}, Deps{Keyset: keys}}, {Config{URL: "sqlite:x"}, Deps{}}} {
		if _, err := Open(t.Context(), c.Config, c.Deps); err == nil {
			t.Errorf("%q: got no error", c.URL)
		}
	}
	_, err = Open(t.Context(), Config{URL: "postgres://u:hunter2@h:bad/x"}, Deps{Keyset: keys})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("invalid URL: got %v, want an error without the password", err)
	}
}

func TestRetryDelay(t *testing.T) {
	least, most := func(int64) int64 { return 0 }, func(n int64) int64 { return n - 1 }
	for _, c := range []struct {
		attempt        int
		shortest, last time.Duration
	}{{1, time.Second, 2 * time.Second}, {3, 4 * time.Second, 8 * time.Second}, {9, 150 * time.Second, 300 * time.Second}, {3000, 150 * time.Second, 300 * time.Second}} {
		if a, b := retryDelay(c.attempt, least), retryDelay(c.attempt, most); a != c.shortest || b != c.last {
			t.Errorf("attempt %d: got %v to %v, want %v to %v", c.attempt, a, b, c.shortest, c.last)
		}
	}
}

func TestClose_LeaksNoGoroutines(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		before := goleak.IgnoreCurrent()
		s := openTest(t, url)
		s.mustRun(t, handlers{"plain": func(context.Context, Task) error { return nil }})
		s.mustEnqueue(t, job{kind: "plain"})
		s.waitForJobs(t, 1, "kind = 'plain' AND state = 'completed'")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		goleak.VerifyNone(t, before)
	})
}

// TestReplicaLock_SurvivesLostConnection closes the connection that holds the replica lock.
func TestReplicaLock_SurvivesLostConnection(t *testing.T) {
	s := openTest(t, storetest.Postgres(t))
	s.mustRun(t, handlers{})
	fromLocks := " FROM pg_locks WHERE locktype = 'advisory' AND classid = ? AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
	first := s.count(t, "SELECT pid"+fromLocks, replicaLockKey)
	if first == 0 {
		t.Fatal("got no replica lock")
	}
	if n := s.count(t, "SELECT count(*) FROM (SELECT pg_terminate_backend(?)) AS ended", first); n != 1 {
		t.Fatal("pg_terminate_backend did not run")
	}
	s.waitForCount(t, 1, "SELECT count(*)"+fromLocks+" AND pid <> ?", replicaLockKey, first)
	if err := s.PingQueue(t.Context()); err != nil {
		t.Error(err)
	}
}

// The outcome of a commit is unknown if it was sent and not answered. It is known if it was rejected or not sent.
func TestTx_UnknownCommitOutcome(t *testing.T) {
	unknown := func(err error) bool {
		var open interface{ OutcomeUnknown() bool }
		return errors.As(err, &open) && open.OutcomeUnknown()
	}
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.tx(ctx, func(tx *tx) error { err := addMarkerRow(tx, "late"); cancel(); return err })
		if !errors.Is(err, context.Canceled) || unknown(err) {
			t.Errorf("ctx ended before the commit: got %v, want %v with a known outcome", err, context.Canceled)
		}
		if n := s.count(t, "SELECT count(*) FROM schedules"); n != 0 {
			t.Errorf("got %d rows, want 0", n)
		}
	})
	t.Run("answer lost", func(t *testing.T) {
		s := openTest(t, storetest.Postgres(t))
		atCommit := func(name, body string) {
			t.Helper()
			err := s.backend.(*postgresBackend).db.Exec("CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body +
				"; RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER " + name + " AFTER INSERT ON schedules DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()").Error
			if err != nil {
				t.Fatal(err)
			}
		}
		atCommit("slow", "PERFORM pg_sleep(30)")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := s.tx(ctx, func(tx *tx) error { return addMarkerRow(tx, "slow") }); !unknown(err) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("ctx ended during the commit: got %v, want an unknown outcome", err)
		}
		atCommit("rejecting", "RAISE EXCEPTION 'no'")
		if err := s.tx(t.Context(), func(tx *tx) error { return addMarkerRow(tx, "rejected") }); err == nil || unknown(err) {
			t.Errorf("rejected commit: got %v, want an error with a known outcome", err)
		}
	})
}
