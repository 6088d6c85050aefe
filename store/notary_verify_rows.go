package store

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// verifyPage is how many rows of a relation one read returns.
const verifyPage = 500

// eachRow calls fn with all rows of a subject in the order of their ids. If several relations have an id, the first one
// counts.
func (l *logVerifier) eachRow(sub *subject, fn func(*notedRow) error) error {
	for after := int64(math.MinInt64); ; {
		var page []notedRow
		upper := int64(math.MaxInt64)
		for r := range sub.relations {
			n := len(page)
			err := l.s.readRows(l.db, sub, &sub.relations[r], rowFilter{"> ?", []any{after}, verifyPage}, func(row *notedRow) error {
				kept := *row
				kept.content, kept.plain, kept.values = nil, nil, nil
				if sub.name == subjectTombstones {
					kept.values = maps.Clone(row.values)
				}
				page = append(page, kept)
				return nil
			})
			if err != nil {
				return err
			}
			if len(page)-n == verifyPage {
				upper = min(upper, page[len(page)-1].id)
			}
		}
		page = slices.DeleteFunc(page, func(row notedRow) bool { return row.id > upper })
		slices.SortStableFunc(page, func(a, b notedRow) int { return cmp.Compare(a.id, b.id) })
		for n := range page {
			if n > 0 && page[n].id == page[n-1].id {
				continue
			}
			if err := fn(&page[n]); err != nil {
				return err
			}
		}
		if upper == math.MaxInt64 {
			return nil
		}
		after = upper
	}
}

// problem reports a problem of a row.
func (l *logVerifier) problem(kind ProblemKind, sub *subject, id int64, e *logEntry, reason string) {
	p := VerifyProblem{Kind: kind, Where: fmt.Sprintf("%s row %d", sub.name, id), Reason: reason}
	if sub.name == subjectIncidents {
		p.Incident, p.Where = incident.ID(id), "row"
	}
	if e != nil && l.v.Newest != nil && l.v.Newest.Size > e.leaf {
		p.Vouched = l.v.Newest
	}
	l.v.add(p)
}

// checkRows compares the rows of every subject with the log, in both directions.
func (l *logVerifier) checkRows() error {
	for n := range subjects {
		sub := &subjects[n]
		c := rowChecker{l: l, sub: sub, entries: l.entries[sub.name], rows: l.pending.rows[sub.name], existing: l.pending.existing[sub.name], gone: map[int64]int64{}}
		for tombstone, ids := range l.pending.gone[sub.name] {
			for _, id := range expand(ids.Normal()) {
				c.gone[id] = tombstone
			}
		}
		if err := l.eachRow(sub, func(row *notedRow) error { c.row(row); return nil }); err != nil {
			return err
		}
		c.absentBefore(math.MaxInt64)
		c.absentFromLog()
	}
	return nil
}

// rowChecker merges the rows of one subject with the entries of the log. Both are in the order of the ids.
type rowChecker struct {
	l       *logVerifier
	sub     *subject
	entries []logEntry // that are not compared yet
	// Changes that wait in the outbox.
	rows, existing notary.Ranges
	gone           map[int64]int64
	seen           notary.Ranges // rows and entries
}

// next removes the entries of the next row and returns them.
func (c *rowChecker) next() []logEntry {
	n := 1
	for n < len(c.entries) && c.entries[n].ID == c.entries[0].ID {
		n++
	}
	out := c.entries[:n]
	c.entries = c.entries[n:]
	return out
}

// row compares a row with its entries.
func (c *rowChecker) row(row *notedRow) {
	c.absentBefore(row.id)
	var history []logEntry
	if len(c.entries) > 0 && c.entries[0].ID == row.id {
		history = c.next()
	}
	c.l.v.Rows++
	c.see(row.id)
	waits := c.rows.Contains(row.id) || c.existing.Contains(row.id)
	if waits {
		c.l.v.Waiting++
	}
	if row.problem != "" && c.sub.hasMAC(row.table) {
		c.l.problem(ProblemMAC, c.sub, row.id, lastEntry(history), row.problem)
		return
	}
	if len(history) == 0 {
		if !waits {
			c.l.problem(ProblemUnknown, c.sub, row.id, nil, "the log does not have it: it was not written by this instance, or the record of its change was deleted")
		}
		return
	}
	last := lastEntry(history)
	switch {
	case waits:
	case last.Gone != 0:
		c.l.problem(ProblemReturned, c.sub, row.id, last, fmt.Sprintf("it was deleted by tombstone %d and is back", last.Gone))
	case last.IsMissing || last.Commitment != row.commitment:
		c.l.problem(ProblemChanged, c.sub, row.id, last, "it differs from the log")
	}
	if c.gone[row.id] == 0 { // otherwise another row had the id
		c.checkHistory(row, history)
	}
}

func lastEntry(history []logEntry) *logEntry {
	if len(history) == 0 {
		return nil
	}
	return &history[len(history)-1]
}

// checkHistory compares the values of a row that never change with all its entries. It begins after the last deletion,
// because SQLite uses an id again.
func (c *rowChecker) checkHistory(row *notedRow, history []logEntry) {
	fixed, _, _ := strings.Cut(row.detail, " ")
	for n := len(history) - 1; n >= 0 && history[n].Gone == 0; n-- {
		e := &history[n]
		if e.IsMissing {
			continue
		}
		was, _, _ := strings.Cut(e.Detail, " ")
		if c.sub.appendOnly && e.Commitment != row.commitment || c.sub.fixed != nil && was != fixed {
			c.l.problem(ProblemReplaced, c.sub, row.id, e, "a value that never changes is another one")
			return
		}
	}
}

// see records an id, in ascending order.
func (c *rowChecker) see(id int64) {
	if n := len(c.seen); n > 0 && c.seen[n-1].Last >= id-1 {
		c.seen[n-1].Last = max(c.seen[n-1].Last, id)
		return
	}
	c.seen = append(c.seen, notary.Range{First: id, Last: id})
}

// absentBefore reports the entries before an id that have no row and no reason.
func (c *rowChecker) absentBefore(id int64) {
	for len(c.entries) > 0 && c.entries[0].ID < id {
		last := lastEntry(c.next())
		c.see(last.ID)
		tombstone := last.Gone
		if tombstone == 0 {
			tombstone = c.gone[last.ID]
		}
		switch {
		case tombstone != 0:
			c.l.removed[tombstone]++
			if !c.l.removals[tombstone].covers(c.sub.name, last.ID) {
				c.l.problem(ProblemTombstone, c.sub, last.ID, last, fmt.Sprintf("it was deleted, and tombstone %d does not prove why", tombstone))
			}
		case last.IsMissing:
			c.l.problem(ProblemMissing, c.sub, last.ID, last, "it was deleted before the log recorded it")
		default:
			c.l.problem(ProblemMissing, c.sub, last.ID, last, "it was deleted without a tombstone")
		}
	}
}

// absentFromLog reports the rows in the outbox that are neither in the log nor in the database.
func (c *rowChecker) absentFromLog() {
	for _, id := range expand(c.rows) {
		if !c.seen.Contains(id) && c.gone[id] == 0 {
			c.l.problem(ProblemMissing, c.sub, id, nil, "it was deleted before the log recorded it")
		}
	}
}

// checkRemovals reports tombstones that explain more rows than they deleted.
func (l *logVerifier) checkRemovals() error {
	for _, id := range sortedKeys(l.removed) {
		if r, ok := l.removals[id]; ok && l.removed[id] > r.deleted {
			l.v.add(VerifyProblem{Kind: ProblemTombstone, Where: fmt.Sprintf("tombstones row %d", id), Reason: fmt.Sprintf("it is the reason of %d deleted rows, and it counts %d", l.removed[id], r.deleted)})
		}
	}
	return nil
}

// checkHeads compares each recorded head with the timeline of its incident: every later timeline contains it.
func (l *logVerifier) checkHeads() error {
	sub := findSubject(subjectIncidents)
	for entries := l.entries[subjectIncidents]; len(entries) > 0; {
		n := 1
		for n < len(entries) && entries[n].ID == entries[0].ID {
			n++
		}
		if err := l.checkTimeline(sub, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (l *logVerifier) checkTimeline(sub *subject, history []logEntry) error {
	id := history[0].ID
	var rows []eventRow
	if err := l.db.Raw("SELECT seq, hash FROM events WHERE incident_id = ? ORDER BY seq", id).Scan(&rows).Error; err != nil {
		return fmt.Errorf("read timeline of %s: %w", incident.ID(id), err)
	}
	if len(rows) == 0 {
		return nil // the row of the incident is reported
	}
	hashes := make(map[int64]string, len(rows))
	for _, row := range rows {
		hashes[row.Seq] = row.Hash
	}
	for n := range history {
		e := &history[n]
		var seq int64
		var head string
		if e.IsMissing {
			continue
		}
		if _, err := fmt.Sscanf(e.Detail, "%d %s", &seq, &head); err != nil {
			l.problem(ProblemLeaf, sub, id, e, "its entry in the log cannot be read")
			continue
		}
		hash, ok := hashes[seq]
		switch {
		case !ok:
			l.problem(ProblemRolledBack, sub, id, e, fmt.Sprintf("its timeline has %d events, and the log has %d", len(rows), seq))
			return nil
		case l.s.headCommitment(id, seq, hash).String() != head:
			l.problem(ProblemReplaced, sub, id, e, fmt.Sprintf("event %d of its timeline is not the recorded one", seq))
			return nil
		}
	}
	return nil
}

// chainedRow is a row of the table audit for its chain.
type chainedRow struct {
	ID           int64
	Position     int64
	Chain        string
	Content      []byte
	IsUnreadable bool
}

// checkAuditChain checks the chain of the audit log. Entries may be absent only as far as tombstones of the audit log go.
func (l *logVerifier) checkAuditChain() error {
	var head auditHead
	if err := l.db.Raw("SELECT position, chain FROM audit_head WHERE id = 1").Scan(&head).Error; err != nil {
		return fmt.Errorf("read head of the audit log: %w", err)
	}
	var previous auditHead // the chain begins with an empty hash
	var absent int64
	err := l.eachChained(func(row chainedRow) {
		where := fmt.Sprintf("audit row %d", row.ID)
		absent += row.Position - previous.Position - 1
		if row.Position == previous.Position+1 && !row.IsUnreadable && previous.next(l.s, row.Content).Chain != row.Chain {
			l.v.add(VerifyProblem{Kind: ProblemAuditChain, Where: where, Reason: "it does not continue the chain of the audit log"})
		}
		previous = auditHead{row.Position, row.Chain}
	})
	if err != nil {
		return err
	}
	if previous.Position > head.Position || previous.Position == head.Position && previous.Chain != head.Chain {
		l.v.add(VerifyProblem{Kind: ProblemAuditChain, Where: "audit_head", Reason: "it is not the end of the chain of the audit log"})
	}
	absent += max(0, head.Position-previous.Position)
	allowed := int64(0)
	for _, r := range l.removals {
		if r.table == subjectAudit {
			allowed += r.deleted
		}
	}
	if absent > allowed {
		l.v.add(VerifyProblem{Kind: ProblemAuditGap, Where: "audit", Reason: fmt.Sprintf("%d entries of its chain are absent, and its tombstones explain %d", absent, allowed)})
	}
	return nil
}

// eachChained calls fn with the entries of the audit log in the order of the chain.
func (l *logVerifier) eachChained(fn func(chainedRow)) error {
	for after := int64(0); ; {
		n, err := l.chainedPage(after, func(row chainedRow) {
			after = row.Position
			fn(row)
		})
		if err != nil || n < verifyPage {
			return err
		}
	}
}

func (l *logVerifier) chainedPage(after int64, fn func(chainedRow)) (n int, err error) {
	rows, err := l.db.Raw("SELECT id, position, chain, at, person, action, incident_id, allowed, sealed_detail FROM audit WHERE position > ? ORDER BY position LIMIT ?", after, verifyPage).Rows()
	if err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for ; rows.Next(); n++ {
		var row chainedRow
		var at, person, action, incidentID, allowed any
		var sealed []byte
		if err := rows.Scan(&row.ID, &row.Position, &row.Chain, &at, &person, &action, &incidentID, &allowed, &sealed); err != nil {
			return n, fmt.Errorf("read audit log: %w", err)
		}
		detail, err := l.s.keys.Open(sealed, associatedData("audit", rowKey(row.ID), "sealed_detail"))
		row.IsUnreadable = err != nil
		row.Content = auditContent(row.ID, at, person, action, incidentID, allowed, detail)
		fn(row)
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("read audit log: %w", err)
	}
	return n, nil
}
