package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	modernc "modernc.org/sqlite"
)

func openCachedDB(t testing.TB) *sql.DB {
	t.Helper()
	c, err := newStmtCacheConnector("file:" + filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	for _, q := range []string{"CREATE TABLE n (v integer PRIMARY KEY)", "INSERT INTO n VALUES (1), (2), (3)"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// readNumbers returns all values of the table.
func readNumbers(t *testing.T, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}) (out []int) {
	t.Helper()
	rows, err := q.QueryContext(t.Context(), "SELECT v FROM n ORDER BY v")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v int
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStmtCache_NestedUseOfSameQuery(t *testing.T) {
	db := openCachedDB(t)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.Query("SELECT v FROM n ORDER BY v")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for want := 1; rows.Next(); want++ {
		var v int
		if err := rows.Scan(&v); err != nil || v != want {
			t.Fatalf("got %d, %v, want %d", v, err, want)
		}
		if got := readNumbers(t, tx); len(got) != 3 {
			t.Fatalf("nested query: got %v, want 3 values", got)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestStmtCache_ReusesStatementAfterError(t *testing.T) {
	db := openCachedDB(t)
	for range 3 {
		_, err := db.Exec("INSERT INTO n VALUES (?)", 1)
		var e *modernc.Error
		if !errors.As(err, &e) {
			t.Fatalf("duplicate: got %v, want a sqlite error", err)
		}
	}
	if _, err := db.Exec("INSERT INTO n VALUES (?)", 4); err != nil {
		t.Fatal(err)
	}
	var v int
	if err := db.QueryRow("INSERT INTO n VALUES (?) RETURNING v", 4).Scan(&v); err == nil {
		t.Error("duplicate: got no error")
	}
	if err := db.QueryRow("INSERT INTO n VALUES (?) RETURNING v", 5).Scan(&v); err != nil || v != 5 {
		t.Errorf("got %d, %v, want 5", v, err)
	}
}

func TestStmtCache_SchemaChange(t *testing.T) {
	db := openCachedDB(t)
	read := func() (columns []string) {
		rows, err := db.Query("SELECT * FROM n")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		columns, err = rows.Columns()
		if err := errors.Join(err, rows.Err()); err != nil {
			t.Fatal(err)
		}
		return columns
	}
	if got := read(); len(got) != 1 {
		t.Fatalf("got columns %v, want 1", got)
	}
	if _, err := db.Exec("ALTER TABLE n ADD COLUMN w text"); err != nil {
		t.Fatal(err)
	}
	if got := read(); len(got) != 2 {
		t.Errorf("after ADD COLUMN: got columns %v, want 2", got)
	}
	if _, err := db.Exec("DROP TABLE n"); err != nil {
		t.Errorf("drop the table of a cached statement: %v", err)
	}
}

func TestStmtCache_EvictsIdleStatements(t *testing.T) {
	db := openCachedDB(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	open, err := conn.QueryContext(t.Context(), "SELECT v FROM n ORDER BY v")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	for n := range 2*maxStatements + 10 {
		if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("SELECT %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for open.Next() {
		seen++
	}
	if seen != 3 || open.Err() != nil {
		t.Errorf("got %d rows, %v, want 3", seen, open.Err())
	}
	err = conn.Raw(func(c any) error {
		if n := len(c.(*cachedConn).stmts); n > maxStatements {
			return fmt.Errorf("got %d cached statements, want at most %d", n, maxStatements)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkStmtCache_LimitParameter selects with a LIMIT that is a parameter, as River does.
func BenchmarkStmtCache_LimitParameter(b *testing.B) {
	db := openCachedDB(b)
	for b.Loop() {
		var v int
		if err := db.QueryRow("SELECT v FROM n WHERE v IN (SELECT v FROM n WHERE v > ?1 ORDER BY v LIMIT ?2)", 1, 10).Scan(&v); err != nil || v != 2 {
			b.Fatalf("got %d, %v, want 2", v, err)
		}
	}
}
