package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"tocsin/store/storetest"
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
	if err := migrateUp(t.Context(), db, dialectSQLite, SchemaVersion()); err != nil {
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

// TestOpen_RefusesNewerSchema opens a database that a newer program migrated. The error
// names both versions, and nothing is changed.
func TestOpen_RefusesNewerSchema(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		if err := openTest(t, url).Close(); err != nil {
			t.Fatal(err)
		}
		db := openVersion(t, url, SchemaVersion())
		defer func() { _ = db.Close() }()
		keys, err := testKeys()
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ insert, remove, want string }{
			{"INSERT INTO schema_migrations (version_id, is_applied) VALUES (9998, true)", "DELETE FROM schema_migrations WHERE version_id = 9998",
				fmt.Sprintf("the database has schema version 9998, and this program knows versions up to %d. Run the program that migrated it or a newer one", SchemaVersion())},
			{"INSERT INTO " + riverVersions + " (line, version) VALUES ('main', 9999)", "DELETE FROM " + riverVersions + " WHERE version = 9999", "the database has queue schema version 9999, and"},
		} {
			if _, err := db.Exec(tt.insert); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
			var newer *NewerSchemaError
			if !errors.As(err, &newer) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "Nothing was changed") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err == nil {
				_ = s.Close()
			}
			if _, err := db.Exec(tt.remove); err != nil {
				t.Fatal(err)
			}
		}
		if err := openTest(t, url).Close(); err != nil {
			t.Errorf("got %v with the known versions, want an open database", err)
		}
	})
}

// TestSchemaVersion_BothDatabases compares the migrations of the two databases.
func TestSchemaVersion_BothDatabases(t *testing.T) {
	var names [2][]string
	for n, d := range []dialect{dialectSQLite, dialectPostgres} {
		entries, err := migrations.ReadDir(d.folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names[n] = append(names[n], e.Name())
		}
	}
	if !slices.Equal(names[0], names[1]) {
		t.Errorf("got migrations %v and %v, want the same versions", names[0], names[1])
	}
	if last := names[0][len(names[0])-1]; !strings.HasPrefix(last, fmt.Sprintf("%04d_", SchemaVersion())) {
		t.Errorf("got version %d, want that of %s", SchemaVersion(), last)
	}
}
