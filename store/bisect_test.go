package store

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestBisect_IsolatesPanickingDeliveries has two of many deliveries that make the handler panic. All others must be
// handled, and the two must remain, each in a separate job. Later deliveries must be handled too.
func TestBisect_IsolatesPanickingDeliveries(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var batch []intake.Delivery
		const all = maxDrainRows + 88
		for n := range all {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		poison := []string{"300", fmt.Sprint(all - 1)}
		err := s.Run(t.Context(), JobFuncs{Drain: func(ctx context.Context, from, to int64) error {
			for {
				rows, err := s.Rows(ctx, from, to)
				if err != nil || len(rows) == 0 {
					return err
				}
				err = s.Tx(ctx, func(tx response.Tx) error {
					var done []response.DeliveryOutcome
					for _, row := range rows {
						if slices.Contains(poison, row.Delivery.ID) {
							panic("bug")
						}
						done = append(done, response.DeliveryOutcome{Row: row.ID, Outcome: "ignored"})
					}
					return tx.MarkHandled(done)
				})
				if err != nil {
					return err
				}
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.waitForCount(t, all-int64(len(poison)), "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
		s.waitForJobs(t, int64(len(poison)), "kind = 'drain' AND state <> 'completed' AND CAST(args -> 'ids' ->> 0 AS bigint) = CAST(args -> 'ids' ->> 1 AS bigint)")
		s.acceptOne(t, "later")
		s.waitForCount(t, all-int64(len(poison))+1, "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
	})
}

// TestBisect_StopsWhenEveryDrainPanics makes all drains panic. There must be few jobs and few reports, independent of
// the number of attempts. After the bug is fixed, all deliveries must be handled.
func TestBisect_StopsWhenEveryDrainPanics(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		var reports, drains atomic.Int64
		attempted, start := make(chan Task, 1), time.Now()
		s := openTest(t, url, func(c *testConfig) { c.OnFailure = func(Failure) { reports.Add(1) } })
		var batch []intake.Delivery
		const all = maxDrainRows
		for n := range all {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		var fixed atomic.Bool
		err := s.Run(t.Context(), JobFuncs{Drain: func(ctx context.Context, from, to int64) error {
			rows, err := s.Rows(ctx, from, to)
			if err != nil || len(rows) == 0 {
				return err
			}
			drains.Add(1)
			select {
			case attempted <- Task{}:
			default:
			}
			return s.Tx(ctx, func(tx response.Tx) error {
				if !fixed.Load() {
					panic(fmt.Sprintf("bug in row %d", from))
				}
				var done []response.DeliveryOutcome
				for _, row := range rows {
					done = append(done, response.DeliveryOutcome{Row: row.ID, Outcome: "ignored"})
				}
				return tx.MarkHandled(done)
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		for drains.Load() < 3*maxConsecutivePanics { // bisecting has stopped after this many
			receive(t, attempted)
		}
		if n := s.countJobs(t, "kind = 'drain'"); n > 3*(maxConsecutivePanics+1) {
			t.Errorf("got %d drains, want at most %d", n, 3*(maxConsecutivePanics+1))
		}
		if n := reports.Load(); n < 1 || n > 1+int64(time.Since(start)/panicReportInterval) {
			t.Errorf("got %d reports of %d panics from one site, want at most one a minute", n, drains.Load())
		}
		fixed.Store(true)
		s.waitForCount(t, all, "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
	})
}
