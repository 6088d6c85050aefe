package store

import (
	"context"
	"database/sql/driver"
	"fmt"

	modernc "modernc.org/sqlite"
)

// maxStatements is how many prepared statements a connection keeps. The program has fewer; lists of many lengths make more.
const maxStatements = 256

// preparing makes connections that compile each statement once. GORM and River hand over SQL text each time, and to
// compile it costs SQLite more than to run it.
type preparing struct{ driver.Connector }

func newPreparing(dsn string) (driver.Connector, error) {
	c, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	return preparing{c}, nil
}

// Connect implements driver.Connector.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &preparedConn{sqliteConn: c.(sqliteConn), known: map[string]*prepared{}}, nil
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

// preparedConn is a connection with the statements that it has compiled. database/sql sees to it that it is used by one
// goroutine at a time.
type preparedConn struct {
	sqliteConn
	known map[string]*prepared
}

// prepared is a compiled statement.
type prepared struct {
	sqliteStmt
	busy bool // its rows are being read
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepare finds or compiles a statement. It returns nil if the statement is busy: then the query is compiled anew.
func (c *preparedConn) prepare(ctx context.Context, query string) (*prepared, error) {
	if s := c.known[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(c.known) >= maxStatements {
		c.forget()
	}
	compiled, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &prepared{sqliteStmt: compiled.(sqliteStmt)}
	c.known[query] = s
	return s, nil
}

// forget closes the statements that are not in use.
func (c *preparedConn) forget() {
	for query, s := range c.known {
		if !s.busy {
			_ = s.Close() // nothing is lost with a statement
			delete(c.known, query)
		}
	}
}

// ExecContext implements driver.ExecerContext.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
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
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
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
	return &preparedRows{rows.(sqliteRows), s}, nil
}

// Close implements driver.Conn.
func (c *preparedConn) Close() error {
	for _, s := range c.known {
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

// preparedRows give their statement back at the end.
type preparedRows struct {
	sqliteRows
	of *prepared
}

// Close implements driver.Rows.
func (r *preparedRows) Close() error {
	r.of.busy = false
	return r.sqliteRows.Close()
}
