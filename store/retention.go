package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
)

// MinRetention is what nothing may fall below: Prune takes it for anything shorter.
const MinRetention = 365 * 24 * time.Hour

// Retention says how long what is kept.
type Retention struct {
	Alerts time.Duration // alerts, and the finished work and the command keys of incidents that ended
	Inbox  time.Duration // deliveries as they were received
	Audit  time.Duration // who read what
}

// Pruned says what was deleted. More says that there was no time for the rest.
type Pruned struct {
	Deleted map[string]int64
	More    bool
}

// pruneBatch is how many rows go in one transaction.
const pruneBatch = 500

// Prune deletes what is older than it has to be kept, in small transactions, until it is through or the time given is
// over. Incidents, their timelines and their documents stay for ever. Of an incident that has not ended, that is held,
// that went on inside one of these, into which one that is held went, or that changed within its time, nothing is
// touched. Each batch leaves a tombstone: what was deleted under which policy, and a keyed hash over it, by which a copy
// can be told to be the same.
func (s *Store) Prune(ctx context.Context, keep Retention, within time.Duration) (Pruned, error) {
	p := &pruner{s: s, now: s.now(), done: Pruned{Deleted: map[string]int64{}}, deadline: time.Now().Add(within)}
	if err := s.view(ctx, p.loadExempt); err != nil {
		return p.done, err
	}
	for _, step := range []func(context.Context, Retention) error{p.expired("correlation_windows"), p.expired("seen_events"), p.inbox, p.suppressedAlerts, p.incidents, p.commands, p.audit} {
		if err := step(ctx, keep); err != nil {
			return p.done, err
		}
		if p.pastDeadline() {
			p.done.More = true
			break
		}
	}
	return p.done, nil
}

type pruner struct {
	s        *Store
	now      time.Time
	deadline time.Time
	done     Pruned
	exempt   map[int64]bool // incidents in which one that is held goes on: what is kept for it is theirs now
}

// loadExempt finds what is spared. A merge itself hands the hold on; here it is kept for as long as the one that was merged
// is held, whatever became of the hold of the other.
func (p *pruner) loadExempt(db *gorm.DB) error {
	p.exempt = map[int64]bool{}
	var ids []int64
	if err := db.Raw("SELECT merged_into FROM incidents WHERE legal_hold AND merged_into > 0").Scan(&ids).Error; err != nil {
		return fmt.Errorf("look for merged incidents that are held: %w", err)
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
				return fmt.Errorf("read where %s goes on: %w", incident.ID(id), err)
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

// before is the time before which things may go.
func (p *pruner) before(keep time.Duration) time.Time {
	return dbTime(p.now.Add(-max(keep, MinRetention)))
}

// deletionBatch is a batch that is being deleted: what the tombstone says of it.
type deletionBatch struct {
	tableName string
	policy    string
	before    time.Time
	ids       []int64
	held      []string // what the rows held, for the hash
}

func (t *tx) addTombstone(s *Store, g deletionBatch) error {
	if len(g.held) == 0 {
		return nil
	}
	first, last := int64(0), int64(0)
	if len(g.ids) > 0 {
		first, last = slices.Min(g.ids), slices.Max(g.ids)
	}
	err := t.db.Exec("INSERT INTO tombstones (table_name, at, older_than, policy, deleted, first_id, last_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		g.tableName, s.now(), g.before, g.policy, len(g.held), first, last, s.hash("tombstones", g.tableName, g.held...)).Error
	if err != nil {
		return fmt.Errorf("leave a tombstone: %w", err)
	}
	return nil
}

// policy names a policy as it was in force.
func policy(name string, keep time.Duration) string {
	return fmt.Sprintf("%s: %dd", name, max(keep, MinRetention)/(24*time.Hour))
}

// exemptions decides, within a transaction, which incidents may not be touched.
type exemptions struct {
	t      domainTx
	before time.Time
	known  map[int64]bool // may be deleted from
	exempt map[int64]bool // may not, whatever they are
}

// deletable reports whether what belongs to an incident may go. Nobody's (0) may.
func (p *exemptions) deletable(id int64) (bool, error) {
	if id <= 0 {
		return true, nil
	}
	if free, ok := p.known[id]; ok {
		return free, nil
	}
	p.known[id] = false // also ends a circle of merges
	if p.exempt[id] {
		return false, nil
	}
	var rows []incidentRow
	if err := p.t.db.Raw("SELECT id, status, legal_hold, merged_into, updated_at FROM incidents WHERE id = ?"+p.t.lock, id).Scan(&rows).Error; err != nil {
		return false, fmt.Errorf("read %s: %w", incident.ID(id), err)
	}
	if len(rows) == 0 || rows[0].LegalHold || !incident.Status(rows[0].Status).Ended() || !rows[0].UpdatedAt.Before(p.before) {
		return false, nil
	}
	if incident.Status(rows[0].Status) == incident.Merged {
		if rows[0].MergedInto == 0 {
			return false, nil
		}
		free, err := p.deletable(rows[0].MergedInto)
		if err != nil || !free {
			return false, err
		}
	}
	p.known[id] = true
	return true, nil
}

// batch runs one deletion in a transaction of its own and counts it.
func (p *pruner) batch(ctx context.Context, before time.Time, fn func(t domainTx, guard *exemptions) ([]deletionBatch, error)) error {
	var graves []deletionBatch
	err := p.s.tx(ctx, func(t *tx) error {
		d := domainTx{reader{p.s, t.db, t.queue.rowLock()}, t}
		var err error
		if graves, err = fn(d, &exemptions{t: d, before: before, known: map[int64]bool{}, exempt: p.exempt}); err != nil {
			return err
		}
		for _, g := range graves {
			if err := t.addTombstone(p.s, g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range graves {
		if n := int64(len(g.held)); n > 0 {
			p.done.Deleted[g.tableName] += n
		}
	}
	return nil
}

// remove deletes the rows of a batch.
func (t domainTx) remove(g deletionBatch, table, key string) ([]deletionBatch, error) {
	if len(g.ids) == 0 {
		return nil, nil
	}
	if err := t.db.Exec(fmt.Sprintf("DELETE FROM %s WHERE %s IN ?", table, key), g.ids).Error; err != nil {
		return nil, fmt.Errorf("delete from %s: %w", table, err)
	}
	return []deletionBatch{g}, nil
}

// expired deletes the rows of a table whose time is over. They hold digests of what is kept elsewhere, so they leave no
// tombstone.
func (p *pruner) expired(table string) func(context.Context, Retention) error {
	statement := fmt.Sprintf("DELETE FROM %[1]s WHERE key_hash IN (SELECT key_hash FROM %[1]s WHERE expires_at < ? ORDER BY expires_at LIMIT ?) AND expires_at < ?", table)
	return func(ctx context.Context, _ Retention) error {
		for !p.pastDeadline() {
			var gone int64
			err := p.s.tx(ctx, func(t *tx) error {
				done := t.db.Exec(statement, dbTime(p.now), pruneBatch, dbTime(p.now))
				gone = done.RowsAffected
				return done.Error
			})
			if err != nil {
				return fmt.Errorf("delete %s that expired: %w", table, err)
			}
			if gone < pruneBatch {
				return nil
			}
		}
		return nil
	}
}
