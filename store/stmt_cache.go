package store

import (
	"context"
	"database/sql/driver"
	"fmt"

	modernc "modernc.org/sqlite"
)

// maxStatements is how many prepared statements a connection keeps. The program has fewer; lists of many lengths make more.
const maxStatements = 256

// stmtCacheConnector makes connections that compile each statement once. GORM and River hand over SQL text each time, and to
// compile it costs SQLite more than to run it.
type stmtCacheConnector struct{ driver.Connector }

func newStmtCacheConnector(dsn string) (driver.Connector, error) {
	c, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	return stmtCacheConnector{c}, nil
}

// Connect implements driver.Connector.
func (p stmtCacheConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &cachedConn{sqliteConn: c.(sqliteConn), stmts: map[string]*cachedStmt{}}, nil
}

// sqliteConn is what a connection of the driver can do and database/sql asks for.
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

// cachedConn is a connection with the statements that it has compiled. database/sql sees to it that it is used by one
// goroutine at a time.
type cachedConn struct {
	sqliteConn
	stmts map[string]*cachedStmt
}

// cachedStmt is a compiled statement.
type cachedStmt struct {
	sqliteStmt
	busy bool // its rows are being read
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepare finds or compiles a statement. It returns nil if the statement is busy: then the query is compiled anew.
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
	compiled, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &cachedStmt{sqliteStmt: compiled.(sqliteStmt)}
	c.stmts[query] = s
	return s, nil
}

// evictIdle closes the statements that are not in use.
func (c *cachedConn) evictIdle() {
	for query, s := range c.stmts {
		if !s.busy {
			_ = s.Close() // nothing is lost with a statement
			delete(c.stmts, query)
		}
	}
}

// ExecContext implements driver.ExecerContext.
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

// QueryContext implements driver.QueryerContext.
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

// Close implements driver.Conn.
func (c *cachedConn) Close() error {
	for _, s := range c.stmts {
		_ = s.Close() // the connection goes with them
	}
	return c.sqliteConn.Close()
}

// sqliteRows is what rows of the driver can do.
type sqliteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// cachedRows give their statement back at the end.
type cachedRows struct {
	sqliteRows
	stmt *cachedStmt
}

// Close implements driver.Rows.
func (r *cachedRows) Close() error {
	r.stmt.busy = false
	return r.sqliteRows.Close()
}
