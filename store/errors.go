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
	// ErrUnavailable says that the database cannot take or give anything now: no room on the disk, connection lost,
	// overloaded. Nothing was committed that the caller may rely on, and nothing at all unless an error in the chain has
	// a method OutcomeUnknown; an edge answers 503 and the sender tries again.
	ErrUnavailable = errors.New("the database is unavailable")

	// ErrInUse says that another process owns the SQLite file, or works under the same replica id.
	ErrInUse = errors.New("database in use by another process")

	// errStale says that the attempt no longer holds its job: it was rescued or recovered and may run elsewhere.
	errStale = errors.New("the job is no longer held by this attempt")
)

// wrapUnavailable marks the errors that are the database's trouble, not the caller's, with ErrUnavailable.
func wrapUnavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || !isUnavailable(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

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
	var network net.Error // context.DeadlineExceeded is one: waiting in vain for a connection or a lock
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn)
}

// commitUnknownError is a commit of which nobody can say whether it took place: it was asked for and no answer came. Who
// has to answer a person looks for its method; every other error of a transaction means that nothing was committed.
type commitUnknownError struct{ err error }

func (e *commitUnknownError) Error() string { return "its outcome is unknown: " + e.err.Error() }
func (e *commitUnknownError) Unwrap() error { return e.err }

// OutcomeUnknown reports that the transaction may have been committed all the same.
func (e *commitUnknownError) OutcomeUnknown() bool { return true }

// wasRolledBack says whether a commit that failed is known to have been rolled back.
func wasRolledBack(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		// The frames of the commit may be in the journal although it could not be synchronized.
		return lite.Code()&0xff != sqlitelib.SQLITE_IOERR
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "ERROR" // FATAL ends the connection, at whatever point
	}
	return errors.Is(err, sql.ErrTxDone) || errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err)
}

// isTxConflict says whether a transaction was rolled back because it met another one and may simply run again.
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
