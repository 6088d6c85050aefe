//go:build !race

package main_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/notary"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store"
	"tocsin/store/storetest"
)

// rewritings are changes with the means of the database. Tables are those that the change is undone in.
var rewritings = []struct {
	name   string
	tables string
	sql    string
	want   store.ProblemKind
}{
	{"audit entry deleted", "audit", "DELETE FROM audit WHERE id = 1", store.ProblemMissing},
	{"audit entry flipped", "audit", "UPDATE audit SET allowed = NOT allowed WHERE id = 1", store.ProblemReplaced},
	{"newest incident removed", "incidents events counters", "DELETE FROM events WHERE incident_id = 2; DELETE FROM incidents WHERE id = 2; UPDATE counters SET value = 1 WHERE name = 'incident'", store.ProblemMissing},
	{"alert deleted", "alerts", "DELETE FROM alerts", store.ProblemMissing},
	{"delivery deleted", "inbox delivery_bodies", "DELETE FROM delivery_bodies; DELETE FROM inbox", store.ProblemMissing},
	{"kind changed", "events", "UPDATE events SET kind = 'paged' WHERE seq = 1", store.ProblemColumn},
	{"recorded_at changed", "events", "UPDATE events SET recorded_at = '2026-01-01 00:00:00+00:00' WHERE seq = 1", store.ProblemColumn},
	{"hash changed", "events", "UPDATE events SET hash = 'x' WHERE seq = 1", store.ProblemColumn},
	{"commander changed", "incidents", "UPDATE incidents SET commander = 'eve'", store.ProblemChanged},
	{"status changed", "incidents", "UPDATE incidents SET status = 'closed' WHERE id = 1", store.ProblemChanged},
	{"leaf changed", "notary_leaves", "UPDATE notary_leaves SET leaf = (SELECT leaf FROM notary_leaves WHERE n = 0) WHERE n = 1", store.ProblemRewritten},
	{"checkpoints without signature", "notary_checkpoints", "UPDATE notary_checkpoints SET note = 'x'", store.ProblemCheckpoint},
	{"outbox row forged", "", "INSERT INTO notary_outbox (id, changes, mac) SELECT 1000000, 'alerts 1', sealed_mark FROM keyset", store.ProblemOutbox},
	{"tombstone forged", "", "INSERT INTO tombstones (id, table_name, at, older_than, policy, deleted, first_id, last_id, hash) VALUES (1, 'audit', '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', '', 1, 1, 1, '')", store.ProblemMAC},
	{"log cut", "notary_leaves notary_checkpoints", "DELETE FROM notary_leaves; DELETE FROM notary_checkpoints", store.ProblemCut},
}

// writer returns a connection that does not check foreign keys.
func (s *botProcess) writer() *sql.DB {
	s.t.Helper()
	driver, dsn := "pgx", s.database+"&session_replication_role=replica"
	if !strings.Contains(s.database, "?") {
		dsn = s.database + "?session_replication_role=replica"
	}
	if path, ok := strings.CutPrefix(s.database, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// record appends all changes to the log of the stopped bot, and returns the checkpoint.
func (s *botProcess) record() notary.Checkpoint {
	s.t.Helper()
	keys, err := store.LoadKeyset(s.keyset)
	if err != nil {
		s.t.Fatal(err)
	}
	st, err := store.Open(s.t.Context(), store.Config{URL: s.database}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	c, err := st.RecordChanges(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// TestVerify_FindsRewriting changes the database of a stopped and of a running bot, and undoes each change.
func TestVerify_FindsRewriting(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 47})
		if a, err := s.company.Sentry.EventAlert(t.Context(), feed.NewIssue(feed.DataLeak, 47), feed.Copy{N: 1}); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		s.waitIncident(1)
		if _, err := s.sendCommand("open sev3 a leaked key"); err != nil {
			t.Fatal(err)
		}
		s.view(2)
		s.waitIdle(time.Minute)
		s.stop()
		c := s.record()
		file := s.writeFile("checkpoint.eml", "Subject: checkpoint\r\n\r\n> "+strings.ReplaceAll(c.Note, "\n", "\r\n> "))
		db := s.writer()
		for _, state := range []string{"stopped", "running"} {
			if state == "running" {
				s.start()
				s.waitIdle(time.Minute)
			}
			if out := s.mustRun("verify", "--checkpoint", file); !strings.Contains(out, "all valid") || !strings.Contains(out, "public key of the notary: tocsin/") {
				t.Errorf("%s: got %q, want all valid", state, out)
			}
			for _, r := range rewritings {
				s.checkRewriting(db, r.tables, r.sql, r.want, state+", "+r.name, file)
			}
		}
		if out, err := s.run("verify", "--checkpoint", s.writeFile("foreign", "tocsin/0000000000000000\n1\n")); err == nil || !strings.Contains(err.Error(), "has no checkpoint with a valid signature of this instance") {
			t.Errorf("foreign checkpoint: got %q, %v", out, err)
		}
		if strings.HasPrefix(url, "sqlite:") {
			checkRootByHand(t, strings.TrimPrefix(url, "sqlite:"), c)
		}
	})
}

// checkRewriting changes tables, requires the problem from the command line, and undoes the change.
func (s *botProcess) checkRewriting(db *sql.DB, tables, change string, want store.ProblemKind, name, checkpoint string) {
	s.t.Helper()
	var before, after []string
	for _, table := range strings.Fields(tables) {
		before = append(before, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		key := map[string]string{"counters": "name", "delivery_bodies": "inbox_id", "notary_leaves": "n", "notary_checkpoints": "size"}[table]
		if key == "" {
			key = "id"
		}
		// verify writes to the audit log, and the running bot to others.
		after = append(after, fmt.Sprintf("DELETE FROM %[1]s WHERE %[2]s IN (SELECT %[2]s FROM kept_%[1]s)", table, key), "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
	}
	after = append(after, "DELETE FROM notary_outbox WHERE id = 1000000", "DELETE FROM tombstones")
	exec := func(statements []string) {
		s.t.Helper()
		if _, err := db.ExecContext(s.t.Context(), "BEGIN; "+strings.Join(statements, "; ")+"; COMMIT"); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
	}
	exec(append(before, change))
	out, err := s.run("verify", "--json", "--checkpoint", checkpoint)
	var v store.Verification
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.t.Fatalf("%s: got %q: %v", name, out, err)
	}
	if err == nil || !slices.ContainsFunc(v.Problems, func(p store.VerifyProblem) bool { return p.Kind == want }) {
		s.t.Errorf("%s: got %v and problems %v, want %s", name, err, v.Problems, want)
	}
	exec(after)
}

// checkRootByHand runs the program of docs/security.md, which computes the hash of the log without Tocsin.
func checkRootByHand(t *testing.T, database string, c notary.Checkpoint) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("python3 is not installed")
		return
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(page), "```python\n")
	program, _, _ = strings.Cut(program, "```")
	out, err := exec.CommandContext(t.Context(), python, "-c", program, database, fmt.Sprint(c.Size)).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != c.Root.String() {
		t.Errorf("got %s, %v from the program in the documentation, want %s", out, err, c.Root)
	}
}
