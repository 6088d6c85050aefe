package store

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"gorm.io/gorm"

	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/stream"
)

// ImportOptions say how [Import] treats the rows.
type ImportOptions struct {
	// Restore is set if the stream is a backup and other work may have happened after it. The unfinished effects are held
	// and get no job. Otherwise each unfinished effect and delivery gets a job.
	Restore bool
	// Checkpoint is the newest published checkpoint that is known, or nil. Only its note counts. A backup must not
	// contradict it.
	Checkpoint *notary.Checkpoint
	// Amend, if set, changes the rows before they are committed.
	Amend func(response.Tx) error
}

// Imported is the result of [Import].
type Imported struct {
	Manifest Manifest `json:"manifest"`
	// Effects and Deliveries are the numbers of unfinished effects and deliveries. Of a restore they wait for a release.
	Effects    int64 `json:"effects"`
	Deliveries int64 `json:"deliveries"`
	// NextIncident is the number of the next incident. A restore leaves out numbers that the lost database may have used.
	NextIncident int64 `json:"next_incident"`
}

// Import creates the schema in the empty database of c and fills it from a stream of rows, in one transaction: either
// all rows are there afterwards or none. Errors include [ErrNotEmpty], [ErrKeyset], [ErrInUse], [ErrUnavailable] and
// [stream.ErrDamaged]. The header and the keyset are checked before the database is opened.
func Import(ctx context.Context, c Config, d Deps, r io.Reader, o ImportOptions) (out Imported, err error) {
	in, err := stream.NewReader(r)
	if err != nil {
		return out, err
	}
	defer in.Close()
	if err := errors.Join(checkSchema(in.Header()), checkOrigin(in.Header(), d.Keyset)); err != nil {
		return out, err
	}
	s, err := openBackend(ctx, c, d)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.backend.close()) }()
	if err := s.prepareImport(ctx, in.Header().Schema); err != nil {
		return out, err
	}
	err = s.backend.tx(ctx, true, func(db *gorm.DB, queue queueTx) error {
		t := &tx{db: db, queue: queue, river: s.backend.river(), ctx: ctx}
		im := importer{domainTx{reader{s, db, queue.rowLockClause()}, t}, in, o}
		if out, err = im.run(); err != nil {
			return err
		}
		return s.flushNotes(t)
	})
	if err != nil {
		return Imported{}, fmt.Errorf("import rows: %w", wrapUnavailable(err))
	}
	return out, nil
}

// firstStreamSchema is the schema version of the first program that wrote streams.
const firstStreamSchema = 21

// checkSchema returns an error unless this program can import the schema of a stream.
func checkSchema(h stream.Header) error {
	switch known := SchemaVersion(); {
	case h.Schema > known:
		return fmt.Errorf("the stream has schema version %d, and this program knows versions up to %d. Use the version of Tocsin that wrote the stream, or a newer one", h.Schema, known)
	case h.Schema < firstStreamSchema:
		return fmt.Errorf("%w (schema version %d never had streams)", stream.ErrDamaged, h.Schema)
	}
	return nil
}

// checkOrigin returns [ErrKeyset] unless the keyset belongs to the instance that wrote the stream.
func checkOrigin(h stream.Header, keys *Keyset) error {
	if keys == nil {
		return errors.New("import rows: a keyset is required")
	}
	if h.Origin != keys.origin() {
		return fmt.Errorf("%w: the rows come from the instance %.50q, and the keyset belongs to %q. Use a copy of the keyset of that instance", ErrKeyset, h.Origin, keys.origin())
	}
	return nil
}

// prepareImport creates the schema of a version, unless the database has rows.
func (s *Store) prepareImport(ctx context.Context, version int64) error {
	err := s.view(ctx, func(db *gorm.DB) error {
		tables, err := streamTables(db, s.backend.engine().columns)
		if err != nil {
			return err
		}
		return refuseRows(db, tables)
	})
	if err == nil {
		err = s.checkKeysetBeforeMigration(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.backend.migrate(ctx, s.log, version); err != nil {
		return fmt.Errorf("migrate database: %w", wrapUnavailable(err))
	}
	return nil
}

// importer fills a database in one transaction.
type importer struct {
	domainTx
	in *stream.Reader
	o  ImportOptions
}

func (im importer) run() (out Imported, err error) {
	if err := im.empty(); err != nil {
		return out, err
	}
	if err := im.rows(); err != nil {
		return out, err
	}
	if out.Manifest, err = im.in.Manifest(); err != nil {
		return out, err
	}
	if err := im.checkManifest(out.Manifest); err != nil {
		return out, err
	}
	if err := im.setNextIDs(out.Manifest); err != nil {
		return out, err
	}
	if err := im.upgrade(); err != nil {
		return out, err
	}
	err = errors.Join(
		im.db.Raw("SELECT count(*) FROM effects WHERE state IN ('available', 'pending')").Scan(&out.Effects).Error,
		im.db.Raw("SELECT count(*) FROM inbox WHERE handled_at IS NULL").Scan(&out.Deliveries).Error)
	if err != nil {
		return out, fmt.Errorf("count unfinished work: %w", err)
	}
	checkpoint, err := im.checkCheckpoint(out.Manifest)
	if err != nil {
		return out, err
	}
	if im.o.Restore {
		err = im.hold(out.Manifest, checkpoint)
	} else {
		err = im.deriveJobs()
	}
	if err != nil {
		return out, err
	}
	if im.o.Amend != nil {
		if err := im.o.Amend(im.domainTx); err != nil {
			return out, fmt.Errorf("amend rows: %w", err)
		}
	}
	return out, im.db.Raw("SELECT value + 1 FROM counters WHERE name = 'incident'").Scan(&out.NextIncident).Error
}

// empty checks again that the database has no rows, now while no other process can add some, and deletes those that the
// migrations inserted.
func (im importer) empty() error {
	e := im.s.backend.engine()
	if err := e.exec(im.db, e.lock, e.timeout); err != nil {
		return fmt.Errorf("lock database: %w", err)
	}
	var version int64
	if err := im.db.Raw("SELECT max(version_id) FROM " + ownVersions).Scan(&version).Error; err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if version != im.in.Header().Schema {
		return fmt.Errorf("the database was created with schema version %d, and the stream has %d. Name a new SQLite file or a PostgreSQL database without tables", version, im.in.Header().Schema)
	}
	tables, err := streamTables(im.db, e.columns)
	if err != nil {
		return err
	}
	if err := refuseRows(im.db, tables); err != nil {
		return err
	}
	for table := range seedRows {
		if err := im.db.Exec("DELETE FROM " + table).Error; err != nil {
			return fmt.Errorf("empty %s: %w", table, err)
		}
	}
	return nil
}

// rows inserts the rows of the stream. The stream must have exactly the tables and columns of the schema of its version.
func (im importer) rows() error {
	tables, err := streamTables(im.db, im.s.backend.engine().columns)
	if err != nil {
		return err
	}
	keys := im.s.keys.keyIDs()
	left := map[string]bool{}
	for name := range tables {
		if _, isLeftOut := leftOutTables[name]; !isLeftOut && !isRiverTable(name) {
			left[name] = true
		}
	}
	for im.in.NextTable() {
		name := im.in.Table().Name
		if !left[name] {
			return fmt.Errorf("schema version %d does not have the table %.50q of the stream, or it is there twice. Use the version of Tocsin that wrote the stream", im.in.Header().Schema, name)
		}
		delete(left, name)
		columns, err := streamTable(tables, name)
		if err != nil {
			return err
		}
		if err := sameColumns(name, im.in.Table().Columns, columns); err != nil {
			return err
		}
		source := &rowSource{in: im.in, columns: columns, keys: keys}
		if err := im.tx.queue.copyRows(im.tx.ctx, name, columnNames(columns), source); err != nil {
			return fmt.Errorf("write %s: %w", name, errors.Join(source.err, err))
		}
	}
	if err := im.in.Err(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		return fmt.Errorf("the stream does not have the table %s of schema version %d. Use the version of Tocsin that wrote the stream", name, im.in.Header().Schema)
	}
	return nil
}

// upgrade changes the rows of an earlier version as its next start would have.
func (im importer) upgrade() error {
	e := im.s.backend.engine()
	if err := e.exec(im.db, e.checkKeys); err != nil {
		return fmt.Errorf("check foreign keys: %w", err)
	}
	if err := migrateFrom(im.db, e.dialect, im.in.Header().Schema); err != nil {
		return err
	}
	ids, err := statesToRecompute(im.db)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := im.recomputeState(id); err != nil {
			return fmt.Errorf("recompute state of %s: %w", id, err)
		}
	}
	return nil
}

// sameColumns returns an error that names the first difference.
func sameColumns(table string, got, want []stream.Column) error {
	find := func(in []stream.Column, name string) (stream.Type, bool) {
		for _, c := range in {
			if c.Name == name {
				return c.Type, true
			}
		}
		return "", false
	}
	for _, c := range got {
		switch known, ok := find(want, c.Name); {
		case !ok:
			return fmt.Errorf("the stream has the column %s.%.50s, which this program does not know. Use the version of Tocsin that wrote the stream", table, c.Name)
		case known != c.Type:
			return fmt.Errorf("the column %s.%s has the type %.20s in the stream and %s in this program. Use the version of Tocsin that wrote the stream", table, c.Name, c.Type, known)
		}
	}
	for _, c := range want {
		if _, ok := find(got, c.Name); !ok {
			return fmt.Errorf("the stream has not the column %s.%s. Use the version of Tocsin that wrote the stream", table, c.Name)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%w (table %s has a column twice)", stream.ErrDamaged, table)
	}
	return nil
}

// rowSource returns the rows of one table for copyRows. It stops at a row that needs a key that the keyset does not have.
type rowSource struct {
	in      *stream.Reader
	columns []stream.Column
	keys    keyIDs
	err     error
}

// Next implements [pgx.CopyFromSource].
func (r *rowSource) Next() bool {
	if r.err != nil || !r.in.NextRow() {
		return false
	}
	for i, c := range r.columns {
		set := r.keys.of(c)
		if set == nil {
			continue
		}
		if id, ok := keyID(r.in.Row()[i]); ok && !set[id] {
			r.err = fmt.Errorf("%w: %s.%s needs the key %s, which the keyset does not have. Use a copy of the keyset from before `tocsin keys rotate --prune`", ErrKeyset,
				r.in.Table().Name, c.Name, formatKeyID(id))
			return false
		}
	}
	return true
}

// Values implements [pgx.CopyFromSource].
func (r *rowSource) Values() ([]any, error) { return r.in.Row(), nil }

// Err implements [pgx.CopyFromSource].
func (r *rowSource) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.in.Err()
}

// checkManifest checks what needs the keyset: the MAC of the stream, and the mark of the keyset.
func (im importer) checkManifest(m Manifest) error {
	sum, err := hex.DecodeString(m.SHA256)
	if err != nil || !hmac.Equal(m.MAC, im.s.keys.streamMAC(sum)) {
		return fmt.Errorf("%w (its MAC was not made with the keyset)", stream.ErrDamaged)
	}
	var marks []struct {
		Mark       string
		SealedMark []byte
	}
	if err := im.db.Raw("SELECT mark, sealed_mark FROM keyset").Scan(&marks).Error; err != nil {
		return fmt.Errorf("read the mark of the keyset: %w", err)
	}
	if len(marks) != 1 {
		return fmt.Errorf("%w: the rows have no mark of their keyset", ErrKeyset)
	}
	return im.s.checkMark(marks[0].Mark, marks[0].SealedMark)
}

// setNextIDs sets the next ids of all tables with counted ids. No id is used twice, not even that of a deleted row.
func (im importer) setNextIDs(m Manifest) error {
	e := im.s.backend.engine()
	next, err := e.nextIDs(im.db)
	if err != nil {
		return fmt.Errorf("read next ids: %w", err)
	}
	for _, t := range m.Tables {
		if _, counted := next[t.Name]; !counted && t.NextID == 0 {
			continue
		}
		var last int64
		if err := im.db.Raw("SELECT coalesce(max(id), 0) FROM " + t.Name).Scan(&last).Error; err != nil {
			return fmt.Errorf("read last id of %s: %w", t.Name, err)
		}
		if err := e.setNext(im.db, t.Name, max(t.NextID, last+1)); err != nil {
			return fmt.Errorf("set next id of %s: %w", t.Name, err)
		}
	}
	return nil
}
