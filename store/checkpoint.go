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
	checkpointInterval = 100 * time.Millisecond // how often the WAL is looked at
	// A delivery is written when it comes and again when it is handled, soon after. A WAL of 16 MB takes both before it
	// goes into the database file. It is not to be much longer: to look for a page takes as long as the WAL is.
	checkpointMinFrames = 4000 // frames that are not in the file yet, of a page each
	// A WAL that is as long as this is checkpointed by the writer itself at each commit: the checkpoints beside it came to
	// nothing, or somebody was reading whenever the WAL might have been begun anew.
	autoCheckpointFrames = 10 * checkpointMinFrames // frames in all
)

// errCheckpointBusy says that somebody else checkpoints just now.
var errCheckpointBusy = errors.New("another checkpoint is under way")

// checkpointer writes the WAL of a database into its file on a connection of its own, while the writer goes on. A writer
// that checkpoints by itself, as SQLite has it, keeps everybody waiting for it meanwhile.
type checkpointer struct {
	conn   *sql.DB
	writer *sql.DB
	gate   *priorityMutex // before the writer
	log    *slog.Logger
	stop   context.CancelFunc
	ended  chan struct{}
}

// startCheckpointer begins to checkpoint the database of a DSN.
func startCheckpointer(ctx context.Context, dsn string, writer *sql.DB, gate *priorityMutex, log *slog.Logger) (*checkpointer, error) {
	beside, _, err := openSQLitePool(ctx, dsn+sqliteCheckpointParams, 1)
	if err != nil {
		if beside != nil {
			err = errors.Join(err, beside.Close())
		}
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &checkpointer{conn: beside, writer: writer, gate: gate, log: log, stop: stop, ended: make(chan struct{})}
	go c.loop(ctx)
	return c, nil
}

// loop looks at the WAL again and again. What fails is tried again the next time, and is said once.
func (c *checkpointer) loop(ctx context.Context) {
	defer close(c.ended)
	clock := time.NewTicker(checkpointInterval)
	defer clock.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		err := c.run(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.Warn("the WAL cannot be checkpointed and grows; see that the database file can be written and its disk has room", "error", err)
		}
		failing = err != nil
	}
}

// run checkpoints a WAL that is long enough: nearly all of it while the writer goes on, what came meanwhile once more so,
// and the few frames that are left in a turn of its own, so that the writer begins the WAL anew. As long as somebody
// writes, SQLite leaves it to the turn that the file reaches the disk. To see to that before was measured to be worse:
// the writer's own way to the disk is held up by it for longer than the turn takes.
func (c *checkpointer) run(ctx context.Context) error {
	if long, err := checkpoint(ctx, c.conn, "NOOP"); err != nil || long < checkpointMinFrames {
		return err
	}
	for range 2 {
		if left, err := checkpoint(ctx, c.conn, "PASSIVE"); err != nil || left > 0 { // somebody reads what the file held before
			return err
		}
	}
	if err := c.gate.lock(ctx, false); err != nil {
		return err
	}
	defer c.gate.unlock()
	writer, err := c.writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer func() { _ = writer.Close() }()                              // gives it back
	_, err = checkpoint(context.WithoutCancel(ctx), writer, "PASSIVE") // a connection that is interrupted is given up
	return err
}

// checkpoint does so in a mode that waits for nobody, NOOP not at all, and returns how many frames of the WAL are not in
// the file after it.
func checkpoint(ctx context.Context, on interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, mode string) (left int, err error) {
	var busy bool
	var frames, done int
	err = on.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &done)
	if err == nil && busy {
		err = errCheckpointBusy
	}
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames - done, nil
}

// close ends it; what is left of the WAL is the writer's, when it closes.
func (c *checkpointer) close() error {
	c.stop()
	<-c.ended
	return c.conn.Close()
}
