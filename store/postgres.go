package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// postgresBackend uses one pgxpool, which River uses directly and GORM uses through database/sql.
type postgresBackend struct {
	pool   *pgxpool.Pool
	sqlDB  *sql.DB
	db     *gorm.DB
	driver *riverpgxv5.Driver
	jobs   *river.Client[pgx.Tx]
	log    *slog.Logger
}

const (
	minPostgresConns = 20 // minimum pool size, which pool_max_conns in the URL can raise

	// Keys of the advisory locks, which PostgreSQL scopes to the database.
	migrationLockKey = 727001
	replicaLockKey   = 727002
	laneLockKey      = 727003

	// Error codes of PostgreSQL.
	pgDatabaseMissing = "3D000"
	pgUserRefused     = "28000"
	pgPasswordRefused = "28P01"
)

func openPostgres(ctx context.Context, url string, log *slog.Logger) (_ *postgresBackend, err error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("postgres: invalid URL") // the parser's error may contain the password
	}
	config.MaxConns = max(config.MaxConns, minPostgresConns)
	params := config.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	params["synchronous_commit"] = "on" // deliveries are on disk before they are acknowledged
	params["idle_in_transaction_session_timeout"] = "60s"
	if params["application_name"] == "" {
		params["application_name"] = "tocsin"
	}
	b := &postgresBackend{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := b.pool.Ping(ctx); err != nil {
		return nil, connectError(config.ConnConfig, err)
	}
	b.sqlDB = stdlib.OpenDBFromPool(b.pool)
	b.sqlDB.SetMaxIdleConns(0) // idle connections return to the pool, where River can use them
	if b.db, err = gorm.Open(postgres.New(postgres.Config{Conn: b.sqlDB}), gormConfig()); err != nil {
		return nil, err
	}
	b.driver = riverpgxv5.New(b.pool)
	// The cooldown is short because NOTIFY is cheap, and only NOTIFY wakes a worker immediately.
	b.jobs, err = river.NewClient(b.driver, riverConfig(log, time.Millisecond))
	return b, err
}

// connectError names the fix if PostgreSQL refuses a connection because of the URL.
func connectError(c *pgx.ConnConfig, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return fmt.Errorf("connect: %w", err)
	}
	switch refused.Code {
	case pgDatabaseMissing:
		return fmt.Errorf("PostgreSQL has no database %q. Create it as its administrator with CREATE DATABASE %s OWNER %s, or correct the key database", c.Database, pgx.Identifier{c.Database}.Sanitize(), pgx.Identifier{c.User}.Sanitize())
	case pgUserRefused, pgPasswordRefused:
		return fmt.Errorf("PostgreSQL refuses the user %q or the password. Correct the key database, or the access rules of the server (pg_hba.conf)", c.User)
	}
	return fmt.Errorf("connect: %w", err)
}

// tx uses one connection for the transaction, which River shares through [sharedTx].
func (b *postgresBackend) tx(ctx context.Context, _ bool, fn func(*gorm.DB, queueTx) error) error {
	conn, err := b.sqlDB.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	t, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return commitOrRollback(ctx, t, func() error { return fn(joinTx(ctx, b.db, t), postgresQueue{conn, b.jobs}) })
}

type postgresQueue struct {
	conn *sql.Conn
	jobs *river.Client[pgx.Tx]
}

func (q postgresQueue) insert(ctx context.Context, jobs []river.InsertManyParams) (inserted []*rivertype.JobInsertResult, err error) {
	err = q.withPgxTx(func(t pgx.Tx) error { inserted, err = q.jobs.InsertManyTx(ctx, t, jobs); return err })
	return inserted, err
}

func (postgresQueue) rowLockClause() string { return " FOR UPDATE" }
func (postgresQueue) orFailClause() string  { return "" }

func (postgresQueue) lockLane(db *gorm.DB, lane string) error {
	return db.Exec("SELECT pg_advisory_xact_lock(?, hashtext(?))", laneLockKey, lane).Error
}

// withPgxTx calls fn with the connection of the transaction as pgx.Tx, for River.
func (q postgresQueue) withPgxTx(fn func(pgx.Tx) error) error {
	return q.conn.Raw(func(c any) error { return fn(sharedTx{c.(*stdlib.Conn).Conn(), 0}) })
}

// sharedTx presents a connection with an open transaction as pgx.Tx. The owner of the transaction commits it. Begin
// creates a savepoint.
type sharedTx struct {
	conn  *pgx.Conn
	depth int
}

var errSharedTx = errors.New("only the owner of the transaction can end it")

func (t sharedTx) Begin(ctx context.Context) (pgx.Tx, error) {
	nested := sharedTx{t.conn, t.depth + 1}
	_, err := t.conn.Exec(ctx, "SAVEPOINT "+nested.name())
	return nested, err
}

func (t sharedTx) Commit(ctx context.Context) error {
	if t.depth == 0 {
		return errSharedTx
	}
	_, err := t.conn.Exec(ctx, "RELEASE SAVEPOINT "+t.name())
	return err
}

func (t sharedTx) Rollback(ctx context.Context) error {
	if t.depth == 0 {
		return errSharedTx
	}
	_, err := t.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+t.name())
	return err
}

func (t sharedTx) name() string { return fmt.Sprintf("shared_%d", t.depth) }

func (t sharedTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	return t.conn.CopyFrom(ctx, table, columns, rows)
}

func (t sharedTx) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	return t.conn.SendBatch(ctx, batch)
}

// LargeObjects panics, because pgx creates large objects only from its own transactions. River does not use them.
func (t sharedTx) LargeObjects() pgx.LargeObjects {
	panic("store: large objects on a shared transaction")
}

func (t sharedTx) Prepare(ctx context.Context, name, query string) (*pgconn.StatementDescription, error) {
	return t.conn.Prepare(ctx, name, query)
}

func (t sharedTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	return t.conn.Exec(ctx, query, args...)
}

func (t sharedTx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	return t.conn.Query(ctx, query, args...)
}

func (t sharedTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return t.conn.QueryRow(ctx, query, args...)
}

func (t sharedTx) Conn() *pgx.Conn { return t.conn }

func (b *postgresBackend) reader() (*gorm.DB, *sql.TxOptions) {
	return b.db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (b *postgresBackend) migrate(ctx context.Context, log *slog.Logger, version int64) error {
	lock, err := b.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer lock.Release()
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLockKey); err != nil {
		return fmt.Errorf("acquire migration lock: %w", err)
	}
	defer func() {
		_, _ = lock.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLockKey)
	}()
	m, err := rivermigrate.New(b.driver, &rivermigrate.Config{Logger: warnLogger(log)})
	if err != nil {
		return err
	}
	if err := checkVersions(ctx, b.sqlDB, dialectPostgres, m); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	return migrateUp(ctx, b.sqlDB, dialectPostgres, version)
}

func (b *postgresBackend) river() riverDialect { return riverPostgres }

func (b *postgresBackend) client(config *river.Config) (runner, error) {
	return river.NewClient(b.driver, config)
}

// pollInterval limits the delay of a job whose notification was lost with a connection.
func (b *postgresBackend) pollInterval(bool) time.Duration { return 200 * time.Millisecond }

func (b *postgresBackend) check(ctx context.Context) error { return b.pool.Ping(ctx) }

func (b *postgresBackend) close() error {
	var err error
	if b.sqlDB != nil {
		err = b.sqlDB.Close()
	}
	if b.pool != nil {
		b.pool.Close()
	}
	return err
}

const (
	// replicaLockTimeout is how long a restart waits for the server to release the lock of the killed process.
	replicaLockTimeout  = 15 * time.Second
	replicaPingInterval = 3 * time.Second
)

// lockReplicaID holds a session lock on the replica id, on a separate connection. If that connection breaks, it
// acquires the lock again. If another process has the lock then, it calls lost, and the replica must stop working.
func (b *postgresBackend) lockReplicaID(ctx context.Context, replica string, lost func(error)) (func(), error) {
	conn, err := b.acquireReplicaLock(ctx, replica)
	if err != nil {
		return nil, err
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if err := keepAlive(watch, conn); watch.Err() != nil {
				_ = conn.Close(context.WithoutCancel(watch))
				return
			} else if err != nil {
				b.log.Warn("replica lock lost", "replica", replica, "err", err)
			}
			_ = conn.Close(watch)
			if conn = b.reacquireReplicaLock(watch, replica, lost); conn == nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }, nil
}

// reacquireReplicaLock retries until it has the lock, ctx ends, or another process has the lock. It returns nil if it
// does not get the lock, and calls lost if another process has it.
func (b *postgresBackend) reacquireReplicaLock(ctx context.Context, replica string, lost func(error)) *pgx.Conn {
	for {
		conn, err := b.acquireReplicaLock(ctx, replica)
		switch {
		case err == nil:
			return conn
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrInUse):
			lost(err)
			return nil
		}
		if !sleep(ctx, time.Second) {
			return nil
		}
	}
}

// keepAlive pings the connection until a ping fails or ctx ends.
func keepAlive(ctx context.Context, conn *pgx.Conn) error {
	for sleep(ctx, replicaPingInterval) {
		probe, cancel := context.WithTimeout(ctx, replicaPingInterval)
		err := conn.Ping(probe)
		cancel()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *postgresBackend) acquireReplicaLock(ctx context.Context, replica string) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	for deadline := time.Now().Add(replicaLockTimeout); ; {
		var held bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, hashtext($2))", replicaLockKey, replica).Scan(&held)
		if err == nil && held {
			return conn, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("replica %q: %w", replica, ErrInUse)
		}
		if err == nil && !sleep(ctx, 100*time.Millisecond) {
			err = ctx.Err()
		}
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("acquire replica lock: %w", err)
		}
	}
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
