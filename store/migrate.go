package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/rivermigrate"
	"gorm.io/gorm"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// migrationFiles are the migrations of this program. Tests add a later one.
var migrationFiles fs.FS = migrations

// dialect is a database's name in goose and the folder of its migrations.
type dialect struct {
	goose  goose.Dialect
	folder string
}

var (
	dialectSQLite   = dialect{goose.DialectSQLite3, "migrations/sqlite"}
	dialectPostgres = dialect{goose.DialectPostgres, "migrations/postgres"}
)

// SchemaVersion returns the version of the newest migration of this program. Both
// databases have the same versions.
func SchemaVersion() int64 {
	version := int64(0)
	for _, m := range laterMigrations(dialectSQLite, 0) {
		version = max(version, m.version)
	}
	return version
}

// migration is one file of migrations.
type migration struct {
	version int64
	path    string
}

// laterMigrations returns the migrations after a version, in order.
func laterMigrations(d dialect, version int64) (out []migration) {
	entries, _ := fs.ReadDir(migrationFiles, d.folder) // an embedded folder can be read, and is in order
	for _, e := range entries {
		if n, err := goose.NumericComponent(e.Name()); err == nil && n > version {
			out = append(out, migration{n, d.folder + "/" + e.Name()})
		}
	}
	return out
}

// NewerSchemaError means that a newer program migrated the database. This program would
// misread it.
type NewerSchemaError struct {
	Table             string // of the versions
	Database, Program int64
}

func (e *NewerSchemaError) Error() string {
	name := "schema"
	if e.Table == riverVersions {
		name = "queue schema"
	}
	return fmt.Sprintf("the database has %s version %d, and this program knows versions up to %d. Run the program that migrated it or a newer one, or restore a backup from before the upgrade. Nothing was changed", name, e.Database, e.Program)
}

// ownVersions is the table of the versions of this package.
const ownVersions = "schema_migrations"

// checkVersion returns a [NewerSchemaError] if the database has a newer version in a column
// of a table than this program knows. A new database has no version. It changes nothing.
func checkVersion(ctx context.Context, db *sql.DB, d dialect, table, column string, known int64) error {
	exists := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if d.goose == goose.DialectPostgres {
		exists = "SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass($1)"
	}
	var tables int
	if err := db.QueryRowContext(ctx, exists, table).Scan(&tables); err != nil || tables == 0 {
		return err
	}
	var version sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT max("+column+") FROM "+table).Scan(&version); err != nil {
		return err
	}
	if version.Int64 > known {
		return &NewerSchemaError{Table: table, Database: version.Int64, Program: known}
	}
	return nil
}

// checkVersions is [checkVersion] for both tables. The migrator knows River's versions.
func checkVersions[T any](ctx context.Context, db *sql.DB, d dialect, river *rivermigrate.Migrator[T]) error {
	if err := checkVersion(ctx, db, d, ownVersions, "version_id", SchemaVersion()); err != nil {
		return err
	}
	known := 0
	for _, m := range river.AllVersions() {
		known = max(known, m.Version)
	}
	return checkVersion(ctx, db, d, riverVersions, "version", int64(known))
}

// migrateUp applies the migrations of this package up to a version. The caller must prevent concurrent migrations.
func migrateUp(ctx context.Context, db *sql.DB, d dialect, version int64) error {
	files, err := fs.Sub(migrationFiles, d.folder)
	if err != nil {
		return fmt.Errorf("find migrations: %w", err)
	}
	provider, err := goose.NewProvider(d.goose, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(ownVersions))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}

// migrateFrom applies the migrations after a version in an existing transaction, which goose cannot do.
func migrateFrom(db *gorm.DB, d dialect, version int64) error {
	for _, m := range laterMigrations(d, version) {
		text, err := fs.ReadFile(migrationFiles, m.path)
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		if err := db.Exec(string(text)).Error; err != nil {
			return fmt.Errorf("migrate schema to version %d: %w", m.version, err)
		}
		if err := db.Exec("INSERT INTO "+ownVersions+" (version_id, is_applied) VALUES (?, true)", m.version).Error; err != nil {
			return fmt.Errorf("record migration: %w", err)
		}
	}
	return nil
}

// warnLogger returns a logger that drops messages below the level Warn, for libraries that log their progress.
func warnLogger(log *slog.Logger) *slog.Logger { return slog.New(minWarnHandler{log.Handler()}) }

type minWarnHandler struct{ slog.Handler }

func (h minWarnHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle drops messages about context.Canceled, which River logs when it is stopped.
func (h minWarnHandler) Handle(ctx context.Context, r slog.Record) error {
	interrupted := false
	r.Attrs(func(a slog.Attr) bool {
		interrupted = a.Value.String() == context.Canceled.Error()
		return !interrupted
	})
	if interrupted {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h minWarnHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return minWarnHandler{h.Handler.WithAttrs(attrs)}
}

func (h minWarnHandler) WithGroup(name string) slog.Handler {
	return minWarnHandler{h.Handler.WithGroup(name)}
}
