package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

func TestDedupeEvents_FirstDeliveryWins(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := openWithClock(t, url)
		dedupe := func(row int64, until time.Time, events ...string) (out map[string]int64) {
			t.Helper()
			deliveries := map[string]int64{}
			for _, e := range events {
				deliveries[e] = row
			}
			s.mustTx(t, func(tx response.Tx) (err error) {
				out, err = tx.DedupeEvents(deliveries, until)
				return err
			})
			return out
		}
		dedupe(1, noon.Add(time.Hour), "short", "both")
		dedupe(2, noon.Add(48*time.Hour), "long", "both")
		if got := dedupe(3, noon.Add(48*time.Hour), "short", "both", "long", "new"); got["short"] != 1 || got["both"] != 1 || got["long"] != 2 || got["new"] != 3 {
			t.Errorf("got first deliveries %v", got)
		}
		rolledBack := s.Tx(t.Context(), func(tx response.Tx) error {
			if _, err := tx.DedupeEvents(map[string]int64{"undone": 4}, noon.Add(time.Hour)); err != nil {
				return err
			}
			return errors.New("rolled back by test")
		})
		if got := dedupe(5, noon.Add(48*time.Hour), "undone"); rolledBack == nil || got["undone"] != 5 {
			t.Errorf("after a rollback: got %v, want delivery 5", got)
		}
		many := make([]string, 1000)
		for n := range many {
			many[n] = fmt.Sprint("many ", n)
		}
		dedupe(6, noon.Add(time.Hour), many...)
		now.Store(noon.Add(2 * time.Hour).UnixMicro())
		if done, err := s.Prune(t.Context(), Retention{}, time.Minute); err != nil || len(done.Deleted) != 0 {
			t.Errorf("Prune: got %+v, %v, want no tombstones", done, err)
		}
		var left int
		err := s.view(t.Context(), func(db *gorm.DB) error { return db.Raw("SELECT count(*) FROM seen_events").Scan(&left).Error })
		if err != nil || left != 3 { // long, new, undone
			t.Errorf("got %d events left, %v, want 3", left, err)
		}
		if got := dedupe(7, noon.Add(48*time.Hour), "short", "long"); got["short"] != 7 || got["long"] != 2 {
			t.Errorf("after expiry: got %v", got)
		}
		plan := s.explain(t, "DELETE FROM seen_events WHERE key_hash IN (SELECT key_hash FROM seen_events WHERE expires_at < ? ORDER BY expires_at LIMIT ?) AND expires_at < ?", noon, 500, noon)
		if strings.HasPrefix(url, "sqlite:") && strings.Contains(plan, "SCAN seen_events") && !strings.Contains(plan, "INDEX") {
			t.Errorf("got a full table scan:\n%s", plan)
		}
	})
}

// Concurrent transactions with equal events agree on the first delivery.
func TestDedupeEvents_ConcurrentTransactionsAgree(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const workers, events = 8, 40
		var wg sync.WaitGroup
		results := make([]map[string]int64, workers)
		for worker := range workers {
			wg.Go(func() {
				deliveries := map[string]int64{}
				for n := range events {
					deliveries[fmt.Sprint("event ", n)] = int64(worker + 1)
				}
				err := s.Tx(t.Context(), func(tx response.Tx) (err error) {
					results[worker], err = tx.DedupeEvents(deliveries, noon)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, other := range results[1:] {
			for event, first := range results[0] {
				if other[event] != first || first == 0 {
					t.Fatalf("%s: got first deliveries %d and %d, want equal", event, first, other[event])
				}
			}
		}
	})
}

// BenchmarkDedupeEvents stores batches of 256 new events in an empty table and in one with a million events.
func BenchmarkDedupeEvents(b *testing.B) {
	keys, err := testKeys()
	if err != nil {
		b.Fatal(err)
	}
	for _, existing := range []int{0, 1_000_000} {
		b.Run(fmt.Sprint(existing), func(b *testing.B) {
			s, err := Open(b.Context(), Config{URL: storetest.SQLite(b)}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon }})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			n := 0
			batch := func(size int) {
				deliveries := make(map[string]int64, size)
				for range size {
					n++
					deliveries[fmt.Sprint("111122223333/", n)] = int64(n)
				}
				s.mustTx(b, func(tx response.Tx) error {
					_, err := tx.DedupeEvents(deliveries, noon.Add(time.Hour))
					return err
				})
			}
			for n < existing {
				batch(5000)
			}
			for b.Loop() {
				batch(256)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*256), "µs/event")
		})
	}
}
