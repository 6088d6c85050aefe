package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/pack"
)

const (
	// maxEarlier is how many published checkpoints a pack continues.
	maxEarlier = 100
	// maxBetween is the largest distance of two leaves between which a pack has all leaves.
	maxBetween = 64
)

// PackProofs implements [response.Reader].
func (r reader) PackProofs(q pack.Query) (p pack.Proofs, err error) {
	key, err := r.s.keys.Notary()
	if err != nil {
		return p, err
	}
	c, err := newestCheckpoint(r.db, key.Verifier())
	if err != nil {
		return p, err
	}
	if c.Size == 0 {
		return p, incident.Conflict("there is no checkpoint yet. Start Tocsin and try again in two minutes")
	}
	p = pack.Proofs{Verifier: key.Verifier().String(), Checkpoint: c.Note, Salt: r.s.salt(subjectIncidents, int64(q.Incident))}
	f := packLeaves{reader: r, size: c.Size, wanted: map[int64][]byte{}}
	signed, err := f.addHeads(q)
	if err != nil {
		return p, err
	}
	if p.Keys, err = f.addKeys(q.Keys, signed); err != nil {
		return p, err
	}
	if q.Documents {
		if p.Documents, err = f.addDocuments(q.Incident); err != nil {
			return p, err
		}
	}
	if p.Leaves, err = f.prove(); err != nil {
		return p, err
	}
	p.Earlier, err = r.earlierCheckpoints(key.Verifier(), c)
	return p, err
}

// packLeaves collects the leaves of a pack.
type packLeaves struct {
	reader
	size   int64            // of the log of the checkpoint
	wanted map[int64][]byte // leaves by index
}

// each calls fn for each line of the leaves of a subject.
func (f *packLeaves) each(name string, fn func(n int64, leaf []byte, l notary.Line)) error {
	prefix := []byte(name + "\n")
	for after := int64(-1); ; {
		var leaves []struct {
			N    int64
			Leaf []byte
		}
		err := f.db.Raw("SELECT n, leaf FROM notary_leaves WHERE n > ? AND n < ? AND substr(leaf, 1, ?) = ? ORDER BY n LIMIT ?", after, f.size, len(prefix), prefix, leafPage).Scan(&leaves).Error
		if err != nil {
			return fmt.Errorf("read the log of the notary: %w", err)
		}
		for _, one := range leaves {
			after = one.N
			if _, err := notary.ParseLeaf(one.Leaf, func(l notary.Line) { fn(one.N, one.Leaf, l) }); err != nil {
				return fmt.Errorf("leaf %d: %w: %w", one.N, ErrLogDamaged, err)
			}
		}
		if len(leaves) < leafPage {
			return nil
		}
	}
}

// addHeads adds the first leaf that has each wanted event, the last leaf before each withheld one, and the last leaf of
// all. It returns the indexes of the first ones.
func (f *packLeaves) addHeads(q pack.Query) (signed []int64, err error) {
	type head struct {
		leaf int64
		text []byte
	}
	first, before := make([]head, len(q.Seqs)), make([]head, len(q.Cuts))
	var last head
	err = f.each(subjectIncidents, func(n int64, leaf []byte, l notary.Line) {
		text, _, _ := strings.Cut(l.Detail, " ")
		seq, err := strconv.Atoi(text)
		if l.ID != int64(q.Incident) || err != nil {
			return
		}
		last = head{n, leaf}
		for k, want := range q.Seqs {
			if seq >= want && first[k].text == nil {
				first[k] = last
			}
		}
		for k, cut := range q.Cuts {
			if seq < cut {
				before[k] = last
			}
		}
	})
	for _, h := range slices.Concat(first, before, []head{last}) {
		if h.text != nil {
			f.wanted[h.leaf] = h.text
		}
	}
	for _, h := range first {
		if h.text != nil {
			signed = append(signed, h.leaf)
		}
	}
	return signed, err
}

// addKeys adds the leaves of the log of keys and opens some of its events. The leaves between a signature and an event of its
// step show that both belong to one step.
func (f *packLeaves) addKeys(ids, signed []int64) ([]pack.Row, error) {
	leaves := map[int64]int64{}
	err := f.each(subjectTrust, func(n int64, leaf []byte, l notary.Line) {
		f.wanted[n] = leaf
		if _, ok := leaves[l.ID]; !ok {
			leaves[l.ID] = n
		}
	})
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { _, ok := leaves[id]; return !ok }) // newer than the checkpoint
	rows := map[int64]notary.RowProof{}
	if err := f.s.openRows(f.db, findSubject(subjectTrust), ids, "", rows); err != nil {
		return nil, err
	}
	var out []pack.Row
	for _, id := range ids {
		out = append(out, pack.Row{ID: id, Content: rows[id].Content, Salt: rows[id].Salt})
		for _, leaf := range signed {
			if d := leaves[id] - leaf; d > 0 && d <= maxBetween {
				if err := f.addRange(leaf, leaves[id]); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// addRange adds all leaves between two leaves.
func (f *packLeaves) addRange(first, last int64) error {
	var leaves []struct {
		N    int64
		Leaf []byte
	}
	if err := f.db.Raw("SELECT n, leaf FROM notary_leaves WHERE n > ? AND n < ? ORDER BY n", first, last).Scan(&leaves).Error; err != nil {
		return fmt.Errorf("read the log of the notary: %w", err)
	}
	for _, one := range leaves {
		f.wanted[one.N] = one.Leaf
	}
	return nil
}

// addDocuments opens the rows of the documents of an incident and adds the last leaf about each one.
func (f *packLeaves) addDocuments(id incident.ID) ([]pack.DocumentRow, error) {
	var stored []struct {
		ID         int64
		Revision   int
		SealedBody []byte
	}
	if err := f.db.Raw("SELECT id, revision, sealed_body FROM documents WHERE incident_id = ? ORDER BY revision", int64(id)).Scan(&stored).Error; err != nil {
		return nil, fmt.Errorf("read documents of %s: %w", id, err)
	}
	leaves := map[int64]notary.Inclusion{}
	err := f.each(subjectDocuments, func(n int64, leaf []byte, l notary.Line) { leaves[l.ID] = notary.Inclusion{Leaf: leaf, Index: n} })
	if err != nil {
		return nil, err
	}
	var out []pack.DocumentRow
	for _, d := range stored {
		leaf, isNoted := leaves[d.ID]
		if !isNoted {
			continue // newer than the checkpoint
		}
		f.wanted[leaf.Index] = leaf.Leaf
		var body json.RawMessage
		if err := f.s.unseal("documents", rowKey(int(id), d.Revision), "sealed_body", d.SealedBody, &body); err != nil {
			return nil, err
		}
		rows := map[int64]notary.RowProof{}
		if err := f.s.openRows(f.db, findSubject(subjectDocuments), []int64{d.ID}, "", rows); err != nil {
			return nil, err
		}
		out = append(out, pack.DocumentRow{Row: pack.Row{ID: d.ID, Content: rows[d.ID].Content, Salt: rows[d.ID].Salt}, Revision: d.Revision, Stored: body})
	}
	return out, nil
}

// prove returns the wanted leaves with their proofs, in the order of the log.
func (f *packLeaves) prove() ([]notary.Inclusion, error) {
	var out []notary.Inclusion
	hashes := leafHashes(f.db)
	for n, leaf := range f.wanted {
		i, err := notary.ProveInclusion(leaf, n, f.size, hashes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLogDamaged, err)
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b notary.Inclusion) int { return int(a.Index - b.Index) })
	return out, nil
}

// earlierCheckpoints returns the newest published checkpoints before one, with the proofs that its log continues them.
func (r reader) earlierCheckpoints(verifier notary.Verifier, c notary.Checkpoint) ([]pack.Earlier, error) {
	var rows []checkpointRow
	err := r.db.Raw("SELECT size, at, note, published_at FROM notary_checkpoints WHERE published_at IS NOT NULL AND size < ? ORDER BY size DESC LIMIT ?", c.Size, maxEarlier).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("read published checkpoints: %w", err)
	}
	slices.Reverse(rows)
	var out []pack.Earlier
	for _, row := range rows {
		if row.Size == 0 {
			continue
		}
		if old, err := verifier.Open(row.Note); err != nil || old.Size != row.Size || old.Note != row.Note {
			return nil, fmt.Errorf("%w: its checkpoint of %d leaves is invalid", ErrLogDamaged, row.Size)
		}
		proof, err := notary.ProveConsistency(row.Size, c.Size, leafHashes(r.db))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLogDamaged, err)
		}
		out = append(out, pack.Earlier{Size: row.Size, Note: row.Note, Proof: proof})
	}
	return out, nil
}
