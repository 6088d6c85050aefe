package store

import (
	"context"
	"fmt"
	"slices"
	"testing"

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
		err := s.Run(t.Context(), Work{Drain: func(ctx context.Context, from, to int64) error {
			for {
				rows, err := s.Rows(ctx, from, to)
				if err != nil || len(rows) == 0 {
					return err
				}
				err = s.Tx(ctx, func(tx response.Tx) error {
					var done []response.Settled
					for _, row := range rows {
						if slices.Contains(poison, row.Delivery.ID) {
							panic("a fault of ours")
						}
						done = append(done, response.Settled{Row: row.ID, Outcome: "ignored"})
					}
					return tx.Settle(done)
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
