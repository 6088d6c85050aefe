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

func preparedDB(t *testing.T) *sql.DB {
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

// numbers reads the whole table.
func numbers(t *testing.T, q interface {
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

func TestAStatementIsUsedAgainWhileItsRowsAreRead(t *testing.T) {
	db := preparedDB(t)
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
			t.Fatalf("row %d is %d, %v", want, v, err)
		}
		if got := numbers(t, tx); len(got) != 3 {
			t.Fatalf("the same query within reads %v", got)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestAStatementSurvivesItsErrors(t *testing.T) {
	db := preparedDB(t)
	for range 3 {
		_, err := db.Exec("INSERT INTO n VALUES (?)", 1)
		var e *modernc.Error
		if !errors.As(err, &e) {
			t.Fatalf("a duplicate is %v", err)
		}
	}
	if _, err := db.Exec("INSERT INTO n VALUES (?)", 4); err != nil {
		t.Fatal(err)
	}
	var v int
	if err := db.QueryRow("INSERT INTO n VALUES (?) RETURNING v", 4).Scan(&v); err == nil {
		t.Error("a duplicate was returned")
	}
	if err := db.QueryRow("INSERT INTO n VALUES (?) RETURNING v", 5).Scan(&v); err != nil || v != 5 {
		t.Errorf("returned %d, %v", v, err)
	}
}

func TestAStatementSurvivesAChangeOfTheSchema(t *testing.T) {
	db := preparedDB(t)
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
		t.Fatalf("columns %v", got)
	}
	if _, err := db.Exec("ALTER TABLE n ADD COLUMN w text"); err != nil {
		t.Fatal(err)
	}
	if got := read(); len(got) != 2 {
		t.Errorf("after another was added: columns %v", got)
	}
	if _, err := db.Exec("DROP TABLE n"); err != nil {
		t.Errorf("a known statement keeps its table from being dropped: %v", err)
	}
}

func TestStatementsAreForgotten(t *testing.T) {
	db := preparedDB(t)
	rows, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	open, err := rows.QueryContext(t.Context(), "SELECT v FROM n ORDER BY v")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	for n := range 2*maxStatements + 10 {
		if _, err := rows.ExecContext(t.Context(), fmt.Sprintf("SELECT %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for open.Next() {
		seen++
	}
	if seen != 3 || open.Err() != nil {
		t.Errorf("%d rows, %v", seen, open.Err())
	}
	err = rows.Raw(func(c any) error {
		if n := len(c.(*cachedConn).stmts); n > maxStatements {
			return fmt.Errorf("%d statements are kept", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
