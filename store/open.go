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

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Config says which database to open, and as whom.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://…".
	URL string
	// Keyset seals what is kept; it is required.
	Keyset *Keyset
	// ReplicaID names this replica for as long as it lives and across its restarts; "replica-1" if empty. Jobs that a
	// killed predecessor of the same name left running are taken up again by Run.
	ReplicaID string
	// Logger gets what operators should see; slog.Default if nil.
	Logger *slog.Logger
	// Clock gives the time for rows; time.Now if nil.
	Clock func() time.Time
	// OnFailure, if set, is told of every attempt of a job that failed; of panics from the same site once a minute, and
	// of the last attempt always. It must not block.
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

	// sealing is held for reading from before something is sealed until it is committed, and for writing while the
	// keys change: so nothing is sealed with a key that is not in its file yet, and what was sealed with an older one
	// is there to be sealed anew.
	sealing sync.RWMutex

	underway inFlight
	panics   panicLimiter

	closing         sync.Once
	lastWriteFailed atomic.Bool // the last write met a database that was unavailable

	mu          sync.Mutex
	running     bool   // from the beginning of Run to the end of Stop
	worker      runner // nil unless running
	release     func() // gives the replica lock back
	lockLostErr error  // why the worker stopped by itself
}

// backend is all that differs between the two databases.
type backend interface {
	// tx runs fn in one transaction and commits it; queue works on the same transaction. Where there is one writer, who
	// is ahead goes before the others that wait for it.
	tx(ctx context.Context, ahead bool, fn func(db *gorm.DB, queue queueTx) error) error
	// reader is where reads go; readOptions describes a read-only snapshot on it.
	reader() (db *gorm.DB, readOptions *sql.TxOptions)
	// migrate brings the schema, River's and ours, up to date.
	migrate(ctx context.Context, log *slog.Logger) error
	// own makes this process the only one that works as replica, until release. lost is called if that ends early.
	lockReplicaID(ctx context.Context, replica string, lost func(error)) (release func(), err error)
	// orphans selects the jobs and the leadership that an earlier incarnation of the replica left behind.
	orphans(replica string) orphans
	// client makes a River client; one without queues only inserts.
	client(config *river.Config) (runner, error)
	// pollInterval is how often a queue looks for jobs on its own, beside being notified.
	pollInterval(prompt bool) time.Duration
	// check says why the database cannot be reached, if so.
	check(ctx context.Context) error
	close() error
}

// queueTx is the queue as seen from inside a transaction.
type queueTx interface {
	insert(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	complete(ctx context.Context, job *river.Job[jobArgs]) error
	// rowLock, at the end of a SELECT, holds the selected rows until the transaction ends.
	rowLock() string
	// orFail, behind INSERT or UPDATE, spares SQLite the journal by which it could take back one statement of many rows: in
	// here, whatever fails takes the transaction with it.
	orFailClause() string
	// sqlNow is the present time as the queue writes and compares it.
	sqlNow() string
	// lockLane keeps other transactions from changing the order of a lane until this one ends.
	lockLane(db *gorm.DB, lane string) error
}

// runner is a River client, whatever its transactions are.
type runner interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// orphans are SQL conditions with their arguments.
type orphans struct {
	jobs, leader string
	args         []any
}

// Open opens the database, creates or migrates its schema, and returns a Store that can read, write and enqueue.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Keyset == nil {
		return nil, errors.New("open store: a keyset is required")
	}
	s := &Store{keys: c.Keyset, log: c.Logger, clock: c.Clock, replica: c.ReplicaID, onFailure: c.OnFailure}
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
		return nil, fmt.Errorf("open store: %q is neither sqlite:PATH nor postgres://…", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", wrapUnavailable(err))
	}
	if err := s.backend.migrate(ctx, s.log); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate store: %w", wrapUnavailable(err)), s.backend.close())
	}
	if err := s.checkKeyset(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.backend.close())
	}
	return s, nil
}

// ErrKeyset says that the database was written with another keyset: nothing in it could be read or recognized.
var ErrKeyset = errors.New("the keyset does not belong to this database")

// checkKeyset leaves a mark of the keyset in a new database, and compares it ever after. The mark is also sealed, and
// sealed anew with the rest: a copy of the keyset from before a rotation has the same hash, and cannot open it.
func (s *Store) checkKeyset(ctx context.Context) error {
	mark := s.hash("keyset", "mark", "tocsin")
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
		var opened string
		if known.Mark != mark {
			return ErrKeyset
		}
		if err := s.unseal("keyset", "1", "sealed_mark", known.SealedMark, &opened); err != nil || opened != mark {
			return fmt.Errorf("%w any more: its keys were rotated, and this is an older copy", ErrKeyset)
		}
		return nil
	})
}

// Close stops the workers if they run and closes the database; a second Close does nothing. A crash in its place
// loses nothing.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(s.Stop(ctx), s.backend.close())
	})
	return err
}

// Ping says why the database cannot take writes, if so.
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

// now is the time in the precision and zone that both databases return unchanged.
func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// gormConfig is the same for every connection: errors are typed, statements stay out of the logs (they carry values).
func gormConfig() *gorm.Config {
	return &gorm.Config{TranslateError: true, SkipDefaultTransaction: true, Logger: logger.Discard}
}

// tx is a transaction: rows through db, jobs through enqueue, the end of the present job through complete.
type tx struct {
	db    *gorm.DB
	queue queueTx
	ctx   context.Context
}

// maxTxAttempts is how often a transaction that met another one is run again.
const maxTxAttempts = 5

// tx runs fn in one transaction and commits it. fn may run several times and must do nothing but use its tx. An
// error of fn rolls everything back, jobs included.
func (s *Store) tx(ctx context.Context, fn func(*tx) error) error {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	return s.txLocked(ctx, false, fn)
}

// txLocked is tx for who holds sealing already.
func (s *Store) txLocked(ctx context.Context, ahead bool, fn func(*tx) error) error {
	for pass := 1; ; pass++ {
		err := s.backend.tx(ctx, ahead, func(db *gorm.DB, queue queueTx) error { return fn(&tx{db, queue, ctx}) })
		if err == nil {
			s.lastWriteFailed.Store(false)
			return nil
		}
		if !isTxConflict(err) || pass == maxTxAttempts {
			err = wrapUnavailable(err)
			if errors.Is(err, ErrUnavailable) {
				s.lastWriteFailed.Store(true)
			}
			return err
		}
		wait := time.Duration(1<<pass) * (5*time.Millisecond + rand.N(5*time.Millisecond))
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

// joinTx gives GORM a transaction that was begun outside of it.
func joinTx(ctx context.Context, db *gorm.DB, t *sql.Tx) *gorm.DB {
	session := db.Session(&gorm.Session{Context: ctx, NewDB: true})
	session.Statement.ConnPool = t
	return session
}

// finish commits t if fn succeeded in time and rolls it back if it failed or panicked.
func finish(ctx context.Context, t *sql.Tx, fn func() error) (err error) {
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
		return fmt.Errorf("commit: %w", err) // not begun: what Commit says of an ended context may come from either side of it
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
