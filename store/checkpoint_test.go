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

// unattended is a store whose WAL nobody checkpoints but the test.
func unattended(t *testing.T) (*Store, *checkpointer, func() int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.db")
	s := openTest(t, "sqlite:"+path)
	c := s.backend.(*sqliteBackend).checkpointer
	c.stop()
	<-c.ended
	return s, c, func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
}

// lengthen writes more into the WAL than is left in it.
func lengthen(t *testing.T, s *Store) {
	t.Helper()
	for n := range byte(18) { // what is the same already would not be written
		err := s.tx(t.Context(), func(tx *tx) error {
			return tx.db.Exec("INSERT INTO probe (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at", bytes.Repeat([]byte{'a' + n}, 1<<20)).Error
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func left(t *testing.T, c *checkpointer) int {
	t.Helper()
	n, err := checkpoint(t.Context(), c.conn, "NOOP")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheWALIsCheckpointedAndBegunAnew(t *testing.T) {
	s, c, size := unattended(t)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left(t, c) == 0 {
		t.Error("a short WAL was checkpointed")
	}
	lengthen(t, s)
	if n := left(t, c); n < checkpointMinFrames {
		t.Fatalf("the WAL has %d frames, too few for the test", n)
	}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, c); n != 0 {
		t.Errorf("%d frames were not checkpointed", n)
	}
	long := size()
	lengthen(t, s)
	if size() > long+1<<20 {
		t.Errorf("the WAL goes on: %d bytes, and %d before", size(), long)
	}
}

// Who reads keeps the frames in the WAL that came after, and nobody waits for it.
func TestAReaderHoldsUpNobodyButTheCheckpoint(t *testing.T) {
	s, c, _ := unattended(t)
	lengthen(t, s)
	reader, err := s.backend.(*sqliteBackend).readDB.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM probe").Scan(&n); err != nil {
		t.Fatal(err)
	}
	lengthen(t, s)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, c); n < checkpointMinFrames {
		t.Errorf("%d frames are left, though somebody reads what was before them", n)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, c); n != 0 {
		t.Errorf("%d frames are left, though nobody reads any more", n)
	}
}

// A transaction that goes on for as long as it takes does not keep the WAL out of the file.
func TestTheWALIsCheckpointedWhileSomebodyWrites(t *testing.T) {
	s, c, _ := unattended(t)
	lengthen(t, s)
	done := errors.New("done")
	checkpointed := make(chan error, 1)
	err := s.tx(t.Context(), func(tx *tx) error {
		if err := tx.db.Exec("DELETE FROM probe").Error; err != nil {
			return err
		}
		go func() { checkpointed <- c.run(t.Context()) }()
		await(t, func() bool { return left(t, c) == 0 })
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	if err := <-checkpointed; err != nil {
		t.Error(err)
	}
}

func TestTheStoreCheckpointsItsWAL(t *testing.T) {
	s := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"))
	lengthen(t, s)
	await(t, func() bool { return left(t, s.backend.(*sqliteBackend).checkpointer) < checkpointMinFrames })
}

// await looks until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for !so() {
		select {
		case <-limit.C:
			t.Fatal("it did not come to be so")
		case <-look.C:
		}
	}
}
