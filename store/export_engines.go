package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

// engine is the SQL for the stream of rows that differs between the two databases.
type engine struct {
	name    string
	dialect dialect
	columns string // query of the table_name, column_name and data_type of all columns
	byBytes string // orders a text by its bytes
	// timeout turns off the limit of an idle transaction, because the other end of the stream may be slow.
	timeout string
	// checkKeys checks the foreign keys of all rows now. A table with unchecked rows cannot be altered.
	checkKeys string
	// lock prevents other processes from opening the database until the transaction ends.
	lock string
	// replicas counts the processes that work with the database. SQLite has one, which holds the lock of the file.
	replicas string
	// counted selects the table_name and next_id of all tables with counted ids.
	counted string
	// setNext sets the next id of a table.
	setNext func(db *gorm.DB, table string, next int64) error
}

var (
	engineSQLite = engine{
		name: "sqlite", dialect: dialectSQLite,
		columns: "SELECT m.name AS table_name, p.name AS column_name, lower(p.type) AS data_type FROM sqlite_master m JOIN pragma_table_info(m.name) p " +
			"WHERE m.type = 'table'",
		counted: "SELECT name AS table_name, seq + 1 AS next_id FROM sqlite_sequence",
		setNext: func(db *gorm.DB, table string, next int64) error {
			if err := db.Exec("DELETE FROM sqlite_sequence WHERE name = ?", table).Error; err != nil {
				return err
			}
			return db.Exec("INSERT INTO sqlite_sequence (name, seq) SELECT name, ? FROM sqlite_master WHERE name = ? AND sql LIKE '%AUTOINCREMENT%'", next-1, table).Error
		},
	}
	enginePostgres = engine{
		name: "postgres", dialect: dialectPostgres,
		columns:   "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema()",
		byBytes:   ` COLLATE "C"`,
		timeout:   "SET LOCAL idle_in_transaction_session_timeout = 0",
		checkKeys: "SET CONSTRAINTS ALL IMMEDIATE",
		lock:      "LOCK TABLE keyset IN ACCESS EXCLUSIVE MODE",
		replicas: "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ? AND granted " +
			"AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
		counted: `SELECT t.relname AS table_name, coalesce(s.last_value + 1, s.start_value) AS next_id FROM pg_sequences s
			JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = current_schema()::regnamespace
			JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'i' JOIN pg_class t ON t.oid = d.refobjid
			WHERE s.schemaname = current_schema()`,
		setNext: func(db *gorm.DB, table string, next int64) error {
			return db.Exec("SELECT setval(pg_get_serial_sequence(?, 'id'), ?, false)", table, next).Error
		},
	}
)

// exec runs statements of the engine, and leaves out those that it does not need.
func (e engine) exec(db *gorm.DB, statements ...string) error {
	for _, statement := range statements {
		if statement == "" {
			continue
		}
		if err := db.Exec(statement).Error; err != nil {
			return err
		}
	}
	return nil
}

// nextIDs returns the next id of each table of the stream with counted ids.
func (e engine) nextIDs(db *gorm.DB) (map[string]int64, error) {
	var rows []struct {
		TableName string
		NextID    int64
	}
	if err := db.Raw(e.counted).Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, row := range rows {
		if slices.ContainsFunc(exportedTables, func(t exportedTable) bool { return t.name == row.TableName }) {
			out[row.TableName] = row.NextID
		}
	}
	return out, nil
}

func (b *sqliteBackend) engine() engine   { return engineSQLite }
func (b *postgresBackend) engine() engine { return enginePostgres }

// copyRows implements [queueTx] with one statement for each row.
func (q sqliteQueue) copyRows(ctx context.Context, table string, columns []string, rows pgx.CopyFromSource) error {
	statement := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, quoteColumns(columns), valuesClause("?", len(columns))) //nolint:gosec // the names are those of the schema
	insert, err := q.tx.PrepareContext(context.WithoutCancel(ctx), statement)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := insert.ExecContext(context.WithoutCancel(ctx), values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// copyRows implements [queueTx] with COPY.
func (q postgresQueue) copyRows(ctx context.Context, table string, columns []string, rows pgx.CopyFromSource) error {
	return q.withPgxTx(func(t pgx.Tx) error {
		_, err := t.CopyFrom(ctx, pgx.Identifier{table}, columns, rows)
		return err
	})
}

func quoteColumns(names []string) string { return fmt.Sprintf(`"%s"`, strings.Join(names, `", "`)) }
