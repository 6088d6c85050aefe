package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// openVersion opens a database with the migrations of this package up to a version.
func openVersion(t *testing.T, url string, version int64) *sql.DB {
	t.Helper()
	driver, dsn, d := "pgx", url, dialectPostgres
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn, d = "sqlite", path+"?_time_format=sqlite", dialectSQLite
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, d.folder)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(d.goose, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestOpen_KeepsStateOfEarlierVersions writes correlation windows, quotas, storms and openings as version 9 of the
// schema stored them, and reads them with the current version.
func TestOpen_KeepsStateOfEarlierVersions(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := testKeys()
		if err != nil {
			t.Fatal(err)
		}
		earlier := &Store{keys: keys}
		db := openVersion(t, url, 9)
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(query, args...); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		values := map[response.Namespace]map[string]string{ // keys of today, with the stored key of the earlier version
			response.NamespaceCorrelation: {"5f2e": "5f2e"},
			response.NamespaceReporter:    {"slack:T1/U1": "reporter/slack:T1/U1"},
			response.NamespaceReporters:   {"slack/T1": "reporters/slack/T1"},
			response.NamespaceAck:         {"all": "ack/all", "to/a@x": "ack/to/a@x"},
			response.NamespaceDuplicate:   {"CVE-1": "alike/CVE-1"},
		}
		for _, entries := range values {
			for _, key := range entries {
				hash := earlier.hash("correlation_windows", "key", key)
				sealed, err := earlier.seal("correlation_windows", hash, "sealed_window", json.RawMessage(`{"key":"`+key+`"}`))
				if err != nil {
					t.Fatal(err)
				}
				exec("INSERT INTO correlation_windows (key_hash, expires_at, sealed_window) VALUES ($1, $2, $3)", hash, noon.Add(time.Hour), sealed)
			}
		}
		exec(`INSERT INTO incidents (id, status, severity, restricted, commander, opened_at, updated_at, head_seq, head_hash, head_mac, legal_hold, merged_into, sealed_title, sealed_state)
			VALUES (3, 'triage', 'sev2', false, '', $1, $1, 1, '', $2, false, 0, $2, $2)`, noon, []byte{})
		exec("INSERT INTO storms (incident_id, at, round, grouped) VALUES (3, $1, 2, 17)", dbTime(noon))
		for n := range 3 {
			exec("INSERT INTO incident_openings (at) VALUES ($1)", dbTime(noon.Add(time.Duration(-n)*time.Minute)))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // reopening changes nothing
			s := openTest(t, url)
			s.mustTx(t, func(tx response.Tx) error {
				for namespace, entries := range values {
					for key, stored := range entries {
						got, err := tx.Values(namespace, key)
						if want := `{"key":"` + stored + `"}`; err != nil || string(got[key]) != want {
							t.Errorf("%s %s: got %s, %v, want %s", namespace, key, got[key], err, want)
						}
					}
				}
				var storm response.Storm
				var openings []time.Time
				got, err := tx.Values(response.NamespaceStorm, "INC-3", response.OpeningsKey)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(got["INC-3"], &storm); err != nil {
					return fmt.Errorf("storm %s: %w", got["INC-3"], err)
				}
				if err := json.Unmarshal(got[response.OpeningsKey], &openings); err != nil {
					return fmt.Errorf("openings %s: %w", got[response.OpeningsKey], err)
				}
				if want := (response.Storm{At: dbTime(noon), Round: 2, Grouped: 17}); storm != want {
					t.Errorf("got storm %+v, want %+v", storm, want)
				}
				if len(openings) != 3 || !openings[0].Equal(dbTime(noon.Add(-2*time.Minute))) || !openings[2].Equal(dbTime(noon)) {
					t.Errorf("got openings %v, want three, the last at noon", openings)
				}
				return nil
			})
			if n := s.count(t, "SELECT (SELECT count(*) FROM storms) + (SELECT count(*) FROM incident_openings)"); n != 0 {
				t.Errorf("got %d rows in the old tables, want none", n)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestOpen_AnotherKeysetChangesNothing opens a database of an earlier version with another keyset. It must stay
// readable for the earlier version.
func TestOpen_AnotherKeysetChangesNothing(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		earlier := &Store{keys: mustEphemeral(t)}
		db := openVersion(t, url, 9)
		defer db.Close()
		sealed, err := earlier.seal("keyset", "1", "sealed_mark", earlier.keysetMark())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO keyset (id, mark, sealed_mark) VALUES (1, $1, $2)", earlier.keysetMark(), sealed); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: mustEphemeral(t)}); !errors.Is(err, ErrKeyset) {
			t.Errorf("got error %v, want %v", err, ErrKeyset)
		}
		var version int64
		if err := db.QueryRow("SELECT MAX(version_id) FROM schema_migrations").Scan(&version); err != nil || version != 9 {
			t.Errorf("got the schema version %d, error %v, want 9", version, err)
		}
		s, err := Open(t.Context(), Config{URL: url}, Deps{Keyset: earlier.keys})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	})
}
