package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// workload does random work like a bot.
type workload struct {
	*Store
	t         *testing.T
	rng       *rand.Rand
	now       time.Time
	incidents []incident.Incident
	deliverd  int
}

// steps are the kinds of work.
var workSteps = []func(w *workload){
	(*workload).open, (*workload).open, (*workload).write, (*workload).write, (*workload).storm, (*workload).storm, (*workload).merge, (*workload).erase, (*workload).deliver, (*workload).handle,
	(*workload).audit, (*workload).postmortem, (*workload).configure, (*workload).reprocess, (*workload).rotate, (*workload).prune, (*workload).recordChanges, (*workload).recordChanges,
}

func (w *workload) pick() *incident.Incident {
	if len(w.incidents) == 0 {
		w.open()
	}
	return &w.incidents[w.rng.IntN(len(w.incidents))]
}

func (w *workload) do(fn func(tx response.Tx) error) { w.mustTx(w.t, fn) }

func (w *workload) open() {
	w.incidents = append(w.incidents, w.openIncident(w.t, fmt.Sprint("incident ", len(w.incidents))))
}

func (w *workload) write() {
	inc := w.pick()
	w.do(func(tx response.Tx) error {
		next, err := saveEvents(tx, *inc, newEvent(incident.EventNoted, nil, "text", fmt.Sprint("note ", w.rng.IntN(100))))
		if err == nil {
			*inc = next
		}
		return err
	})
}

func (w *workload) storm() {
	id := w.pick().ID
	if w.rng.IntN(4) == 0 {
		id = response.WatchedAlerts
	}
	w.do(func(tx response.Tx) error {
		for range w.rng.IntN(20) {
			if _, _, err := tx.CountAlert(id, sampleAlert(w.rng.IntN(30)), 1, w.now, response.RoutingDecision{Rule: w.rng.IntN(3)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *workload) merge() {
	from, to := w.pick().ID, w.pick().ID
	if from == to {
		return
	}
	w.do(func(tx response.Tx) error {
		_, _, err := tx.MoveAlert(to, sampleAlert(w.rng.IntN(30)), response.RoutingDecision{})
		return errors.Join(err, tx.MoveAlerts(from, to))
	})
}

func (w *workload) erase() {
	inc := w.pick()
	if len(inc.Title) == 0 {
		return
	}
	w.do(func(tx response.Tx) error {
		next, err := eraseTitle(tx, *inc)
		if err == nil {
			*inc = next
			inc.Title = ""
		}
		return err
	})
	w.do(func(tx response.Tx) (err error) { *inc, err = tx.Incident(inc.ID); return err })
}

func (w *workload) deliver() {
	var ds []intake.Delivery
	for range 1 + w.rng.IntN(8) {
		w.deliverd++
		ds = append(ds, intake.Delivery{Source: "sentry", ID: fmt.Sprint(w.deliverd - w.rng.IntN(2)), Body: fmt.Appendf(nil, "%d", w.deliverd), Received: w.now})
	}
	if err := w.Accept(w.t.Context(), ds); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workload) handle() {
	rows, err := w.Rows(w.t.Context(), 0, 1<<40)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(func(tx response.Tx) error {
		var done []response.DeliveryOutcome
		for _, row := range rows {
			one := response.DeliveryOutcome{Row: row.ID, Outcome: []string{"counted", "ignored", "undecodable"}[w.rng.IntN(3)]}
			if one.Outcome != "counted" {
				one.Reason = "a reason"
			}
			done = append(done, one)
		}
		return tx.MarkHandled(done)
	})
}

func (w *workload) reprocess() {
	if _, err := w.Reprocess(w.t.Context(), DeliveryFilter{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workload) audit() {
	w.do(func(tx response.Tx) (err error) {
		for range w.rng.IntN(4) {
			err = errors.Join(err, tx.Audit(response.Access{At: w.now, Person: "p1", Action: "show", Allowed: w.rng.IntN(2) == 0, Reason: "why"}))
		}
		return err
	})
}

func (w *workload) postmortem() {
	id, revision := w.pick().ID, 1+w.rng.IntN(3)
	w.do(func(tx response.Tx) error {
		return tx.PutDocument(id, incident.Document{Revision: revision, Digest: fmt.Sprint("digest of ", id, revision), Files: []incident.File{{Name: "a.md", Content: fmt.Sprint(w.rng.IntN(100))}}})
	})
}

func (w *workload) configure() {
	w.do(func(tx response.Tx) error {
		_, err := tx.PutConfiguration(response.Configuration{Routing: response.Ruleset{Digest: fmt.Sprint(w.rng.IntN(4)), Source: []byte(`{}`)}})
		id, err2 := tx.PutMaintenance(incident.MaintenanceWindow{Owner: "p1", From: w.now, To: w.now.Add(time.Hour)})
		return errors.Join(err, err2, tx.AddSuppressed(id, 2, 1))
	})
}

func (w *workload) rotate() {
	if _, err := w.Rotate(w.t.Context(), w.rng.IntN(2) == 0); err != nil {
		w.t.Fatal(err)
	}
}

// prune lets between none and two retention periods pass.
func (w *workload) prune() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(800)) * 24 * time.Hour)
	if _, err := w.Prune(w.t.Context(), DefaultRetention(), 20*time.Second); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workload) recordChanges() { w.record(w.t) }

// TestVerify_RandomWorkIsClean verifies after random sequences of work, and on the other database after a move. Then it
// changes single cells, each of which must be found.
func TestVerify_RandomWorkIsClean(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			storetest.Databases(t, func(t *testing.T, url string) {
				path := filepath.Join(t.TempDir(), "keyset")
				if err := CreateKeyset(path); err != nil {
					t.Fatal(err)
				}
				keys, err := LoadKeyset(path)
				if err != nil {
					t.Fatal(err)
				}
				w := &workload{t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: noon}
				w.Store = openTest(t, url, func(c *testConfig) { c.Keyset, c.Clock = keys, func() time.Time { return w.now } })
				for n := range 60 {
					workSteps[w.rng.IntN(len(workSteps))](w)
					if n%20 == 19 {
						w.mustVerify(t, fmt.Sprint("after step ", n))
					}
				}
				c := w.record(t)
				w.mustVerify(t, "at the end", c)
				w.checkImport(keys, seed%2 == 1)
				w.flipCells()
				w.mustVerify(t, "after all cells were restored", c)
			})
		})
	}
}

// checkImport moves the rows to the other database, or restores them there, and works on. The log must go on, and a restore
// must explain the checkpoint that it lost.
func (w *workload) checkImport(keys *Keyset, restore bool) {
	data, _ := w.mustExport(w.t)
	w.audit()
	w.open()
	lost := w.record(w.t)
	w.now = w.now.Add(time.Hour)
	url := storetest.SQLite(w.t)
	if w.backend.engine().name == engineSQLite.name {
		url = storetest.Postgres(w.t)
	}
	deps := Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return w.now }}
	o := ImportOptions{Restore: restore}
	if restore {
		o.Checkpoint = &lost
	}
	if _, err := Import(w.t.Context(), Config{URL: url}, deps, bytes.NewReader(data), o); err != nil {
		w.t.Fatal(err)
	}
	other := &workload{t: w.t, rng: w.rng, now: w.now}
	other.Store = openTest(w.t, url, func(c *testConfig) { c.Keyset, c.Clock = keys, deps.Clock })
	other.mustVerify(w.t, "imported")
	if v := other.verify(w.t, lost); restore && (len(v.Problems) > 0 || len(v.Explained) != 1) {
		w.t.Errorf("restored and not started: got explanations %v and problems\n%s", v.Explained, problemLines(v))
	}
	for range 5 {
		other.open()
		other.audit()
		other.record(w.t)
	}
	v := other.verify(w.t, lost)
	if restore && (len(v.Problems) > 0 || len(v.Explained) != 1) || !restore && !slices.Equal(kinds(v), []ProblemKind{ProblemTwoHistories}) {
		w.t.Errorf("imported, restore %v: got explanations %v and problems\n%s", restore, v.Explained, problemLines(v))
	}
}

// coveredTables are the tables whose every cell is covered, with the columns that are not: the ids of events, which nothing
// refers to, ciphertexts, which a rotation replaces, and the time of the publication.
var coveredTables = []string{"incidents", "events", "alerts", "moved_alerts", "inbox", "delivery_bodies", "documents", "audit", "audit_head", "tombstones", "configurations",
	"maintenance_windows", "restores", "notary_leaves", "notary_checkpoints"}

var uncoveredCells = map[string]bool{"events.id": true, "notary_checkpoints.published_at": true}

// flipCells changes one cell of each column of each covered table at a time. Verify must find the change.
func (w *workload) flipCells() {
	isSQLite := w.backend.engine().name == engineSQLite.name
	if isSQLite {
		w.exec(w.t, "PRAGMA foreign_keys = 0")
	}
	tables := w.columns()
	for _, table := range coveredTables {
		rows := w.count(w.t, "SELECT count(*) FROM "+table)
		if rows == 0 {
			continue
		}
		for _, column := range tables[table] {
			if !uncoveredCells[table+"."+column.ColumnName] {
				w.flipCell(table, column, tables[table], w.rng.Int64N(rows))
			}
		}
	}
}

func (w *workload) columns() map[string][]schemaColumn {
	var columns []schemaColumn
	if err := w.view(w.t.Context(), func(db *gorm.DB) error { return db.Raw(w.backend.engine().columns).Scan(&columns).Error }); err != nil {
		w.t.Fatal(err)
	}
	out := map[string][]schemaColumn{}
	for _, c := range columns {
		out[c.TableName] = append(out[c.TableName], c)
	}
	return out
}

// flipCell changes a cell, verifies, and changes it back.
func (w *workload) flipCell(table string, c schemaColumn, all []schemaColumn, row int64) {
	key := map[string]string{"delivery_bodies": "inbox_id", "notary_leaves": "n", "notary_checkpoints": "size"}[table]
	if key == "" {
		key = "id"
	}
	id := w.count(w.t, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d", key, table, key, row))
	var value string
	switch c.DataType {
	case "integer", "bigint":
		value = "COALESCE(" + c.ColumnName + ", 0) + 100000"
	case "boolean":
		value = "NOT " + c.ColumnName
	case "timestamp", "timestamp with time zone":
		value = "'2031-01-01 00:00:00+00:00'"
	case "blob", "bytea":
		value = "substr(" + c.ColumnName + ", 2)"
	default:
		value = map[string]string{"incidents.status": "CASE WHEN status = 'closed' THEN 'triage' ELSE 'closed' END", "incidents.severity": "CASE WHEN severity = 'sev1' THEN 'sev2' ELSE 'sev1' END",
			"incidents.origin": "'drill'", "alerts.origin": "'drill'", "inbox.outcome": "CASE WHEN outcome = 'opened' THEN 'attached' ELSE 'opened' END",
			"tombstones.table_name": "CASE WHEN table_name = 'effects' THEN 'commands' ELSE 'effects' END"}[table+"."+c.ColumnName]
		if value == "" {
			value = c.ColumnName + " || 'x'"
		}
	}
	copied := fmt.Sprintf("CREATE TABLE kept AS SELECT * FROM %s WHERE %s = %d", table, key, id)
	failed := w.tryExec(copied, fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s = %d", table, c.ColumnName, value, key, id))
	if failed != nil {
		w.exec(w.t, "DROP TABLE IF EXISTS kept") // a constraint prevents this change
		return
	}
	isNull := w.count(w.t, fmt.Sprintf("SELECT count(*) FROM kept WHERE %s IS NULL", c.ColumnName)) == 1 && (c.DataType == "blob" || c.DataType == "bytea")
	if v := w.verify(w.t); len(v.Problems) == 0 && !isNull {
		w.t.Errorf("%s.%s of row %d changed: got no problem", table, c.ColumnName, id)
	}
	current := id
	if c.ColumnName == key {
		current += 100000
	}
	var names []string
	for _, one := range all {
		names = append(names, fmt.Sprintf("%[1]s = (SELECT %[1]s FROM kept)", one.ColumnName))
	}
	w.exec(w.t, fmt.Sprintf("UPDATE %s SET %s WHERE %s = %d", table, strings.Join(names, ", "), key, current), "DROP TABLE kept")
}

// tryExec is exec that returns the error. PostgreSQL does not check foreign keys in it.
func (w *workload) tryExec(statements ...string) error {
	return w.backend.tx(w.t.Context(), false, func(db *gorm.DB, q queueTx) error {
		if q.rowLockClause() != "" {
			if err := db.Exec("SET LOCAL session_replication_role = replica").Error; err != nil {
				return err
			}
		}
		for _, statement := range statements {
			if err := db.Exec(statement).Error; err != nil {
				return err
			}
		}
		return nil
	})
}
