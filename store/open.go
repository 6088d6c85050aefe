package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// Config names the database, its keys and this process.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://…".
	URL string `yaml:"database"`
	// KeysetFile names the file of the keys that encrypt stored data. [LoadKeyset] reads it.
	KeysetFile string `yaml:"keyset_file"`
	// ReplicaID identifies this replica and must not change when it restarts. The default is "replica-1". Run requeues
	// the jobs that a killed process with this id left running.
	ReplicaID string `yaml:"replica_id"`
}

// Defaults returns the configuration that a file completes.
func Defaults() Config { return Config{URL: "sqlite:tocsin.db", ReplicaID: "tocsin-1"} }

// Validate returns the problems of the configuration of a whole instance.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	if path, ok := strings.CutPrefix(c.URL, "sqlite:"); !(ok && path != "") && !strings.HasPrefix(c.URL, "postgres://") && !strings.HasPrefix(c.URL, "postgresql://") {
		p.Add("database", "is not a database URL. Write sqlite:FILE or postgres://USER@HOST/NAME")
	}
	if c.KeysetFile == "" {
		p.Add("keyset_file", "is missing. Run `tocsin keys create FILE` and write the path of the file")
	}
	if c.ReplicaID == "" {
		p.Add("replica_id", "is missing. Write a name that does not change when the process restarts")
	}
	return p
}

// Deps are the parts of the process that a [Store] uses.
type Deps struct {
	// Keyset encrypts stored data. It is required.
	Keyset *Keyset
	// Logger receives messages for operators. The default is slog.Default.
	Logger *slog.Logger
	// Clock returns the time to store in rows. The default is time.Now.
	Clock func() time.Time
	// OnFailure, if set, is called for each failed attempt of a job. Panics from one site are reported once a minute,
	// except that the last attempt is always reported. It must not block.
	OnFailure func(Failure)
}

// A Store is an open database. It is safe for concurrent use.
type Store struct {
	keys      *Keyset
	log       *slog.Logger
	clock     func() time.Time
	replica   string
	onFailure func(Failure)
	backend   backend

	restores []incident.Restore // of the instance from a backup

	incidents decoded[incident.Incident]
	directory decoded[incident.Directory]
	trust     trustCache
	writer    *writerCache

	// sealing is held for reading while data is sealed and committed, and for writing while the keys change. Nothing is
	// sealed with a key that is not saved to the keyset file yet, and Reseal finds all data sealed with an older key.
	sealing sync.RWMutex

	recorder recorder

	inFlight inFlight
	panics   panicLimiter

	closeOnce       sync.Once
	lastWriteFailed atomic.Bool // the last write returned ErrUnavailable

	mu          sync.Mutex
	running     bool   // from the start of Run to the end of Stop
	worker      runner // nil unless running
	release     func() // stops the rescuer and releases the replica lock
	lockLostErr error  // why the replica lock was lost, which stops the worker
}

// backend contains all differences between the two databases.
type backend interface {
	// tx runs fn in one transaction and commits it. The queue uses this transaction too. If the database has one
	// writer, transactions with priority go first.
	tx(ctx context.Context, priority bool, fn func(db *gorm.DB, queue queueTx) error) error
	// reader returns the database for reads, and the options of a read-only snapshot.
	reader() (db *gorm.DB, readOptions *sql.TxOptions)
	// migrate applies pending migrations of River, and of this package up to a version.
	migrate(ctx context.Context, log *slog.Logger, version int64) error
	// lockReplicaID makes this process the only one that runs as replica until release is called. If the lock is lost
	// earlier, it calls lost.
	lockReplicaID(ctx context.Context, replica string, lost func(error)) (release func(), err error)
	// engine returns the SQL for the stream of rows.
	engine() engine
	// river returns the SQL on River's tables.
	river() riverDialect
	// client returns a River client. A client without queues only inserts jobs.
	client(config *river.Config) (runner, error)
	// pollInterval is how often a queue polls for jobs, in addition to notifications.
	pollInterval(lowLatency bool) time.Duration
	// check returns an error if the database cannot be reached.
	check(ctx context.Context) error
	close() error
}

// queueTx is the queue within a transaction.
type queueTx interface {
	insert(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	// rowLockClause is appended to a SELECT to lock the selected rows until the transaction ends.
	rowLockClause() string
	// orFailClause follows INSERT or UPDATE. On SQLite it saves the journal that undoes a single statement, which is
	// not needed here because every error rolls back the whole transaction.
	orFailClause() string
	// lockLane prevents other transactions from changing a lane until this one ends.
	lockLane(db *gorm.DB, lane string) error
	// copyRows inserts many rows with their ids.
	copyRows(ctx context.Context, table string, columns []string, rows pgx.CopyFromSource) error
}

// runner is a River client for either database.
type runner interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// Open opens the database and creates or migrates its schema. The Store can read, write and enqueue jobs, and works
// jobs after [Store.Run]. Errors include [ErrUnavailable], [ErrInUse] and [ErrKeyset].
func Open(ctx context.Context, c Config, d Deps) (*Store, error) {
	s, err := openBackend(ctx, c, d)
	if err != nil {
		return nil, err
	}
	if err := s.checkKeysetBeforeMigration(ctx); err != nil {
		return nil, errors.Join(err, s.backend.close())
	}
	if err := s.backend.migrate(ctx, s.log, SchemaVersion()); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate database: %w", wrapUnavailable(err)), s.backend.close())
	}
	if err := s.checkKeyset(ctx); err != nil {
		return nil, errors.Join(err, s.backend.close())
	}
	for _, upgrade := range []func(context.Context) error{s.moveStorms, s.loadRestores, s.recomputeStates, s.coverExisting} {
		if err := upgrade(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open database: %w", wrapUnavailable(err)), s.backend.close())
		}
	}
	return s, nil
}

// openBackend opens the database without creating or migrating its schema.
func openBackend(ctx context.Context, c Config, d Deps) (*Store, error) {
	if d.Keyset == nil {
		return nil, errors.New("open database: a keyset is required")
	}
	s := &Store{keys: d.Keyset, log: d.Logger, clock: d.Clock, replica: c.ReplicaID, onFailure: d.OnFailure,
		incidents: newDecoded[incident.Incident](), directory: newDecoded[incident.Directory](), writer: newWriterCache()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.log.With("component", "store")
	if s.clock == nil {
		s.clock = time.Now
	}
	s.panics.clock = s.clock
	if s.replica == "" {
		s.replica = "replica-1"
	}
	var err error
	switch scheme, rest, _ := strings.Cut(c.URL, ":"); scheme {
	case "sqlite":
		s.backend, err = openSQLite(ctx, rest, s.log)
	case "postgres", "postgresql":
		s.backend, err = openPostgres(ctx, c.URL, s.log)
	default:
		return nil, fmt.Errorf("unknown database scheme %q. Use sqlite:PATH or postgres://…", scheme)
	}
	if err != nil {
		return nil, wrapUnavailable(err)
	}
	return s, nil
}

// ErrKeyset means that the database was written with another keyset, so this keyset cannot decrypt it.
var ErrKeyset = errors.New("keyset does not match this database")

// checkKeysetBeforeMigration compares the keyset with the mark in an existing database. The schema of a database that
// this keyset cannot read must not change, because the instance it belongs to may be an older version.
func (s *Store) checkKeysetBeforeMigration(ctx context.Context) error {
	return s.view(ctx, func(db *gorm.DB) error {
		if !db.Migrator().HasTable("keyset") {
			return nil
		}
		var rows []struct {
			Mark       string
			SealedMark []byte
		}
		if err := db.Raw("SELECT mark, sealed_mark FROM keyset WHERE id = 1").Scan(&rows).Error; err != nil {
			return fmt.Errorf("read the mark of the keyset: %w", err)
		}
		for _, row := range rows {
			if err := s.checkMark(row.Mark, row.SealedMark); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkMark returns [ErrKeyset] unless a stored mark is of this keyset. A copy of the keyset from before a rotation
// computes an equal hash but cannot decrypt the ciphertext.
func (s *Store) checkMark(mark string, sealed []byte) error {
	if mark != s.keysetMark() {
		return ErrKeyset
	}
	var opened string
	if err := s.unseal("keyset", "1", "sealed_mark", sealed, &opened); err != nil || opened != mark {
		return fmt.Errorf("%w: its keys were rotated. Use the keyset file from after the rotation", ErrKeyset)
	}
	return nil
}

func (s *Store) keysetMark() string { return s.hash("keyset", "mark", "tocsin") }

// checkKeyset stores a mark of the keyset in a new database and compares it in an existing one. The mark is stored as a
// keyed hash and as a ciphertext, which Reseal renews.
func (s *Store) checkKeyset(ctx context.Context) error {
	mark := s.keysetMark()
	return s.tx(ctx, func(t *tx) error {
		sealed, err := s.seal("keyset", "1", "sealed_mark", mark)
		if err != nil {
			return err
		}
		var known struct {
			Mark       string
			SealedMark []byte
		}
		err = t.db.Raw("INSERT INTO keyset (id, mark, sealed_mark) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET mark = keyset.mark RETURNING mark, sealed_mark",
			mark, sealed).Scan(&known).Error
		if err != nil {
			return err
		}
		return s.checkMark(known.Mark, known.SealedMark)
	})
}

// Close stops the workers if they run, waiting up to 10 seconds, and closes the database. Further calls do nothing. A
// crash instead of Close loses no data.
func (s *Store) Close() (err error) {
	s.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(s.Stop(ctx), s.backend.close())
	})
	return err
}

// Ping returns an error that wraps [ErrUnavailable] if the database does not accept writes. It writes only if the last
// write failed.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.backend.check(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !s.lastWriteFailed.Load() {
		return nil
	}
	return s.tx(ctx, func(tx *tx) error {
		return tx.db.Exec("INSERT INTO probe (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at", s.now()).Error
	})
}

// now returns the current time in UTC and microseconds, which both databases return unchanged.
func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// gormConfig returns the configuration of all connections. Errors are translated to types, and statements are not
// logged because they contain values.
func gormConfig() *gorm.Config {
	return &gorm.Config{TranslateError: true, SkipDefaultTransaction: true, Logger: logger.Discard}
}

// tx is a transaction. It writes rows through db, adds jobs with enqueue and completes the current job with complete.
type tx struct {
	db    *gorm.DB
	queue queueTx
	river riverDialect
	ctx   context.Context
	wrote bool // an incident or the directory, see writerCache

	changes changes      // for the log of the notary
	audits  []auditEntry // for the chain of the audit log
}

// maxTxAttempts is how often a transaction runs if it conflicts with others.
const maxTxAttempts = 5

// tx runs fn in one transaction and commits it. If fn returns an error, everything is rolled back, including jobs. fn
// may run several times, so it must have no effects outside its tx.
func (s *Store) tx(ctx context.Context, fn func(*tx) error) error {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	return s.txLocked(ctx, false, fn)
}

// txLocked is tx for callers that hold sealing.
func (s *Store) txLocked(ctx context.Context, priority bool, fn func(*tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.backend.tx(ctx, priority, func(db *gorm.DB, queue queueTx) error {
			t := &tx{db: db, queue: queue, river: s.backend.river(), ctx: ctx}
			if err := fn(t); err != nil {
				return err
			}
			return s.flushNotes(t)
		})
		if err == nil {
			s.lastWriteFailed.Store(false)
			return nil
		}
		if !isTxConflict(err) || attempt == maxTxAttempts {
			err = wrapUnavailable(err)
			if errors.Is(err, ErrUnavailable) {
				s.lastWriteFailed.Store(true)
			}
			return err
		}
		wait := time.Duration(1<<attempt) * (5*time.Millisecond + rand.N(5*time.Millisecond))
		select {
		case <-ctx.Done():
			return wrapUnavailable(errors.Join(context.Cause(ctx), err))
		case <-time.After(wait):
		}
	}
}

// view runs fn on one read-only snapshot.
func (s *Store) view(ctx context.Context, fn func(db *gorm.DB) error) error {
	db, options := s.backend.reader()
	return wrapUnavailable(db.WithContext(ctx).Transaction(fn, options))
}

// joinTx returns a GORM session that uses the existing transaction t.
func joinTx(ctx context.Context, db *gorm.DB, t *sql.Tx) *gorm.DB {
	session := db.Session(&gorm.Session{Context: ctx, NewDB: true})
	session.Statement.ConnPool = t
	return session
}

// commitOrRollback runs fn and commits t. It rolls t back if fn fails or panics, or if ctx ends before the commit. It
// returns a [commitUnknownError] if the result of the commit is unknown.
func commitOrRollback(ctx context.Context, t *sql.Tx, fn func() error) (err error) {
	done := false
	defer func() {
		if !done {
			if rollback := t.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
				err = errors.Join(err, fmt.Errorf("roll back: %w", rollback))
			}
		}
	}()
	if err := fn(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err) // Commit with an ended context does not report whether it committed
	}
	done = true
	if err := t.Commit(); err != nil {
		if !wasRolledBack(err) {
			err = &commitUnknownError{err}
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
