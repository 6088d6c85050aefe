package store

import (
	"testing"
	"time"

	"tocsin/store/storetest"
)

// TestBorn follows a database through a move and a restore.
func TestBorn(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		began := time.Now().Add(-time.Minute)
		s := openTest(t, url)
		if at, err := s.Born(t.Context()); err != nil || at.Before(began) || at.After(time.Now().Add(time.Minute)) {
			t.Fatalf("new database: got %v, %v", at, err)
		}
		s.clock = func() time.Time { return noon }
		s.openIncident(t, "one")
		s.record(t)
		data, _ := s.mustExport(t)
		for name, restore := range map[string]bool{"moved": false, "restored": true} {
			target := storetest.SQLite(t)
			if _, err := importTest(t, target, data, ImportOptions{Restore: restore}); err != nil {
				t.Fatal(err)
			}
			want := noon.UTC().Truncate(time.Second) // as in a checkpoint
			if restore {
				want = time.Time{}
			}
			if at, err := openTest(t, target).Born(t.Context()); err != nil || !at.Equal(want) {
				t.Errorf("%s: got %v, %v, want %v", name, at, err, want)
			}
		}
	})
}
