package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	modernc "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// sqliteBackend owns one database file. GORM and River share one writer connection. A pool serves reads.
type sqliteBackend struct {
	path         string
	lock         *os.File
	openedFile   os.FileInfo // the file as opened, to detect that it was removed or replaced
	writer       *sql.DB
	writerMutex  priorityMutex // held while writer is in use
	checkpointer *checkpointer
	readDB       *sql.DB
	db           *gorm.DB
	read         *gorm.DB
	driver       *riversqlite.Driver
	jobs         *river.Client[*sql.Tx]
}

// sqliteDialector is GORM's dialector with error translation for the modernc driver.
type sqliteDialector struct{ *sqlite.Dialector }

// Translate implements [gorm.ErrorTranslator].
func (sqliteDialector) Translate(err error) error {
	var e *modernc.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY, sqlitelib.SQLITE_CONSTRAINT_UNIQUE:
			return gorm.ErrDuplicatedKey
		case sqlitelib.SQLITE_CONSTRAINT_FOREIGNKEY:
			return gorm.ErrForeignKeyViolated
		case sqlitelib.SQLITE_CONSTRAINT_CHECK:
			return gorm.ErrCheckConstraintViolated
		}
	}
	return err
}

const (
	// Transactions acquire the write lock when they begin, because upgrading a read transaction can fail.
	sqliteWriterParams = "?_txlock=immediate&_time_format=sqlite&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		// A cache of 16 MB holds the pages that most transactions use.
		"&_pragma=cache_size(-16000)"
	sqliteCheckpointParams = "?mode=rw&_pragma=busy_timeout(0)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)"
	sqliteReaderParams     = "?mode=ro&_time_format=sqlite&_pragma=busy_timeout(10000)&_pragma=query_only(1)"
	sqliteReaderConns      = 4

	synchronousFull = 2 // the value of PRAGMA synchronous for FULL
)

func openSQLite(ctx context.Context, path string, log *slog.Logger) (_ *sqliteBackend, err error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("sqlite: a file path is required")
	}
	b := &sqliteBackend{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	// Create the file readable only by its owner. SQLite gives its WAL this mode too.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: the folder %s does not exist. Run `mkdir -p %s`, or write another path: %w", path, filepath.Dir(path), filepath.Dir(path), err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	b.openedFile, err = f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	if b.path, err = filepath.EvalSymlinks(path); err != nil { // different names of one file need one lock
		return nil, fmt.Errorf("resolve %s: %w", path, err)
	}
	if b.lock, err = lockFile(b.path + ".lock"); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	dsn := "file:" + (&url.URL{Path: b.path}).EscapedPath()
	if b.writer, b.db, err = openSQLitePool(ctx, dsn+sqliteWriterParams+fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", autoCheckpointFrames), 1); err != nil {
		return nil, err
	}
	if b.readDB, b.read, err = openSQLitePool(ctx, dsn+sqliteReaderParams, sqliteReaderConns); err != nil {
		return nil, err
	}
	if err := b.checkDurability(ctx, log); err != nil {
		return nil, err
	}
	b.driver = riversqlite.New(b.writer)
	if b.jobs, err = river.NewClient(b.driver, riverConfig(log, fetchCooldown)); err != nil {
		return nil, err
	}
	b.checkpointer, err = startCheckpointer(ctx, dsn, b.writer, &b.writerMutex, log)
	return b, err
}

// checkDurability checks that commits are synced to disk, because a delivery must not be lost after it was
// acknowledged. It logs the settings.
func (b *sqliteBackend) checkDurability(ctx context.Context, log *slog.Logger) error {
	var journal string
	var synchronous int
	if err := b.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	if err := b.writer.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return fmt.Errorf("read synchronous mode: %w", err)
	}
	if journal != "wal" || synchronous != synchronousFull {
		return fmt.Errorf("%s has journal_mode=%s and synchronous=%d, want wal and FULL (2)", b.path, journal, synchronous)
	}
	log.Info("database opened", "engine", "sqlite", "journal_mode", journal, "synchronous", "FULL")
	return nil
}

func openSQLitePool(ctx context.Context, dsn string, size int) (*sql.DB, *gorm.DB, error) {
	connector, err := newStmtCacheConnector(dsn)
	if err != nil {
		return nil, nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	if err := pool.PingContext(ctx); err != nil {
		return pool, nil, fmt.Errorf("open sqlite: %w", err)
	}
	db, err := gorm.Open(sqliteDialector{sqlite.New(sqlite.Config{Conn: pool}).(*sqlite.Dialector)}, gormConfig())
	return pool, db, err
}

// lockFile locks a file to make this process the owner of the database. It returns [ErrInUse] if another process has
// the lock. The kernel releases the lock when the process ends. The file is not removed.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	return nil, errors.Join(err, f.Close())
}

// tx waits for the writer until ctx ends. Statements are short and do not wait, so the end of ctx does not interrupt
// them: it only prevents the commit. The driver and database/sql would start a goroutine for each statement.
func (b *sqliteBackend) tx(ctx context.Context, priority bool, fn func(*gorm.DB, queueTx) error) error {
	if err := b.writerMutex.lock(ctx, priority); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer b.writerMutex.unlock()
	whole := context.WithoutCancel(ctx)
	t, err := b.writer.BeginTx(whole, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return commitOrRollback(ctx, t, func() error { return fn(joinTx(whole, b.db, t), sqliteQueue{t, b.jobs}) })
}

type sqliteQueue struct {
	tx   *sql.Tx
	jobs *river.Client[*sql.Tx]
}

func (q sqliteQueue) insert(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return q.jobs.InsertManyTx(context.WithoutCancel(ctx), q.tx, jobs)
}

// SQLite has one writer, so locks are not needed.

func (sqliteQueue) rowLockClause() string           { return "" }
func (sqliteQueue) orFailClause() string            { return " OR FAIL" }
func (sqliteQueue) lockLane(*gorm.DB, string) error { return nil }

func (b *sqliteBackend) reader() (*gorm.DB, *sql.TxOptions) {
	return b.read, &sql.TxOptions{ReadOnly: true}
}

func (b *sqliteBackend) migrate(ctx context.Context, log *slog.Logger, version int64) error {
	m, err := rivermigrate.New(b.driver, &rivermigrate.Config{Logger: warnLogger(log)})
	if err != nil {
		return err
	}
	if err := checkVersions(ctx, b.writer, dialectSQLite, m); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	return migrateUp(ctx, b.writer, dialectSQLite, version)
}

// lockReplicaID does nothing, because the file lock admits only one process.
func (b *sqliteBackend) lockReplicaID(context.Context, string, func(error)) (func(), error) {
	return func() {}, nil
}

func (b *sqliteBackend) river() riverDialect { return riverSQLite }

func (b *sqliteBackend) client(config *river.Config) (runner, error) {
	return river.NewClient(b.driver, config)
}

// pollInterval is short because a poll takes at most 0.1 ms, and River polls for notifications too.
func (b *sqliteBackend) pollInterval(lowLatency bool) time.Duration {
	if lowLatency {
		return 50 * time.Millisecond
	}
	return 200 * time.Millisecond
}

// check acquires and releases the write lock. It returns an error if the file was deleted or replaced.
func (b *sqliteBackend) check(ctx context.Context) error {
	if now, err := os.Stat(b.path); err != nil {
		return fmt.Errorf("inspect database file: %w", err)
	} else if !os.SameFile(b.openedFile, now) {
		return fmt.Errorf("%s was replaced by another file", b.path)
	}
	t, err := b.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return t.Rollback()
}

func (b *sqliteBackend) close() error {
	var errs []error
	if b.checkpointer != nil {
		errs = append(errs, b.checkpointer.close())
	}
	for _, db := range []*sql.DB{b.readDB, b.writer} { // the writer closes last and checkpoints the rest of the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	return errors.Join(errs...)
}
