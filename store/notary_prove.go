package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"tocsin/bot/notary"
)

// NotaryVerifier returns the public key of the notary as text. It checks checkpoints and proofs without the keyset.
func (s *Store) NotaryVerifier() (string, error) {
	key, err := s.keys.Notary()
	return key.Verifier().String(), err
}

// ErrNotVouched means that an audit entry differs from the log of the notary.
var ErrNotVouched = errors.New("the entry differs from the log of the notary. Run `tocsin verify`")

// ProveAudit returns proofs that a checkpoint vouches for entries of the audit log, by their numbers. Entries that the log
// of the checkpoint does not have are absent: the next minute adds them to the log. If the size of the checkpoint is 0, the
// result is empty. It scans the log, so callers prove many entries with one call.
func (s *Store) ProveAudit(ctx context.Context, c notary.Checkpoint, ids []int64) (map[int64]notary.RowProof, error) {
	key, err := s.keys.Notary()
	if err != nil {
		return nil, err
	}
	out := make(map[int64]notary.RowProof, len(ids))
	err = s.view(ctx, func(db *gorm.DB) error {
		if clear(out); c.Size == 0 {
			return nil
		}
		if err := s.openRows(db, findSubject(subjectAudit), ids, c.Note, out); err != nil {
			return err
		}
		return proveRows(db, c.Size, out)
	})
	if err != nil {
		return nil, fmt.Errorf("prove audit entries: %w", err)
	}
	for id, p := range out {
		if p.Leaf == "" {
			delete(out, id)
			continue
		}
		if _, err := p.Check(key.Verifier()); err != nil {
			return nil, fmt.Errorf("prove audit entry %d: %w: %w", id, ErrNotVouched, err)
		}
	}
	return out, nil
}

// openRows adds the content and the salt of rows to out.
func (s *Store) openRows(db *gorm.DB, sub *subject, ids []int64, note string, out map[int64]notary.RowProof) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for chunk := range slices.Chunk(ids, listChunk) {
		for r := range sub.relations {
			err := s.readRows(db, sub, &sub.relations[r], filterByIDs(chunk), func(row *notedRow) error {
				if row.problem != "" {
					return fmt.Errorf("%s row %d: %s: %w", sub.name, row.id, row.problem, ErrNotVouched)
				}
				out[row.id] = notary.RowProof{Subject: sub.name, ID: row.id, Content: string(row.content), Salt: s.salt(sub.name, row.id), Checkpoint: note}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// proveRows adds the last leaf about each row of the audit log, and its proof.
func proveRows(db *gorm.DB, size int64, out map[int64]notary.RowProof) error {
	prefix := []byte(subjectAudit + "\n")
	for after := int64(-1); ; {
		var leaves []struct {
			N    int64
			Leaf []byte
		}
		err := db.Raw("SELECT n, leaf FROM notary_leaves WHERE n > ? AND n < ? AND substr(leaf, 1, ?) = ? ORDER BY n LIMIT ?", after, size, len(prefix), prefix, leafPage).Scan(&leaves).Error
		if err != nil {
			return fmt.Errorf("read the log of the notary: %w", err)
		}
		for _, one := range leaves {
			after = one.N
			text := string(one.Leaf) // the proofs share it
			if _, err := notary.ParseLeaf(one.Leaf, func(l notary.Line) {
				if p, ok := out[l.ID]; ok {
					p.Leaf, p.Index = text, one.N
					out[l.ID] = p
				}
			}); err != nil {
				return fmt.Errorf("leaf %d: %w: %w", one.N, ErrLogDamaged, err)
			}
		}
		if len(leaves) < leafPage {
			break
		}
	}
	for id, p := range out {
		if p.Leaf == "" {
			continue
		}
		inclusion, err := notary.ProveInclusion([]byte(p.Leaf), p.Index, size, leafHashes(db))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLogDamaged, err)
		}
		p.Proof = inclusion.Proof
		out[id] = p
	}
	return nil
}
