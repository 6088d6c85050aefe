package notary

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree computes the root of a log from its leaves, in their order. Its zero value is an empty log. It needs a hash for
// each bit of its size.
type Tree struct {
	size  int64
	roots []tlog.Hash // of the complete subtrees, the largest first: one for each bit of size
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Add appends a leaf.
func (t *Tree) Add(leaf []byte) {
	h := tlog.RecordHash(leaf)
	for bits := t.size; bits&1 == 1; bits >>= 1 {
		last := len(t.roots) - 1
		h, t.roots = tlog.NodeHash(t.roots[last], h), t.roots[:last]
	}
	t.roots = append(t.roots, h)
	t.size++
}

// Root returns the Merkle hash of the leaves.
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	h := t.roots[len(t.roots)-1]
	for n := len(t.roots) - 2; n >= 0; n-- {
		h = tlog.NodeHash(t.roots[n], h)
	}
	return h
}
