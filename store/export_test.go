package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"tocsin/store/storetest"
	"tocsin/store/stream"
)

// allowedTexts are values of text columns with a CHECK constraint.
var allowedTexts = map[string]string{"incidents.status": "active", "incidents.severity": "sev2", "incidents.origin": "drill", "alerts.origin": "",
	"inbox.outcome": "", "effects.state": "available", "ledger.outcome": "completed", "tombstones.table_name": "inbox"}

// fillTables inserts rows into every table of the stream, with values of every type and NULL where it is allowed.
func fillTables(t testing.TB, s *Store) {
	t.Helper()
	err := s.tx(t.Context(), func(tx *tx) error {
		tables, err := streamTables(tx.db, s.backend.engine().columns)
		if err != nil {
			return err
		}
		for _, table := range exportedTables {
			for n := int64(1); n <= 3; n++ {
				var count int64
				if err := tx.db.Raw("SELECT count(*) FROM " + table.name).Scan(&count).Error; err != nil {
					return err
				}
				if count > 0 && slices.Contains([]string{"keyset", "directory", "audit_head"}, table.name) {
					break // has one row
				}
				if err := insertFilled(tx, s, table, tables[table.name], n); err != nil {
					return fmt.Errorf("%s: %w", table.name, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func insertFilled(tx *tx, s *Store, table exportedTable, columns []stream.Column, n int64) error {
	var values []any
	for _, c := range columns {
		var v any
		var err error
		allowed, limited := allowedTexts[table.name+"."+c.Name]
		switch {
		case nullableColumns[table.name+"."+c.Name] && n == 2:
		case c.Type == stream.Int:
			v = n
		case c.Type == stream.Bool:
			v = n%2 == 1
		case c.Type == stream.Time:
			v = dbTime(noon).Add(time.Duration(n) * 1001 * time.Microsecond)
		case c.Type == stream.Text && limited:
			v = allowed
		case c.Type == stream.Text && n == 3:
			v = ""
		case c.Type == stream.Text:
			v = fmt.Sprintf("%s %c é→🔥 \n\\N\t%d", c.Name, 'Z'-rune(n)*13, n) // bytes and locales sort it differently
		case isSealed(c.Name):
			v, err = s.keys.Seal([]byte("text"), []byte("aad"))
		case c.Name == signedColumn:
			v = s.keys.MAC([]byte("head"))
		case n == 3:
			v = []byte{}
		default:
			v = []byte{0, 255, byte(n)}
		}
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	return tx.queue.copyRows(tx.ctx, table.name, columnNames(columns), pgx.CopyFromRows([][]any{values}))
}

// nullableColumns are columns that may be NULL.
var nullableColumns = map[string]bool{"schedules.last_run_at": true, "incidents.review_at": true, "correlations.ended_at": true, "inbox.handled_at": true,
	"inbox.sealed_reason": true, "effects.after": true, "effects.ran_at": true, "effects.waiting_since": true, "effects.attempted_at": true, "effects.next_at": true,
	"effects.sealed_failure": true, "configurations.sealed_detection": true, "key_values.sealed_value": true, "maintenance_windows.confirmed_at": true,
	"audit.position": true, "notary_checkpoints.published_at": true, "restores.released_at": true}

// dump returns all rows of all tables of the stream, read without the code of the export.
func dump(t testing.TB, s *Store) map[string][]map[string]any {
	t.Helper()
	out := map[string][]map[string]any{}
	err := s.view(t.Context(), func(db *gorm.DB) error {
		for _, table := range exportedTables {
			rows, err := dumpTable(db, table.name)
			if err != nil {
				return err
			}
			slices.SortFunc(rows, func(a, b map[string]any) int {
				key := func(row map[string]any) (text string) {
					for _, k := range table.key {
						text += fmt.Sprintf("%20v ", row[k])
					}
					return text
				}
				return strings.Compare(key(a), key(b))
			})
			out[table.name] = rows
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func dumpTable(db *gorm.DB, name string) (out []map[string]any, err error) {
	rows, err := db.Raw("SELECT * FROM " + name).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for i, v := range values {
			switch v := v.(type) {
			case time.Time:
				row[columns[i]] = v.UTC()
			case bool:
				row[columns[i]] = boolInt(v)
			case []byte:
				row[columns[i]] = hex.EncodeToString(v)
			default:
				row[columns[i]] = v
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// boolInt returns a bool as SQLite stores it.
func boolInt(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

func (s *Store) mustExport(t testing.TB) ([]byte, Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := s.Export(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

// importTest imports a stream into the database at url with the keyset of the tests.
func importTest(t testing.TB, url string, data []byte, o ImportOptions) (Imported, error) {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	return Import(t.Context(), Config{URL: url}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon }}, bytes.NewReader(data), o)
}

// TestExport_Tables requires that each table of the schema is in the stream or left out on purpose, and that the keys and
// the ciphertexts are those of the schema.
func TestExport_Tables(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var tables map[string][]stream.Column
		err := s.view(t.Context(), func(db *gorm.DB) (err error) {
			tables, err = streamTables(db, s.backend.engine().columns)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]bool{}
		for _, table := range exportedTables {
			listed[table.name] = true
			if _, err := streamTable(tables, table.name); err != nil {
				t.Error(err)
			}
			var key []string
			query := "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
			if dialectOf(url) == "postgres" {
				query = "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = CAST(? AS regclass) AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)"
			}
			if err := s.view(t.Context(), func(db *gorm.DB) error { return db.Raw(query, table.name).Scan(&key).Error }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(key, table.key); diff != "" {
				t.Errorf("key of %s: %s", table.name, diff)
			}
		}
		for name := range tables {
			if _, left := leftOutTables[name]; !listed[name] && !left && !isRiverTable(name) {
				t.Errorf("the table %s is neither in exportedTables nor in leftOutTables", name)
			}
		}
		for _, c := range sealedColumns {
			if !isSealed(c.column) {
				t.Errorf("%s.%s holds ciphertexts, and isSealed does not know it", c.table, c.column)
			}
		}
	})
}

// directions calls test with two empty databases in each of the four combinations.
func directions(t *testing.T, test func(t *testing.T, from, to string)) {
	engines := map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres}
	for from, source := range engines {
		for to, target := range engines {
			t.Run(from+" to "+to, func(t *testing.T) { test(t, source(t), target(t)) })
		}
	}
}

// readStream reads a whole stream without a database.
func readStream(data []byte) (Manifest, error) {
	in, err := stream.NewReader(bytes.NewReader(data))
	if err != nil {
		return Manifest{}, err
	}
	defer in.Close()
	return in.Manifest()
}

func TestImport_EqualInEveryDirection(t *testing.T) {
	directions(t, func(t *testing.T, from, to string) {
		s := openTest(t, from)
		fillTables(t, s)
		data, m := s.mustExport(t)
		read, err := readStream(data)
		if diff := cmp.Diff(m, read); err != nil || diff != "" {
			t.Fatalf("read: %v, %s", err, diff)
		}
		for _, table := range m.Tables {
			if table.Rows == 0 {
				t.Errorf("the table %s is empty, so this test proves nothing about it", table.Name)
			}
		}
		got, err := importTest(t, to, data, ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got.Manifest); diff != "" {
			t.Errorf("manifest: %s", diff)
		}
		imported := openTest(t, to)
		want := dump(t, s)
		for _, row := range want["effects"] { // the job of an effect is another one
			if row["waiting_since"] != nil {
				row["waiting_job"] = imported.count(t, "SELECT waiting_job FROM effects WHERE id = ?", row["id"])
			}
		}
		if diff := cmp.Diff(want, dump(t, imported)); diff != "" {
			t.Error(diff)
		}
		_, again := imported.mustExport(t)
		for i, table := range again.Tables {
			if table.Name != "effects" && table.SHA256 != m.Tables[i].SHA256 {
				t.Errorf("%s: the sum differs between the databases", table.Name)
			}
		}
	})
}

// TestImport_NextIDs deletes the newest rows before the export: their ids must not be used again.
func TestImport_NextIDs(t *testing.T) {
	directions(t, func(t *testing.T, from, to string) {
		s := openTest(t, from)
		insert := func(s *Store) (id int64) {
			t.Helper()
			err := s.tx(t.Context(), func(tx *tx) error {
				return tx.db.Raw("INSERT INTO notary_outbox (changes, mac) VALUES ('x', ?) RETURNING id", []byte{1}).Scan(&id).Error
			})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		last := max(insert(s), insert(s))
		if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("DELETE FROM notary_outbox").Error }); err != nil {
			t.Fatal(err)
		}
		data, _ := s.mustExport(t)
		if _, err := importTest(t, to, data, ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		if id := insert(openTest(t, to)); id <= last {
			t.Errorf("got id %d again, after %d was used", id, last)
		}
	})
}

// TestImport_RefusesRows inserts a row into one table after the other.
func TestImport_RefusesRows(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		data, _ := s.mustExport(t)
		withoutForeignKeys := func(fn func(tx *tx) error) {
			t.Helper()
			if b, ok := s.backend.(*sqliteBackend); ok {
				if _, err := b.writer.ExecContext(t.Context(), "PRAGMA foreign_keys = 0"); err != nil {
					t.Fatal(err)
				}
			}
			err := s.tx(t.Context(), func(tx *tx) error {
				if dialectOf(url) == "postgres" {
					if err := tx.db.Exec("SET LOCAL session_replication_role = replica").Error; err != nil {
						return err
					}
				}
				return fn(tx)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		refused := func() (err error) {
			_ = s.view(t.Context(), func(db *gorm.DB) error {
				tables, schema := streamTables(db, s.backend.engine().columns)
				err = errors.Join(schema, refuseRows(db, tables))
				return nil
			})
			return err
		}
		if err := refused(); err != nil {
			t.Fatalf("new database: %v", err)
		}
		for _, table := range exportedTables {
			insert, remove := "", "DELETE FROM "+table.name
			switch table.name {
			case "keyset":
				continue // each database that was opened has this row
			case "audit_head":
				insert, remove = "UPDATE audit_head SET position = 1", "UPDATE audit_head SET position = 0"
			case "counters":
				insert, remove = "UPDATE counters SET value = 1", "UPDATE counters SET value = 0"
			}
			withoutForeignKeys(func(tx *tx) error {
				if insert != "" {
					return tx.db.Exec(insert).Error
				}
				tables, err := streamTables(tx.db, s.backend.engine().columns)
				return errors.Join(err, insertFilled(tx, s, table, tables[table.name], 1))
			})
			if err := refused(); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), table.name) {
				t.Errorf("%s: got %v, want %v", table.name, err, ErrNotEmpty)
			}
			withoutForeignKeys(func(tx *tx) error { return tx.db.Exec(remove).Error })
		}
		fillTables(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := importTest(t, url, data, ImportOptions{}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("got %v, want %v", err, ErrNotEmpty)
		}
	})
}

func TestExport_NamesValueThatIsNotText(t *testing.T) {
	for value, want := range map[string]string{"char(0)": "NUL", "CAST(x'ff' AS text)": "UTF-8"} {
		s := openTest(t, storetest.SQLite(t))
		fillTables(t, s)
		if err := s.tx(t.Context(), func(tx *tx) error {
			return tx.db.Exec("UPDATE links SET value_hash = 'a' || " + value + " WHERE incident_id = 2").Error
		}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Export(t.Context(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "column value_hash in row incident_id 2, name") || !strings.Contains(err.Error(), "table links") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

// TestExport_OrderIsByBytes exports texts that a language orders in another way than their bytes.
func TestExport_OrderIsByBytes(t *testing.T) {
	sums := map[string]bool{}
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		err := s.tx(t.Context(), func(tx *tx) error {
			if dialectOf(url) == "postgres" {
				if err := tx.db.Exec(`ALTER TABLE counters ALTER COLUMN name TYPE text COLLATE "und-x-icu"`).Error; err != nil {
					return err
				}
			}
			return tx.db.Exec("INSERT INTO counters (name, value) VALUES ('a', 1), ('B', 2), ('é', 3), ('f', 4)").Error
		})
		if err != nil {
			t.Fatal(err)
		}
		_, m := s.mustExport(t)
		for _, table := range m.Tables {
			if table.Name == "counters" {
				sums[table.SHA256] = true
			}
		}
	})
	if len(sums) != 1 {
		t.Errorf("got sums %v, want one for both databases", sums)
	}
}
