package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

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
	entries, _ := migrations.ReadDir(dialectSQLite.folder) // an embedded folder can be read
	version := int64(0)
	for _, e := range entries {
		n, err := goose.NumericComponent(e.Name())
		if err == nil {
			version = max(version, n)
		}
	}
	return version
}

// migrateUp applies the migrations of this package. The caller must prevent concurrent migrations.
func migrateUp(ctx context.Context, db *sql.DB, d dialect) error {
	files, err := fs.Sub(migrations, d.folder)
	if err != nil {
		return fmt.Errorf("find migrations: %w", err)
	}
	provider, err := goose.NewProvider(d.goose, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_migrations"))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
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
