package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// MinRetention is the minimum retention. [Store.Prune] uses it instead of shorter durations.
const MinRetention = 365 * 24 * time.Hour

// Retention is how long data is stored.
type Retention struct {
	Alerts time.Duration `yaml:"alerts" unit:"days"` // alerts, and the finished effects and command keys of ended incidents
	Inbox  time.Duration `yaml:"inbox" unit:"days"`  // deliveries as received
	Audit  time.Duration `yaml:"audit" unit:"days"`  // audit log
}

// DefaultRetention returns the retention of a configuration that sets none.
func DefaultRetention() Retention {
	return Retention{Alerts: setting.Days(400), Inbox: setting.Days(400), Audit: setting.Days(400)}
}

// Validate returns the problems of the retention.
func (r Retention) Validate() setting.Problems {
	var p setting.Problems
	for _, one := range []struct {
		key  string
		kept time.Duration
	}{{"alerts", r.Alerts}, {"inbox", r.Inbox}, {"audit", r.Audit}} {
		if one.kept < MinRetention {
			p.Add(one.key, "is too short. Evidence must be stored for at least a year, so write 365d or more")
		}
	}
	return p
}

// Pruned is the result of [Store.Prune].
type Pruned struct {
	Deleted map[string]int64 // deleted rows by table
	More    bool             // the time ended before all expired rows were deleted
}

// pruneBatch is the maximum number of rows deleted in one transaction.
const pruneBatch = 500

// Prune deletes rows that are older than their retention, in small transactions, until all are deleted or the duration
// within has passed. Incidents, their timelines and their documents are never deleted.
//
// Prune deletes nothing that belongs to an exempt incident. An incident is exempt if it has not ended, has a legal
// hold, changed within the retention, was merged into an exempt incident, or contains a merged incident with a legal
// hold.
//
// Each batch writes a tombstone with the table, the policy and a keyed hash of the deleted contents. The hash
// identifies a copy of the deleted data.
func (s *Store) Prune(ctx context.Context, retention Retention, within time.Duration) (Pruned, error) {
	p := &pruner{s: s, now: s.now(), result: Pruned{Deleted: map[string]int64{}}, deadline: time.Now().Add(within)}
	if err := s.view(ctx, p.loadExempt); err != nil {
		return p.result, err
	}
	for _, step := range []func(context.Context, Retention) error{p.pruneExpired("key_values"), p.pruneExpired("seen_events"), p.pruneInbox, p.pruneSuppressedAlerts, p.pruneIncidents, p.pruneCommands, p.pruneAudit} {
		if err := step(ctx, retention); err != nil {
			return p.result, err
		}
		if p.pastDeadline() {
			p.result.More = true
			break
		}
	}
	return p.result, nil
}

// pruner holds the state of one [Store.Prune].
type pruner struct {
	s        *Store
	now      time.Time
	deadline time.Time
	result   Pruned
	exempt   map[int64]bool // incidents that contain a merged incident with a legal hold
}

// loadExempt finds the incidents that contain a merged incident with a legal hold. A merge copies the hold to the
// target. This also protects the target if its own hold was released but the hold of the merged incident was not.
func (p *pruner) loadExempt(db *gorm.DB) error {
	p.exempt = map[int64]bool{}
	var ids []int64
	if err := db.Raw("SELECT merged_into FROM incidents WHERE legal_hold AND merged_into > 0").Scan(&ids).Error; err != nil {
		return fmt.Errorf("find merged incidents with a legal hold: %w", err)
	}
	for len(ids) > 0 {
		var next []int64
		for _, id := range ids {
			if p.exempt[id] {
				continue
			}
			p.exempt[id] = true
			var into int64
			if err := db.Raw("SELECT merged_into FROM incidents WHERE id = ? AND merged_into > 0", id).Scan(&into).Error; err != nil {
				return fmt.Errorf("find merge target of %s: %w", incident.ID(id), err)
			}
			if into > 0 {
				next = append(next, into)
			}
		}
		ids = next
	}
	return nil
}

func (p *pruner) pastDeadline() bool { return time.Now().After(p.deadline) }

// cutoff returns a time. Rows from before that time may be deleted.
func (p *pruner) cutoff(retention time.Duration) time.Time {
	return dbTime(p.now.Add(-max(retention, MinRetention)))
}

// deletionBatch describes a batch of deleted rows for its tombstone.
type deletionBatch struct {
	tableName string
	policy    string
	cutoff    time.Time
	ids       []int64
	contents  []string // contents of the rows, for the hash
}

// addTombstone writes the tombstone of a batch, unless the batch is empty. Its MAC and the noted rows prove to the notary
// which rows were deleted.
func (t *tx) addTombstone(s *Store, g deletionBatch) error {
	if len(g.contents) == 0 {
		return nil
	}
	first, last := int64(0), int64(0)
	if len(g.ids) > 0 {
		first, last = slices.Min(g.ids), slices.Max(g.ids)
	}
	row := Tombstone{TableName: g.tableName, At: s.now(), OlderThan: g.cutoff, Policy: g.policy, Deleted: int64(len(g.contents)), FirstID: first, LastID: last,
		Hash: s.hash("tombstones", g.tableName, g.contents...)}
	err := t.db.Raw("INSERT INTO tombstones (table_name, at, older_than, policy, deleted, first_id, last_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
		row.TableName, row.At, row.OlderThan, row.Policy, row.Deleted, row.FirstID, row.LastID, row.Hash).Scan(&row.ID).Error
	if err != nil {
		return fmt.Errorf("write tombstone: %w", err)
	}
	if err := t.db.Exec("UPDATE tombstones SET mac = ? WHERE id = ?", s.rowMAC(row.content()), row.ID).Error; err != nil {
		return fmt.Errorf("write tombstone: %w", err)
	}
	t.note(subjectTombstones, row.ID, row.ID)
	if findSubject(g.tableName) != nil {
		t.noteGone(g.tableName, row.ID, g.ids)
	}
	return nil
}

// policyName returns the applied policy, for example "inbox: 400d".
func policyName(name string, retention time.Duration) string {
	return fmt.Sprintf("%s: %dd", name, max(retention, MinRetention)/(24*time.Hour))
}

// exemptions decides within a transaction which incidents are exempt from deletion.
type exemptions struct {
	t       domainTx
	cutoff  time.Time
	decided map[int64]bool // results of deletable
	exempt  map[int64]bool // always exempt
}

// deletable reports whether data of an incident may be deleted. Data without an incident may, which has the id 0 or
// less.
func (p *exemptions) deletable(id int64) (bool, error) {
	if id <= 0 {
		return true, nil
	}
	if deletable, ok := p.decided[id]; ok {
		return deletable, nil
	}
	p.decided[id] = false // also stops at a cycle of merges
	if p.exempt[id] {
		return false, nil
	}
	var rows []incidentRow
	if err := p.t.db.Raw("SELECT id, status, legal_hold, merged_into, updated_at FROM incidents WHERE id = ?"+p.t.lockClause, id).Scan(&rows).Error; err != nil {
		return false, fmt.Errorf("read %s: %w", incident.ID(id), err)
	}
	if len(rows) == 0 || rows[0].LegalHold || !incident.Status(rows[0].Status).Ended() || !rows[0].UpdatedAt.Before(p.cutoff) {
		return false, nil
	}
	if incident.Status(rows[0].Status) == incident.Merged {
		if rows[0].MergedInto == 0 {
			return false, nil
		}
		deletable, err := p.deletable(rows[0].MergedInto)
		if err != nil || !deletable {
			return false, err
		}
	}
	p.decided[id] = true
	return true, nil
}

// runBatch runs one deletion in a transaction and adds its rows to the result.
func (p *pruner) runBatch(ctx context.Context, before time.Time, fn func(t domainTx, exempt *exemptions) ([]deletionBatch, error)) error {
	var batches []deletionBatch
	err := p.s.tx(ctx, func(t *tx) error {
		d := domainTx{reader{p.s, t.db, t.queue.rowLockClause()}, t}
		var err error
		if batches, err = fn(d, &exemptions{t: d, cutoff: before, decided: map[int64]bool{}, exempt: p.exempt}); err != nil {
			return err
		}
		for _, g := range batches {
			if err := t.addTombstone(p.s, g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range batches {
		if n := int64(len(g.contents)); n > 0 {
			p.result.Deleted[g.tableName] += n
		}
	}
	return nil
}

// remove deletes the rows whose key column is in the ids of g. It returns g, or nothing if g is empty.
func (t domainTx) remove(g deletionBatch, table, key string) ([]deletionBatch, error) {
	if len(g.ids) == 0 {
		return nil, nil
	}
	if err := t.db.Exec(fmt.Sprintf("DELETE FROM %s WHERE %s IN ?", table, key), g.ids).Error; err != nil {
		return nil, fmt.Errorf("delete from %s: %w", table, err)
	}
	return []deletionBatch{g}, nil
}

// pruneExpired returns a step that deletes the rows of a table after their expires_at. It writes no tombstones, because
// the rows only contain data derived from other rows.
func (p *pruner) pruneExpired(table string) func(context.Context, Retention) error {
	statement := fmt.Sprintf("DELETE FROM %[1]s WHERE key_hash IN (SELECT key_hash FROM %[1]s WHERE expires_at < ? ORDER BY expires_at LIMIT ?) AND expires_at < ?", table)
	return func(ctx context.Context, _ Retention) error {
		for !p.pastDeadline() {
			var deleted int64
			err := p.s.tx(ctx, func(t *tx) error {
				done := t.db.Exec(statement, dbTime(p.now), pruneBatch, dbTime(p.now))
				deleted = done.RowsAffected
				return done.Error
			})
			if err != nil {
				return fmt.Errorf("delete expired rows of %s: %w", table, err)
			}
			if deleted < pruneBatch {
				return nil
			}
		}
		return nil
	}
}
