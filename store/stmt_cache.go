package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"

	modernc "modernc.org/sqlite"
)

// maxStatements is the maximum number of cached statements per connection. The program has fewer statements, except
// that each length of a list is a different statement.
const maxStatements = 256

// stmtCacheConnector opens connections that cache compiled statements. GORM and River pass SQL text in each call, and
// compiling it takes SQLite longer than running it.
type stmtCacheConnector struct{ driver.Connector }

func newStmtCacheConnector(dsn string) (driver.Connector, error) {
	c, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	return stmtCacheConnector{c}, nil
}

// Connect implements [driver.Connector].
func (p stmtCacheConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &cachedConn{sqliteConn: c.(sqliteConn), stmts: map[string]*cachedStmt{}}, nil
}

// sqliteConn has the interfaces of the driver's connections that database/sql uses.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// cachedConn is a connection with its compiled statements by their text. It is not safe for concurrent use, and
// database/sql uses a connection in one goroutine at a time.
type cachedConn struct {
	sqliteConn
	stmts map[string]*cachedStmt
}

// cachedStmt is a compiled statement.
type cachedStmt struct {
	sqliteStmt
	busy bool // its rows are open
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// limitParameter matches a LIMIT that is a parameter. SQLite makes its plan for the value of such a parameter, so it
// compiles the statement again after each bind. It does not if the LIMIT is an expression.
var limitParameter = regexp.MustCompile(`LIMIT (\?\d*)`)

// prepare returns the cached statement of query, and compiles it first if needed. It returns nil if the statement is
// busy. The caller then runs query without the cache.
func (c *cachedConn) prepare(ctx context.Context, query string) (*cachedStmt, error) {
	if s := c.stmts[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		c.evictIdle()
	}
	compiled, err := c.PrepareContext(ctx, limitParameter.ReplaceAllString(query, "LIMIT (0 + $1)"))
	if err != nil {
		return nil, err
	}
	s := &cachedStmt{sqliteStmt: compiled.(sqliteStmt)}
	c.stmts[query] = s
	return s, nil
}

// evictIdle closes the statements that are not busy.
func (c *cachedConn) evictIdle() {
	for query, s := range c.stmts {
		if !s.busy {
			_ = s.Close() // a statement holds no data
			delete(c.stmts, query)
		}
	}
}

// ExecContext implements [driver.ExecerContext].
func (c *cachedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.prepare(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements [driver.QueryerContext].
func (c *cachedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.prepare(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &cachedRows{rows.(sqliteRows), s}, nil
}

// Close implements [driver.Conn].
func (c *cachedConn) Close() error {
	for _, s := range c.stmts {
		_ = s.Close() // the connection is closed next
	}
	return c.sqliteConn.Close()
}

// sqliteRows has the interfaces of the driver's rows.
type sqliteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// cachedRows mark their statement as idle when they are closed.
type cachedRows struct {
	sqliteRows
	stmt *cachedStmt
}

// Close implements [driver.Rows].
func (r *cachedRows) Close() error {
	r.stmt.busy = false
	return r.sqliteRows.Close()
}
