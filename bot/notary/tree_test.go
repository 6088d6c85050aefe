package notary

import (
	"strconv"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTree_EqualsLog compares each root with the result of [tlog.TreeHash] on stored hashes.
func TestTree_EqualsLog(t *testing.T) {
	var tree Tree
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for n := range int64(200) {
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Size() != n || tree.Root() != want {
			t.Fatalf("after %d leaves: got %d, %s, want %s", n, tree.Size(), tree.Root(), want)
		}
		leaf := []byte("leaf " + strconv.FormatInt(n, 10))
		hashes, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		tree.Add(leaf)
	}
}
