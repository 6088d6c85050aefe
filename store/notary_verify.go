package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/notary"
)

// logEntry is a line of the log about one row, in the leaf with a number.
type logEntry struct {
	notary.Line
	leaf int64
}

// logVerifier compares the log of the notary with its checkpoints and with the rows.
type logVerifier struct {
	s        *Store
	db       *gorm.DB
	v        *Verification
	verifier notary.Verifier
	// entries holds the lines of the log by subject, in the order of the log.
	entries map[string][]logEntry
	// compacted is the number of entries of a subject after they were compacted the last time.
	compacted map[string]int
	covered   notary.Ranges  // ids of the outbox in the log
	stored    map[int64]bool // sizes of the stored checkpoints, also of invalid ones
	roots     map[int64]notary.Hash
	size      int64 // of the log
	pending   changes
	restores  []string          // details of the restores in the log and in the outbox
	removals  map[int64]removal // tombstones that this instance wrote
	removed   map[int64]int64   // rows of the log that each of them explains
}

// verifyNotary checks the log in one snapshot.
func (s *Store) verifyNotary(ctx context.Context, v *Verification, published []notary.Checkpoint) error {
	key, err := s.keys.Notary()
	if err != nil {
		return err
	}
	v.PublicKey = key.Verifier().String()
	return s.view(ctx, func(db *gorm.DB) error {
		l := &logVerifier{s: s, db: db, v: v, verifier: key.Verifier(), entries: map[string][]logEntry{}, compacted: map[string]int{},
			stored: map[int64]bool{}, roots: map[int64]notary.Hash{}, removals: map[int64]removal{}, removed: map[int64]int64{}}
		stored, err := l.storedCheckpoints()
		if err != nil {
			return err
		}
		for _, step := range []func() error{
			func() error { return l.readLog(stored, published) },
			l.readOutbox, l.readRestores,
			func() error { l.checkCheckpoints(stored, published); return nil },
			l.readRemovals, l.checkRows, l.checkHeads, l.checkRemovals, l.checkAuditChain,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// storedCheckpoints returns the stored checkpoints with a valid signature by size, and reports the others.
func (l *logVerifier) storedCheckpoints() (map[int64]notary.Checkpoint, error) {
	out := map[int64]notary.Checkpoint{}
	for after := int64(-1); ; {
		var rows []checkpointRow
		if err := l.db.Raw("SELECT size, at, note FROM notary_checkpoints WHERE size > ? ORDER BY size LIMIT ?", after, outboxPage).Scan(&rows).Error; err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		if len(rows) == 0 {
			return out, nil
		}
		for _, row := range rows {
			after, l.stored[row.Size] = row.Size, true
			l.v.Checkpoints++
			c, err := l.verifier.Open(row.Note)
			if err != nil || c.Note != row.Note || c.Size != row.Size || !c.At.Equal(row.At.UTC().Truncate(time.Second)) {
				l.v.add(VerifyProblem{Kind: ProblemCheckpoint, Where: fmt.Sprintf("checkpoint %d", row.Size), Reason: "it is not signed by this instance, or its columns do not match"})
				continue
			}
			out[row.Size] = c
		}
	}
}

// leafPage is how many leaves one read returns.
const leafPage = 2000

// readLog reads all leaves. It computes the hashes of the log at the sizes of all checkpoints.
func (l *logVerifier) readLog(stored map[int64]notary.Checkpoint, published []notary.Checkpoint) error {
	wanted := map[int64]bool{}
	for size := range stored {
		wanted[size] = true
	}
	for _, c := range published {
		wanted[c.Size] = true
	}
	tree := &notary.Tree{}
	for after := int64(-1 << 62); ; {
		n, err := l.readLeaves(after, func(n int64, leaf, hashes []byte) {
			after = n
			if n != tree.Size() {
				l.v.add(VerifyProblem{Kind: ProblemLeaf, Where: fmt.Sprintf("leaf %d", tree.Size()), Reason: "it is missing from the log", Vouched: newestID(stored)})
			}
			if notary.IsStep(leaf) {
				l.checkStep(n, leaf, tree.Size(), stored)
			} else if !l.addEntries(n, leaf) {
				l.v.add(VerifyProblem{Kind: ProblemLeaf, Where: fmt.Sprintf("leaf %d", n), Reason: "it cannot be read", Vouched: newestID(stored)})
			}
			if string(notary.JoinHashes(tree.Add(leaf))) != string(hashes) {
				l.v.add(VerifyProblem{Kind: ProblemHashes, Where: fmt.Sprintf("leaf %d", n), Reason: "its stored hashes do not match the leaves"})
			}
			if wanted[tree.Size()] {
				l.roots[tree.Size()] = tree.Root()
			}
		})
		if err != nil {
			return err
		}
		if n < leafPage {
			break
		}
	}
	for subject := range l.entries {
		l.compact(subject)
	}
	l.size, l.v.Leaves = tree.Size(), tree.Size()
	return nil
}

// readLeaves calls fn with the next leaves and returns their number.
func (l *logVerifier) readLeaves(after int64, fn func(n int64, leaf, hashes []byte)) (count int, err error) {
	rows, err := l.db.Raw("SELECT n, leaf, hashes FROM notary_leaves WHERE n > ? ORDER BY n LIMIT ?", after, leafPage).Rows()
	if err != nil {
		return 0, fmt.Errorf("read the log of the notary: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for ; rows.Next(); count++ {
		var n int64
		var leaf, hashes []byte
		if err := rows.Scan(&n, &leaf, &hashes); err != nil {
			return count, fmt.Errorf("read the log of the notary: %w", err)
		}
		fn(n, leaf, hashes)
	}
	if err := rows.Err(); err != nil {
		return count, fmt.Errorf("read the log of the notary: %w", err)
	}
	return count, nil
}

// checkStep checks the first leaf of a step. Each step ends with a checkpoint, so the next one begins at its size. No row of
// the outbox is in two steps.
func (l *logVerifier) checkStep(n int64, leaf []byte, size int64, stored map[int64]notary.Checkpoint) {
	where := fmt.Sprintf("leaf %d", n)
	if !l.stored[size] && size > 0 {
		l.v.add(VerifyProblem{Kind: ProblemCheckpoint, Where: fmt.Sprintf("checkpoint %d", size), Reason: "it is missing", Vouched: newestID(stored)})
	}
	step, err := notary.ParseStep(leaf)
	if err != nil {
		l.v.add(VerifyProblem{Kind: ProblemLeaf, Where: where, Reason: "it cannot be read", Vouched: newestID(stored)})
		return
	}
	for _, one := range step.Changes {
		if l.covered.Overlaps(one) {
			l.v.add(VerifyProblem{Kind: ProblemCounted, Where: where, Reason: fmt.Sprintf("it records changes %s again", notary.Ranges{one})})
		}
	}
	l.covered = append(l.covered, step.Changes...).Normal()
}

// addEntries adds the lines of a leaf, and reports whether it can be read.
func (l *logVerifier) addEntries(n int64, leaf []byte) bool {
	name, _, _ := bytes.Cut(leaf, []byte{'\n'})
	sub := findSubject(string(name))
	if sub == nil {
		return false
	}
	entries := l.entries[sub.name]
	_, err := notary.ParseLeaf(leaf, func(line notary.Line) { entries = append(entries, logEntry{line, n}) })
	l.entries[sub.name] = entries
	if !sub.needsHistory() && len(entries) > 2*l.compacted[sub.name]+maxStepRows {
		l.compact(sub.name)
	}
	return err == nil
}

// compact sorts the entries of a subject by row, each row in the order of the log. It drops all but the last entry of each
// row, unless the others are needed.
func (l *logVerifier) compact(subject string) {
	entries := l.entries[subject]
	slices.SortStableFunc(entries, func(a, b logEntry) int { return cmp.Compare(a.ID, b.ID) })
	if !findSubject(subject).needsHistory() {
		kept := entries[:0]
		for n, e := range entries {
			if n+1 == len(entries) || entries[n+1].ID != e.ID {
				kept = append(kept, e)
			}
		}
		entries = slices.Clip(kept)
	}
	l.entries[subject], l.compacted[subject] = entries, len(entries)
}

// newestID names the newest of some checkpoints, or nil.
func newestID(checkpoints map[int64]notary.Checkpoint) *CheckpointID {
	var out *CheckpointID
	for _, c := range checkpoints {
		if out == nil || c.Size > out.Size {
			out = &CheckpointID{c.Size, c.At}
		}
	}
	return out
}

// checkCheckpoints compares the log with the checkpoints.
func (l *logVerifier) checkCheckpoints(stored map[int64]notary.Checkpoint, published []notary.Checkpoint) {
	valid := map[int64]notary.Checkpoint{}
	for _, size := range sortedKeys(stored) {
		c := stored[size]
		if root, ok := l.roots[size]; ok && root == c.Root {
			valid[size] = c
			continue
		}
		reason := "the leaves of the log do not have its hash: the log was rewritten"
		if size > l.size {
			reason = fmt.Sprintf("the log has only %d leaves: it was cut", l.size)
		}
		l.v.add(VerifyProblem{Kind: ProblemRewritten, Where: fmt.Sprintf("checkpoint %d", size), Reason: reason, Vouched: &CheckpointID{size, c.At}})
	}
	for _, c := range published {
		l.v.Checkpoints++
		if l.checkPublished(c, published) {
			valid[c.Size] = c
		}
	}
	l.v.Newest = newestID(valid)
	if newest := newestID(stored); l.size > 0 && (newest == nil || newest.Size < l.size) {
		signed := int64(0)
		if newest != nil {
			signed = newest.Size
		}
		l.v.add(VerifyProblem{Kind: ProblemUnsigned, Where: "log", Reason: fmt.Sprintf("no checkpoint signs its leaves from %d to %d", signed, l.size-1)})
	}
}

// checkPublished compares the log with one published checkpoint and reports whether the log has its hash.
func (l *logVerifier) checkPublished(c notary.Checkpoint, all []notary.Checkpoint) bool {
	id := CheckpointID{c.Size, c.At}
	for _, other := range all {
		if other.Size == c.Size && other.Root != c.Root {
			l.v.add(VerifyProblem{Kind: ProblemTwoHistories, Where: "published " + id.String(), Reason: "another given checkpoint of the same size has another hash: two histories were published", Vouched: &id})
			break
		}
	}
	if root, ok := l.roots[c.Size]; ok && root == c.Root {
		return true
	}
	if at, ok := l.restoreAfter(c); ok {
		l.v.Explained = append(l.v.Explained, fmt.Sprintf("published %s is newer than the backup that was restored at %s", id, at.Format("2006-01-02 15:04:05 UTC")))
		return false
	}
	if c.Size > l.size {
		l.v.add(VerifyProblem{Kind: ProblemCut, Where: "published " + id.String(), Reason: fmt.Sprintf("the log has only %d leaves: it was cut, or the database is an older copy", l.size), Vouched: &id})
	} else {
		l.v.add(VerifyProblem{Kind: ProblemTwoHistories, Where: "published " + id.String(), Reason: "the log has another hash at its size: history was rewritten, or another history was published", Vouched: &id})
	}
	return false
}

// restoreAfter returns the time of a restore that explains why the log does not have a checkpoint: the backup is older than
// the checkpoint, and the restore is not.
func (l *logVerifier) restoreAfter(c notary.Checkpoint) (time.Time, bool) {
	for _, detail := range l.restores {
		var fixed string
		var size, unix int64
		if n, err := fmt.Sscanf(detail, "%s %d %d", &fixed, &size, &unix); n != 3 || err != nil {
			continue
		}
		if at := time.Unix(unix, 0).UTC(); size < c.Size && !c.At.After(at) {
			return at, true
		}
	}
	return time.Time{}, false
}

// readOutbox reads the changes that the log does not cover yet, and reports rows that no instance with the keyset wrote for
// this log.
func (l *logVerifier) readOutbox() error {
	l.pending = changes{rows: map[string]notary.Ranges{}, existing: map[string]notary.Ranges{}, gone: map[string]map[int64]notary.Ranges{}}
	for after := int64(-1 << 62); ; {
		var rows []outboxRow
		if err := l.db.Raw("SELECT id, changes, mac FROM notary_outbox WHERE id > ? ORDER BY id LIMIT ?", after, outboxPage).Scan(&rows).Error; err != nil {
			return fmt.Errorf("read outbox of the notary: %w", err)
		}
		for _, row := range rows {
			after = row.ID
			c, isGenuine := l.s.openOutbox(row)
			switch {
			case !isGenuine:
				l.v.add(VerifyProblem{Kind: ProblemOutbox, Where: fmt.Sprintf("notary_outbox row %d", row.ID), Reason: "invalid MAC: it was not written by this instance"})
			case l.covered.Contains(row.ID):
				l.v.add(VerifyProblem{Kind: ProblemOutbox, Where: fmt.Sprintf("notary_outbox row %d", row.ID), Reason: "the log covers it already: it was inserted again"})
			default:
				everything := int64(1 << 62)
				l.pending.take(c, &everything)
			}
		}
		if len(rows) < outboxPage {
			break
		}
	}
	for _, ranges := range []map[string]notary.Ranges{l.pending.rows, l.pending.existing} {
		for subject := range ranges {
			ranges[subject] = ranges[subject].Normal()
		}
	}
	return nil
}

// readRestores collects the restores. The log does not have the newest one before the restored instance has started.
func (l *logVerifier) readRestores() error {
	for _, e := range l.entries[subjectRestores] {
		l.restores = append(l.restores, e.Detail)
	}
	ids := expand(l.pending.rows[subjectRestores])
	if len(ids) == 0 {
		return nil
	}
	sub := findSubject(subjectRestores)
	return l.s.readRows(l.db, sub, &sub.relations[0], filterByIDs(ids), func(row *notedRow) error {
		l.restores = append(l.restores, row.detail)
		return nil
	})
}

// readRemovals reads the tombstones that this instance wrote.
func (l *logVerifier) readRemovals() error {
	return l.eachRow(findSubject(subjectTombstones), func(row *notedRow) error {
		if row.problem == "" {
			l.removals[row.id] = newRemoval(row)
		}
		return nil
	})
}
