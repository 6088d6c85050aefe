package store

import (
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

func TestTheFirstSightingStays(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := ancient(t, url)
		sighted := func(row int64, until time.Time, events ...string) (out map[string]int64) {
			t.Helper()
			named := map[string]int64{}
			for _, e := range events {
				named[e] = row
			}
			s.write(t, func(tx response.Tx) (err error) {
				out, err = tx.DedupeEvents(named, until)
				return err
			})
			return out
		}
		sighted(1, noon.Add(time.Hour), "short", "both")
		sighted(2, noon.Add(48*time.Hour), "long", "both")
		if got := sighted(3, noon.Add(48*time.Hour), "short", "both", "long", "new"); got["short"] != 1 || got["both"] != 1 || got["long"] != 2 || got["new"] != 3 {
			t.Errorf("first sighted %v", got)
		}
		refused := s.Tx(t.Context(), func(tx response.Tx) error {
			if _, err := tx.DedupeEvents(map[string]int64{"undone": 4}, noon.Add(time.Hour)); err != nil {
				return err
			}
			return fmt.Errorf("killed")
		})
		if got := sighted(5, noon.Add(48*time.Hour), "undone"); refused == nil || got["undone"] != 5 {
			t.Errorf("what was not committed is known: %v", got)
		}
		many := make([]string, 1000)
		for n := range many {
			many[n] = fmt.Sprint("many ", n)
		}
		sighted(6, noon.Add(time.Hour), many...)
		now.Store(noon.Add(2 * time.Hour).UnixMicro())
		if done, err := s.Prune(t.Context(), Retention{}, time.Minute); err != nil || len(done.Deleted) != 0 {
			t.Errorf("%+v, %v", done, err)
		}
		var left int
		err := s.view(t.Context(), func(db *gorm.DB) error { return db.Raw("SELECT count(*) FROM seen_events").Scan(&left).Error })
		if err != nil || left != 3 { // long, new, undone
			t.Errorf("%d are left, %v", left, err)
		}
		if got := sighted(7, noon.Add(48*time.Hour), "short", "long"); got["short"] != 7 || got["long"] != 2 {
			t.Errorf("after they expired %v", got)
		}
		plan := s.plan(t, "DELETE FROM seen_events WHERE key_hash IN (SELECT key_hash FROM seen_events WHERE expires_at < ? ORDER BY expires_at LIMIT ?) AND expires_at < ?", noon, 500, noon)
		if strings.HasPrefix(url, "sqlite:") && strings.Contains(plan, "SCAN seen_events") && !strings.Contains(plan, "INDEX") {
			t.Errorf("old ones are looked for in the whole table:\n%s", plan)
		}
	})
}

// Transactions that bring the same events side by side agree on who was first.
func TestOneIsFirst(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const workers, events = 8, 40
		var wg sync.WaitGroup
		won := make([]map[string]int64, workers)
		for worker := range workers {
			wg.Go(func() {
				named := map[string]int64{}
				for n := range events {
					named[fmt.Sprint("event ", n)] = int64(worker + 1)
				}
				err := s.Tx(t.Context(), func(tx response.Tx) (err error) {
					won[worker], err = tx.DedupeEvents(named, noon)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, other := range won[1:] {
			for event, first := range won[0] {
				if other[event] != first || first == 0 {
					t.Fatalf("%s: %d and %d", event, first, other[event])
				}
			}
		}
	})
}

// BenchmarkSighted writes down batches of 256 new events beside none and beside
// many.
func BenchmarkSighted(b *testing.B) {
	keys, err := testKeys()
	if err != nil {
		b.Fatal(err)
	}
	for _, beside := range []int{0, 1_000_000} {
		b.Run(fmt.Sprint(beside), func(b *testing.B) {
			s, err := Open(b.Context(), Config{URL: storetest.SQLite(b), Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon }})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			n := 0
			batch := func(size int) {
				named := make(map[string]int64, size)
				for range size {
					n++
					named[fmt.Sprint("111122223333/", n)] = int64(n)
				}
				s.write(b, func(tx response.Tx) error {
					_, err := tx.DedupeEvents(named, noon.Add(time.Hour))
					return err
				})
			}
			for n < beside {
				batch(5000)
			}
			for b.Loop() {
				batch(256)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*256), "µs/event")
		})
	}
}
