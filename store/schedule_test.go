package store

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"tocsin/store/storetest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func statMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestSchedule_FiresOnceInItsZone(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		now := time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC) // daylight saving time starts in Paris on the 29th
		s := openTest(t, url, func(c *testConfig) { c.Clock = func() time.Time { return now } })
		weekly := Schedule{Name: "agenda", Kind: "agenda", Cron: "30 9 * * MON", Zone: "Europe/Paris"}
		if err := s.SetSchedules(t.Context(), []Schedule{weekly, {Name: "old", Kind: "old", Cron: "@daily"}}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetSchedules(t.Context(), []Schedule{weekly}); err != nil { // removes only "old"
			t.Fatal(err)
		}
		sweep := func(at time.Time, want int64) {
			t.Helper()
			now = at
			var sweeps sync.WaitGroup
			for range 3 {
				sweeps.Go(func() {
					if err := s.sweep(t.Context(), Task{}); err != nil {
						t.Error(err)
					}
				})
			}
			sweeps.Wait()
			if n := s.countJobs(t, "kind = 'scheduled.agenda'"); n != want {
				t.Errorf("at %v: got %d jobs, want %d", at, n, want)
			}
		}
		sweep(time.Date(2026, 3, 30, 7, 29, 59, 0, time.UTC), 0) // 09:29:59 in summer time
		sweep(time.Date(2026, 3, 30, 7, 30, 0, 0, time.UTC), 1)
		if err := s.SetSchedules(t.Context(), []Schedule{weekly}); err != nil { // a restart does not repeat the run
			t.Fatal(err)
		}
		sweep(time.Date(2026, 3, 30, 7, 31, 0, 0, time.UTC), 1)
		sweep(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), 2) // four missed runs cause one job
		if n := s.count(t, "SELECT count(*) FROM schedules"); n != 1 {
			t.Errorf("got %d schedules, want 1", n)
		}
	})
}

func TestRun_SweepsSchedules(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		past := true
		var mu sync.Mutex
		s := openTest(t, url, func(c *testConfig) {
			c.Clock = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				if past {
					return time.Now().Add(-48 * time.Hour)
				}
				return time.Now()
			}
		})
		if err := s.SetSchedules(t.Context(), []Schedule{{Name: "n", Kind: "plain", Cron: "@daily"}}); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		past = false
		mu.Unlock()
		fired := make(chan Task, 1)
		s.mustRun(t, handlers{"scheduled.plain": func(_ context.Context, task Task) error { fired <- task; return nil }})
		if task := receive(t, fired); len(task.IDs) != 2 {
			t.Errorf("got %+v, want 2 ids", task)
		}
	})
}

// TestRun_LongScheduled compares the time that two scheduled jobs may take.
func TestRun_LongScheduled(t *testing.T) {
	for _, long := range []bool{false, true} {
		s := openTest(t, storetest.SQLite(t), func(c *testConfig) { c.Clock = func() time.Time { return time.Now().Add(-48 * time.Hour) } })
		if err := s.SetSchedules(t.Context(), []Schedule{{Name: "n", Kind: "backup", Cron: "@daily"}}); err != nil {
			t.Fatal(err)
		}
		s.clock = time.Now
		left := make(chan time.Duration, 1)
		work := JobFuncs{Scheduled: map[string]func(context.Context, time.Time) error{"backup": func(ctx context.Context, _ time.Time) error {
			end, _ := ctx.Deadline()
			left <- time.Until(end)
			return nil
		}}}
		want := jobTimeout
		if long {
			work.LongScheduled, want = []string{"backup"}, LongJobTimeout
		}
		if err := s.Run(t.Context(), work); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, left); got > want || got < want-30*time.Second {
			t.Errorf("long %t: got %s left, want %s", long, got, want)
		}
	}
}

func TestSetSchedules_RejectsInvalid(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	for _, bad := range []Schedule{{Name: "a", Cron: "99 * * * *"}, {Name: "a", Cron: "@daily", Zone: "Mars/Olympus"}, {Name: "a", Cron: "0 0 30 2 *"}} {
		if err := s.SetSchedules(t.Context(), []Schedule{bad}); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%+v: got %v, want a validation error", bad, err)
		}
	}
}
