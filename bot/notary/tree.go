package notary

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree computes the hashes of a log while leaves are added. It holds only the right edge of the Merkle tree, so its
// size does not grow with the log. The zero value is an empty log.
type Tree struct {
	size int64
	edge []tlog.Hash // of the complete subtrees, from left to right: one for each bit of size
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Add adds a leaf. It returns the hashes of the subtrees that the leaf completes, from its own hash up.
func (t *Tree) Add(leaf []byte) []tlog.Hash {
	hash := tlog.RecordHash(leaf)
	out := make([]tlog.Hash, 1, 1+bits.TrailingZeros64(^uint64(t.size)))
	out[0] = hash
	for n := t.size; n&1 == 1; n >>= 1 { // the subtree on the left has this size too
		hash = tlog.NodeHash(t.edge[len(t.edge)-1], hash)
		t.edge = t.edge[:len(t.edge)-1]
		out = append(out, hash)
	}
	t.edge = append(t.edge, hash)
	t.size++
	return out
}

// Root returns the Merkle hash of all leaves.
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	root := t.edge[len(t.edge)-1]
	for n := len(t.edge) - 2; n >= 0; n-- {
		root = tlog.NodeHash(t.edge[n], root)
	}
	return root
}

// A Hash is the hash of a leaf or of a subtree.
type Hash = tlog.Hash

// JoinHashes returns the hashes of a leaf as they are stored.
func JoinHashes(hashes []Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}

// ParseHashes parses a result of [JoinHashes].
func ParseHashes(stored []byte) ([]Hash, error) {
	if len(stored)%tlog.HashSize != 0 {
		return nil, errors.New("the hashes of a leaf are malformed")
	}
	out := make([]Hash, 0, len(stored)/tlog.HashSize)
	for one := range slices.Chunk(stored, tlog.HashSize) {
		out = append(out, Hash(one))
	}
	return out, nil
}

// Hashes returns the result of [Tree.Add] for a leaf of a stored log.
type Hashes func(leaf int64) ([]tlog.Hash, error)

// at returns the hash of the complete subtree of 1<<level leaves that ends with a leaf.
func (h Hashes) at(leaf int64, level int) (tlog.Hash, error) {
	hashes, err := h(leaf)
	if err != nil {
		return tlog.Hash{}, err
	}
	if level >= len(hashes) {
		return tlog.Hash{}, fmt.Errorf("leaf %d has %d hashes, want more than %d", leaf, len(hashes), level)
	}
	return hashes[level], nil
}

// ReadHashes implements [tlog.HashReader].
func (h Hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for k, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		var err error
		if out[k], err = h.at((n+1)<<level-1, level); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ResumeTree returns the tree of the first size leaves of a stored log.
func ResumeTree(size int64, hashes Hashes) (*Tree, error) {
	t := &Tree{size: size}
	for end, level := int64(0), 62; level >= 0; level-- {
		if size&(1<<level) == 0 {
			continue
		}
		end += 1 << level
		hash, err := hashes.at(end-1, level)
		if err != nil {
			return nil, err
		}
		t.edge = append(t.edge, hash)
	}
	return t, nil
}

// An Inclusion proves that a leaf is in the log of a checkpoint.
type Inclusion struct {
	Leaf  []byte           `json:"leaf"`
	Index int64            `json:"index"`
	Proof tlog.RecordProof `json:"proof"`
}

// ProveInclusion returns the proof that the leaf with an index is in the log of the first size leaves.
func ProveInclusion(leaf []byte, index, size int64, hashes Hashes) (Inclusion, error) {
	proof, err := tlog.ProveRecord(size, index, hashes)
	if err != nil {
		return Inclusion{}, fmt.Errorf("prove inclusion of leaf %d: %w", index, err)
	}
	return Inclusion{leaf, index, proof}, nil
}

// ErrProof means that a proof does not match a checkpoint.
var ErrProof = errors.New("the proof does not match the checkpoint")

// Check returns an error unless the leaf is in the log of the checkpoint.
func (i Inclusion) Check(c Checkpoint) error {
	if err := tlog.CheckRecord(i.Proof, c.Size, c.Root, i.Index, tlog.RecordHash(i.Leaf)); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

// ProveConsistency returns the proof that the log of the first size leaves begins with its first before leaves.
func ProveConsistency(before, size int64, hashes Hashes) (tlog.TreeProof, error) {
	proof, err := tlog.ProveTree(size, before, hashes)
	if err != nil {
		return nil, fmt.Errorf("prove consistency of %d and %d leaves: %w", before, size, err)
	}
	return proof, nil
}

// CheckConsistency returns an error unless the log of the checkpoint after begins with the log of before.
func CheckConsistency(proof tlog.TreeProof, before, after Checkpoint) error {
	if err := tlog.CheckTree(proof, after.Size, after.Root, before.Size, before.Root); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}
