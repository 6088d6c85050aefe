package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	foldEvery = 100 * time.Millisecond // how often the journal is looked at
	// A delivery is written when it comes and again when it is handled, soon after. A journal of 16 MB takes both before
	// it is folded into the file. It is not to be much longer: to look for a page takes as long as the journal is.
	foldAt = 4000 // pages that are not in the file yet
	// A journal that is as long as this is folded by the writer itself at each commit: the folding beside it came to
	// nothing, or somebody was reading whenever the journal might have been begun anew.
	foldAtLast = 10 * foldAt // pages in all
)

// errFolding says that somebody else folds the journal just now.
var errFolding = errors.New("it is being folded already")

// folding folds the journal of a database into its file on a connection of its own, while the writer goes on. A writer
// that folds its journal by itself, as SQLite has it, keeps everybody waiting for it meanwhile.
type folding struct {
	beside *sql.DB
	writer *sql.DB
	gate   *gate // before the writer
	log    *slog.Logger
	stop   context.CancelFunc
	ended  chan struct{}
}

// startFolding begins to fold the journal of the database of a DSN.
func startFolding(ctx context.Context, dsn string, writer *sql.DB, gate *gate, log *slog.Logger) (*folding, error) {
	beside, _, err := openSQLitePool(ctx, dsn+sqliteBeside, 1)
	if err != nil {
		if beside != nil {
			err = errors.Join(err, beside.Close())
		}
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &folding{beside: beside, writer: writer, gate: gate, log: log, stop: stop, ended: make(chan struct{})}
	go f.run(ctx)
	return f, nil
}

// run looks at the journal again and again. What fails is tried again the next time, and is said once.
func (f *folding) run(ctx context.Context) {
	defer close(f.ended)
	clock := time.NewTicker(foldEvery)
	defer clock.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		err := f.fold(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			f.log.Warn("the journal of the database cannot be folded into its file; it grows until it can be", "error", err)
		}
		failing = err != nil
	}
}

// fold folds a journal that is long enough: nearly all of it while the writer goes on, what came meanwhile once more so,
// and the few pages that are left in a turn of its own, so that the writer begins the journal anew. As long as somebody
// writes, SQLite leaves it to the turn that the file reaches the disk. To see to that before was measured to be worse:
// the writer's own way to the disk is held up by it for longer than the turn takes.
func (f *folding) fold(ctx context.Context) error {
	if long, err := checkpoint(ctx, f.beside, "NOOP"); err != nil || long < foldAt {
		return err
	}
	for range 2 {
		if left, err := checkpoint(ctx, f.beside, "PASSIVE"); err != nil || left > 0 { // somebody reads what the file held before
			return err
		}
	}
	if err := f.gate.enter(ctx, false); err != nil {
		return err
	}
	defer f.gate.leave()
	writer, err := f.writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("fold the journal: %w", err)
	}
	defer func() { _ = writer.Close() }()                              // gives it back
	_, err = checkpoint(context.WithoutCancel(ctx), writer, "PASSIVE") // a connection that is interrupted is given up
	return err
}

// checkpoint folds in a mode that waits for nobody, NOOP not at all, and returns how many pages of the journal are not
// in the file after it.
func checkpoint(ctx context.Context, on interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, mode string) (left int, err error) {
	var busy bool
	var long, folded int
	err = on.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &long, &folded)
	if err == nil && busy {
		err = errFolding
	}
	if err != nil {
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
