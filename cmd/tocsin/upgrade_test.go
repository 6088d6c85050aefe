//go:build !race

package main_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store"
	"tocsin/store/storetest"
)

// recordedSchema is the schema version of the recorded databases.
const recordedSchema = 12

// readRecording decompresses a file that testdata/upgrade/record.sh wrote.
func readRecording(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "upgrade", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// restoreRecording writes the recorded database into an empty one. Its unfinished jobs are
// a minute old, as if the earlier program had just stopped.
func restoreRecording(t *testing.T, url string) {
	t.Helper()
	driver, dsn, age := "pgx", url+"&default_query_exec_mode=simple_protocol", "now() - interval '1 minute'"
	path, isSQLite := strings.CutPrefix(url, "sqlite:")
	if isSQLite {
		driver, dsn, age = "sqlite", path, "strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 minute')"
		if err := os.WriteFile(path, readRecording(t, "sqlite.db.gz"), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if !strings.Contains(url, "?") {
		dsn = strings.Replace(dsn, "&", "?", 1)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if !isSQLite {
		if _, err := db.Exec(string(readRecording(t, "postgres.sql.gz"))); err != nil {
			t.Fatalf("restore: %v", err)
		}
		if _, err := db.Exec("SET search_path = public"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("UPDATE river_job SET created_at = " + age + ", scheduled_at = " + age + " WHERE state IN ('available', 'retryable')"); err != nil {
		t.Fatal(err)
	}
	var version int
	if err := db.QueryRow("SELECT max(version_id) FROM schema_migrations").Scan(&version); err != nil || version != recordedSchema {
		t.Fatalf("got schema %d, %v in the recording, want %d", version, err, recordedSchema)
	}
}

// TestUpgrade_RecordedDatabase starts this program on a database that an earlier one wrote.
// The schema is migrated, the records are intact, the work that waited is done once, and
// both incidents go on.
func TestUpgrade_RecordedDatabase(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		restoreRecording(t, url)
		keyset, err := os.ReadFile(filepath.Join("testdata", "upgrade", "keyset.json"))
		if err != nil {
			t.Fatal(err)
		}
		s := startBot(t, url, company.Options{Seed: 1}, func(c map[string]any) {
			path := filepath.Join(t.TempDir(), "keyset.json")
			if err := os.WriteFile(path, keyset, 0o600); err != nil {
				t.Fatal(err)
			}
			c["keyset_file"] = path
			teams := c["teams"].(map[string]any)
			teams["dpo"] = teams["payments"]
		})
		if got := s.queryInt("SELECT max(version_id) FROM schema_migrations"); int64(got) != store.SchemaVersion() {
			t.Errorf("got schema %d, want %d", got, store.SchemaVersion())
		}
		if out := s.mustRun("verify"); !strings.Contains(out, "all valid") {
			t.Errorf("got %q, want an intact database", out)
		}
		if out := s.mustRun("incident", "status", "INC-1"); !strings.Contains(out, "written by an earlier version") || !strings.Contains(out, "set personal data to suspected") {
			t.Errorf("got timeline %s\nwant the entries of the earlier version", out)
		}

		// The channel and the page of INC-2 waited.
		var channel chat.Channel
		s.waitFor(60*time.Second, "the channel of INC-2", func() bool {
			name := s.view(2).Incident.Links[incident.LinkChannel]
			found := false
			channel, found = s.company.Chat.Channel(name)
			return found
		})
		s.waitFor(60*time.Second, "the page of INC-2", func() bool { return len(s.company.Pager.Snapshot().Pages) > 0 })
		if n := strings.Count(s.mustRun("incident", "status", "INC-2"), "channel was opened"); n != 1 || channel.Archived {
			t.Errorf("got %d channels of INC-2, want 1 that is open", n)
		}

		// Both go on, and a new alert opens the next.
		for _, command := range []string{"note INC-1 after the upgrade", "ack INC-2", "contain INC-2 the key was revoked"} {
			if _, err := s.sendCommand(command); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
		if got := s.trailStatus(5); got != 202 {
			t.Errorf("got status %d for a new alert, want 202", got)
		}
		s.waitIncident(3)
		s.checkVerify()
	})
}
