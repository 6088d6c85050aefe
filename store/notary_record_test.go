package store

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// record appends all changes to the log and returns the checkpoint.
func (s *Store) record(t testing.TB) notary.Checkpoint {
	t.Helper()
	c, err := s.RecordChanges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exec changes the database with its own means.
func (s *Store) exec(t testing.TB, statements ...string) {
	t.Helper()
	err := s.backend.tx(t.Context(), false, func(db *gorm.DB, _ queueTx) error {
		for _, statement := range statements {
			if err := db.Exec(statement).Error; err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sampleAlert returns an alert with a fingerprint.
func sampleAlert(n int) incident.Alert {
	name := fmt.Sprint("alert ", n)
	return incident.Alert{Source: "sentry", Kind: "k", Fingerprint: name, Correlation: name, Title: name}
}

// eraseTitle erases the title of an incident.
func eraseTitle(tx response.Tx, inc incident.Incident) (incident.Incident, error) {
	e, _ := incident.Seal(inc.Head, newEvent(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, "reason", "asked to"), func() []byte { return make([]byte, 32) })
	inc = incident.Apply(inc, e)
	return inc, tx.Save(inc, []incident.Event{e}, incident.TextRef{Seq: 1, Name: "title"})
}

// addSamples writes rows of every subject: 3 incidents, one of them with an erased title, 5 alerts of which one is merged,
// 3 deliveries, 3 audit entries, 2 documents, a configuration, a maintenance window and a restore.
func (s *Store) addSamples(t testing.TB) []incident.Incident {
	t.Helper()
	var all []incident.Incident
	for n := range 3 {
		all = append(all, s.openIncident(t, fmt.Sprint("incident ", n)))
	}
	var deliveries []intake.Delivery
	for n := range 3 {
		deliveries = append(deliveries, intake.Delivery{Source: "sentry", ID: fmt.Sprint(all[0].ID, n), Body: fmt.Appendf(nil, `{"n":%d}`, n), Received: noon})
	}
	if err := s.Accept(t.Context(), deliveries); err != nil {
		t.Fatal(err)
	}
	s.mustTx(t, func(tx response.Tx) error {
		for n := range 3 {
			if err := tx.Audit(response.Access{At: noon, Person: "p1", Action: "show", Incident: all[n].ID, Allowed: n > 0, Reason: fmt.Sprint("reason ", n)}); err != nil {
				return err
			}
			if _, _, err := tx.CountAlert(all[0].ID, sampleAlert(n), 2, noon, response.RoutingDecision{Rule: 1}); err != nil {
				return err
			}
		}
		// One alert is in both incidents, and the other only in the second: one is merged, and one moved.
		for n := 2; n < 4; n++ {
			if _, _, err := tx.CountAlert(all[1].ID, sampleAlert(n), 1, noon, response.RoutingDecision{}); err != nil {
				return err
			}
		}
		if _, _, err := tx.CountAlert(response.WatchedAlerts, sampleAlert(9), 1, noon, response.RoutingDecision{}); err != nil {
			return err
		}
		var err error
		all[2], err = eraseTitle(tx, all[2])
		window := incident.MaintenanceWindow{When: "kind=k", Owner: "p1", From: noon, To: noon.Add(time.Hour), Reason: "upgrade"}
		_, err2 := tx.PutMaintenance(window)
		_, err3 := tx.PutConfiguration(response.Configuration{Routing: response.Ruleset{Digest: fmt.Sprint("digest", all[0].ID), Source: []byte(`{}`)}})
		return errors.Join(err, err2, err3, tx.MoveAlerts(all[1].ID, all[0].ID),
			tx.PutDocument(all[0].ID, incident.Document{Revision: 1, Digest: "d1", Files: []incident.File{{Name: "postmortem.md", Content: "text"}}}),
			tx.PutDocument(all[1].ID, incident.Document{Revision: 1, Digest: "d2"}),
			tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "opened", Incident: all[0].ID, Alert: 1, Rule: 1}, {Row: 2, Outcome: "ignored", Reason: "a reason"}}))
	})
	err := s.tx(t.Context(), func(t *tx) error {
		var id int64
		err := t.db.Raw("INSERT INTO restores (at, backup_at, backup_size, checkpoint, last_incident, next_incident, last_inbox) VALUES (?, ?, 0, '', 0, 1, 0) RETURNING id", noon.Add(-time.Hour), noon.Add(-time.Hour)).Scan(&id).Error
		t.note(subjectRestores, id, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// loggedLines returns all lines of the log by subject.
func (s *Store) loggedLines(t testing.TB) map[string][]notary.Line {
	t.Helper()
	var leaves [][]byte
	if err := s.view(t.Context(), func(db *gorm.DB) error {
		return db.Raw("SELECT leaf FROM notary_leaves ORDER BY n").Scan(&leaves).Error
	}); err != nil {
		t.Fatal(err)
	}
	out := map[string][]notary.Line{}
	for _, leaf := range leaves {
		if notary.IsStep(leaf) {
			continue
		}
		var lines []notary.Line
		subject, err := notary.ParseLeaf(leaf, func(l notary.Line) { lines = append(lines, l) })
		if err != nil {
			t.Fatal(err)
		}
		out[subject] = append(out[subject], lines...)
	}
	return out
}

func (s *Store) loggedIDs(t testing.TB, subject string) (ids []int64) {
	t.Helper()
	for _, line := range s.loggedLines(t)[subject] {
		if line.IsMissing {
			t.Errorf("%s %d: recorded as missing", subject, line.ID)
		}
		ids = append(ids, line.ID)
	}
	return ids
}

func TestRecordChanges_CoversEveryWrite(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := openWithClock(t, url)
		first := s.record(t)
		if first.Size != 1 || first.LastIncident != 0 {
			t.Errorf("empty instance: got %+v, want 1 leaf", first)
		}
		s.addSamples(t)
		c := s.record(t)
		if c.LastIncident != 3 || len(c.Erasures) != 1 || c.Erasures[0].Incident != 3 || c.Erasures[0].Event != 2 || !slices.Equal(c.Erasures[0].Refs, []string{"1/title"}) {
			t.Errorf("got checkpoint %+v, want incident 3 and its erasure", c)
		}
		for subject, want := range map[string][]int64{
			subjectIncidents: {1, 2, 3}, subjectAudit: {1, 2, 3}, subjectDocuments: {1, 2}, subjectAlerts: {1, 2, 3, 4, 5, 6}, subjectInbox: {1, 2, 3},
			subjectConfigurations: {1}, subjectMaintenance: {1}, subjectRestores: {1}, subjectErasures: {4}, subjectTombstones: nil,
		} {
			if got := s.loggedIDs(t, subject); !slices.Equal(got, want) {
				t.Errorf("%s: got rows %v in the log, want %v", subject, got, want)
			}
		}
		if n := s.count(t, "SELECT count(*) FROM notary_outbox"); n != 0 {
			t.Errorf("got %d rows in the outbox, want none", n)
		}
		if again := s.record(t); again.Note != c.Note {
			t.Errorf("without changes: got another checkpoint of size %d, want the one of size %d", again.Size, c.Size)
		}
		latest, err := s.LatestCheckpoint(t.Context())
		if err != nil || latest.Note != c.Note {
			t.Errorf("LatestCheckpoint: got %+v, %v", latest, err)
		}
		if err := s.MarkPublished(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if published, at, err := s.LastPublished(t.Context()); err != nil || published.Note != c.Note || !at.Equal(dbTime(noon)) {
			t.Errorf("LastPublished: got %+v at %v, %v", published, at, err)
		}
		if _, err := s.Reprocess(t.Context(), DeliveryFilter{}); err != nil {
			t.Fatal(err)
		}
		s.record(t)
		if got := s.loggedIDs(t, subjectInbox); !slices.Equal(got, []int64{1, 2, 3, 2}) {
			t.Errorf("reprocessed: got deliveries %v in the log, want 2 again", got)
		}
		now.Store(noon.Add(401 * 24 * time.Hour).UnixMicro())
		if _, err := s.Prune(t.Context(), DefaultRetention(), 20*time.Second); err != nil {
			t.Fatal(err)
		}
		s.record(t)
		var gone []string
		for subject, lines := range s.loggedLines(t) {
			for _, line := range lines {
				if line.Gone != 0 {
					gone = append(gone, fmt.Sprint(subject, " ", line.ID))
				}
			}
		}
		if !slices.Equal(gone, []string{"alerts 6"}) {
			t.Errorf("got %v deleted by retention, want the watched alert", gone)
		}
	})
}

// TestRecordChanges_CoversExistingRows opens a database that an earlier version wrote.
func TestRecordChanges_CoversExistingRows(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, _ := openWithClock(t, url)
		s.addSamples(t)
		s.exec(t, "DELETE FROM notary_outbox", "UPDATE moved_alerts SET mac = ''", "UPDATE audit SET position = NULL, chain = ''", "UPDATE audit_head SET position = 0, chain = ''",
			"DELETE FROM alerts WHERE id = 1")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, _ = openWithClock(t, url)
		c := s.record(t)
		if c.LastIncident != 3 || len(c.Erasures) != 1 {
			t.Errorf("got checkpoint %+v, want incident 3 and its erasure", c)
		}
		for subject, want := range map[string][]int64{subjectIncidents: {1, 2, 3}, subjectAudit: {1, 2, 3}, subjectAlerts: {2, 3, 4, 5, 6}, subjectInbox: {1, 2, 3}} {
			if got := s.loggedIDs(t, subject); !slices.Equal(got, want) {
				t.Errorf("%s: got rows %v in the log, want %v", subject, got, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, _ = openWithClock(t, url)
		if n := s.count(t, "SELECT count(*) FROM notary_outbox"); n != 0 {
			t.Errorf("second start: got %d rows in the outbox, want none", n)
		}
	})
}

// TestRecordChanges_IgnoresForgedAndReplayedRows changes an alert and puts rows into the outbox that would have the change
// recorded.
func TestRecordChanges_IgnoresForgedAndReplayedRows(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.addSamples(t)
		s.exec(t, "CREATE TABLE stolen AS SELECT * FROM notary_outbox")
		c := s.record(t)
		for name, statement := range map[string]string{
			"replayed":                   "INSERT INTO notary_outbox SELECT * FROM stolen",
			"replayed with other ids":    "INSERT INTO notary_outbox SELECT id + 1000, changes, mac FROM stolen",
			"forged":                     "INSERT INTO notary_outbox (changes, mac) SELECT 'alerts 1', mac FROM stolen WHERE id = 1",
			"not in the form of changes": "INSERT INTO notary_outbox (changes, mac) SELECT 'everything', mac FROM stolen WHERE id = 1",
		} {
			s.exec(t, "DELETE FROM notary_outbox", "UPDATE alerts SET count = count + 1 WHERE id = 1", statement)
			if got := s.record(t); got.Note != c.Note {
				t.Errorf("%s: got a checkpoint of size %d, want no new one", name, got.Size)
			}
		}
	})
}

// TestRecordChanges_RefusesDamagedLog never signs a log that differs from the one it signed before.
func TestRecordChanges_RefusesDamagedLog(t *testing.T) {
	for name, statements := range map[string][]string{
		"last leaf deleted":                {"DELETE FROM notary_leaves WHERE n = (SELECT max(n) FROM notary_leaves)"},
		"leaf appended":                    {"INSERT INTO notary_leaves (n, leaf, hashes) SELECT (SELECT max(n) + 1 FROM notary_leaves), leaf, hashes FROM notary_leaves WHERE n = 0"},
		"hashes of another leaf":           {"UPDATE notary_leaves SET hashes = (SELECT hashes FROM notary_leaves WHERE n = 0) WHERE n = (SELECT max(n) FROM notary_leaves)"},
		"cut to the checkpoint before":     {"DELETE FROM notary_leaves WHERE n >= (SELECT min(size) FROM notary_checkpoints)", "DELETE FROM notary_checkpoints WHERE size > (SELECT min(size) FROM notary_checkpoints)"},
		"all of the log deleted":           {"DELETE FROM notary_leaves", "DELETE FROM notary_checkpoints"},
		"size of the checkpoint changed":   {"UPDATE notary_checkpoints SET size = size + 1 WHERE size = (SELECT max(size) FROM notary_checkpoints)"},
		"checkpoint with a foreign signer": {"UPDATE notary_checkpoints SET note = replace(note, '—', '—x') WHERE size = (SELECT max(size) FROM notary_checkpoints)"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Databases(t, func(t *testing.T, url string) {
				s := openTest(t, url)
				s.record(t)
				s.addSamples(t)
				s.record(t)
				s.openIncident(t, "one more")
				s.exec(t, statements...)
				before := s.count(t, "SELECT count(*) FROM notary_checkpoints")
				if c, err := s.RecordChanges(t.Context()); !errors.Is(err, ErrLogDamaged) {
					t.Errorf("got %+v, %v, want ErrLogDamaged", c, err)
				}
				if err := s.CheckNotary(noon); !errors.Is(err, ErrLogDamaged) {
					t.Errorf("CheckNotary: got %v, want ErrLogDamaged", err)
				}
				if after := s.count(t, "SELECT count(*) FROM notary_checkpoints"); after != before {
					t.Errorf("got %d checkpoints, want %d", after, before)
				}
			})
		})
	}
}

// TestRecordChanges_NeverVouchesForUnexplainedRemoval deletes rows whose change waits in the outbox.
func TestRecordChanges_NeverVouchesForUnexplainedRemoval(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.addSamples(t)
		s.exec(t, "DELETE FROM audit WHERE id = 2", "DELETE FROM alerts WHERE id = 1", "INSERT INTO moved_alerts (id, moved_to) VALUES (1, 2)",
			"INSERT INTO tombstones (table_name, at, older_than, policy, deleted, first_id, last_id, hash) VALUES ('audit', '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', 'audit: 400d', 1, 2, 2, '')")
		s.record(t)
		for subject, id := range map[string]int64{subjectAudit: 2, subjectAlerts: 1} {
			lines := s.loggedLines(t)[subject]
			n := slices.IndexFunc(lines, func(l notary.Line) bool { return l.ID == id })
			if n < 0 || !lines[n].IsMissing {
				t.Errorf("%s %d: got lines %+v, want it missing", subject, id, lines)
			}
		}
	})
}

// TestRecordChanges_TwoHolders runs two replicas at the same time. Every change must be in the log once.
func TestRecordChanges_TwoHolders(t *testing.T) {
	url := storetest.Postgres(t)
	a := openTest(t, url, func(c *testConfig) { c.ReplicaID = "a" })
	b := openTest(t, url, func(c *testConfig) { c.ReplicaID = "b" })
	const incidents = 40
	var wg sync.WaitGroup
	for _, s := range []*Store{a, b} {
		wg.Go(func() {
			for n := range incidents / 2 {
				s.openIncident(t, fmt.Sprint("incident ", n))
				if _, err := s.RecordChanges(t.Context()); err != nil && !errors.Is(err, errStepConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a.record(t)
	ids := a.loggedIDs(t, subjectIncidents)
	slices.Sort(ids)
	if len(ids) != incidents || len(slices.Compact(ids)) != incidents {
		t.Errorf("got %d incidents in the log, want %d once each", len(ids), incidents)
	}
}

// TestRecordChanges_SplitsLargeChanges records more rows than a step has.
func TestRecordChanges_SplitsLargeChanges(t *testing.T) {
	s := openTest(t, storetest.SQLite(t), func(c *testConfig) { c.Logger = slog.New(slog.DiscardHandler) })
	const n = maxStepRows*2 + 5
	s.exec(t, fmt.Sprintf(`INSERT INTO audit (at, person, action, incident_id, allowed, sealed_detail, position, chain)
		WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT '2026-11-30 12:00:00+00:00', '', 'show', 0, true, x'', n, '' FROM c`, n))
	err := s.tx(t.Context(), func(t *tx) error {
		t.note(subjectAudit, 1, n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.record(t)
	lines := s.loggedLines(t)[subjectAudit]
	for k, line := range lines { // the ciphertexts are invalid, so all rows count as missing
		if line.ID != int64(k+1) {
			t.Fatalf("line %d: got row %d", k, line.ID)
		}
	}
	if steps := s.count(t, "SELECT count(*) FROM notary_checkpoints"); len(lines) != n || steps != 3 {
		t.Errorf("got %d lines in %d steps, want %d in 3", len(lines), steps, n)
	}
}

// TestOutbox_IDsAreUsedOnce restores the database's own counter of ids to an older value.
func TestOutbox_IDsAreUsedOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.addSamples(t)
		s.record(t)
		if strings.HasPrefix(url, "sqlite:") {
			s.exec(t, "DELETE FROM sqlite_sequence WHERE name = 'notary_outbox'")
		} else {
			s.exec(t, "ALTER SEQUENCE notary_outbox_id_seq RESTART")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, url)
		s.openIncident(t, "after a restore")
		s.record(t)
		if got := s.loggedIDs(t, subjectIncidents); !slices.Equal(got, []int64{1, 2, 3, 4}) {
			t.Errorf("got incidents %v in the log, want 1 to 4", got)
		}
	})
}
