package store

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"tocsin/bot/notary"
	"tocsin/bot/response"
)

// changes are the rows that one transaction changed, or a parsed row of the outbox.
type changes struct {
	// rows holds the changed rows by subject. All of them existed when the transaction ended.
	rows map[string]notary.Ranges
	// existing holds ranges of rows from before the notary. They can have gaps.
	existing map[string]notary.Ranges
	// gone holds the rows that retention deleted, by subject and tombstone.
	gone map[string]map[int64]notary.Ranges
}

func (c changes) isEmpty() bool { return len(c.rows)+len(c.existing)+len(c.gone) == 0 }

// text returns the changes as they are stored.
func (c changes) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.rows)) {
		fmt.Fprintf(&b, "%s %s\n", name, c.rows[name].Normal())
	}
	for _, name := range slices.Sorted(maps.Keys(c.existing)) {
		fmt.Fprintf(&b, "existing %s %s\n", name, c.existing[name].Normal())
	}
	for _, name := range slices.Sorted(maps.Keys(c.gone)) {
		for _, tombstone := range slices.Sorted(maps.Keys(c.gone[name])) {
			fmt.Fprintf(&b, "gone %s %d %s\n", name, tombstone, c.gone[name][tombstone].Normal())
		}
	}
	return b.String()
}

// parseChanges parses a result of text.
func parseChanges(text string) (changes, error) {
	c := changes{rows: map[string]notary.Ranges{}, existing: map[string]notary.Ranges{}, gone: map[string]map[int64]notary.Ranges{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || len(fields) > 4 {
			return c, errors.New("a line of the outbox is malformed")
		}
		ids, err := notary.ParseRanges(fields[len(fields)-1])
		if err != nil {
			return c, err
		}
		switch {
		case len(fields) == 2:
			c.rows[fields[0]] = ids
		case len(fields) == 3 && fields[0] == "existing":
			c.existing[fields[1]] = ids
		case len(fields) == 4 && fields[0] == "gone":
			tombstone, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				return c, errors.New("a line of the outbox is malformed")
			}
			c.addGone(fields[1], tombstone, ids)
		default:
			return c, errors.New("a line of the outbox is malformed")
		}
	}
	return c, nil
}

func (c *changes) addGone(subject string, tombstone int64, ids notary.Ranges) {
	if c.gone == nil {
		c.gone = map[string]map[int64]notary.Ranges{}
	}
	if c.gone[subject] == nil {
		c.gone[subject] = map[int64]notary.Ranges{}
	}
	c.gone[subject][tombstone] = append(c.gone[subject][tombstone], ids...)
}

// note records that the transaction wrote the rows of a subject from first to last, which all exist. The notary's log
// vouches for them after the commit, see [Store.RecordChanges]. A transaction that deletes a row calls noteGone.
func (t *tx) note(subject string, first, last int64) {
	if t.changes.rows == nil {
		t.changes.rows = map[string]notary.Ranges{}
	}
	t.changes.rows[subject] = append(t.changes.rows[subject], notary.Range{First: first, Last: last})
}

// noteIDs is note for single rows.
func (t *tx) noteIDs(subject string, ids ...int64) {
	for _, id := range ids {
		t.note(subject, id, id)
	}
}

// noteGone records that retention deleted rows, with the tombstone as proof.
func (t *tx) noteGone(subject string, tombstone int64, ids []int64) {
	ranges := make(notary.Ranges, len(ids))
	for n, id := range ids {
		ranges[n] = notary.Range{First: id, Last: id}
	}
	t.changes.addGone(subject, tombstone, ranges)
}

// flushNotes writes the changes of the transaction to the outbox. It runs last, because it locks the head of the audit
// log, and every transaction locks this row after all others.
func (s *Store) flushNotes(t *tx) error {
	if err := s.chainAudit(t); err != nil {
		return err
	}
	if t.changes.isEmpty() {
		return nil
	}
	if t.changes.rows[subjectRestores] != nil { // the import has written the log, but not raised the sequence of the ids
		if err := s.raiseOutboxID(t); err != nil {
			return err
		}
	}
	return s.writeOutbox(t, t.changes)
}

func (s *Store) writeOutbox(t *tx, c changes) error {
	text := c.text()
	var id int64
	if err := t.db.Raw("INSERT INTO notary_outbox (changes, mac) VALUES (?, ?) RETURNING id", text, []byte{}).Scan(&id).Error; err != nil {
		return fmt.Errorf("write outbox of the notary: %w", err)
	}
	if err := t.db.Exec("UPDATE notary_outbox SET mac = ? WHERE id = ?", s.outboxMAC(id, text), id).Error; err != nil {
		return fmt.Errorf("write outbox of the notary: %w", err)
	}
	return nil
}

// outboxRow is a row of the table notary_outbox.
type outboxRow struct {
	ID      int64
	Changes string
	MAC     []byte
}

func (s *Store) outboxMAC(id int64, text string) []byte {
	return s.keys.derive(associatedData("notary_outbox", strconv.FormatInt(id, 10), text))
}

// open returns the changes of a row, and false unless this instance wrote it.
func (s *Store) openOutbox(row outboxRow) (changes, bool) {
	if !hmac.Equal(row.MAC, s.outboxMAC(row.ID, row.Changes)) {
		return changes{}, false
	}
	c, err := parseChanges(row.Changes)
	return c, err == nil
}

// coverExisting makes the notary cover the rows that an earlier version wrote. It runs once, while the log, the outbox and
// the chain of the audit log are empty. A later run finds the log, or an instance without rows. If only the log and the
// outbox are empty, they were deleted: then the rows stay without cover, and Verify reports them.
func (s *Store) coverExisting(ctx context.Context) error {
	return s.Tx(ctx, func(tx response.Tx) error {
		t := tx.(domainTx).tx
		if err := s.raiseOutboxID(t); err != nil {
			return err
		}
		var known int64
		if err := t.db.Raw("SELECT (SELECT count(*) FROM notary_outbox) + (SELECT count(*) FROM notary_checkpoints) + (SELECT position FROM audit_head)").Scan(&known).Error; err != nil || known > 0 {
			return err
		}
		for n := range subjects {
			sub := &subjects[n]
			for r := range sub.relations {
				if err := s.coverRelation(t, sub, &sub.relations[r]); err != nil {
					return fmt.Errorf("cover %s: %w", sub.relations[r].table, err)
				}
			}
		}
		return nil
	})
}

func (s *Store) coverRelation(t *tx, sub *subject, rel *relation) error {
	var bounds struct{ First, Last *int64 }
	query := "SELECT min(" + rel.id + ") AS first, max(" + rel.id + ") AS last FROM " + rel.from
	if rel.where != "" {
		query += " WHERE " + rel.where
	}
	if err := t.db.Raw(query).Scan(&bounds).Error; err != nil || bounds.First == nil {
		return err
	}
	if rel.mac != "" {
		if err := s.signRows(t, sub, rel); err != nil {
			return err
		}
	}
	if t.changes.existing == nil {
		t.changes.existing = map[string]notary.Ranges{}
	}
	t.changes.existing[sub.name] = append(t.changes.existing[sub.name], notary.Range{First: *bounds.First, Last: *bounds.Last})
	return nil
}

// signRows sets the MACs of rows from before the notary.
func (s *Store) signRows(t *tx, sub *subject, rel *relation) error {
	for after := int64(0); ; {
		macs := map[int64]string{}
		err := s.readRows(t.db, sub, rel, rowFilter{"> ?", []any{after}, listChunk}, func(row *notedRow) error {
			after = row.id
			unsigned := row.content[:len(row.content)-len(appendColumn(nil, rel.mac, row.mac))]
			macs[row.id] = s.rowMAC(unsigned)
			return nil
		})
		if err != nil || len(macs) == 0 {
			return err
		}
		for id, mac := range macs {
			if err := t.db.Exec("UPDATE "+rel.from+" SET "+rel.mac+" = ? WHERE "+rel.id+" = ?", mac, id).Error; err != nil {
				return err
			}
		}
	}
}

// raiseOutboxID makes the database assign ids to the outbox that the log does not cover yet. A restored database starts
// at the greatest id of the rows that the backup has.
func (s *Store) raiseOutboxID(t *tx) error {
	last, err := lastCoveredChange(t.db)
	if err != nil || last == 0 {
		return err
	}
	if t.queue.rowLockClause() != "" {
		err = t.db.Exec("SELECT setval(pg_get_serial_sequence('notary_outbox', 'id'), ?) WHERE ? >= (SELECT last_value FROM notary_outbox_id_seq)", last, last).Error
	} else if err = t.db.Exec("UPDATE sqlite_sequence SET seq = ? WHERE name = 'notary_outbox' AND seq < ?", last, last).Error; err == nil {
		err = t.db.Exec("INSERT INTO sqlite_sequence (name, seq) SELECT 'notary_outbox', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'notary_outbox')", last).Error
	}
	if err != nil {
		return fmt.Errorf("raise the ids of the outbox: %w", err)
	}
	return nil
}

// lastCoveredChange returns the greatest id of the outbox that the log covers, or 0.
func lastCoveredChange(db *gorm.DB) (int64, error) {
	var leaves [][]byte
	err := db.Raw(`SELECT leaf FROM notary_leaves WHERE n = (SELECT COALESCE(MAX(size), 0) FROM notary_checkpoints
		WHERE size < (SELECT MAX(size) FROM notary_checkpoints))`).Scan(&leaves).Error
	if err != nil || len(leaves) == 0 {
		return 0, err
	}
	step, err := notary.ParseStep(leaves[0])
	if err != nil {
		return 0, nil // the log was changed, and Verify reports it
	}
	return step.Last, nil
}
