package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
// that went on inside one of these, into which one that is held went, or that changed within its time, nothing is touched. Each batch leaves a tombstone:
// what was deleted under which policy, and a keyed hash over it, by which a copy can be told to be the same.
func (s *Store) Prune(ctx context.Context, keep Retention, within time.Duration) (Pruned, error) {
	p := &pruning{s: s, now: s.now(), done: Pruned{Deleted: map[string]int64{}}, deadline: time.Now().Add(within)}
	if err := s.view(ctx, p.spare); err != nil {
		return p.done, err
	}
	for _, step := range []func(context.Context, Retention) error{p.windows, p.sightings, p.inbox, p.shelves, p.incidents, p.commands, p.audit} {
		if err := step(ctx, keep); err != nil {
			return p.done, err
		}
		if p.late() {
			p.done.More = true
			break
		}
	}
	return p.done, nil
}

type pruning struct {
	s        *Store
	now      time.Time
	deadline time.Time
	done     Pruned
	spared   map[int64]bool // incidents in which one that is held goes on: what is kept for it is theirs now
}

// spare finds what is spared. A merge itself hands the hold on; here it is kept for as long as the one that was merged
// is held, whatever became of the hold of the other.
func (p *pruning) spare(db *gorm.DB) error {
	p.spared = map[int64]bool{}
	var ids []int64
	if err := db.Raw("SELECT merged_into FROM incidents WHERE held AND merged_into > 0").Scan(&ids).Error; err != nil {
		return fmt.Errorf("look for merged incidents that are held: %w", err)
	}
	for len(ids) > 0 {
		var next []int64
		for _, id := range ids {
			if p.spared[id] {
				continue
			}
			p.spared[id] = true
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

func (p *pruning) late() bool { return time.Now().After(p.deadline) }

// before is the time before which things may go.
func (p *pruning) before(keep time.Duration) time.Time {
	return stamp(p.now.Add(-max(keep, MinRetention)))
}

// grave is a batch that is being deleted: what the tombstone says of it.
type grave struct {
	what   string
	policy string
	before time.Time
	ids    []int64
	held   []string // what the rows held, for the hash
}

func (t *tx) bury(s *Store, g grave) error {
	if len(g.held) == 0 {
		return nil
	}
	first, last := int64(0), int64(0)
	if len(g.ids) > 0 {
		first, last = slices.Min(g.ids), slices.Max(g.ids)
	}
	err := t.db.Exec("INSERT INTO tombstones (what, at, older_than, policy, deleted, first_id, last_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		g.what, s.now(), g.before, g.policy, len(g.held), first, last, s.hash("tombstones", g.what, g.held...)).Error
	if err != nil {
		return fmt.Errorf("leave a tombstone: %w", err)
	}
	return nil
}

// policy names a policy as it was in force.
func policy(name string, keep time.Duration) string {
	return fmt.Sprintf("%s: %dd", name, max(keep, MinRetention)/(24*time.Hour))
}

// protection decides, within a transaction, which incidents may not be touched.
type protection struct {
	t      domainTx
	before time.Time
	known  map[int64]bool // may be deleted from
	spared map[int64]bool // may not, whatever they are
}

// free reports whether what belongs to an incident may go. Nobody's (0) may.
func (p *protection) free(id int64) (bool, error) {
	if id <= 0 {
		return true, nil
	}
	if free, ok := p.known[id]; ok {
		return free, nil
	}
	p.known[id] = false // also ends a circle of merges
	if p.spared[id] {
		return false, nil
	}
	var rows []incidentRow
	if err := p.t.db.Raw("SELECT id, status, held, merged_into, updated_at FROM incidents WHERE id = ?"+p.t.lock, id).Scan(&rows).Error; err != nil {
		return false, fmt.Errorf("read %s: %w", incident.ID(id), err)
	}
	if len(rows) == 0 || rows[0].Held || !incident.Status(rows[0].Status).Ended() || !rows[0].UpdatedAt.Before(p.before) {
		return false, nil
	}
	if incident.Status(rows[0].Status) == incident.Merged {
		if rows[0].MergedInto == 0 {
			return false, nil
		}
		free, err := p.free(rows[0].MergedInto)
		if err != nil || !free {
			return false, err
		}
	}
	p.known[id] = true
	return true, nil
}

// batch runs one deletion in a transaction of its own and counts it.
func (p *pruning) batch(ctx context.Context, before time.Time, fn func(t domainTx, guard *protection) ([]grave, error)) error {
	var graves []grave
	err := p.s.tx(ctx, func(t *tx) error {
		d := domainTx{reader{p.s, t.db, t.queue.rowLock()}, t}
		var err error
		if graves, err = fn(d, &protection{t: d, before: before, known: map[int64]bool{}, spared: p.spared}); err != nil {
			return err
		}
		for _, g := range graves {
			if err := t.bury(p.s, g); err != nil {
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
			p.done.Deleted[g.what] += n
		}
	}
	return nil
}

// inbox goes through the deliveries in the order in which they came, up to the first batch that is young.
func (p *pruning) inbox(ctx context.Context, keep Retention) error {
	before := p.before(keep.Inbox)
	for after := int64(0); !p.late(); {
		var rows []inboxRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, source, delivery_hash, received_at, handled_at, incident_id, alert_id FROM inbox WHERE id > ? ORDER BY id LIMIT ?",
				after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("look through the inbox: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].ID
		rows = slices.DeleteFunc(rows, func(r inboxRow) bool { return !r.ReceivedAt.Before(before) || r.HandledAt == nil })
		if len(rows) == 0 {
			if p.allYoung(ctx, after, before) {
				return nil
			}
			continue
		}
		if err := p.inboxBatch(ctx, rows, grave{what: "inbox", policy: policy("inbox", keep.Inbox), before: before}); err != nil {
			return err
		}
	}
	return nil
}

// allYoung reports whether the delivery at which a batch ended is within its time: those after it are, too.
func (p *pruning) allYoung(ctx context.Context, id int64, before time.Time) bool {
	var row inboxRow
	err := p.s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT received_at FROM inbox WHERE id = ?", id).Scan(&row).Error
	})
	return err == nil && !row.ReceivedAt.Before(before)
}

func (p *pruning) inboxBatch(ctx context.Context, rows []inboxRow, g grave) error {
	return p.batch(ctx, g.before, func(t domainTx, guard *protection) ([]grave, error) {
		g := g
		homes, err := t.homes(rows)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			// The alert may have been moved to another incident since the delivery was handled.
			free, err := guard.free(row.IncidentID)
			if err == nil && free {
				free, err = guard.free(homes[row.AlertID])
			}
			if err != nil {
				return nil, err
			}
			if !free {
				continue
			}
			var bodies [][]byte // one at a time: a batch of large ones is no reason to need much memory
			if err := t.db.Raw("SELECT sealed_body FROM bodies WHERE inbox_id = ?", row.ID).Scan(&bodies).Error; err != nil {
				return nil, fmt.Errorf("read the body of a delivery: %w", err)
			}
			if len(bodies) == 0 {
				continue // Verify tells of it
			}
			var d sealedDelivery
			if err := t.s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", bodies[0], &d); err != nil {
				return nil, err
			}
			g.ids, g.held = append(g.ids, row.ID), append(g.held, strconv.FormatInt(row.ID, 10)+" "+d.hash())
		}
		if _, err := t.remove(g, "bodies", "inbox_id"); err != nil {
			return nil, err
		}
		return t.remove(g, "inbox", "id")
	})
}

// homes says to which incident the alerts of deliveries belong by now.
func (t domainTx) homes(rows []inboxRow) (map[int64]int64, error) {
	out := map[int64]int64{}
	for _, row := range rows {
		if _, ok := out[row.AlertID]; ok || row.AlertID == 0 {
			continue
		}
		id := row.AlertID
		for id != 0 {
			var found, next []int64
			err := errors.Join(t.db.Raw("SELECT incident_id FROM alerts WHERE id = ?", id).Scan(&found).Error,
				t.db.Raw("SELECT moved_to FROM moved_alerts WHERE id = ?", id).Scan(&next).Error)
			if err != nil {
				return nil, fmt.Errorf("find an alert: %w", err)
			}
			id = 0
			if len(found) > 0 {
				out[row.AlertID] = found[0]
			} else if len(next) > 0 {
				id = next[0]
			}
		}
	}
	return out, nil
}

// remove deletes the rows of a batch.
func (t domainTx) remove(g grave, table, key string) ([]grave, error) {
	if len(g.ids) == 0 {
		return nil, nil
	}
	if err := t.db.Exec(fmt.Sprintf("DELETE FROM %s WHERE %s IN ?", table, key), g.ids).Error; err != nil {
		return nil, fmt.Errorf("delete from %s: %w", table, err)
	}
	return []grave{g}, nil
}

// shelves deletes alerts that never belonged to an incident.
func (p *pruning) shelves(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for shelf := 0; shelf >= -2; shelf-- {
		for more := true; more && !p.late(); {
			err := p.batch(ctx, before, func(t domainTx, _ *protection) ([]grave, error) {
				var rows []alertRow
				err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? AND last_at < ? ORDER BY last_at LIMIT ?"+t.lock, shelf, before, pruneBatch).Scan(&rows).Error
				if err != nil {
					return nil, fmt.Errorf("look for old alerts: %w", err)
				}
				more = len(rows) == pruneBatch
				return t.remove(alertGrave(rows, keep, before), "alerts", "id")
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func alertGrave(rows []alertRow, keep Retention, before time.Time) grave {
	g := grave{what: "alerts", policy: policy("alerts", keep.Alerts), before: before}
	for _, row := range rows {
		g.ids, g.held = append(g.ids, row.ID), append(g.held, fmt.Sprintf("%d %s %d", row.ID, row.Hash, row.Count))
	}
	return g
}

// incidents deletes the alerts and the finished work of incidents that ended long ago. What they were stays in their timelines.
func (p *pruning) incidents(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for after := int64(0); !p.late(); {
		var ids []int64
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id FROM incidents WHERE id > ? AND status IN ? AND updated_at < ? AND NOT held ORDER BY id LIMIT ?",
				after, ended(), before, pruneBatch).Scan(&ids).Error
		})
		if err != nil {
			return fmt.Errorf("look for ended incidents: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		for _, id := range ids {
			for more := true; more && !p.late(); {
				err := p.batch(ctx, before, func(t domainTx, guard *protection) ([]grave, error) {
					free, err := guard.free(id)
					if more = false; err != nil || !free {
						return nil, err
					}
					graves, err := t.clearIncident(id, keep, before)
					for _, g := range graves {
						more = more || len(g.ids) == pruneBatch
					}
					return graves, err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func ended() (out []string) {
	for _, status := range incident.Statuses() {
		if status.Ended() {
			out = append(out, string(status))
		}
	}
	return out
}

func (t domainTx) clearIncident(id int64, keep Retention, before time.Time) ([]grave, error) {
	var alerts []alertRow
	if err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? LIMIT ?", id, pruneBatch).Scan(&alerts).Error; err != nil {
		return nil, fmt.Errorf("look for old alerts: %w", err)
	}
	graves, err := t.remove(alertGrave(alerts, keep, before), "alerts", "id")
	if err != nil {
		return nil, err
	}
	var effects []effectRow
	err = t.db.Raw("SELECT id, key, state FROM effects WHERE incident_id = ? AND NOT kept AND state IN ('finished', 'given_up') LIMIT ?", id, pruneBatch).Scan(&effects).Error
	if err != nil {
		return nil, fmt.Errorf("look for finished work: %w", err)
	}
	work := grave{what: "effects", policy: policy("alerts", keep.Alerts), before: before}
	for _, row := range effects {
		work.ids, work.held = append(work.ids, row.ID), append(work.held, row.Key+" "+row.State)
	}
	if _, err := t.remove(work, "ledger", "effect_id"); err != nil {
		return nil, err
	}
	gone, err := t.remove(work, "effects", "id")
	if err != nil {
		return nil, err
	}
	keys, err := t.forgetCommands(id, policy("alerts", keep.Alerts), before)
	return slices.Concat(graves, gone, keys), err
}

// forgetCommands deletes the keys of commands that nobody can repeat any more.
func (t domainTx) forgetCommands(id int64, policy string, before time.Time) ([]grave, error) {
	g := grave{what: "commands", policy: policy, before: before}
	err := t.db.Raw(`DELETE FROM commands WHERE incident_id = ? AND key_hash IN
		(SELECT key_hash FROM commands WHERE incident_id = ? AND at < ? LIMIT ?) RETURNING key_hash`, id, id, before, pruneBatch).Scan(&g.held).Error
	if err != nil {
		return nil, fmt.Errorf("forget commands: %w", err)
	}
	return []grave{g}, nil
}

// commands deletes the keys of commands that opened incidents.
func (p *pruning) commands(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for more := true; more && !p.late(); {
		err := p.batch(ctx, before, func(t domainTx, _ *protection) (graves []grave, err error) {
			graves, err = t.forgetCommands(0, policy("alerts", keep.Alerts), before)
			more = err == nil && len(graves[0].held) == pruneBatch
			return graves, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// auditRow is a row of the table audit, as far as it is deleted.
type auditRow struct {
	ID         int64
	At         time.Time
	Person     string
	Action     string
	IncidentID int64
	Allowed    bool
}

func (p *pruning) audit(ctx context.Context, keep Retention) error {
	before := p.before(keep.Audit)
	for after := int64(0); !p.late(); {
		var rows []auditRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, at, person, action, incident_id, allowed FROM audit WHERE id > ? ORDER BY id LIMIT ?", after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("look through the audit log: %w", err)
		}
		if len(rows) == 0 || !rows[0].At.Before(before) {
			return nil
		}
		after = rows[len(rows)-1].ID
		err = p.batch(ctx, before, func(t domainTx, guard *protection) ([]grave, error) {
			g := grave{what: "audit", policy: policy("audit", keep.Audit), before: before}
			for _, row := range rows {
				free, err := guard.free(row.IncidentID)
				if err != nil {
					return nil, err
				}
				if free && row.At.Before(before) {
					g.ids = append(g.ids, row.ID)
					g.held = append(g.held, strings.Join([]string{strconv.FormatInt(row.ID, 10), row.At.UTC().Format(time.RFC3339Nano), row.Person, row.Action,
						incident.ID(row.IncidentID).String(), strconv.FormatBool(row.Allowed)}, " "))
				}
			}
			return t.remove(g, "audit", "id")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
