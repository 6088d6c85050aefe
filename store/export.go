package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/store/stream"
)

// Manifest is the summary of a stream of rows.
type Manifest = stream.Manifest

// Export writes all rows of one snapshot to w, as a [stream]. Other transactions continue, and it pauses for them. The
// rows have no job: [Import] derives jobs from effects and deliveries. An error leaves a stream in w that every reader
// refuses.
func (s *Store) Export(ctx context.Context, w io.Writer) (Manifest, error) {
	return s.export(ctx, &pacedWriter{ctx, w, time.Now()})
}

// export is Export without pauses.
func (s *Store) export(ctx context.Context, w io.Writer) (m Manifest, err error) {
	out, err := stream.NewWriter(w, stream.Header{Schema: SchemaVersion(), Origin: s.keys.origin(), Engine: s.backend.engine().name, At: s.now()})
	if err != nil {
		return m, err
	}
	defer out.Abort()
	err = s.view(ctx, func(db *gorm.DB) error {
		e := exporter{db: db, engine: s.backend.engine(), out: out, keys: newKeyIDs()}
		m, err = e.run(s.keys)
		return err
	})
	if err != nil {
		return m, fmt.Errorf("export rows: %w", err)
	}
	return m, nil
}

// exporter writes the rows of one snapshot.
type exporter struct {
	db     *gorm.DB
	engine engine
	out    *stream.Writer
	keys   keyIDs
}

func (e *exporter) run(keys *Keyset) (m Manifest, err error) {
	if err := e.engine.exec(e.db, e.engine.timeout); err != nil {
		return m, err
	}
	tables, err := streamTables(e.db, e.engine.columns)
	if err != nil {
		return m, err
	}
	for _, t := range exportedTables {
		columns, err := streamTable(tables, t.name)
		if err != nil {
			return m, err
		}
		if err := e.table(t, columns); err != nil {
			return m, err
		}
	}
	m.Keys = e.keys.sorted()
	err = errors.Join(
		e.db.Raw("SELECT value FROM counters WHERE name = 'incident'").Scan(&m.LastIncident).Error,
		e.db.Raw("SELECT count(*) FROM notary_leaves").Scan(&m.Leaves).Error,
		e.db.Raw("SELECT note FROM notary_checkpoints ORDER BY size DESC LIMIT 1").Scan(&m.Checkpoint).Error)
	if err != nil {
		return m, fmt.Errorf("read the notary's log: %w", err)
	}
	next, err := e.engine.nextIDs(e.db)
	if err != nil {
		return m, fmt.Errorf("read next ids: %w", err)
	}
	return e.out.Close(m, next, keys.streamMAC)
}

// table writes the rows of a table in the order of its key.
func (e *exporter) table(t exportedTable, columns []stream.Column) (err error) {
	if err := e.out.Table(t.name, columns); err != nil {
		return err
	}
	order := slices.Clone(t.key)
	for i, key := range order {
		if slices.Contains(columns, stream.Column{Name: key, Type: stream.Text}) {
			order[i] += e.engine.byBytes
		}
	}
	rows, err := e.db.Raw("SELECT " + quoteColumns(columnNames(columns)) + " FROM " + t.name + " ORDER BY " + strings.Join(order, ", ")).Rows()
	if err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	cells := newCells(columns)
	for rows.Next() {
		if err := rows.Scan(cells.targets...); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		values := cells.read()
		e.keys.add(columns, values)
		if err := e.out.Row(values); err != nil {
			return valueError(t, columns, values, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	return nil
}

// valueError names the table, row and column of a value that a stream cannot hold.
func valueError(t exportedTable, columns []stream.Column, values []any, err error) error {
	var row []string
	for _, key := range t.key {
		n := slices.IndexFunc(columns, func(c stream.Column) bool { return c.Name == key })
		row = append(row, fmt.Sprintf("%s %v", key, values[n]))
	}
	where := fmt.Sprintf("row %s of table %s", strings.Join(row, ", "), t.name)
	var value *stream.ValueError
	if errors.As(err, &value) {
		return fmt.Errorf("the column %s in %s cannot be exported, because %w. Correct the value in the database", columns[value.Column].Name, where, err)
	}
	return fmt.Errorf("%s cannot be exported: %w", where, err)
}

// driverValue receives a value as the driver returns it. It is valid until the next row.
type driverValue struct{ value any }

// Scan implements [sql.Scanner]. Unlike other targets it copies no bytes, and an empty value is not NULL.
func (c *driverValue) Scan(value any) error { c.value = value; return nil }

// cells receive the values of one row.
type cells struct {
	columns []stream.Column
	targets []any
	values  []any
}

func newCells(columns []stream.Column) *cells {
	c := &cells{columns, make([]any, len(columns)), make([]any, len(columns))}
	for i := range columns {
		c.targets[i] = &driverValue{}
	}
	return c
}

// read returns the values of the row that was scanned. They are valid until the next row.
func (c *cells) read() []any {
	for i, column := range c.columns {
		v := c.targets[i].(*driverValue).value
		if n, ok := v.(int64); ok && column.Type == stream.Bool { // SQLite has no booleans
			v = n != 0
		}
		c.values[i] = v
	}
	return c.values
}

// keyIDs are the ids of the keys that rows need.
type keyIDs struct{ seal, mac map[uint32]bool }

func newKeyIDs() keyIDs { return keyIDs{map[uint32]bool{}, map[uint32]bool{}} }

// add adds the keys of the ciphertexts and MACs of a row.
func (k keyIDs) add(columns []stream.Column, values []any) {
	for i, c := range columns {
		if set := k.of(c); set != nil {
			if id, ok := keyID(values[i]); ok {
				set[id] = true
			}
		}
	}
}

// of returns the ids that belong to a column, or nil.
func (k keyIDs) of(c stream.Column) map[uint32]bool {
	switch {
	case c.Type == stream.Bytes && isSealed(c.Name):
		return k.seal
	case c.Name == signedColumn:
		return k.mac
	}
	return nil
}

// keyID returns the id of the key in the prefix of a ciphertext or MAC.
func keyID(v any) (uint32, bool) {
	b, _ := v.([]byte)
	if len(b) < prefixSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[1:prefixSize]), true
}

func (k keyIDs) sorted() stream.Keys {
	text := func(ids map[uint32]bool) []string {
		out := []string{}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			out = append(out, formatKeyID(id))
		}
		return out
	}
	return stream.Keys{Seal: text(k.seal), MAC: text(k.mac)}
}

func formatKeyID(id uint32) string { return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, id)) }
