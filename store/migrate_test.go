package store

import (
	"bytes"
	"database/sql"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
)

// TestMigrateUp_PreservesRows migrates a database from before detection rules and delivery bodies had their own columns
// and tables. Configurations must retain their ids, which alerts refer to, and deliveries their bodies.
func TestMigrateUp_PreservesRows(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "old.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	files, err := fs.Sub(migrations, dialectSQLite.folder)
	if err != nil {
		t.Fatal(err)
	}
	old, err := goose.NewProvider(dialectSQLite.goose, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO configurations (id, digest, at, sealed_rules) VALUES (7, 'sha256:1', '2026-11-20 02:31:00+00:00', x'01')"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO inbox (id, source, delivery_hash, received_at, sealed_body) VALUES (3, 'sentry', 'h', '2026-11-20 02:31:00+00:00', x'0203')"); err != nil {
		t.Fatal(err)
	}
	if err := migrateUp(t.Context(), db, dialectSQLite); err != nil {
		t.Fatal(err)
	}
	var id int64
	var digest, detection string
	var sealed []byte
	if err := db.QueryRowContext(t.Context(), "SELECT id, digest, detection_digest, sealed_detection FROM configurations").Scan(&id, &digest, &detection, &sealed); err != nil {
		t.Fatal(err)
	}
	if id != 7 || digest != "sha256:1" || detection != "" || sealed != nil {
		t.Errorf("got id %d, digest %s, detection digest %q, sealed %v", id, digest, detection, sealed)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO configurations (digest, detection_digest, at, sealed_rules) VALUES ('sha256:1', 'sha256:a', '2026-11-20 02:31:00+00:00', x'01')"); err != nil {
		t.Errorf("equal routing with other detection rules: %v", err)
	}
	var body []byte
	err = db.QueryRowContext(t.Context(), "SELECT sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id = 3 AND delivery_hash = 'h'").Scan(&body)
	if err != nil || !bytes.Equal(body, []byte{2, 3}) {
		t.Errorf("got body %x, %v, want 0203", body, err)
	}
}
