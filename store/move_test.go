package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

func moveTest(t *testing.T, s *Store, to string) (Imported, error) {
	t.Helper()
	return s.MoveTo(t.Context(), Config{URL: to}, Deps{Keyset: s.keys, Logger: slog.New(slog.DiscardHandler)})
}

func TestMoveTo_EqualInEveryDirection(t *testing.T) {
	directions(t, func(t *testing.T, from, to string) {
		s := openTest(t, from)
		fillTables(t, s)
		moved, err := moveTest(t, s, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, m := openTest(t, to).mustExport(t); m.Rows("events") != 3 || moved.Manifest.Rows("events") != 3 {
			t.Errorf("got %d events, want 3", m.Rows("events"))
		}
		if _, err := moveTest(t, s, to); !errors.Is(err, ErrNotEmpty) && !errors.Is(err, ErrInUse) {
			t.Errorf("again: got %v, want %v", err, ErrNotEmpty)
		}
	})
}

// TestMoveTo_RefusesRunningReplica runs another replica on PostgreSQL.
func TestMoveTo_RefusesRunningReplica(t *testing.T) {
	from := storetest.Postgres(t)
	s := openTest(t, from)
	fillTables(t, s)
	other := openTest(t, from, func(c *testConfig) { c.ReplicaID = "other" })
	idle := JobFuncs{Drain: func(context.Context, int64, int64) error { return nil }, Perform: func(context.Context, response.Job) error { return nil }}
	if err := other.Run(t.Context(), idle); err != nil {
		t.Fatal(err)
	}
	if err := s.refuseReplicas(t.Context(), 1); err != nil {
		t.Errorf("own replica: %v", err)
	}
	to := storetest.SQLite(t)
	if _, err := moveTest(t, s, to); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %v", err, ErrInUse)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := moveTest(t, s, to); err != nil {
		t.Errorf("after the stop: %v", err)
	}
}

// TestMoveTo_NamesExportError requires the cause of a failed export, and not the end of the stream.
func TestMoveTo_NamesExportError(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	fillTables(t, s)
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE audit SET person = 'a' || char(0)").Error }); err != nil {
		t.Fatal(err)
	}
	to := storetest.Postgres(t)
	if _, err := moveTest(t, s, to); err == nil || !strings.Contains(err.Error(), "column person in row id 1 of table audit") {
		t.Errorf("got %v, want the column", err)
	}
	mustBeEmpty(t, to, filledStream(t))
}

// TestMoveTo_KeepsPausedRestore moves a database that waits for the release of a restore: no held effect and no held
// delivery gets a job.
func TestMoveTo_KeepsPausedRestore(t *testing.T) {
	data := filledStream(t)
	directions(t, func(t *testing.T, from, to string) {
		if _, err := importTest(t, from, data, ImportOptions{Restore: true}); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, from)
		if _, err := moveTest(t, s, to); err != nil {
			t.Fatal(err)
		}
		moved := openTest(t, to)
		if held, jobs := moved.count(t, "SELECT count(*) FROM effects WHERE held"), moved.countJobs(t, "kind IN ('effect', 'drain')"); held != 3 || jobs != 0 {
			t.Errorf("got %d held effects and %d jobs, want 3 and 0", held, jobs)
		}
	})
}
