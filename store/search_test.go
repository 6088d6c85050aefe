package store

import (
	"context"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/store/storetest"
)

// A page of the list reads the newest rows by the index, and marks by their key.
func TestSearch_UsesIndexes(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		blob := "x'00'"
		if _, postgres := s.backend.(*postgresBackend); postgres {
			blob = `'\x00'::bytea`
		}
		numbers := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
		err := s.tx(context.Background(), func(t *tx) error {
			for _, statement := range []string{
				numbers + `INSERT INTO incidents (id, status, severity, restricted, commander, opened_at, updated_at, head_seq, head_hash, head_mac, legal_hold, merged_into, origin, sealed_title, sealed_state, state_form)
					SELECT 100 + i, 'closed', 'sev2', true, '', '2026-11-20 12:00:00+00:00', '2026-11-20 12:00:00+00:00', 1, '', ` + blob + `, false, 0, '', ` + blob + `, ` + blob + `, 3 FROM n`,
				numbers + `INSERT INTO incident_marks (incident_id, kind, value) SELECT 100 + i, 'source', 's' || (i % 50) FROM n`,
				"ANALYZE",
			} {
				if err := t.db.Exec(statement).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, q := range map[string]incident.Search{
			"all":     {},
			"next":    {Before: incident.Position{At: noon, ID: 500}},
			"readers": {Readers: []incident.Mark{{Kind: incident.MarkPerson, Value: "p1"}}},
			"source":  {Source: "s7"},
		} {
			query, args := searchQuery(q)
			for _, line := range strings.Split(s.explain(t, query, args...), "\n") {
				if scan := strings.HasPrefix(strings.TrimSpace(line), "SCAN ") && !strings.Contains(line, "INDEX") || strings.Contains(line, "Seq Scan on incident_marks") || name != "source" && strings.Contains(line, "Seq Scan on incidents"); scan {
					t.Errorf("%s: got a scan of the table: %s", name, line)
				}
			}
		}
	})
}
