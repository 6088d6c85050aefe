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

// foldable is a store whose journal nobody folds but the test.
func foldable(t *testing.T) (*Store, *folding, func() int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.db")
	s := openTest(t, "sqlite:"+path)
	f := s.backend.(*sqliteBackend).folding
	f.stop()
	<-f.ended
	return s, f, func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
}

// lengthen writes more than is folded at once into the journal.
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

func left(t *testing.T, f *folding) int {
	t.Helper()
	n, err := checkpoint(t.Context(), f.beside, "NOOP")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheJournalIsFoldedAndBegunAnew(t *testing.T) {
	s, f, size := foldable(t)
	if err := f.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left(t, f) == 0 {
		t.Error("a short journal was folded")
	}
	lengthen(t, s)
	if n := left(t, f); n < foldAt {
		t.Fatalf("the journal has %d pages, too few for the test", n)
	}
	if err := f.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, f); n != 0 {
		t.Errorf("%d pages were not folded", n)
	}
	long := size()
	lengthen(t, s)
	if size() > long+1<<20 {
		t.Errorf("the journal goes on: %d bytes, and %d before", size(), long)
	}
}

// Who reads keeps the pages in the journal that it reads, and nobody waits for it.
func TestAReaderHoldsUpTheFoldingAlone(t *testing.T) {
	s, f, _ := foldable(t)
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
	if err := f.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, f); n < foldAt {
		t.Errorf("%d pages are left, though somebody reads what was before them", n)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := f.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, f); n != 0 {
		t.Errorf("%d pages are left, though nobody reads any more", n)
	}
}

// A transaction that goes on for as long as it takes does not keep the journal out of the file.
func TestTheJournalIsFoldedWhileSomebodyWrites(t *testing.T) {
	s, f, _ := foldable(t)
	lengthen(t, s)
	done := errors.New("done")
	folded := make(chan error, 1)
	err := s.tx(t.Context(), func(tx *tx) error {
		if err := tx.db.Exec("DELETE FROM probe").Error; err != nil {
			return err
		}
		go func() { folded <- f.fold(t.Context()) }()
		await(t, func() bool { return left(t, f) == 0 })
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	if err := <-folded; err != nil {
		t.Error(err)
	}
}

func TestTheStoreFoldsItsJournal(t *testing.T) {
	s := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"))
	lengthen(t, s)
	await(t, func() bool { return left(t, s.backend.(*sqliteBackend).folding) < foldAt })
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
