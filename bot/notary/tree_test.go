package notary

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTree_MatchesTlog compares every hash and root with the library, and resumes the tree at every size.
func TestTree_MatchesTlog(t *testing.T) {
	var (
		tree   Tree
		stored []tlog.Hash   // in the order of the library
		leaves [][]tlog.Hash // by leaf
		reader = tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
			for _, n := range indexes {
				out = append(out, stored[n])
			}
			return out, nil
		})
		hashes = Hashes(func(leaf int64) ([]tlog.Hash, error) { return leaves[leaf], nil })
	)
	var checkpoints []Checkpoint
	for n := range int64(130) {
		leaf := fmt.Appendf(nil, "leaf %d", n)
		want, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		got := tree.Add(leaf)
		if !slices.Equal(got, want) {
			t.Fatalf("leaf %d: got hashes %v, want %v", n, got, want)
		}
		stored, leaves = append(stored, want...), append(leaves, got)
		root, err := tlog.TreeHash(n+1, reader)
		if err != nil || tree.Root() != root {
			t.Fatalf("root of %d leaves: got %v, want %v, %v", n+1, tree.Root(), root, err)
		}
		resumed, err := ResumeTree(n+1, hashes)
		if err != nil || resumed.Root() != root {
			t.Fatalf("resumed root of %d leaves: got %v, want %v, %v", n+1, resumed.Root(), root, err)
		}
		checkpoints = append(checkpoints, Checkpoint{Size: n + 1, Root: root})
	}
	last := checkpoints[len(checkpoints)-1]
	for n, c := range checkpoints {
		inclusion, err := ProveInclusion(fmt.Appendf(nil, "leaf %d", n), int64(n), last.Size, hashes)
		if err != nil || inclusion.Check(last) != nil {
			t.Errorf("inclusion of leaf %d: %v", n, err)
		}
		inclusion.Leaf = []byte("another leaf")
		if err := inclusion.Check(last); !errors.Is(err, ErrProof) {
			t.Errorf("inclusion of another leaf: got %v, want ErrProof", err)
		}
		proof, err := ProveConsistency(c.Size, last.Size, hashes)
		if err != nil || CheckConsistency(proof, c, last) != nil {
			t.Errorf("consistency of %d leaves: %v", c.Size, err)
		}
		c.Root[0] ^= 1
		if err := CheckConsistency(proof, c, last); !errors.Is(err, ErrProof) {
			t.Errorf("consistency with another history of %d leaves: got %v, want ErrProof", c.Size, err)
		}
	}
}
