package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// fillTables inserts enough rows that the planner scans a whole table only if no index fits.
func (s *Store) fillTables(t testing.TB, rows int) {
	t.Helper()
	fill := func(query string) {
		t.Helper()
		numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows)
		if err := s.tx(context.Background(), func(t *tx) error { return t.db.Exec(strings.Replace(query, "INSERT", numbers+"INSERT", 1)).Error }); err != nil {
			t.Fatal(err)
		}
	}
	blob := "x'00'"
	if _, postgres := s.backend.(*postgresBackend); postgres {
		blob = `'\x00'::bytea`
	}
	at := "'2026-11-20 12:00:00+00:00'"
	fill(`INSERT INTO alerts (incident_id, hash, correlation_hash, source, kind, count, first_at, last_at, sealed_body)
		SELECT CASE WHEN i % 10 = 0 THEN i % 7 ELSE -(i % 3) END, 'h' || i, 'c' || (i % 1000), 'sentry', 'k', 1, ` + at + `, ` + at + `, ` + blob + ` FROM n`)
	fill(`INSERT INTO inbox (source, delivery_hash, received_at, handled_at, outcome, alert_id)
		SELECT 'sentry', 'h' || i, ` + at + `, ` + at + `, 'watched', i FROM n`)
	fill(`INSERT INTO delivery_bodies (inbox_id, sealed_body) SELECT i, ` + blob + ` FROM n`)
	fill(`INSERT INTO effects (key, kind, incident_id, seq, lane, lane_pos, refresh, urgent, args, state, created_at)
		SELECT 'k' || i, 'post', i, 1, '', 1, false, false, '{}', 'completed', ` + at + ` FROM n`)
	fill(`INSERT INTO correlations (key_hash, incident_id, live, ended_at) SELECT 'c' || i, 1, false, ` + at + ` FROM n`)
	if err := s.tx(context.Background(), func(t *tx) error { return t.db.Exec("ANALYZE").Error }); err != nil {
		t.Fatal(err)
	}
}

// explain returns the query plan of a statement.
func (s *Store) explain(t *testing.T, query string, args ...any) string {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if _, postgres := s.backend.(*postgresBackend); postgres {
		explain = "EXPLAIN "
	}
	var out []string
	err := s.view(t.Context(), func(db *gorm.DB) error {
		rows, err := db.Raw(explain+query, args...).Rows()
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			cells := make([]any, len(columns))
			for n := range cells {
				cells[n] = new(any)
			}
			if err := rows.Scan(cells...); err != nil {
				return err
			}
			out = append(out, fmt.Sprint(*cells[len(cells)-1].(*any)))
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(out, "\n")
}

// TestQueryPlans_NoFullTableScan checks the plans of the statements that process an alert in a large store. Many stored
// alerts must not slow the next one.
func TestQueryPlans_NoFullTableScan(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "first")
		s.fillTables(t, 20_000)
		now := dbTime(noon)
		for name, q := range map[string]struct {
			query string
			args  []any
		}{
			"incident of an alert":              {"SELECT key_hash, incident_id FROM correlations WHERE live AND key_hash IN ?", []any{[]string{"a", "b"}}},
			"ended incident":                    {"SELECT incident_id FROM correlations WHERE NOT live AND key_hash = ? AND ended_at >= ? ORDER BY ended_at DESC LIMIT 1", []any{"a", now}},
			"occurrences":                       {"SELECT count FROM alerts WHERE incident_id = ? AND hash = ?", []any{1, "h"}},
			"watched alerts by correlation key": {"SELECT id FROM alerts WHERE incident_id = 0 AND correlation_hash IN (SELECT key_hash FROM correlations WHERE live AND incident_id = ?) ORDER BY id", []any{1}},
			"watched alerts by hash":            {"SELECT id FROM alerts WHERE incident_id = 0 AND hash IN (SELECT hash FROM alerts WHERE incident_id = ?) ORDER BY id", []any{1}},
			"next alerts of an incident":        {"SELECT * FROM alerts WHERE incident_id = ? AND id > ? ORDER BY id LIMIT 500", []any{7, 100}},
			"maintenance windows":               {"SELECT * FROM maintenance_windows WHERE ends_at > ? ORDER BY ends_at, id", []any{now}},
			"rows to drain":                     {"SELECT id, source FROM inbox WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id", []any{5, 10}},
			"rows to claim":                     {"SELECT id FROM inbox WHERE id IN ? AND handled_at IS NULL ORDER BY id", []any{[]int{1, 2}}},
			"stored delivery":                   {"SELECT id FROM inbox WHERE source = ? AND delivery_hash = ?", []any{"sentry", "h"}},
			"newest suppressed alerts":          {"SELECT * FROM alerts WHERE incident_id = ? ORDER BY last_at DESC, id DESC LIMIT 50", []any{0}},
			"old suppressed alerts":             {"SELECT id FROM alerts WHERE incident_id = ? AND last_at < ? ORDER BY last_at LIMIT 500", []any{0, now.AddDate(-1, 0, 0)}},
			"finished effects of an incident":   {"SELECT id, key, state FROM effects WHERE incident_id = ? AND NOT refresh AND state IN ('completed', 'discarded') LIMIT 500", []any{7}},
			"next effect of a lane":             {"SELECT * FROM effects WHERE lane = ? AND state IN ('available', 'pending') ORDER BY lane_pos LIMIT 1", []any{"INC-1/channel"}},
			"alert by id":                       {"SELECT * FROM alerts WHERE id = ?", []any{5}},
			"configuration by id":               {"SELECT id, at, sealed_rules FROM configurations WHERE id = ?", []any{1}},
		} {
			plan := s.explain(t, q.query, q.args...)
			for _, line := range strings.Split(plan, "\n") {
				// SQLite plans contain SCAN, and PostgreSQL plans contain Seq Scan. Small tables may be scanned.
				if fullScan := strings.HasPrefix(strings.TrimSpace(line), "SCAN ") && !strings.Contains(line, "INDEX") || strings.Contains(line, "Seq Scan on"); !fullScan {
					continue
				}
				if !slices.ContainsFunc([]string{"maintenance_windows", "configurations"}, func(small string) bool { return strings.Contains(line, small) }) {
					t.Errorf("%s: got a full table scan:\n%s", name, plan)
				}
			}
		}
	})
}

// ingestBatch performs the store operations for one batch of new alerts.
func (s *Store) ingestBatch(t testing.TB, n, size int) {
	t.Helper()
	var ds []intake.Delivery
	for k := range size {
		ds = append(ds, intake.Delivery{Source: "sentry", ID: strconv.Itoa(n*size + k), Body: []byte(`{"a": 1}`), Received: noon})
	}
	if err := s.Accept(context.Background(), ds); err != nil {
		t.Fatal(err)
	}
	err := s.Tx(context.Background(), func(tx response.Tx) error {
		for k := range size {
			a := incident.Alert{Source: "sentry", Kind: "k", Fingerprint: strconv.Itoa(n*size + k), Correlation: strconv.Itoa(k)}
			if _, err := tx.IncidentsByCorrelation("sentry:"+a.Fingerprint, a.Correlation); err != nil {
				return err
			}
			if _, _, err := tx.EndedIncident(a.Correlation, a, noon); err != nil {
				return err
			}
			if _, _, err := tx.CountAlert(response.WatchedAlerts, a, 1, noon, response.RoutingDecision{}); err != nil {
				return err
			}
		}
		_, err := tx.MaintenanceWindows(noon)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkIngestIntoLargeStore ingests batches of 100 new alerts into an empty store and into one with many alerts.
// The environment variable TOCSIN_TEST_ALERTS sets their number, by default 100,000: `go test ./store -run '^$' -bench
// LargeStore`.
func BenchmarkIngestIntoLargeStore(b *testing.B) {
	existing := []int{0, 100_000}
	if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_ALERTS")); err == nil {
		existing = []int{0, n}
	}
	keys, err := testKeys()
	if err != nil {
		b.Fatal(err)
	}
	for _, database := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, n := range existing {
			b.Run(fmt.Sprintf("%s/%d", database.name, n), func(b *testing.B) {
				s, err := Open(b.Context(), Config{URL: database.url(b)}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon }})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				s.openIncident(b, "first")
				if n > 0 {
					s.fillTables(b, n)
				}
				for k := 0; b.Loop(); k++ {
					s.ingestBatch(b, k, 100)
				}
			})
		}
	}
}
