package store

import (
	"slices"

	"gorm.io/gorm"

	"tocsin/bot/notary"
)

// makeLeaves sets the leaves of a step: one for the step, and those of its rows.
func (s *Store) makeLeaves(db *gorm.DB, step *logStep, pending changes) error {
	ranges := make(notary.Ranges, len(step.covered))
	for n, id := range step.covered {
		ranges[n] = notary.Range{First: id, Last: id}
	}
	ranges = ranges.Normal()
	head := notary.Step{Changes: ranges, Last: max(ranges.Last(), s.recorder.covered.Last())}
	step.leaves = append(step.leaves, head.Text())
	for n := range subjects {
		lines, err := s.noteLines(db, &subjects[n], pending)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(lines, maxLeafLines) {
			step.leaves = append(step.leaves, notary.Leaf{Subject: subjects[n].name, Lines: chunk}.Text())
		}
		switch subjects[n].name {
		case subjectErasures:
			step.checkpoint.Erasures = mergeErasures(step.checkpoint.Erasures, lines)
		case subjectTrust:
			for _, line := range lines {
				step.lastTrust = max(step.lastTrust, line.ID)
			}
		}
	}
	return nil
}

// noteLines returns the lines about the changed rows of a subject, in the order of their ids.
func (s *Store) noteLines(db *gorm.DB, sub *subject, pending changes) ([]notary.Line, error) {
	rows, existing := pending.rows[sub.name].Normal(), pending.existing[sub.name].Normal()
	gone := map[int64]int64{}
	all := slices.Concat(rows, existing)
	for tombstone, ids := range pending.gone[sub.name] {
		all = append(all, ids...)
		for _, id := range expand(ids) {
			gone[id] = tombstone
		}
	}
	all = all.Normal()
	found := make(map[int64]notary.Line, min(all.Len(), maxStepRows))
	for chunk := range slices.Chunk(expand(all), listChunk) {
		if err := s.findRows(db, sub, chunk, found); err != nil {
			return nil, err
		}
	}
	var lines []notary.Line
	for _, id := range expand(all) {
		line, ok := found[id]
		isProven := false
		if gone[id] != 0 {
			var err error
			if isProven, err = s.provesRemoval(db, sub, gone[id], id); err != nil {
				return nil, err
			}
		}
		if isProven {
			lines = append(lines, notary.Line{ID: id, Gone: gone[id]})
		}
		switch {
		case ok && (rows.Contains(id) || existing.Contains(id)): // SQLite can use the id of a deleted row again
			lines = append(lines, line)
		case !ok && !isProven && (rows.Contains(id) || gone[id] != 0): // otherwise a gap in the rows from before the notary
			lines = append(lines, notary.Line{ID: id, IsMissing: true})
		}
	}
	return lines, nil
}

// expand returns all ids of a set.
func expand(ranges notary.Ranges) []int64 {
	out := make([]int64, 0, ranges.Len())
	for _, one := range ranges {
		for id := one.First; id <= one.Last; id++ {
			out = append(out, id)
		}
	}
	return out
}

// findRows adds the lines of the rows with ids to found, except rows that cannot be vouched for.
func (s *Store) findRows(db *gorm.DB, sub *subject, ids []int64, found map[int64]notary.Line) error {
	for r := range sub.relations {
		err := s.readRows(db, sub, &sub.relations[r], filterByIDs(ids), func(row *notedRow) error {
			if _, ok := found[row.id]; !ok && row.problem == "" {
				found[row.id] = notary.Line{ID: row.id, Commitment: row.commitment, Detail: row.detail}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// provesRemoval reports whether a tombstone that this instance wrote covers a row.
func (s *Store) provesRemoval(db *gorm.DB, sub *subject, tombstone, id int64) (isProven bool, err error) {
	proof := findSubject(subjectTombstones)
	err = s.readRows(db, proof, &proof.relations[0], filterByIDs([]int64{tombstone}), func(row *notedRow) error {
		isProven = row.problem == "" && newRemoval(row).covers(sub.name, id)
		return nil
	})
	return isProven, err
}

// removal is the part of a tombstone that says which rows were deleted.
type removal struct {
	table       string
	first, last int64
	deleted     int64
}

func newRemoval(row *notedRow) (r removal) {
	r.table, _ = row.values["table_name"].(string)
	r.first, _ = row.values["first_id"].(int64)
	r.last, _ = row.values["last_id"].(int64)
	r.deleted, _ = row.values["deleted"].(int64)
	return r
}

func (r removal) covers(table string, id int64) bool {
	return r.table == table && r.first <= id && id <= r.last
}
