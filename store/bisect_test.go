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

// TestADeliveryThatCannotBeWorkedHoldsNobodyUp has two of many deliveries make whoever works them panic: all others are
// handled, the two stay, each in a job of its own, and what comes later is handled too.
func TestADeliveryThatCannotBeWorkedHoldsNobodyUp(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var batch []intake.Delivery
		const all = drainRows + 88
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
							panic("a fault of ours")
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
		s.settle(t, all-int64(len(poison)), "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
		s.settle(t, int64(len(poison)), "SELECT count(*) FROM river_job WHERE kind = 'drain' AND state <> 'completed' AND CAST(args -> 'ids' ->> 0 AS bigint) = CAST(args -> 'ids' ->> 1 AS bigint)")
		s.acceptOne(t, "later")
		s.settle(t, all-int64(len(poison))+1, "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
	})
}

// TestAFaultOfNoRowIsNotNarrowedDown has every drain panic: there are few jobs, and few reports, however often they are
// tried. When the fault is mended all of them are worked.
func TestAFaultOfNoRowIsNotNarrowedDown(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		var reports, drains atomic.Int64
		tried, began := make(chan Task, 1), time.Now()
		s := openTest(t, url, func(c *Config) { c.OnFailure = func(Failure) { reports.Add(1) } })
		var batch []intake.Delivery
		const all = drainRows
		for n := range all {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		var mended atomic.Bool
		err := s.Run(t.Context(), JobFuncs{Drain: func(ctx context.Context, from, to int64) error {
			rows, err := s.Rows(ctx, from, to)
			if err != nil || len(rows) == 0 {
				return err
			}
			drains.Add(1)
			select {
			case tried <- Task{}:
			default:
			}
			return s.Tx(ctx, func(tx response.Tx) error {
				if !mended.Load() {
					panic(fmt.Sprintf("a fault of ours, met in row %d", from))
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
		for drains.Load() < 3*maxConsecutivePanics { // by then nothing is narrowed down any more
			receive(t, tried)
		}
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'drain'"); n > 3*(maxConsecutivePanics+1) {
			t.Errorf("%d drains", n)
		}
		if n := reports.Load(); n < 1 || n > 1+int64(time.Since(began)/panicReportInterval) {
			t.Errorf("%d reports of %d panics at the same site", n, drains.Load())
		}
		mended.Store(true)
		s.settle(t, all, "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL")
	})
}
