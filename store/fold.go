package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	foldEvery = 100 * time.Millisecond // how often the journal is looked at
	// A delivery is written when it comes and again when it is handled, soon after. A journal of 16 MB takes both before
	// it is folded into the file. It is not to be longer: to look for a page takes as long as the journal is.
	foldAt = 4000 // pages
	// Should the folding beside the writer come to nothing, the writer does it alone.
	foldAtLast = 10 * foldAt // pages
)

// folding folds the journal of a database into its file on a connection of its own, while the writer goes on. A writer
// that folds its journal by itself, as SQLite has it, keeps everybody waiting for it meanwhile.
type folding struct {
	beside *sql.DB
	writer *sql.DB
	gate   *gate
	stop   context.CancelFunc
	ended  chan struct{}
}

// openFolding begins to fold the journal of the database of a DSN.
func openFolding(ctx context.Context, dsn string, writer *sql.DB, gate *gate) (*folding, error) {
	beside, _, err := openSQLitePool(ctx, dsn+sqliteBeside, 1)
	if err != nil {
		if beside != nil {
			err = errors.Join(err, beside.Close())
		}
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &folding{beside: beside, writer: writer, gate: gate, stop: stop, ended: make(chan struct{})}
	go f.run(ctx)
	return f, nil
}

// run looks at the journal again and again. What fails is tried again the next time, and by the writer at last: a disk
// that takes nothing more is noticed by who has something to write.
func (f *folding) run(ctx context.Context) {
	defer close(f.ended)
	clock := time.NewTicker(foldEvery)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
			_ = f.fold(ctx)
		}
	}
}

// fold folds a journal that is long enough: nearly all of it while the writer goes on, what came meanwhile once more so,
// and the rest in a turn of its own, which is short then; so the writer begins the journal anew.
func (f *folding) fold(ctx context.Context) error {
	if long, err := unfolded(ctx, f.beside, "NOOP"); err != nil || long < foldAt {
		return err
	}
	for range 2 {
		if left, err := unfolded(ctx, f.beside, "PASSIVE"); err != nil || left > 0 { // somebody reads what the file held before
			return err
		}
	}
	if err := f.gate.enter(ctx, false); err != nil {
		return err
	}
	defer f.gate.leave()
	_, err := unfolded(ctx, f.writer, "PASSIVE")
	return err
}

// unfolded checkpoints in a mode that waits for nobody, and returns how many pages of the journal are not in the file
// after it.
func unfolded(ctx context.Context, db *sql.DB, mode string) (pages int, err error) {
	var busy, long, folded int
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &long, &folded); err != nil {
		return 0, fmt.Errorf("fold the journal: %w", err)
	}
	return long - folded, nil
}

// close ends the folding; what is left of the journal is the writer's, when it closes.
func (f *folding) close() error {
	f.stop()
	<-f.ended
	return f.beside.Close()
}
