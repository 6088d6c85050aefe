package store

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// openWithoutCheckpointer opens a store with a stopped checkpointer. It returns the checkpointer, for the test to run,
// and a function that returns the size of the WAL.
func openWithoutCheckpointer(t *testing.T) (*Store, *checkpointer, func() int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.db")
	s := openTest(t, "sqlite:"+path)
	c := s.backend.(*sqliteBackend).checkpointer
	c.stop()
	<-c.done
	return s, c, func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
}

// growWAL writes 18 MB to the WAL.
func growWAL(t *testing.T, s *Store) {
	t.Helper()
	for n := range byte(18) { // vary the data, because SQLite skips unchanged pages
		err := s.tx(t.Context(), func(tx *tx) error {
			return tx.db.Exec("INSERT INTO probe (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at", bytes.Repeat([]byte{'a' + n}, 1<<20)).Error
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func pendingFrames(t *testing.T, c *checkpointer) int {
	t.Helper()
	n, err := checkpoint(t.Context(), c.conn, "NOOP")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCheckpointer_EmptiesAndReusesWAL(t *testing.T) {
	s, c, size := openWithoutCheckpointer(t)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pendingFrames(t, c) == 0 {
		t.Error("got 0 pending frames, want a short WAL to be left alone")
	}
	growWAL(t, s)
	if n := pendingFrames(t, c); n < checkpointMinFrames {
		t.Fatalf("got %d pending frames, want at least %d", n, checkpointMinFrames)
	}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := pendingFrames(t, c); n != 0 {
		t.Errorf("got %d pending frames, want 0", n)
	}
	long := size()
	growWAL(t, s)
	if size() > long+1<<20 {
		t.Errorf("got a WAL of %d bytes, want it restarted at about %d bytes", size(), long)
	}
}

// A reader prevents checkpointing of later frames, but blocks neither the writer nor the checkpointer.
func TestCheckpointer_ReaderDelaysOnlyTheCheckpoint(t *testing.T) {
	s, c, _ := openWithoutCheckpointer(t)
	growWAL(t, s)
	reader, err := s.backend.(*sqliteBackend).readDB.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM probe").Scan(&n); err != nil {
		t.Fatal(err)
	}
	growWAL(t, s)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := pendingFrames(t, c); n < checkpointMinFrames {
		t.Errorf("got %d pending frames during a read, want at least %d", n, checkpointMinFrames)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := pendingFrames(t, c); n != 0 {
		t.Errorf("got %d pending frames after the read, want 0", n)
	}
}

// A long write transaction does not delay the checkpoint of earlier frames.
func TestCheckpointer_RunsDuringWrite(t *testing.T) {
	s, c, _ := openWithoutCheckpointer(t)
	growWAL(t, s)
	done := errors.New("done")
	checkpointed := make(chan error, 1)
	err := s.tx(t.Context(), func(tx *tx) error {
		if err := tx.db.Exec("DELETE FROM probe").Error; err != nil {
			return err
		}
		go func() { checkpointed <- c.run(t.Context()) }()
		waitUntil(t, func() bool { return pendingFrames(t, c) == 0 })
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	if err := <-checkpointed; err != nil {
		t.Error(err)
	}
}

func TestCheckpointer_RunsInBackground(t *testing.T) {
	s := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"))
	growWAL(t, s)
	waitUntil(t, func() bool { return pendingFrames(t, s.backend.(*sqliteBackend).checkpointer) < checkpointMinFrames })
}

// waitUntil polls until cond returns true.
func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for !cond() {
		select {
		case <-limit.C:
			t.Fatal("condition not met within 30s")
		case <-ticker.C:
		}
	}
}
