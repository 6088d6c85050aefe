package store

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"gorm.io/gorm"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// addMigration adds a later migration to this program until the test ends. It changes a table with rows, one with foreign
// keys that are checked late, and adds a table.
func addMigration(t *testing.T) {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(migrations, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := migrations.ReadFile(path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	later := &fstest.MapFile{Data: []byte(`-- +goose Up

-- What? A comment.
ALTER TABLE links ADD COLUMN note text NOT NULL DEFAULT 'is new';
ALTER TABLE correlations ADD COLUMN note text NOT NULL DEFAULT '';
UPDATE correlations SET note = 'key ' || id;
CREATE TABLE later (id bigint PRIMARY KEY);
INSERT INTO later (id) SELECT id FROM incidents;
`)}
	files["migrations/sqlite/9999_later.sql"], files["migrations/postgres/9999_later.sql"] = later, later
	migrationFiles = files
	t.Cleanup(func() { migrationFiles = migrations })
	leftOutTables["later"] = "exists only in this test"
	t.Cleanup(func() { delete(leftOutTables, "later") })
}

// TestImport_EarlierVersion imports a stream of this version into a program with a later migration.
func TestImport_EarlierVersion(t *testing.T) {
	data := filledStream(t)
	storetest.Databases(t, func(t *testing.T, url string) {
		earlier := openTest(t, url)
		if err := earlier.Close(); err != nil {
			t.Fatal(err)
		}
		addMigration(t)
		if SchemaVersion() != 9999 {
			t.Fatalf("got schema version %d", SchemaVersion())
		}
		for _, o := range []ImportOptions{{}, {Restore: true, Amend: func(tx response.Tx) error {
			return tx.(domainTx).db.Exec("UPDATE links SET note = 'amended' WHERE incident_id = 1").Error
		}}} {
			to := storetest.SQLite(t)
			if dialectOf(url) == "postgres" {
				to = storetest.Postgres(t)
			}
			failed := errors.New("failed by test")
			if _, err := importTest(t, to, data, ImportOptions{Amend: func(response.Tx) error { return failed }}); !errors.Is(err, failed) {
				t.Errorf("got %v, want %v", err, failed)
			}
			if _, err := importTest(t, to, data, o); err != nil {
				t.Fatal(err)
			}
			s := openTest(t, to)
			want := int64(3)
			if o.Amend != nil {
				want = 2
			}
			if n := s.count(t, "SELECT count(*) FROM links WHERE note = 'is new'"); n != want {
				t.Errorf("got %d migrated links, want %d", n, want)
			}
			if n := s.count(t, "SELECT count(*) FROM correlations WHERE note = 'key ' || id"); n != 3 {
				t.Errorf("got %d migrated correlations, want 3", n)
			}
			if n := s.count(t, "SELECT count(*) FROM later"); n != 3 {
				t.Errorf("got %d rows of the later table, want 3", n)
			}
			var version int64
			if err := s.view(t.Context(), func(db *gorm.DB) error {
				return db.Raw("SELECT max(version_id) FROM " + ownVersions).Scan(&version).Error
			}); err != nil || version != 9999 {
				t.Errorf("got version %d, %v", version, err)
			}
		}
		openTest(t, url) // migrates the empty database
		if _, err := importTest(t, url, data, ImportOptions{}); err == nil || !errors.Is(err, ErrInUse) && !strings.Contains(err.Error(), "was created with schema version 9999") {
			t.Errorf("newer database: got %v", err)
		}
	})
}
