package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// workTest is a store with work, whose handlers record what they do.
type workTest struct {
	t *testing.T
	*Store
	// fate returns what becomes of an effect: "done", "waits" or "paused".
	fate func(key string) string

	mu        sync.Mutex
	performed map[string][]int // attempts that completed the effect
	drained   map[int64]int
	finished  chan struct{} // receives after each effect
}

func newWorkTest(t *testing.T, s *Store, fate func(string) string) *workTest {
	return &workTest{t: t, Store: s, fate: fate, performed: map[string][]int{}, drained: map[int64]int{}, finished: make(chan struct{}, 1000)}
}

func (w *workTest) run() {
	w.t.Helper()
	if err := w.Run(w.t.Context(), JobFuncs{Perform: w.perform, Drain: w.drain}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workTest) perform(ctx context.Context, job response.Job) error {
	var e incident.Effect
	var isDone bool
	err := w.Tx(ctx, func(tx response.Tx) (err error) {
		if e, isDone, err = tx.Effect(job); err != nil || isDone {
			return err
		}
		later := time.Now().Add(time.Hour)
		switch w.fate(e.Key) {
		case "waits":
			return tx.PostponeEffect(job, later, response.Failure{System: "slack", Cause: "refused"})
		case "paused":
			return tx.PostponeEffect(job, later, response.Failure{System: "slack", Paused: true})
		}
		return tx.FinishEffect(job, response.EffectCompleted, "ok")
	})
	if err != nil || isDone {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fate(e.Key) == "done" {
		w.performed[e.Key] = append(w.performed[e.Key], job.Attempt)
	}
	w.finished <- struct{}{}
	return nil
}

func (w *workTest) drain(ctx context.Context, from, to int64) error {
	rows, err := w.Rows(ctx, from, to)
	if err != nil {
		return err
	}
	for _, row := range rows {
		var claimed []int64
		err := w.Tx(ctx, func(tx response.Tx) (err error) {
			if claimed, err = tx.Claim([]int64{row.ID}); err != nil {
				return err
			}
			return tx.MarkHandled([]response.DeliveryOutcome{{Row: row.ID, Outcome: "watched"}})
		})
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.drained[row.ID] += len(claimed)
		w.mu.Unlock()
	}
	return nil
}

// addWork enqueues effects of all kinds and accepts deliveries.
func (w *workTest) addWork(random *rand.Rand, effects int) {
	w.t.Helper()
	for n := 0; n < effects; {
		var batch []incident.Effect
		for range 1 + random.IntN(5) {
			e := newTestEffect(fmt.Sprintf("effect-%03d", n), "")
			switch kind := random.IntN(10); {
			case w.fate(e.Key) != "done":
			case kind < 5:
				e.Lane = fmt.Sprintf("lane-%d", random.IntN(3))
			case kind == 5:
				e.Refresh, e.Kind, e.Incident = true, incident.EffectCard, incident.ID(n+1)
			case kind == 6:
				e.Urgent = true
			case kind == 7:
				e.After = time.Now().Add(time.Hour)
			}
			batch, n = append(batch, e), n+1
		}
		w.mustTx(w.t, func(tx response.Tx) error { return tx.Enqueue(batch...) })
		body := []byte("{}")
		if err := w.Accept(w.t.Context(), []intake.Delivery{{Source: "s", ID: fmt.Sprint("delivery ", n), Body: body, Received: time.Now()}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// laneOrder returns the effects that were performed here, by lane, in the order of their transactions.
func (w *workTest) laneOrder() map[string][]int64 {
	w.t.Helper()
	var rows []effectRow
	err := w.view(w.t.Context(), func(db *gorm.DB) error {
		return db.Raw("SELECT id, key, lane FROM effects WHERE lane <> '' AND ran_at IS NOT NULL ORDER BY ran_at, id").Scan(&rows).Error
	})
	if err != nil {
		w.t.Fatal(err)
	}
	order := map[string][]int64{}
	for _, row := range rows {
		if len(w.performed[row.Key]) > 0 {
			order[row.Lane] = append(order[row.Lane], row.ID)
		}
	}
	return order
}

// TestImport_WorkGoesOn exports a database while its jobs run, and lets another one finish the work: every effect and
// delivery without an entry in the ledger is performed there exactly once, and no other. TOCSIN_TEST_HEAVY tests more seeds.
func TestImport_WorkGoesOn(t *testing.T) {
	seeds := 2
	if os.Getenv("TOCSIN_TEST_HEAVY") == "1" {
		seeds = 25
	}
	engines := []func(testing.TB) string{storetest.SQLite, storetest.Postgres}
	for seed := range seeds {
		for n := range 4 {
			t.Run(fmt.Sprintf("seed %d, databases %d", seed, n), func(t *testing.T) {
				testWorkGoesOn(t, rand.New(rand.NewPCG(uint64(seed), uint64(n))), engines[n%2](t), engines[n/2](t))
			})
		}
	}
}

func testWorkGoesOn(t *testing.T, random *rand.Rand, from, to string) {
	fates := map[string]string{}
	for n := range 100 {
		fates[fmt.Sprintf("effect-%03d", n)] = []string{"done", "done", "done", "waits", "paused"}[random.IntN(5)]
	}
	source := newWorkTest(t, openTest(t, from), func(key string) string { return fates[key] })
	source.addWork(random, 30)
	source.run()
	for range random.IntN(15) {
		receive(t, source.finished)
	}
	var data bytes.Buffer
	exported := make(chan error)
	go func() {
		_, err := source.Export(t.Context(), &data)
		exported <- err
	}()
	source.addWork(rand.New(rand.NewPCG(1, 1)), 5) // known keys, and new deliveries while the export runs
	if err := <-exported; err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), Config{URL: to}, Deps{Keyset: source.keys, Logger: slog.New(slog.DiscardHandler)}, &data, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	target := newWorkTest(t, openTest(t, to), func(string) string { return "done" })
	want := target.readWork()
	target.run()
	target.waitForCount(t, 0, "SELECT count(*) FROM effects WHERE state IN ('available', 'pending') AND after IS NULL AND NOT paused")
	target.waitForCount(t, 0, "SELECT count(*) FROM inbox WHERE handled_at IS NULL")
	if err := target.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	target.compare(want)
}

// expectedWork is the work in a database before its jobs run.
type expectedWork struct {
	rows       []effectRow
	deliveries []int64 // unhandled
}

// readWork reads the unfinished work and checks that it has its jobs.
func (w *workTest) readWork() (work expectedWork) {
	w.t.Helper()
	err := w.view(w.t.Context(), func(db *gorm.DB) error {
		return errors.Join(db.Raw("SELECT * FROM effects ORDER BY id").Scan(&work.rows).Error,
			db.Raw("SELECT id FROM inbox WHERE handled_at IS NULL ORDER BY id").Scan(&work.deliveries).Error)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	available := int64(0)
	for _, row := range work.rows {
		jobs := w.countJobs(w.t, "kind = 'effect' AND state IN ('available', 'scheduled') AND "+argID(0)+" = ?", row.ID)
		want := int64(0)
		if row.State == effectAvailable {
			want = 1
			available++
		}
		if jobs != want {
			w.t.Errorf("%s (%s): got %d jobs, want %d", row.Key, row.State, jobs, want)
		}
		if row.WaitingSince != nil {
			if n := w.countJobs(w.t, "id = ? AND "+argID(0)+" = ? AND state = 'scheduled'", row.WaitingJob, row.ID); n != 1 {
				w.t.Errorf("%s waits: got %d jobs of its next attempt, want 1", row.Key, n)
			}
		}
	}
	if all := w.countJobs(w.t, "kind = 'effect'"); all != available {
		w.t.Errorf("got %d jobs of effects, want %d", all, available)
	}
	return work
}

// compare checks what the handlers did.
func (w *workTest) compare(work expectedWork) {
	w.t.Helper()
	performed := 0
	for _, row := range work.rows {
		want := 0
		if !row.finished() && row.After == nil && !row.Paused {
			want = 1
		}
		attempts := w.performed[row.Key]
		if len(attempts) != want {
			w.t.Errorf("%s (%s before): performed %d times, want %d", row.Key, row.State, len(attempts), want)
		}
		if row.State == effectAvailable && want == 1 && len(attempts) == 1 && attempts[0] < 2 {
			w.t.Errorf("%s: got attempt %d, want a later one, because the first may have begun", row.Key, attempts[0])
		}
		performed += want
	}
	for lane, ids := range w.laneOrder() {
		if !slices.IsSorted(ids) {
			w.t.Errorf("%s: got order %v", lane, ids)
		}
	}
	for _, id := range work.deliveries {
		if w.drained[id] != 1 {
			w.t.Errorf("delivery %d: handled %d times, want 1", id, w.drained[id])
		}
	}
	if len(w.drained) != len(work.deliveries) {
		w.t.Errorf("got %d deliveries handled, want %d", len(w.drained), len(work.deliveries))
	}
	w.t.Logf("%d of %d effects and %d deliveries were unfinished", performed, len(work.rows), len(work.deliveries))
}
