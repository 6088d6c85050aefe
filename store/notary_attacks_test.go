package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// world is a database with a history: two checkpoints, and older copies of all rows in tables with the prefix old_.
type world struct {
	*Store
	t         testing.TB
	clock     func(time.Time)
	incidents []incident.Incident
	first     notary.Checkpoint // when the copies were made
	last      notary.Checkpoint
	published []notary.Checkpoint // that Verify gets
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	now := noon
	w := &world{t: t, clock: func(at time.Time) { now = at }}
	w.Store = openTest(t, url, func(c *testConfig) { c.Clock = func() time.Time { return now } })
	w.record(t)
	w.incidents = w.addSamples(t)
	w.first = w.record(t)
	for _, table := range exportedTables {
		w.exec(t, "CREATE TABLE old_"+table.name+" AS SELECT * FROM "+table.name)
	}
	w.work()
	w.last = w.record(t)
	w.mustVerify(t, "before the attack", w.first, w.last)
	return w
}

// work writes to some of the rows again.
func (w *world) work() {
	w.mustTx(w.t, func(tx response.Tx) (err error) {
		for range 2 {
			if w.incidents[0], err = saveEvents(tx, w.incidents[0], newEvent(incident.EventNoted, nil, "text", "y")); err != nil {
				return err
			}
		}
		_, _, err = tx.CountAlert(w.incidents[0].ID, sampleAlert(0), 1, noon, response.RoutingDecision{Rule: 1})
		return errors.Join(err, w.audit(tx))
	})
}

func (w *world) audit(tx response.Tx) error {
	return tx.Audit(response.Access{At: noon, Person: "p2", Action: "show", Incident: 1, Allowed: true})
}

// addAudit writes n audit entries in transactions.
func (w *world) addAudit(n int) {
	for range n {
		w.mustTx(w.t, w.audit)
	}
}

// sql runs statements with the database's own means.
func (w *world) sql(statements ...string) { w.exec(w.t, statements...) }

// rollBackIncident replaces an incident and its timeline by the old copy.
func (w *world) rollBackIncident(id int) {
	var set []string
	for _, column := range []string{"status", "severity", "restricted", "commander", "opened_at", "updated_at", "review_at", "head_seq", "head_hash", "head_mac", "legal_hold", "merged_into", "origin", "sealed_title", "sealed_state"} {
		set = append(set, fmt.Sprintf("%s = (SELECT %s FROM old_incidents WHERE id = %d)", column, column, id))
	}
	w.sql(fmt.Sprintf("DELETE FROM events WHERE incident_id = %d AND seq > (SELECT head_seq FROM old_incidents WHERE id = %d)", id, id),
		fmt.Sprintf("UPDATE incidents SET %s WHERE id = %d", strings.Join(set, ", "), id))
	w.incidents[id-1].Head = incident.Head{}
	w.Store.incidents.forget(int64(id))
	w.writer.incidents.Purge()
}

// rollBackAll replaces all rows by the old copies.
func (w *world) rollBackAll() {
	err := w.backend.tx(w.t.Context(), false, func(db *gorm.DB, q queueTx) error {
		if q.rowLockClause() == "" {
			if err := db.Exec("PRAGMA defer_foreign_keys = 1").Error; err != nil {
				return err
			}
		} else if err := db.Exec("SET LOCAL session_replication_role = replica").Error; err != nil {
			return err
		}
		for _, table := range exportedTables {
			if err := errors.Join(db.Exec("DELETE FROM "+table.name).Error, db.Exec("INSERT INTO "+table.name+" SELECT * FROM old_"+table.name).Error); err != nil {
				return fmt.Errorf("roll back %s: %w", table.name, err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// rewriteLog changes the leaves with fn and computes all hashes again. sign returns the note of a stored checkpoint.
func (w *world) rewriteLog(fn func(n int64, leaf string) string, sign func(c notary.Checkpoint) string) {
	var leaves []struct {
		N    int64
		Leaf []byte
	}
	err := w.backend.tx(w.t.Context(), false, func(db *gorm.DB, _ queueTx) error {
		if err := db.Raw("SELECT n, leaf FROM notary_leaves ORDER BY n").Scan(&leaves).Error; err != nil {
			return err
		}
		var tree notary.Tree
		for _, one := range leaves {
			leaf := []byte(fn(one.N, string(one.Leaf)))
			if err := db.Exec("UPDATE notary_leaves SET leaf = ?, hashes = ? WHERE n = ?", leaf, notary.JoinHashes(tree.Add(leaf)), one.N).Error; err != nil {
				return err
			}
			if sign == nil {
				continue
			}
			note := sign(notary.Checkpoint{Size: tree.Size(), Root: tree.Root(), At: noon})
			if err := db.Exec("UPDATE notary_checkpoints SET note = ? WHERE size = ?", note, tree.Size()).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// dropLine removes the lines about a row from the leaves of a subject.
func dropLine(subject string, id int64) func(int64, string) string {
	return func(_ int64, leaf string) string {
		if !strings.HasPrefix(leaf, subject+"\n") {
			return leaf
		}
		var b strings.Builder
		for line := range strings.Lines(leaf) {
			if !strings.HasPrefix(line, fmt.Sprint(id, " ")) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
}

// foreignSigner signs checkpoints for the origin of the instance with another key.
func (w *world) foreignSigner() func(notary.Checkpoint) string {
	key, err := notary.NewKey(w.keys.origin(), make([]byte, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	return func(c notary.Checkpoint) string {
		signed, err := key.Sign(c)
		if err != nil {
			w.t.Fatal(err)
		}
		return signed.Note
	}
}

// stepOf returns the first leaf of a step.
func stepOf(changes ...notary.Range) []byte { return notary.Step{Changes: changes, Last: 100}.Text() }

// append records leaves that a correct instance would not record.
func (w *world) append(leaves ...[]byte) {
	var step logStep
	key, err := w.keys.Notary()
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.view(w.t.Context(), func(db *gorm.DB) error {
		previous, tree, err := w.resumeLog(db, key.Verifier())
		if err != nil {
			return err
		}
		step.size, step.leaves = previous.Size, leaves
		for _, leaf := range step.leaves {
			step.hashes = append(step.hashes, tree.Add(leaf))
		}
		step.checkpoint, err = key.Sign(notary.Checkpoint{Size: tree.Size(), Root: tree.Root(), At: noon})
		return err
	})
	if err == nil {
		err = w.appendStep(w.t.Context(), step)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// commit runs a transaction of the store.
func (w *world) commit(fn func(*tx) error) {
	if err := w.tx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// kinds returns the kinds of the problems.
func kinds(v Verification) []ProblemKind {
	var out []ProblemKind
	for _, p := range v.Problems {
		if !slices.Contains(out, p.Kind) {
			out = append(out, p.Kind)
		}
	}
	slices.Sort(out)
	return out
}

// rewritings are the attacks of somebody who can write to the database and does not have the keyset.
var rewritings = []struct {
	name   string
	want   []ProblemKind // exactly
	attack func(w *world)
}{
	{"audit log deleted", []ProblemKind{ProblemAuditGap, ProblemMissing}, func(w *world) { w.sql("DELETE FROM audit") }},
	{"audit entry deleted", []ProblemKind{ProblemAuditGap, ProblemMissing}, func(w *world) { w.sql("DELETE FROM audit WHERE id = 2") }},
	{"audit entry flipped", []ProblemKind{ProblemAuditChain, ProblemChanged, ProblemReplaced}, func(w *world) { w.sql("UPDATE audit SET allowed = NOT allowed WHERE id = 2") }},
	{"end of the audit chain cut", []ProblemKind{ProblemMissing}, func(w *world) {
		w.sql("DELETE FROM audit WHERE id = 4", "UPDATE audit_head SET position = 3, chain = (SELECT chain FROM audit WHERE id = 3)")
	}},
	{"newest incident removed, counter decremented", []ProblemKind{ProblemMissing}, func(w *world) {
		w.sql("DELETE FROM events WHERE incident_id = 3", "DELETE FROM incidents WHERE id = 3", "UPDATE counters SET value = value - 1 WHERE name = 'incident'")
	}},
	{"incident rolled back to an older copy", []ProblemKind{ProblemChanged, ProblemRolledBack}, func(w *world) { w.rollBackIncident(1) }},
	{"incident rolled back, then continued", []ProblemKind{ProblemReplaced}, func(w *world) {
		w.rollBackIncident(1)
		w.mustTx(w.t, func(tx response.Tx) error {
			inc, err := tx.Incident(1)
			for range 2 {
				if err == nil {
					inc, err = saveEvents(tx, inc, newEvent(incident.EventNoted, nil, "text", "another"))
				}
			}
			return err
		})
	}},
	{"timeline cut", []ProblemKind{ProblemCiphertext, ProblemChanged, ProblemHead, ProblemRolledBack, ProblemState}, func(w *world) {
		w.sql("DELETE FROM events WHERE incident_id = 1 AND seq = 3", "UPDATE incidents SET head_seq = 2, head_hash = (SELECT hash FROM events WHERE incident_id = 1 AND seq = 2) WHERE id = 1")
	}},
	{"whole database rolled back", []ProblemKind{ProblemCut}, func(w *world) { w.rollBackAll(); w.published = []notary.Checkpoint{w.last} }},
	{"document deleted", []ProblemKind{ProblemMissing}, func(w *world) { w.sql("DELETE FROM documents WHERE id = 1") }},
	{"document's digest changed", []ProblemKind{ProblemChanged, ProblemReplaced}, func(w *world) { w.sql("UPDATE documents SET digest = 'x' WHERE id = 1") }},
	{"alert deleted", []ProblemKind{ProblemMissing}, func(w *world) { w.sql("DELETE FROM alerts WHERE id = 1") }},
	{"alert deleted as if merged", []ProblemKind{ProblemMAC}, func(w *world) {
		w.sql("DELETE FROM alerts WHERE id = 1", "INSERT INTO moved_alerts (id, moved_to, mac) SELECT 1, 2, mac FROM moved_alerts")
	}},
	{"alert's count changed", []ProblemKind{ProblemChanged}, func(w *world) { w.sql("UPDATE alerts SET count = 1 WHERE id = 1") }},
	{"alert moved to another incident", []ProblemKind{ProblemChanged}, func(w *world) { w.sql("UPDATE alerts SET incident_id = 2 WHERE id = 1") }},
	{"inbox row deleted", []ProblemKind{ProblemMissing}, func(w *world) {
		w.sql("DELETE FROM delivery_bodies WHERE inbox_id = 1", "DELETE FROM inbox WHERE id = 1")
	}},
	{"outcome of a delivery changed", []ProblemKind{ProblemChanged}, func(w *world) { w.sql("UPDATE inbox SET outcome = 'ignored' WHERE id = 1") }},
	{"event's kind changed", []ProblemKind{ProblemColumn}, func(w *world) { w.sql("UPDATE events SET kind = 'paged' WHERE incident_id = 1 AND seq = 2") }},
	{"event's recorded_at changed", []ProblemKind{ProblemColumn}, func(w *world) {
		w.sql("UPDATE events SET recorded_at = '2026-01-01 00:00:00+00:00' WHERE incident_id = 1 AND seq = 2")
	}},
	{"event's hash changed", []ProblemKind{ProblemColumn}, func(w *world) { w.sql("UPDATE events SET hash = 'x' WHERE incident_id = 1 AND seq = 2") }},
	{"commander changed", []ProblemKind{ProblemChanged, ProblemColumn}, func(w *world) { w.sql("UPDATE incidents SET commander = 'eve' WHERE id = 1") }},
	{"status changed", []ProblemKind{ProblemChanged, ProblemColumn}, func(w *world) { w.sql("UPDATE incidents SET status = 'closed' WHERE id = 1") }},
	{"configuration deleted", []ProblemKind{ProblemMissing}, func(w *world) { w.sql("DELETE FROM configurations") }},
	{"maintenance window extended", []ProblemKind{ProblemChanged}, func(w *world) {
		w.sql("UPDATE maintenance_windows SET ends_at = '2027-01-01 00:00:00+00:00'")
	}},
	{"log cut", []ProblemKind{ProblemChanged, ProblemCut, ProblemUnknown}, func(w *world) {
		w.sql(fmt.Sprintf("DELETE FROM notary_leaves WHERE n >= %d", w.first.Size), fmt.Sprintf("DELETE FROM notary_checkpoints WHERE size > %d", w.first.Size))
		w.published = []notary.Checkpoint{w.last}
	}},
	{"log deleted", []ProblemKind{ProblemCut, ProblemUnknown}, func(w *world) {
		w.sql("DELETE FROM notary_leaves", "DELETE FROM notary_checkpoints")
		w.published = []notary.Checkpoint{w.last}
	}},
	{"log and outbox deleted, and nobody has a checkpoint", []ProblemKind{ProblemUnknown}, func(w *world) {
		w.sql("DELETE FROM notary_leaves", "DELETE FROM notary_checkpoints", "DELETE FROM notary_outbox")
	}},
	{"log rewritten, checkpoints kept", []ProblemKind{ProblemAuditGap, ProblemRewritten}, func(w *world) {
		w.sql("DELETE FROM audit WHERE id = 2")
		w.rewriteLog(dropLine(subjectAudit, 2), nil)
	}},
	{"log rewritten, signed with a foreign key", []ProblemKind{ProblemAuditGap, ProblemCheckpoint, ProblemTwoHistories, ProblemUnsigned}, func(w *world) {
		w.sql("DELETE FROM audit WHERE id = 2")
		w.rewriteLog(dropLine(subjectAudit, 2), w.foreignSigner())
		w.published = []notary.Checkpoint{w.last}
	}},
	{"outbox row forged", []ProblemKind{ProblemChanged, ProblemOutbox}, func(w *world) {
		w.sql("UPDATE alerts SET count = 1 WHERE id = 1", "INSERT INTO notary_outbox (changes, mac) SELECT 'alerts 1', note_mac.mac FROM (SELECT sealed_mark AS mac FROM keyset) AS note_mac")
	}},
	{"tombstone forged", []ProblemKind{ProblemMAC, ProblemMissing, ProblemAuditGap}, func(w *world) {
		w.sql("DELETE FROM audit WHERE id = 2", forgedTombstone)
	}},
	{"row deleted inside the range of a tombstone", []ProblemKind{ProblemMissing}, func(w *world) {
		for n := 20; n < 24; n++ { // watched alerts 7 to 10, of which the retention deletes three
			w.mustTx(w.t, func(tx response.Tx) error {
				at := noon
				if n == 22 {
					at = noon.Add(300 * 24 * time.Hour)
				}
				_, _, err := tx.CountAlert(response.WatchedAlerts, sampleAlert(n), 1, at, response.RoutingDecision{})
				return err
			})
		}
		w.record(w.t)
		w.clock(noon.Add(401 * 24 * time.Hour))
		if p, err := w.Prune(w.t.Context(), DefaultRetention(), 20*time.Second); err != nil || p.Deleted["alerts"] != 4 {
			w.t.Fatalf("got %+v, %v, want 4 alerts deleted", p, err)
		}
		w.record(w.t)
		w.mustVerify(w.t, "after the retention", w.first, w.last)
		w.sql("DELETE FROM alerts WHERE incident_id = 0")
	}},
	{"two histories shown to two people", []ProblemKind{ProblemTwoHistories}, (*world).fork},
}

const forgedTombstone = "INSERT INTO tombstones (table_name, at, older_than, policy, deleted, first_id, last_id, hash, mac) VALUES ('audit', '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', 'audit: 400d', 1, 1, 4, '', '')"

// TestVerify_FindsRewriting attacks a running database. Verify must find the attack there and after a restart.
func TestVerify_FindsRewriting(t *testing.T) {
	for _, c := range rewritings {
		t.Run(c.name, func(t *testing.T) {
			storetest.Databases(t, func(t *testing.T, url string) {
				w := newWorld(t, url)
				c.attack(w)
				want := slices.Sorted(slices.Values(c.want))
				v := w.verify(t, w.published...)
				if got := kinds(v); !slices.Equal(got, want) {
					t.Errorf("running: got problems %v, want %v\n%s", got, want, problemLines(v))
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				stopped := openTest(t, url)
				if v := stopped.verify(t, w.published...); len(v.Problems) == 0 {
					t.Error("after a restart: got no problem")
				}
			})
		})
	}
}

// checks has an attack that only one check of Verify finds. If the check is removed, the test fails.
var checks = []struct {
	kind   ProblemKind
	name   string
	attack func(w *world)
}{
	{ProblemCiphertext, "text of a table that the log does not cover", func(w *world) {
		w.mustTx(w.t, func(tx response.Tx) error { return tx.PutDirectory(incident.Directory{}) })
		w.sql("UPDATE directory SET sealed_body = substr(sealed_body, 1, length(sealed_body) - 1)")
	}},
	{ProblemNumbers, "counter of incidents raised", func(w *world) { w.sql("UPDATE counters SET value = value + 1 WHERE name = 'incident'") }},
	{ProblemBody, "body deleted within the minute", func(w *world) {
		if err := w.Accept(w.t.Context(), []intake.Delivery{{Source: "sentry", ID: "new", Received: noon}}); err != nil {
			w.t.Fatal(err)
		}
		w.sql("DELETE FROM delivery_bodies WHERE inbox_id = 4")
	}},
	{ProblemHead, "MAC of another head", func(w *world) {
		w.sql("UPDATE incidents SET head_mac = (SELECT i.head_mac FROM incidents AS i WHERE i.id = 2) WHERE id = 1")
	}},
	{ProblemTimeline, "text changed by an instance", func(w *world) {
		events := w.timeline(1)
		events[1].Texts["text"] = incident.Text{Value: "z", Salt: events[1].Texts["text"].Salt, Commitment: events[1].Texts["text"].Commitment}
		sealed, err := w.seal("events", rowKey(1, 2), "sealed_body", events[1])
		if err != nil {
			w.t.Fatal(err)
		}
		w.commit(func(t *tx) error {
			return t.db.Exec("UPDATE events SET sealed_body = ? WHERE incident_id = 1 AND seq = 2", sealed).Error
		})
	}},
	{ProblemErased, "erased text is back", func(w *world) {
		inc := w.openIncident(w.t, "a name")
		w.sql("CREATE TABLE unerased AS SELECT * FROM events WHERE incident_id = 4")
		w.mustTx(w.t, func(tx response.Tx) error { _, err := eraseTitle(tx, inc); return err })
		w.record(w.t)
		w.sql("UPDATE events SET sealed_body = (SELECT sealed_body FROM unerased) WHERE incident_id = 4 AND seq = 1")
	}},
	{ProblemState, "state of another history", func(w *world) {
		inc := w.incidents[0]
		inc.Commander = "eve"
		sealed, err := w.seal("incidents", rowKey(int(inc.ID), inc.Head.Seq), "sealed_state", inc)
		if err != nil {
			w.t.Fatal(err)
		}
		w.commit(func(t *tx) error {
			return t.db.Exec("UPDATE incidents SET sealed_state = ? WHERE id = 1", sealed).Error
		})
	}},
	{ProblemState, "title of another history", func(w *world) {
		sealed, err := w.seal("incidents", rowKey(1, w.incidents[0].Head.Seq), "sealed_title", "nothing happened")
		if err != nil {
			w.t.Fatal(err)
		}
		w.commit(func(t *tx) error {
			return t.db.Exec("UPDATE incidents SET sealed_title = ? WHERE id = 1", sealed).Error
		})
	}},
	{ProblemColumn, "event's kind", func(w *world) { w.sql("UPDATE events SET kind = 'paged' WHERE incident_id = 1 AND seq = 2") }},
	{ProblemColumn, "status within the minute", func(w *world) {
		w.openIncident(w.t, "new")
		w.sql("UPDATE incidents SET status = 'closed' WHERE id = 4")
	}},
	{ProblemLeaf, "leaves with other numbers", func(w *world) { w.sql("UPDATE notary_leaves SET n = n + 1000 WHERE n > 3") }},
	{ProblemLeaf, "leaf of an unknown subject", func(w *world) { w.append(stepOf(), []byte("nothing\n1 x\n")) }},
	{ProblemLeaf, "leaf with a malformed line", func(w *world) { w.append(stepOf(), []byte("alerts\n1 x\n")) }},
	{ProblemLeaf, "malformed step", func(w *world) { w.append([]byte("step\nx\n")) }},
	{ProblemLeaf, "head of a timeline without its number", func(w *world) {
		w.work()
		w.append(stepOf(), notary.Leaf{Subject: subjectIncidents, Lines: []notary.Line{{ID: 1}}}.Text())
	}},
	{ProblemHashes, "hashes of another leaf", func(w *world) {
		w.sql("UPDATE notary_leaves SET hashes = (SELECT hashes FROM notary_leaves WHERE n = 0) WHERE n = 1")
	}},
	{ProblemUnsigned, "newest checkpoint deleted", func(w *world) { w.sql(fmt.Sprintf("DELETE FROM notary_checkpoints WHERE size = %d", w.last.Size)) }},
	{ProblemCheckpoint, "earlier checkpoint deleted", func(w *world) { w.sql(fmt.Sprintf("DELETE FROM notary_checkpoints WHERE size = %d", w.first.Size)) }},
	{ProblemCheckpoint, "earlier checkpoint without signature", func(w *world) {
		w.sql(fmt.Sprintf("UPDATE notary_checkpoints SET note = 'x' WHERE size = %d", w.first.Size))
	}},
	{ProblemCheckpoint, "time of a checkpoint changed", func(w *world) {
		w.sql(fmt.Sprintf("UPDATE notary_checkpoints SET at = '2026-01-01 00:00:00+00:00' WHERE size = %d", w.first.Size))
	}},
	{ProblemRewritten, "a superseded line changed, hashes computed again", func(w *world) {
		isFirst := true
		w.rewriteLog(func(_ int64, leaf string) string {
			if !strings.HasPrefix(leaf, subjectAlerts+"\n1 ") || !isFirst {
				return leaf
			}
			isFirst = false
			first, second := leaf[9:10], leaf[11:12]
			return leaf[:9] + second + leaf[10:11] + first + leaf[12:]
		}, nil)
	}},
	{ProblemCut, "whole database rolled back", func(w *world) { w.rollBackAll(); w.published = []notary.Checkpoint{w.last} }},
	{ProblemTwoHistories, "a checkpoint of another history", (*world).fork},
	{ProblemTwoHistories, "two checkpoints of the history that a restore lost", func(w *world) {
		key, err := w.keys.Notary()
		if err != nil {
			w.t.Fatal(err)
		}
		for n := range 2 {
			c, err := key.Sign(notary.Checkpoint{Size: w.last.Size + 5, Root: notary.Hash{byte(n)}, At: noon})
			if err != nil {
				w.t.Fatal(err)
			}
			w.published = append(w.published, c)
		}
		w.restored(noon.Add(time.Hour))
	}},
	{ProblemCounted, "a change recorded twice", func(w *world) { w.append(stepOf(notary.Range{First: 1, Last: 1})) }},
	{ProblemOutbox, "forged row", func(w *world) {
		w.sql("INSERT INTO notary_outbox (changes, mac) SELECT 'alerts 1', sealed_mark FROM keyset")
	}},
	{ProblemOutbox, "row used before", func(w *world) {
		w.openIncident(w.t, "new")
		w.sql("CREATE TABLE stolen AS SELECT * FROM notary_outbox")
		w.record(w.t)
		w.sql("INSERT INTO notary_outbox SELECT * FROM stolen")
	}},
	{ProblemMissing, "document deleted", func(w *world) { w.sql("DELETE FROM documents WHERE id = 1") }},
	{ProblemMissing, "document deleted within the minute", func(w *world) {
		w.mustTx(w.t, func(tx response.Tx) error { return tx.PutDocument(1, incident.Document{Revision: 2}) })
		w.sql("DELETE FROM documents WHERE id = 3")
	}},
	{ProblemMissing, "document deleted before it was recorded", func(w *world) {
		w.mustTx(w.t, func(tx response.Tx) error { return tx.PutDocument(1, incident.Document{Revision: 2}) })
		w.sql("DELETE FROM documents WHERE id = 3")
		w.record(w.t)
	}},
	{ProblemChanged, "alert's count", func(w *world) { w.sql("UPDATE alerts SET count = 1 WHERE id = 1") }},
	{ProblemUnknown, "restore that did not happen", func(w *world) {
		w.sql("INSERT INTO restores (at, backup_at, backup_size, checkpoint, last_incident, next_incident, last_inbox) VALUES ('2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', 0, '', 0, 1, 0)")
	}},
	{ProblemReturned, "deleted alert inserted again", func(w *world) {
		w.clock(noon.Add(401 * 24 * time.Hour))
		if _, err := w.Prune(w.t.Context(), DefaultRetention(), 20*time.Second); err != nil {
			w.t.Fatal(err)
		}
		w.record(w.t)
		w.sql("INSERT INTO alerts SELECT * FROM old_alerts WHERE incident_id = 0")
	}},
	{ProblemRolledBack, "incident rolled back, then written by the bot", func(w *world) {
		w.rollBackIncident(1)
		w.mustTx(w.t, func(tx response.Tx) error {
			inc, err := tx.Incident(1)
			if err == nil {
				_, err = saveEvents(tx, inc, newEvent(incident.EventNoted, nil, "text", "another"))
			}
			return err
		})
	}},
	{ProblemReplaced, "incident rolled back, then continued", func(w *world) {
		w.rollBackIncident(1)
		w.mustTx(w.t, func(tx response.Tx) error {
			inc, err := tx.Incident(1)
			for range 3 {
				if err == nil {
					inc, err = saveEvents(tx, inc, newEvent(incident.EventNoted, nil, "text", "another"))
				}
			}
			return err
		})
	}},
	{ProblemReplaced, "digest of a document within the minute of another change", func(w *world) {
		w.mustTx(w.t, func(tx response.Tx) error {
			return tx.PutDocument(1, incident.Document{Revision: 1, Digest: "d1", Files: []incident.File{{Name: "postmortem.md", Content: "erased"}}})
		})
		w.sql("UPDATE documents SET digest = 'x' WHERE id = 1")
	}},
	{ProblemMAC, "merge within the minute changed", func(w *world) {
		w.mustTx(w.t, func(tx response.Tx) error {
			_, _, err := tx.CountAlert(w.incidents[1].ID, sampleAlert(0), 1, noon, response.RoutingDecision{})
			return errors.Join(err, tx.MoveAlerts(w.incidents[1].ID, w.incidents[0].ID))
		})
		w.sql("UPDATE moved_alerts SET moved_to = 2 WHERE id = (SELECT max(id) FROM moved_alerts)")
	}},
	{ProblemTombstone, "tombstone of other rows", func(w *world) { w.prunedAudit(2, 3, 2) }},
	{ProblemTombstone, "tombstone of fewer rows", func(w *world) { w.prunedAudit(1, 4, 1) }},
	{ProblemAuditChain, "entry flipped within the minute", func(w *world) {
		w.addAudit(2)
		w.sql("UPDATE audit SET allowed = NOT allowed WHERE id = 5")
	}},
	{ProblemAuditChain, "head of the chain changed", func(w *world) { w.sql("UPDATE audit_head SET chain = ''") }},
	{ProblemAuditGap, "entry deleted with its record within the minute", func(w *world) {
		w.addAudit(2)
		w.sql("DELETE FROM audit WHERE id = 5", "DELETE FROM notary_outbox WHERE id = (SELECT min(id) FROM notary_outbox)")
	}},
}

// fork publishes the checkpoint of one history and goes on with another one.
func (w *world) fork() {
	w.openIncident(w.t, "for one person")
	w.published = []notary.Checkpoint{w.record(w.t)}
	w.rollBackAll()
	w.resetRecorder()
	for range 4 {
		w.openIncident(w.t, "for another person")
		w.record(w.t)
	}
}

func (w *world) timeline(id incident.ID) (events []incident.Event) {
	err := w.View(w.t.Context(), func(r response.Reader) (err error) {
		events, err = r.Timeline(id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

// restored records a restore at a time.
func (w *world) restored(at time.Time) {
	w.commit(func(t *tx) error {
		var id int64
		err := t.db.Raw("INSERT INTO restores (at, backup_at, backup_size, checkpoint, last_incident, next_incident, last_inbox) VALUES (?, ?, ?, '', 3, 4, 0) RETURNING id", at, at, w.last.Size).Scan(&id).Error
		t.note(subjectRestores, id, id)
		return err
	})
	w.record(w.t)
}

// prunedAudit deletes the audit entries 3 and 4, with a tombstone for a range and a number of rows that the retention would
// not write.
func (w *world) prunedAudit(first, last, deleted int64) {
	w.commit(func(t *tx) error {
		if err := t.db.Exec("DELETE FROM audit WHERE id IN (3, 4)").Error; err != nil {
			return err
		}
		row := Tombstone{TableName: subjectAudit, At: noon, OlderThan: noon, Deleted: deleted, FirstID: first, LastID: last}
		if err := t.db.Raw("INSERT INTO tombstones (table_name, at, older_than, policy, deleted, first_id, last_id, hash) VALUES (?, ?, ?, '', ?, ?, ?, '') RETURNING id",
			row.TableName, dbTime(noon), dbTime(noon), deleted, first, last).Scan(&row.ID).Error; err != nil {
			return err
		}
		row.At, row.OlderThan = dbTime(noon), dbTime(noon)
		t.note(subjectTombstones, row.ID, row.ID)
		t.noteGone(subjectAudit, row.ID, []int64{3, 4})
		return t.db.Exec("UPDATE tombstones SET mac = ? WHERE id = ?", w.rowMAC(row.content()), row.ID).Error
	})
	if first == 1 { // the gap of the chain is explained by another tombstone
		w.commit(func(t *tx) error {
			return t.addTombstone(w.Store, deletionBatch{tableName: subjectAudit, policy: "", cutoff: dbTime(noon), ids: []int64{100}, contents: []string{""}})
		})
	}
}

// TestVerify_EveryCheckIsNeeded has at least one attack for each kind of problem that no other kind finds.
func TestVerify_EveryCheckIsNeeded(t *testing.T) {
	tested := map[ProblemKind]bool{}
	for _, c := range checks {
		tested[c.kind] = true
		t.Run(string(c.kind)+"/"+c.name, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t))
			c.attack(w)
			v := w.verify(t, w.published...)
			if got := kinds(v); !slices.Equal(got, []ProblemKind{c.kind}) {
				t.Errorf("got problems %v, want %s\n%s", got, c.kind, problemLines(v))
			}
		})
	}
	for _, kind := range []ProblemKind{ProblemCiphertext, ProblemNumbers, ProblemBody, ProblemHead, ProblemTimeline, ProblemErased, ProblemState, ProblemColumn, ProblemLeaf, ProblemHashes, ProblemUnsigned,
		ProblemCheckpoint, ProblemRewritten, ProblemCut, ProblemTwoHistories, ProblemCounted, ProblemOutbox, ProblemMissing, ProblemChanged, ProblemUnknown, ProblemReturned, ProblemRolledBack,
		ProblemReplaced, ProblemMAC, ProblemTombstone, ProblemAuditChain, ProblemAuditGap} {
		if !tested[kind] {
			t.Errorf("no attack for %s", kind)
		}
	}
}

// resetRecorder forgets the earlier steps, like another process.
func (w *world) resetRecorder() {
	w.recorder.last, w.recorder.covered, w.recorder.size = notary.Checkpoint{}, nil, 0
}
