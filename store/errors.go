package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

var (
	// ErrUnavailable means that the database cannot be read or written now, for example because the disk is full, the
	// connection is lost or the server is overloaded. Nothing was committed, unless an error in the chain has a method
	// OutcomeUnknown() bool that returns true. HTTP handlers answer 503, and the sender retries.
	ErrUnavailable error = unavailable{}

	// ErrInUse means that another process owns the SQLite file or runs with the same replica id.
	ErrInUse = errors.New("the database is in use by another process. Stop that process, or use another database")

	// errStale means that the attempt no longer holds its job. The job was rescued or requeued and may run elsewhere.
	errStale = errors.New("job no longer held by this attempt")
)

// unavailable is the type of [ErrUnavailable]. See [incident.IsUnavailable].
type unavailable struct{}

func (unavailable) Error() string     { return "database unavailable" }
func (unavailable) Unavailable() bool { return true }

// wrapUnavailable wraps err with [ErrUnavailable] if the database caused it and not the caller.
func wrapUnavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || !isUnavailable(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// isUnavailable reports whether the database, and not the caller, caused err.
func isUnavailable(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff { // the primary code
		case sqlitelib.SQLITE_FULL, sqlitelib.SQLITE_IOERR, sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_NOMEM,
			sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB, sqlitelib.SQLITE_PROTOCOL,
			sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED:
			return true
		}
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "25006", "40001", "40P01", "55P03": // read-only server, serialization, deadlock, lock timeout
			return true
		}
		switch pg.Code[:min(2, len(pg.Code))] {
		case "08", "53", "57", "58": // connection, resources (53100 is a full disk), shutdown, I/O
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error // includes context.DeadlineExceeded, from waiting for a connection or a lock
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn)
}

// commitUnknownError means that a commit was sent and its result was lost, so the transaction may be committed. Callers
// detect it by its method OutcomeUnknown. All other transaction errors mean that nothing was committed.
type commitUnknownError struct{ err error }

func (e *commitUnknownError) Error() string { return "outcome unknown: " + e.err.Error() }
func (e *commitUnknownError) Unwrap() error { return e.err }

// OutcomeUnknown returns true: the transaction may be committed.
func (e *commitUnknownError) OutcomeUnknown() bool { return true }

// wasRolledBack reports whether a failed commit is known to be rolled back.
func wasRolledBack(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		// After an I/O error, the frames of the commit may be in the WAL although the sync failed.
		return lite.Code()&0xff != sqlitelib.SQLITE_IOERR
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "ERROR" // FATAL ends the connection at an unknown point
	}
	return errors.Is(err, sql.ErrTxDone) || errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err)
}

// isTxConflict reports whether a transaction was rolled back because of a concurrent one and can be retried.
func isTxConflict(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code() & 0xff
		return code == sqlitelib.SQLITE_BUSY || code == sqlitelib.SQLITE_LOCKED
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
