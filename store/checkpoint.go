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
	checkpointInterval = 100 * time.Millisecond // how often the length of the WAL is checked

	// checkpointMinFrames is the number of frames outside the database file, of one page each, that starts a
	// checkpoint. A delivery is written when it is received and again soon after, when it is handled. A WAL of 16 MB
	// usually holds both writes, so the page goes into the file once. A longer WAL slows reads, because a page lookup
	// searches it.
	checkpointMinFrames = 4000

	// autoCheckpointFrames is the WAL length, in frames, that makes the writer itself checkpoint at each commit. The
	// WAL grows this long only if the background checkpoints fail or readers never let it restart.
	autoCheckpointFrames = 10 * checkpointMinFrames
)

// errCheckpointBusy is returned by checkpoint while another connection checkpoints.
var errCheckpointBusy = errors.New("another checkpoint is running")

// checkpointer copies the WAL into the database file on a separate connection while the writer continues. By default
// SQLite checkpoints on the writer's connection, and all transactions wait until that is done.
type checkpointer struct {
	conn        *sql.DB
	writer      *sql.DB
	writerMutex *priorityMutex // held while writer is in use
	log         *slog.Logger
	stop        context.CancelFunc
	done        chan struct{}
}

// startCheckpointer starts a goroutine that checkpoints the database at dsn until close is called.
func startCheckpointer(ctx context.Context, dsn string, writer *sql.DB, writerMutex *priorityMutex, log *slog.Logger) (*checkpointer, error) {
	conn, _, err := openSQLitePool(ctx, dsn+sqliteCheckpointParams, 1)
	if err != nil {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &checkpointer{conn: conn, writer: writer, writerMutex: writerMutex, log: log, stop: stop, done: make(chan struct{})}
	go c.loop(ctx)
	return c, nil
}

// loop checks the WAL every checkpointInterval until ctx ends. It retries failures at the next tick and logs the first
// of consecutive failures.
func (c *checkpointer) loop(ctx context.Context) {
	defer close(c.done)
	ticker := time.NewTicker(checkpointInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := c.run(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.Warn("WAL checkpoint failed", "err", err)
		}
		failing = err != nil
	}
}

// run checkpoints the WAL if it has at least checkpointMinFrames frames. Two passes copy most frames while the writer
// continues. The last pass holds the writer's mutex to copy the few new frames, which lets the writer restart the WAL.
//
// During writes SQLite syncs the database file only in that last pass. Syncing the file earlier was measured to be
// slower: it delayed the writer's own syncs for longer than the last pass takes.
func (c *checkpointer) run(ctx context.Context) error {
	if frames, err := checkpoint(ctx, c.conn, "NOOP"); err != nil || frames < checkpointMinFrames {
		return err
	}
	for range 2 {
		if left, err := checkpoint(ctx, c.conn, "PASSIVE"); err != nil || left > 0 { // a reader still needs the previous content of the file
			return err
		}
	}
	if err := c.writerMutex.lock(ctx, false); err != nil {
		return err
	}
	defer c.writerMutex.unlock()
	writer, err := c.writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer func() { _ = writer.Close() }()                              // returns it to the pool
	_, err = checkpoint(context.WithoutCancel(ctx), writer, "PASSIVE") // an interrupted connection is closed
	return err
}

// checkpoint runs a checkpoint and returns how many frames of the WAL are not in the database file afterwards. The mode
// is PASSIVE, which does not wait for readers or writers, or NOOP, which copies nothing.
func checkpoint(ctx context.Context, conn interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, mode string) (left int, err error) {
	var busy bool
	var frames, done int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &done)
	if err == nil && busy {
		err = errCheckpointBusy
	}
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames - done, nil
}

// close stops the goroutine and closes the connection. The rest of the WAL is checkpointed when the writer closes.
func (c *checkpointer) close() error {
	c.stop()
	<-c.done
	return c.conn.Close()
}
