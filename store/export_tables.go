package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"tocsin/store/stream"
)

// exportedTable is a table of the stream of rows, with the columns of its primary key.
type exportedTable struct {
	name string
	key  []string
}

// exportedTables are the tables of the stream, in an order that their foreign keys allow.
var exportedTables = []exportedTable{
	{"keyset", []string{"id"}},
	{"counters", []string{"name"}},
	{"schedules", []string{"id"}},
	{"directory", []string{"id"}},
	{"configurations", []string{"id"}},
	{"maintenance_windows", []string{"id"}},
	{"key_values", []string{"id"}},
	{"seen_events", []string{"key_hash"}},
	{"incidents", []string{"id"}},
	{"events", []string{"id"}},
	{"commands", []string{"incident_id", "key_hash"}},
	{"correlations", []string{"id"}},
	{"links", []string{"incident_id", "name"}},
	{"incident_marks", []string{"incident_id", "kind", "value"}},
	{"alerts", []string{"id"}},
	{"moved_alerts", []string{"id"}},
	{"inbox", []string{"id"}},
	{"delivery_bodies", []string{"inbox_id"}},
	{"effects", []string{"id"}},
	{"ledger", []string{"effect_id"}},
	{"documents", []string{"id"}},
	{"audit", []string{"id"}},
	{"audit_head", []string{"id"}},
	{"tombstones", []string{"id"}},
	{"restores", []string{"id"}},
	{"trust_events", []string{"id"}},
	{"notary_outbox", []string{"id"}},
	{"notary_leaves", []string{"n"}},
	{"notary_checkpoints", []string{"size"}},
}

// leftOutTables are the tables that are not part of the stream, besides those of River. A test requires that each table of
// the schema is in one of the two lists.
var leftOutTables = map[string]string{
	"probe":             "tests whether this database accepts writes",
	ownVersions:         "the header has the version",
	"incident_openings": "empty since version 11, see moveStorms",
	"storms":            "empty since version 11, see moveStorms",
	"web_sessions":      "people sign in again after a restore",
	"sqlite_sequence":   "the manifest has the next ids",
}

// seedRows are the rows that migrations insert. A database with only these and the mark of the keyset is empty.
var seedRows = map[string]string{
	"counters":   "name IN ('incident', 'trust') AND value = 0",
	"audit_head": "position = 0",
	"keyset":     "true",
}

// schemaColumn is a column of a table as the database describes it.
type schemaColumn struct {
	TableName  string
	ColumnName string
	DataType   string
}

// columnTypes maps the types of both databases.
var columnTypes = map[string]stream.Type{
	"integer": stream.Int, "bigint": stream.Int, "boolean": stream.Bool, "text": stream.Text, "blob": stream.Bytes, "bytea": stream.Bytes,
	"timestamp": stream.Time, "timestamp with time zone": stream.Time,
}

// streamTables returns the columns of all tables of the database, in the order of their names.
func streamTables(db *gorm.DB, query string) (map[string][]stream.Column, error) {
	var columns []schemaColumn
	if err := db.Raw(query).Scan(&columns).Error; err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	out := map[string][]stream.Column{}
	for _, c := range columns {
		out[c.TableName] = append(out[c.TableName], stream.Column{Name: c.ColumnName, Type: columnTypes[c.DataType]})
	}
	for _, t := range out {
		slices.SortFunc(t, func(a, b stream.Column) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out, nil
}

// streamTable returns the columns of one exported table.
func streamTable(tables map[string][]stream.Column, name string) ([]stream.Column, error) {
	columns := tables[name]
	if len(columns) == 0 {
		return nil, fmt.Errorf("the table %s does not exist", name)
	}
	for _, c := range columns {
		if c.Type == "" {
			return nil, fmt.Errorf("the column %s.%s has a type that a stream does not have", name, c.Name)
		}
	}
	return columns, nil
}

func columnNames(columns []stream.Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// isSealed reports whether a column holds ciphertexts of the keyset.
func isSealed(column string) bool { return strings.HasPrefix(column, "sealed_") }

// signedColumn holds MACs of the keyset.
const signedColumn = "head_mac"

// refuseRows returns [ErrNotEmpty] if a table has rows that the migrations did not insert.
func refuseRows(db *gorm.DB, tables map[string][]stream.Column) error {
	for _, t := range exportedTables {
		if tables[t.name] == nil {
			continue
		}
		query := "SELECT EXISTS (SELECT 1 FROM " + t.name
		if seed := seedRows[t.name]; seed != "" {
			query += " WHERE NOT (" + seed + ")"
		}
		var found bool
		if err := db.Raw(query + ")").Scan(&found).Error; err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		if found {
			return fmt.Errorf("%w (table %s)", ErrNotEmpty, t.name)
		}
	}
	return nil
}

// ErrNotEmpty means that the database that rows would be imported into has rows.
var ErrNotEmpty = errors.New("the database has rows already. Name a new SQLite file or a PostgreSQL database without tables")
